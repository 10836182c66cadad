//! Forwarding: the form of the redirect, and which parts of the requested URL are passed on.

use super::LinkInput;
use crate::domain::error::Invalid;

/// The redirect statuses of a link (RFC 9110 §15.4); 302 by default.
pub const STATUSES: [u16; 5] = [301, 302, 303, 307, 308];
const DEFAULT_STATUS: u16 = 302;

/// How visitors are redirected. Stored in the log as it is.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Forwarding {
    /// One of [`STATUSES`]; 0 for the default.
    #[prost(uint32, tag = "1")]
    status: u32,
    /// Whether `/slug/more` redirects to the destination with `/more` appended to its path.
    #[prost(bool, tag = "2")]
    pub path: bool,
    /// Whether the response names the destination as canonical (RFC 6596).
    #[prost(bool, tag = "3")]
    pub canonical: bool,
    /// Whether the response asks search engines not to index the link.
    #[prost(bool, tag = "4")]
    pub noindex: bool,
}

impl Forwarding {
    /// The status of the redirect.
    pub fn status(&self) -> u16 {
        u16::try_from(self.status)
            .ok()
            .filter(|code| STATUSES.contains(code))
            .unwrap_or(DEFAULT_STATUS)
    }

    /// Validates the input; absent fields keep their values.
    pub(super) fn accept(
        input: &mut LinkInput,
        before: Option<&Self>,
        invalid: &mut Invalid,
    ) -> Self {
        let none = Self::default();
        let old = before.unwrap_or(&none);
        let status = std::mem::take(&mut input.redirect_status).try_map(|status| {
            let is_known = STATUSES.contains(&status);
            let rule = || "must be one of 301, 302, 303, 307, 308".to_owned();
            invalid.check("redirect_status", is_known.then_some(status).ok_or_else(rule))
        });
        let status = status.apply_to(Some(old.status())).unwrap_or(DEFAULT_STATUS);
        let flag = |asked: &mut crate::domain::link::Field<bool>, before| {
            std::mem::take(asked).apply_to(Some(before)).unwrap_or(false)
        };
        Self {
            status: if status == DEFAULT_STATUS { 0 } else { status.into() },
            path: flag(&mut input.forward_path, old.path),
            canonical: flag(&mut input.canonical, old.canonical),
            noindex: flag(&mut input.noindex, old.noindex),
        }
    }
}

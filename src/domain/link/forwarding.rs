//! Forwarding: in which way a visitor is sent on, and what of his address goes with him.

use super::LinkInput;
use crate::domain::error::Invalid;

/// The statuses that a link may answer with (RFC 9110 §15.4); 302 where none was asked for.
pub const STATUSES: [u16; 5] = [301, 302, 303, 307, 308];
const DEFAULT_STATUS: u16 = 302;

/// How a visitor is sent on. It is its own form in the log.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Forwarding {
    /// One of [`STATUSES`]; 0 for the default.
    #[prost(uint32, tag = "1")]
    status: u32,
    /// Whether `/slug/more` leads to the destination with `/more` behind its path.
    #[prost(bool, tag = "2")]
    pub path: bool,
    /// Whether the answer names the destination as the canonical address (RFC 6596).
    #[prost(bool, tag = "3")]
    pub canonical: bool,
    /// Whether the answer asks search engines not to list the short address.
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

    /// Checks what is asked over what stands.
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
        let status = status.over(Some(old.status())).unwrap_or(DEFAULT_STATUS);
        let flag = |asked: &mut crate::domain::link::Field<bool>, before| {
            std::mem::take(asked).over(Some(before)).unwrap_or(false)
        };
        Self {
            status: if status == DEFAULT_STATUS { 0 } else { status.into() },
            path: flag(&mut input.forward_path, old.path),
            canonical: flag(&mut input.canonical, old.canonical),
            noindex: flag(&mut input.noindex, old.noindex),
        }
    }
}

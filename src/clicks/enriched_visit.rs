//! The result of enriching a visit, and its encoding as a click.

use std::sync::Arc;

use super::encode::VisitFields;
use super::geo::Location;
use super::language::Language;
use super::query_params::QueryParams;
use super::referrer::Referrer;
use super::user_agent_cache::Agent;
use super::{FindQrCode, visit};
use crate::domain::click::{BotReason, ClickTarget};
use crate::domain::qr::marker::Marker;

/// An enriched visit. It does not contain the visitor's IP address.
#[must_use = "a click counts once it is appended"]
pub struct EnrichedVisit<'a> {
    /// Time of the visit, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The visitor's id within the link's workspace.
    pub visitor: u64,
    /// The visitor's location.
    pub location: Location<'a>,
    /// The referrer.
    pub referrer: Referrer<'a>,
    /// The preferred language.
    pub language: Language,
    pub(super) head: bool,
    pub(super) prefetch: bool,
    pub(super) query: Option<&'a str>,
    pub(super) find_code: &'a FindQrCode,
    /// The user agent.
    pub agent: Arc<Agent>,
}

impl EnrichedVisit<'_> {
    /// Why the click is classified as a bot's, or `Human`.
    pub fn bot(&self) -> BotReason {
        match self.agent.classification.bot {
            BotReason::Human => visit::bot_reason(self.head, self.prefetch),
            reason => reason,
        }
    }

    /// Appends the encoding of the [`Click`](crate::domain::click::Click) on this link: the fields of
    /// the link, the visit and the agent.
    ///
    /// The agent's fields come last: the last value of a repeated field wins, so the agent's bot
    /// reason overrides the visit's. `Human` is the default value and not encoded, so it overrides
    /// nothing.
    pub fn encode(&self, target: &ClickTarget, click: &mut Vec<u8>) {
        click.extend_from_slice(&target.part);
        let query_params = QueryParams::of(self.query, target.has_utm);
        let qr_code = match query_params.marker {
            // A code counts the scans of its own link only.
            Some(Marker::Number(number)) => (self.find_code)(number)
                .filter(|(_, link)| *link == target.link)
                .map(|(code, _)| code),
            Some(Marker::SomeCode) | None => None,
        };
        let part = VisitFields {
            at_ms: self.at_ms,
            bot: visit::bot_reason(self.head, self.prefetch),
            visitor: self.visitor,
            location: self.location,
            referrer: &self.referrer,
            language: self.language,
            head: self.head,
            prefetch: self.prefetch,
            query_params,
            qr_code,
        };
        part.encode(click);
        click.extend_from_slice(&self.agent.click_part);
    }
}

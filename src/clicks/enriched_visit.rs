//! What an interpretation found, and its encoding as a click.

use std::sync::Arc;

use super::encode::VisitPart;
use super::geo::Place;
use super::language::Language;
use super::query_params::QueryParams;
use super::referrer::Referrer;
use super::user_agent_cache::Agent;
use super::visit;
use crate::domain::click::{BotReason, ClickTarget};

/// An interpreted visit. It holds nothing of the visitor's address.
#[must_use = "a click counts once it is appended"]
pub struct EnrichedVisit<'a> {
    pub(super) at_ms: u64,
    pub(super) visitor: u64,
    pub(super) place: Place<'a>,
    pub(super) referrer: Referrer<'a>,
    pub(super) language: Language,
    pub(super) head: bool,
    pub(super) prefetch: bool,
    pub(super) query: Option<&'a str>,
    pub(super) agent: Arc<Agent>,
}

impl<'a> EnrichedVisit<'a> {
    /// When the visit came, in milliseconds since the Unix epoch.
    pub const fn at_ms(&self) -> u64 {
        self.at_ms
    }

    /// The visitor's id in the link's workspace.
    pub const fn visitor(&self) -> u64 {
        self.visitor
    }

    /// Where the visitor is.
    pub const fn place(&self) -> Place<'a> {
        self.place
    }

    /// Where he came from.
    pub const fn referrer(&self) -> &Referrer<'a> {
        &self.referrer
    }

    /// His first language.
    pub const fn language(&self) -> Language {
        self.language
    }

    /// The user agent.
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// Why the click isn't taken for a human's, or `Human`.
    pub fn bot(&self) -> BotReason {
        match self.agent.bot() {
            BotReason::Human => visit::bot_reason(self.head, self.prefetch),
            reason => reason,
        }
    }

    /// Appends the encoding of the [`Click`](crate::domain::click::Click) on this link: one part
    /// behind the other.
    ///
    /// The agent's comes last: of a field that occurs twice, the last one counts, so its reason
    /// for a bot wins over the visit's. `Human`, being the default, isn't encoded and wins over
    /// nothing.
    pub fn encode(&self, target: &ClickTarget, click: &mut Vec<u8>) {
        click.extend_from_slice(&target.part);
        let part = VisitPart {
            at_ms: self.at_ms,
            bot: visit::bot_reason(self.head, self.prefetch),
            visitor: self.visitor,
            place: self.place,
            referrer: &self.referrer,
            language: self.language,
            head: self.head,
            prefetch: self.prefetch,
            asked: QueryParams::of(self.query, target.has_utm),
        };
        part.encode(click);
        click.extend_from_slice(self.agent.click_part());
    }
}

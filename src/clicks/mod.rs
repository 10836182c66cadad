//! From a visit to a click: what a visitor's request means.
//!
//! A [`Visit`] is the raw request, in memory only, its [`Headers`] borrowed from whoever parsed
//! them. [`Enricher::enrich`] takes it through these steps, and what comes out,
//! [`EnrichedVisit`], is what the click log holds:
//!
//! 1. `proxies` – the client's address: the peer's, or what trusted proxies say;
//! 2. `agents`, `agent`, `bot`, `expressions` – the user agent: browser, system, machine, and
//!    whether it is a bot; once per distinct agent, then from a bounded cache;
//! 3. `visitor` – a keyed hash of the address, whose key is destroyed when its period ends
//!    (`salt_period`, `salt_file`);
//! 4. `geo` – the place of the address. Here the address is done with: it goes no further;
//! 5. `referrer` – the site the visitor came from, folded, and its page, shortened;
//! 6. `language` – the visitor's first choice;
//! 7. `visit` – whether it is a HEAD or a prefetch, and so no human's click;
//! 8. `asked` – UTM parameters that the visitor brings, and whether he came by a QR code;
//! 9. `visit_part` – the encoding of what was found.
//!
//! The clicks of one moment are a [`ClickBatch`], which the [`Recorder`] appends to the log. What a visit says lives in memory only,
//! for as long as that takes. [`Pacing`] keeps redirects from starving the
//! analytics that follow the log.

mod bot;
mod click_batch;
mod click_caps;
mod encode;
mod enriched_visit;
mod geo;
mod headers;
mod language;
mod overflow_buffer;
mod pacing;
mod proxies;
mod query_params;
mod recorder;
mod referrer;
mod referrer_folds;
mod regex_patterns;
mod returning_visitors;
mod salt_file;
mod salt_period;
mod text;
mod user_agent;
mod user_agent_cache;
mod visit;
mod visitor;
mod visitor_bucketer;

use std::sync::Arc;

pub use bot::{BotList, BotListError};
pub use click_batch::ClickBatch;
pub use click_caps::{Admission, ClickCaps, ClickCapsError};
pub use enriched_visit::EnrichedVisit;
pub use geo::{Geo, GeoError, GeoReader, Place};
pub use headers::{Headers, is_named};
pub use language::Language;
pub use pacing::Pacing;
pub use proxies::{InvalidProxy, TrustedProxies};
pub use recorder::{Admitted, Recorder, Syncer};
pub use referrer::{Referrer, URL_LIMIT};
pub use returning_visitors::ReturningVisitors;
pub use salt_file::SaltFileError;
pub use salt_period::{InvalidSaltPeriod, SaltPeriod};
pub use user_agent::Classification;
pub use user_agent_cache::{Agent, DEFAULT_CAPACITY, USER_AGENT_LIMIT, UserAgentCache};
pub use visit::Visit;
pub use visitor::VisitorSalts;
pub use visitor_bucketer::VisitorBucketer;

use crate::domain::ids::WorkspaceId;

/// The steps from a visit to a click, with all that they consult.
pub struct Enricher {
    /// Whose word on the client's address is taken.
    pub proxies: TrustedProxies,
    /// Where addresses are. [`GeoReader::reload`] replaces the database at run time.
    pub geo: GeoReader,
    /// What user agents are. [`UserAgentCache::replace`] replaces the crawler list at run time.
    pub agents: Arc<UserAgentCache>,
    /// The key of the visitors' ids. [`VisitorSalts::turn_if_due`] is to be called from time to
    /// time.
    pub visitors: VisitorSalts,
}

impl Enricher {
    /// Interprets a visit of a link of this workspace; see the [module](self) for the steps.
    ///
    /// `geo` is what [`GeoReader::load`] gives: it lives as long as what was found in it.
    pub fn enrich<'a>(
        &self,
        visit: &Visit<'a>,
        workspace: &WorkspaceId,
        geo: Option<&'a Geo>,
    ) -> EnrichedVisit<'a> {
        let headers = &visit.headers;
        let address = self.proxies.client(visit.peer, headers);
        let agent = self.agents.of(headers.user_agent);
        EnrichedVisit {
            at_ms: visit.at_ms,
            visitor: self.visitors.visitor(visit.at_ms, address, agent.id(), workspace),
            place: geo.map(|geo| geo.lookup(address)).unwrap_or_default(),
            referrer: Referrer::of(headers.referrer),
            language: Language::of(headers.accept_language),
            head: visit.head,
            prefetch: visit.is_prefetch(),
            query: visit.query,
            agent,
        }
    }
}

#[cfg(test)]
mod tests;

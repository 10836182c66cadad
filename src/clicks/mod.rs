//! From a visit to a click: the enrichment of redirect requests.
//!
//! A [`Visit`] is the raw request, in memory only, with [`Headers`] borrowed from the HTTP parser.
//! [`Enricher::enrich`] takes it through these steps; the result, an [`EnrichedVisit`], is what the
//! click log stores:
//!
//! 1. `proxies` – the client's address: the peer's, or the one reported by trusted proxies;
//! 2. `user_agent_cache`, `user_agent`, `bot`, `regex_patterns` – the user agent: browser, operating
//!    system, device, and whether it is a bot; classified once per user agent, in a bounded cache;
//! 3. `visitor` – a keyed hash of the address, whose key is destroyed at the end of its period
//!    (`salt_period`, `salt_file`);
//! 4. `geo` – the location of the address. No later step has the address;
//! 5. `referrer` – the referring host, normalized, and its page, truncated;
//! 6. `language` – the preferred language;
//! 7. `visit` – whether it is a HEAD request or a prefetch, and so not a human's click;
//! 8. `query_params` – UTM parameters of the request, and the QR code that was scanned;
//! 9. `encode` – the encoding of the click.
//!
//! The [`Recorder`] appends the clicks to the log as a [`ClickBatch`]. [`Pacing`] keeps redirects
//! from starving the analytics that follow the log.

mod click_batch;
mod click_caps;
mod crawler_list;
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

pub use click_batch::ClickBatch;
pub use click_caps::{Admission, ClickCaps, ClickCapsError};
pub use crawler_list::{BotList, BotListError};
pub use enriched_visit::EnrichedVisit;
pub use geo::{Geo, GeoError, GeoReader, Location};
pub use headers::{Headers, is_named};
pub use language::Language;
pub use pacing::Pacing;
pub use proxies::{InvalidProxy, TrustedProxies};
pub use recorder::{Admitted, Recorder};
pub use referrer::{Referrer, URL_LIMIT};
pub use returning_visitors::ReturningVisitors;
pub use salt_file::SaltFileError;
pub use salt_period::{InvalidSaltPeriod, SaltPeriod};
pub use user_agent::Classification;
pub use user_agent_cache::{Agent, DEFAULT_CAPACITY, USER_AGENT_LIMIT, UserAgentCache};
pub use visit::Visit;
pub use visitor::VisitorSalts;
pub use visitor_bucketer::VisitorBucketer;

use crate::domain::ids::{LinkId, QrCodeId, WorkspaceId};

/// Finds the QR code with a number, and its link. Called for visits with a marker only.
pub type FindQrCode = Box<dyn Fn(u64) -> Option<(QrCodeId, LinkId)> + Send + Sync>;

/// Enriches visits, with the data that this needs.
pub struct Enricher {
    /// The proxies that are trusted to report the client's address.
    pub proxies: TrustedProxies,
    /// The geo database. [`GeoReader::reload`] replaces it at run time.
    pub geo: GeoReader,
    /// Classified user agents. [`UserAgentCache::replace`] replaces the crawler list at run time.
    pub agents: Arc<UserAgentCache>,
    /// The key of the visitor ids. Call [`VisitorSalts::rotate_if_due`] periodically.
    pub visitors: VisitorSalts,
    /// The index of QR codes.
    pub find_code: FindQrCode,
}

impl Enricher {
    /// Enriches a visit of a link of this workspace; see the [module](self) for the steps.
    ///
    /// `geo` is the result of [`GeoReader::load`]; the result borrows from it.
    pub fn enrich<'a>(
        &'a self,
        visit: &Visit<'a>,
        workspace: &WorkspaceId,
        geo: Option<&'a Geo>,
    ) -> EnrichedVisit<'a> {
        let headers = &visit.headers;
        let address = self.proxies.client(visit.peer, headers);
        let agent = self.agents.of(headers.user_agent);
        EnrichedVisit {
            at_ms: visit.at_ms,
            visitor: self.visitors.visitor(visit.at_ms, address, agent.id, workspace),
            location: geo.map(|geo| geo.lookup(address)).unwrap_or_default(),
            referrer: Referrer::of(headers.referrer),
            language: Language::of(headers.accept_language),
            head: visit.head,
            prefetch: visit.is_prefetch(),
            query: visit.query,
            find_code: &self.find_code,
            agent,
        }
    }
}

#[cfg(test)]
mod tests;

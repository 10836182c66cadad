//! From a visit to a click: what a visitor's request means.
//!
//! A [`Visit`] is the raw request, in memory only, its [`Headers`] borrowed from whoever parsed
//! them. [`Interpreter::interpret`] takes it through these steps, and what comes out,
//! [`Interpreted`], is what the click log holds:
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
//! The clicks of one moment are a [`ClickGroup`], which the [`Recorder`] appends to the log. What a visit says lives in memory only,
//! for as long as that takes. [`Pacing`] keeps redirects from starving the
//! analytics that follow the log.

mod agent;
mod agents;
mod asked;
mod bot;
mod expressions;
mod geo;
mod group;
mod headers;
mod interpreted;
mod language;
mod limits;
mod pacing;
mod proxies;
mod recorder;
mod referrer;
mod referrer_folds;
mod salt_file;
mod salt_period;
mod seen;
mod sticky;
mod text;
mod visit;
mod visit_part;
mod visitor;
mod waiting;

use std::sync::Arc;

pub use agent::Classification;
pub use agents::{Agent, Agents, DEFAULT_CAPACITY, USER_AGENT_LIMIT};
pub use bot::{BotList, BotListError};
pub use geo::{Geo, GeoError, GeoReader, Place};
pub use group::ClickGroup;
pub use headers::{Headers, is_named};
pub use interpreted::Interpreted;
pub use language::Language;
pub use limits::{Admission, Limits, LimitsError};
pub use pacing::Pacing;
pub use proxies::{InvalidProxy, TrustedProxies};
pub use recorder::{Admitted, Recorder, Syncer};
pub use referrer::{Referrer, URL_LIMIT};
pub use salt_file::SaltFileError;
pub use salt_period::{InvalidSaltPeriod, SaltPeriod};
pub use seen::Seen;
pub use sticky::Sticky;
pub use visit::Visit;
pub use visitor::VisitorSalts;

use crate::domain::ids::WorkspaceId;

/// The steps from a visit to a click, with all that they consult.
pub struct Interpreter {
    /// Whose word on the client's address is taken.
    pub proxies: TrustedProxies,
    /// Where addresses are. [`GeoReader::reload`] replaces the database at run time.
    pub geo: GeoReader,
    /// What user agents are. [`Agents::replace`] replaces the crawler list at run time.
    pub agents: Arc<Agents>,
    /// The key of the visitors' ids. [`VisitorSalts::turn_if_due`] is to be called from time to
    /// time.
    pub visitors: VisitorSalts,
}

impl Interpreter {
    /// Interprets a visit of a link of this workspace; see the [module](self) for the steps.
    ///
    /// `geo` is what [`GeoReader::load`] gives: it lives as long as what was found in it.
    pub fn interpret<'a>(
        &self,
        visit: &Visit<'a>,
        workspace: &WorkspaceId,
        geo: Option<&'a Geo>,
    ) -> Interpreted<'a> {
        let headers = &visit.headers;
        let address = self.proxies.client(visit.peer, headers);
        let agent = self.agents.of(headers.user_agent);
        Interpreted {
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

//! What a redirect does: find the link, take down the click, say where it goes.
//!
//! One place for both transports: the [reactor](crate::http::transport::reactor), which has nearly all visits,
//! and hyper, to which a connection is handed over when it brings anything else. Each offers a
//! [`RequestHead`], and renders the [`Answer`].
//!
//! One synchronous pass: no lock shared by all but the log's own, no await, no allocation for what
//! the link's version or the visitor's agent have in common with the visit before. The clicks of
//! a group of answers go to the log with one append ([`Redirector::settle`]), and only then may
//! the answers be sent: the click is with the operating system before the answer is, so a crash
//! of the process loses none. A log that can't be written loses the clicks, counts that, and the
//! visitors are answered all the same.

mod advanced;
pub mod unlock;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use metrics::{Counter, Histogram};

use crate::clicks::{ClickBatch, Headers, Recorder, Visit, VisitorBucketer};
use crate::commands::now_ms;
use crate::domain::slug::Slug;
use crate::queries::links::{Links, Redirect};

use super::host::{self, FoldedSlug};
use unlock::Unlock;

/// A redirect is for one visitor at one moment: a cached one would not be counted.
pub const CACHE_CONTROL: &str = "private, no-store";

/// What browsers do by default, said aloud: the destination learns the referring site, not the
/// page, and nothing over plain http.
pub const REFERRER_POLICY: &str = "strict-origin-when-cross-origin";

/// The groups of one millisecond in so many are timed: to time each would cost a tenth of what
/// is measured.
const TIMED_ONE_IN: u64 = 16;

/// When a group's requests came.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// In milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The same by a clock that never steps.
    pub at: Instant,
}

impl Moment {
    /// Now: the one look at the clock for all of a group.
    pub fn now() -> Self {
        Self { at_ms: now_ms(), at: Instant::now() }
    }
}

/// A `GET` or `HEAD`, as either transport has it.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'a> {
    /// The other end of the socket.
    pub peer: IpAddr,
    /// The method is HEAD.
    pub head: bool,
    /// The path, as it was sent: `/spring`.
    pub path: &'a str,
    /// What stands behind its `?`.
    pub query: Option<&'a str>,
    /// The host that the target itself names, as `http://sho.rt/spring` does: it comes before the
    /// header.
    pub authority: Option<&'a str>,
    /// The headers.
    pub headers: Headers<'a>,
}

/// Where an answer leads.
#[derive(Debug)]
pub enum Leads {
    /// Nowhere.
    Nowhere,
    /// Where the link's version says.
    AsLinked(Arc<Redirect>),
    /// To an address that was worked out for this visit; visible ASCII.
    To(String),
}

/// What a visitor is told. [`CACHE_CONTROL`] and [`REFERRER_POLICY`] go with each.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The `Location`.
    pub leads: Leads,
    /// Further headers. None is of the connection's or the body's: transports write those.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// A page, which a HEAD is not sent; empty for none.
    pub page: Bytes,
}

impl Answer {
    /// Of this status, and nothing else.
    pub(super) const fn bare(status: StatusCode) -> Self {
        Self { status, leads: Leads::Nowhere, headers: Vec::new(), page: Bytes::new() }
    }

    /// The `Location`, if there is one.
    pub fn location(&self) -> Option<&str> {
        match &self.leads {
            Leads::Nowhere => None,
            Leads::AsLinked(redirect) => Some(redirect.way.location.as_str()),
            Leads::To(address) => Some(address),
        }
    }
}

impl<'a> RequestHead<'a> {
    /// As a visit of that moment.
    pub(super) const fn visit(&self, moment: &Moment) -> Visit<'a> {
        let Self { peer, head, query, headers, .. } = *self;
        Visit { peer, headers, query, head, at_ms: moment.at_ms }
    }

    /// The host and port that it is sent to; empty where it names none.
    fn host(&self) -> &'a str {
        let named = || self.headers.host.and_then(|host| std::str::from_utf8(host).ok());
        self.authority.or_else(named).unwrap_or_default()
    }
}

/// The redirect path.
pub struct Redirector {
    links: Links,
    pub(super) recorder: Arc<Recorder>,
    pub(super) unlock: Unlock,
    pub(super) sticky: VisitorBucketer,
    failed: Counter,
    duration: Histogram,
}

impl Redirector {
    /// Over these links, recording here.
    /// `unlock` knows who has given a link's password, `sticky` who is who for rules.
    pub fn new(
        links: Links,
        recorder: Arc<Recorder>,
        unlock: Unlock,
        sticky: VisitorBucketer,
    ) -> Self {
        Self {
            links,
            recorder,
            unlock,
            sticky,
            failed: metrics::counter!("slugline_redirects_failed_total"),
            duration: metrics::histogram!("slugline_redirect_seconds"),
        }
    }

    /// The answer, if the request is for a link, its click in `clicks`: it may be sent once that
    /// was [settled](Self::settle). `None` leaves the request to the router.
    pub fn answer(
        &self,
        request: &RequestHead<'_>,
        moment: &Moment,
        clicks: &mut ClickBatch,
    ) -> Option<Answer> {
        let path = request.path.strip_prefix('/')?;
        let (slug, more) = match path.split_once('/') {
            None => (path, None),
            Some((slug, _)) if Slug::is_reserved(slug) => return None,
            Some((slug, more)) => (slug, Some(more)),
        };
        if !Slug::is_wellformed(slug) {
            return None;
        }
        let (hosts, mut folded) = (self.links.hosts(), FoldedSlug::default());
        let (domain, slug) = host::place(&hosts, || request.host(), slug, &mut folded);
        match self.links.redirect(domain, slug) {
            Ok(found) => {
                let redirect = found?;
                if redirect.special.is_some() {
                    return self.follow_special(request, more, &redirect, moment, clicks);
                }
                let is_plain = more.is_none();
                is_plain.then(|| self.follow(request, redirect, moment, clicks))
            }
            Err(error) => {
                tracing::error!(%error, "a redirect could not be looked up");
                self.failed.increment(1);
                Some(Answer::bare(StatusCode::INTERNAL_SERVER_ERROR))
            }
        }
    }

    /// A plain link: nearly all are.
    fn follow(
        &self,
        request: &RequestHead<'_>,
        redirect: Arc<Redirect>,
        moment: &Moment,
        clicks: &mut ClickBatch,
    ) -> Answer {
        let visit = request.visit(moment);
        let (steps, target) = (self.recorder.enricher(), &redirect.way.target);
        let geo = steps.geo.load();
        let enriched = steps.enrich(&visit, &target.workspace, geo.as_deref());
        clicks.push(&enriched, target);
        let leads = match request.query {
            Some(query) if redirect.forward_query => {
                Leads::To(redirect.way.location.with_query(query).into_owned())
            }
            _ => Leads::AsLinked(redirect),
        };
        Answer { leads, ..Answer::bare(StatusCode::FOUND) }
    }

    /// Has the group's clicks with the operating system: now its answers may be sent.
    pub fn settle(&self, clicks: &mut ClickBatch, moment: &Moment) {
        let answered = clicks.clicks();
        self.recorder.append(clicks, moment.at_ms);
        if moment.at_ms.is_multiple_of(TIMED_ONE_IN) {
            let answered = usize::try_from(answered).unwrap_or(usize::MAX);
            self.duration.record_many(moment.at.elapsed(), answered);
        }
    }
}

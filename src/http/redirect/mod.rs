//! Redirects: find the link, record the click, return the location.
//!
//! Shared by both transports: the [reactor](crate::http::transport::reactor), which handles nearly
//! all visits, and hyper, which takes over a connection with other requests. Each passes a
//! [`RequestHead`] and renders the [`Answer`].
//!
//! It is synchronous: no shared lock except the log's, no await, no allocation for what the link's
//! version or the visitor's agent have in common with the previous visit. The clicks of a group of
//! answers are appended to the log together ([`Redirector::append_clicks`]) before the answers are
//! sent, so a crash of the process loses no answered click. If the log cannot be written, the
//! clicks are lost and counted as such, and the visitors are still redirected.

mod advanced;
pub mod unlock;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use metrics::{Counter, Histogram};

use crate::clicks::{ClickBatch, Headers, Recorder, Visit, VisitorBucketer};
use crate::commands::now_ms;
use crate::domain::slug::Slug;
use crate::http::attempt_limiter::{ANY_SUBJECT, AttemptLimiter};
use crate::http::pages::too_many_visits;
use crate::metrics::{REDIRECT_SECONDS, REDIRECTS_FAILED, REQUESTS_LIMITED};
use crate::queries::links::{Links, Redirect};

use super::ACCESS_LOG;
use super::dialects::DialectHosts;
use super::host::{self, FoldedSlug};
use super::response_counts::Handler;
use unlock::Unlock;

/// A redirect is for one visitor at one moment: a cached one would not be counted.
pub const CACHE_CONTROL: &str = "private, no-store";

/// The default of browsers, stated explicitly: the destination learns the referring site, not the
/// page, and nothing over plain http.
pub const REFERRER_POLICY: &str = "strict-origin-when-cross-origin";

/// One in this many milliseconds is timed: timing all groups would cost a tenth of what is
/// measured.
const TIMED_ONE_IN: u64 = 16;

/// When a group of requests arrived.
#[derive(Debug, Clone, Copy)]
pub struct RequestTime {
    /// In milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The same from a monotonic clock.
    pub at: Instant,
}

impl RequestTime {
    /// Reads the clock, once for a whole group.
    pub fn now() -> Self {
        Self { at_ms: now_ms(), at: Instant::now() }
    }
}

/// A `GET` or `HEAD` request from either transport.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'a> {
    /// The peer of the socket.
    pub peer: IpAddr,
    /// Whether the method is HEAD.
    pub head: bool,
    /// The path as sent: `/spring`.
    pub path: &'a str,
    /// The query string.
    pub query: Option<&'a str>,
    /// The host of an absolute target such as `http://sho.rt/spring`, which takes precedence over
    /// the header.
    pub authority: Option<&'a str>,
    /// The headers.
    pub headers: Headers<'a>,
}

/// The location of an answer.
#[derive(Debug)]
pub enum Location {
    /// None.
    None,
    /// The link's own location.
    Link(Arc<Redirect>),
    /// A location computed for this visit; visible ASCII.
    Address(String),
}

/// A response to a visit. [`CACHE_CONTROL`] and [`REFERRER_POLICY`] are sent with each.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The location.
    pub location: Location,
    /// Further headers, except those of the connection and the body, which the transports add.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body, which is not sent for HEAD; may be empty.
    pub page: Bytes,
}

impl Answer {
    /// An answer with only a status.
    pub(super) const fn bare(status: StatusCode) -> Self {
        Self { status, location: Location::None, headers: Vec::new(), page: Bytes::new() }
    }

    /// The value of the `Location` header, if any.
    pub fn location(&self) -> Option<&str> {
        match &self.location {
            Location::None => None,
            Location::Link(redirect) => Some(redirect.target.location.as_str()),
            Location::Address(address) => Some(address),
        }
    }
}

impl<'a> RequestHead<'a> {
    /// The visit at a moment.
    pub(super) const fn visit(&self, moment: &RequestTime) -> Visit<'a> {
        let Self { peer, head, query, headers, .. } = *self;
        Visit { peer, headers, query, head, at_ms: moment.at_ms }
    }

    /// The host and port of the request; empty if there is none.
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
    pub(super) bucketer: VisitorBucketer,
    /// Limits the visits of an address, if that is enabled.
    visits: Option<Arc<AttemptLimiter>>,
    /// The hosts without links.
    dialect_hosts: DialectHosts,
    failed: Counter,
    duration: Histogram,
}

impl Redirector {
    /// `unlock` checks the cookies of visitors who entered a password, `bucketer` identifies
    /// visitors for rules, `visits` limits the visits of an address, `dialect_hosts` have no links.
    pub fn new(
        links: Links,
        recorder: Arc<Recorder>,
        unlock: Unlock,
        bucketer: VisitorBucketer,
        visits: Option<Arc<AttemptLimiter>>,
        dialect_hosts: DialectHosts,
    ) -> Self {
        Self {
            links,
            recorder,
            unlock,
            bucketer,
            visits,
            dialect_hosts,
            failed: metrics::counter!(REDIRECTS_FAILED),
            duration: metrics::histogram!(REDIRECT_SECONDS),
        }
    }

    /// The answer, if the request is for a link, as [`Self::find`]: counted, and in the access log.
    pub fn answer(
        &self,
        request: &RequestHead<'_>,
        moment: &RequestTime,
        clicks: &mut ClickBatch,
    ) -> Option<Answer> {
        let answer = self.find(request, moment, clicks)?;
        Handler::Redirect.count(answer.status);
        tracing::info!(
            target: ACCESS_LOG,
            {
            http.method = if request.head { "HEAD" } else { "GET" },
            http.path = request.path,
            http.status = answer.status.as_u16(),
            duration_seconds = moment.at.elapsed().as_secs_f64()
            },
            "redirect"
        );
        Some(answer)
    }

    /// The answer, if the request is for a link; its click is added to `clicks`. It may be sent
    /// after [`append_clicks`](Self::append_clicks). `None` leaves the request to the router.
    fn find(
        &self,
        request: &RequestHead<'_>,
        moment: &RequestTime,
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
        if !self.dialect_hosts.is_empty() && self.dialect_hosts.find(request.host()).is_some() {
            return None;
        }
        let (hosts, mut folded) = (self.links.hosts(), FoldedSlug::default());
        let (domain, slug) = host::lookup_key(&hosts, || request.host(), slug, &mut folded);
        match self.links.redirect(domain, slug) {
            Ok(found) => {
                let redirect = found?;
                if redirect.features.is_some() {
                    return self.redirect_advanced(request, more, &redirect, moment, clicks);
                }
                if more.is_some() {
                    return None;
                }
                let refusal = self.refusal(request, moment);
                refusal.or_else(|| Some(self.redirect_plain(request, redirect, moment, clicks)))
            }
            Err(error) => {
                tracing::error!(%error, "cannot look up a link");
                self.failed.increment(1);
                Some(Answer::bare(StatusCode::INTERNAL_SERVER_ERROR))
            }
        }
    }

    /// Counts a visit of an address; the answer if it made too many.
    fn refusal(&self, request: &RequestHead<'_>, moment: &RequestTime) -> Option<Answer> {
        let visits = self.visits.as_ref()?;
        let address = self.recorder.enricher.proxies.client(request.peer, &request.headers);
        let refused = visits.take_at(address, &ANY_SUBJECT, moment.at).err()?;
        metrics::counter!(REQUESTS_LIMITED, "limit" => "visits").increment(1);
        let (status, notice) = too_many_visits();
        let mut answer = advanced::page(status, &notice);
        answer.headers.push((RETRY_AFTER, HeaderValue::from(refused.retry_seconds)));
        Some(answer)
    }

    /// Takes back a visit that is left to the router, which counts it.
    fn take_back(&self, request: &RequestHead<'_>) {
        if let Some(visits) = &self.visits {
            let address = self.recorder.enricher.proxies.client(request.peer, &request.headers);
            visits.give_back(address, &ANY_SUBJECT);
        }
    }

    /// A plain link, as nearly all are.
    fn redirect_plain(
        &self,
        request: &RequestHead<'_>,
        redirect: Arc<Redirect>,
        moment: &RequestTime,
        clicks: &mut ClickBatch,
    ) -> Answer {
        let visit = request.visit(moment);
        let (steps, click_target) = (&self.recorder.enricher, &redirect.target.click_target);
        let geo = steps.geo.load();
        let enriched = steps.enrich(&visit, &click_target.workspace, geo.as_deref());
        clicks.push(&enriched, click_target);
        let location = match request.query {
            Some(query) if redirect.forward_query => {
                Location::Address(redirect.target.location.with_query(query).into_owned())
            }
            _ => Location::Link(redirect),
        };
        Answer { location, ..Answer::bare(StatusCode::FOUND) }
    }

    /// Appends the group's clicks to the log. Its answers may be sent afterwards.
    pub fn append_clicks(&self, clicks: &mut ClickBatch, moment: &RequestTime) {
        let answered = clicks.clicks();
        self.recorder.append(clicks, moment.at_ms);
        if moment.at_ms.is_multiple_of(TIMED_ONE_IN) {
            let answered = usize::try_from(answered).unwrap_or(usize::MAX);
            self.duration.record_many(moment.at.elapsed(), answered);
        }
    }
}

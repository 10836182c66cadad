//! What a redirect does: find the link, log the click, say where it goes.
//!
//! One synchronous pass, in front of the router: no lock shared by all but the log's own, no
//! await, no allocation for what the link's version or the visitor's agent have in common with
//! the visit before. The click is with the operating system before the answer is: a crash of
//! the process loses none. A log that can't be written loses the click, counts that, and answers
//! all the same.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, LOCATION, REFERRER_POLICY};
use axum::http::{HeaderValue, Method, Request, Response, StatusCode};
use metrics::{Counter, Histogram};

use crate::clicks::{Recorder, Visit};
use crate::commands::now_ms;
use crate::domain::slug::Slug;
use crate::queries::links::Links;

/// A redirect is for one visitor at one moment: a cached one would not be counted.
const NEVER_STORED: HeaderValue = HeaderValue::from_static("private, no-store");

/// What browsers do by default, said aloud: the destination learns the referring site, not the
/// page, and nothing over plain http.
const REFERRER: HeaderValue = HeaderValue::from_static("strict-origin-when-cross-origin");

/// The redirects of one millisecond in so many are timed: to time each would cost a tenth of
/// what is measured.
const TIMED_ONE_IN: u64 = 16;

/// The redirect path.
pub struct Redirector {
    links: Links,
    recorder: Arc<Recorder>,
    failed: Counter,
    duration: Histogram,
}

impl Redirector {
    /// Over these links, recording here.
    pub fn new(links: Links, recorder: Arc<Recorder>) -> Self {
        Self {
            links,
            recorder,
            failed: metrics::counter!("slugline_redirects_failed_total"),
            duration: metrics::histogram!("slugline_redirect_seconds"),
        }
    }

    /// The answer, if the request is for a link; `None` leaves the request, untouched, to the
    /// router.
    pub fn answer<B>(&self, request: &mut Request<B>, peer: IpAddr) -> Option<Response<Body>> {
        let head = match *request.method() {
            Method::GET => false,
            Method::HEAD => true,
            _ => return None,
        };
        let slug = request.uri().path().strip_prefix('/')?;
        if !Slug::is_wellformed(slug) {
            return None;
        }
        let (headers, query) = (request.headers(), request.uri().query());
        let visit = Visit { peer, headers, query, head, at_ms: now_ms() };
        let started = visit.at_ms.is_multiple_of(TIMED_ONE_IN).then(Instant::now);
        let redirect = match self.links.redirect("", slug) {
            Ok(found) => found?,
            Err(error) => {
                tracing::error!(%error, "a redirect could not be looked up");
                self.failed.increment(1);
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                return Some(response);
            }
        };
        self.recorder.record(&visit, &redirect.target);

        let location = match request.uri().query() {
            Some(query) if redirect.forward_query => {
                HeaderValue::try_from(redirect.location.with_query(query).into_owned())
            }
            _ => HeaderValue::from_maybe_shared(redirect.location_bytes.clone()),
        };
        // The request's map becomes the answer's, and with hyper's help the next request's: so a
        // connection allocates one, once.
        let mut headers = std::mem::take(request.headers_mut());
        headers.clear();
        // The URL standard's serialiser writes visible ASCII only, so this has no way to fail.
        headers.extend(location.ok().map(|location| (LOCATION, location)));
        headers.insert(CACHE_CONTROL, NEVER_STORED);
        headers.insert(REFERRER_POLICY, REFERRER);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::FOUND;
        *response.headers_mut() = headers;
        if let Some(started) = started {
            self.duration.record(started.elapsed());
        }
        Some(response)
    }
}

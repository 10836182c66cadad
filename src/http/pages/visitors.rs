//! The context of a visitor's request, and the state shared by the pages.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::header::COOKIE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::response::Response;

use super::guesses::Guesses;
use super::{find_link, not_found};
use crate::clicks::{Admitted, Classification, Headers, Recorder, Visit};
use crate::commands::now_ms;
use crate::domain::click::ClickTarget;
use crate::domain::destination::Location;
use crate::domain::link::{Block, Content, Link};
use crate::http::attempt_limiter::AttemptLimiter;
use crate::http::form::Guard;
use crate::http::redirect::unlock::Unlock;
use crate::http::{Peer, Services, Site};
use crate::identity::signing::Signer;

/// State shared by the pages.
pub struct Visitors {
    recorder: Arc<Recorder>,
    /// The cookies of visitors who entered a password.
    pub unlock: Unlock,
    /// The guards of forms.
    pub guard: Guard,
    /// Signs permits to download cards.
    pub permits: Signer,
    /// Guesses of passwords.
    pub guesses: Guesses,
    /// Reports, by address.
    pub reports: AttemptLimiter,
}

impl Visitors {
    /// Creates the state; `key` is the service's key.
    pub fn new(recorder: Arc<Recorder>, key: &[u8; 32], site: &Site) -> Self {
        Self {
            recorder,
            unlock: Unlock::new(key, site.scheme == "https"),
            guard: Guard::new(key, site.clone()),
            permits: Signer::new(key, "card"),
            guesses: Guesses::default(),
            reports: AttemptLimiter::default(),
        }
    }

    /// Counts a click of a link with a page.
    pub fn count(&self, request: &LinkRequest) -> Admitted {
        let (visit, target) = (request.visit(), request.target());
        if let Some(limit) = &request.link.fields.gates.limit {
            return self.recorder.record_limited(&visit, &target, request.link.id, limit);
        }
        self.recorder.record(&visit, &target);
        Admitted::Through
    }

    /// Records a blocked visit.
    pub fn record_blocked(&self, request: &LinkRequest, block: Block) {
        self.recorder.record_blocked(&request.visit(), &request.target(), block);
    }

    /// Whether a trusted proxy says that it received the request over HTTPS; `None` if the peer is
    /// not one.
    pub fn says_https(&self, parts: &Parts) -> Option<bool> {
        let headers = Headers::of_map(&parts.headers);
        self.recorder.enricher.proxies.says_https(peer(parts), &headers)
    }

    /// The browser and the operating system of a client, for people; empty if unknown.
    pub fn describe_client(&self, headers: &HeaderMap) -> String {
        let agent = self.recorder.enricher.agents.of(Headers::of_map(headers).user_agent);
        let Classification { browser, os, .. } = &agent.classification;
        let known = [&**browser, &**os].into_iter().filter(|name| !name.is_empty());
        known.collect::<Vec<_>>().join(", ")
    }

    /// The client's address.
    pub fn client(&self, parts: &Parts) -> IpAddr {
        let headers = Headers::of_map(&parts.headers);
        self.recorder.enricher.proxies.client(peer(parts), &headers)
    }
}

/// The peer of the request's connection, as set by the server.
fn peer(parts: &Parts) -> IpAddr {
    parts.extensions.get().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Peer(peer)| *peer)
}

/// A request for a link.
pub struct LinkRequest {
    /// The link when the request arrived.
    pub link: Link,
    /// The request without its body.
    pub parts: Parts,
    /// When it arrived, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The part of a visit's address after the slug: `/more?query`.
    pub rest: String,
}

impl LinkRequest {
    /// The request for the link at a slug.
    ///
    /// # Errors
    /// The response if there is no such link.
    pub fn of(services: &Services, slug: &str, parts: Parts) -> Result<Self, Box<Response>> {
        let link = find_link(services, slug, &parts)?;
        let rest = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        Ok(Self { link, parts, at_ms: now_ms(), rest })
    }

    /// The gate that blocks a visit that was not redirected.
    pub fn block_of_visit(&self, services: &Services) -> Block {
        let is_used_up = || services.visitors.recorder.is_used_up(&self.link);
        match self.block(services) {
            Block::None if is_used_up() => Block::LimitReached,
            block => block,
        }
    }

    /// The request as a visit.
    fn visit(&self) -> Visit<'_> {
        let Self { parts, at_ms, .. } = self;
        Visit {
            peer: peer(parts),
            headers: Headers::of_map(&parts.headers),
            query: parts.uri.query(),
            head: parts.method == Method::HEAD,
            at_ms: *at_ms,
        }
    }

    /// The click target of the link.
    fn target(&self) -> ClickTarget {
        let Self { link, .. } = self;
        let (domain, version) = (link.fields.domain.as_str(), link.version);
        let target = ClickTarget::new(link.workspace, link.id, version, domain, "", "");
        target.labelled(&link.fields.labels)
    }

    /// The gate that blocks this visit, except for the click limit.
    pub fn block(&self, services: &Services) -> Block {
        gate(&services.visitors.unlock, &self.link, &self.parts.headers, self.at_ms)
    }

    /// The part of a visit's path after the slug: `/more`.
    pub fn more(&self) -> &str {
        self.rest.split('?').next().unwrap_or_default()
    }

    /// The link's destination with the rest of the path, if any; empty for a page of the service.
    /// `None` if the link does not forward paths.
    pub fn location(&self) -> Option<String> {
        let fields = &self.link.fields;
        let more = self.more().strip_prefix('/');
        let Content::Url(destination) = &fields.content else {
            return more.is_none().then(String::new);
        };
        let location = Location::new(destination, &fields.utm)?;
        match more {
            None => Some(location.as_str().to_owned()),
            Some(more) if fields.forwarding.path => location.with_path(more, None),
            Some(_) => None,
        }
    }

    /// A path with the visitor's query string.
    pub fn with_query(&self, path: &str) -> String {
        self.parts.uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
    }
}

impl FromRequestParts<Services> for LinkRequest {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, services: &Services) -> Result<Self, Response> {
        let slug = Path::<String>::from_request_parts(parts, services).await;
        let Ok(Path(slug)) = slug else { return Err(not_found(&parts.headers)) };
        Self::of(services, &slug, parts.clone()).map_err(|refused| *refused)
    }
}

/// The gate that blocks a visit of a link, except for the click limit.
pub fn gate(unlock: &Unlock, link: &Link, headers: &HeaderMap, at_ms: u64) -> Block {
    let gates = &link.fields.gates;
    match gates.closed_at(at_ms) {
        Block::None if gates.password().is_some() => {
            let cookies = headers.get(COOKIE).map(axum::http::HeaderValue::as_bytes);
            let is_open = unlock.is_unlocked(cookies, link.id, link.version, at_ms);
            if is_open { Block::None } else { Block::PasswordRequired }
        }
        block => block,
    }
}

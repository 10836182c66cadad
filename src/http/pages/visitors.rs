//! What the pages know of who asks, and what they share.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::header::COOKIE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::response::Response;

use super::guesses::Guesses;
use super::{find, not_found};
use crate::clicks::{Admitted, Headers, Recorder, Visit};
use crate::commands::now_ms;
use crate::domain::click::ClickTarget;
use crate::domain::destination::Location;
use crate::domain::link::{Block, Content, Link};
use crate::http::attempt_limiter::AttemptLimiter;
use crate::http::form::Guard;
use crate::http::redirect::unlock::Unlock;
use crate::http::signing::Signer;
use crate::http::{Peer, Services, Site};

/// What the pages share.
pub struct Visitors {
    recorder: Arc<Recorder>,
    /// The cookies of visitors who knew a password.
    pub unlock: Unlock,
    /// The guards of forms.
    pub guard: Guard,
    /// Signs permits for cards.
    pub permits: Signer,
    /// Guesses of passwords.
    pub guesses: Guesses,
    /// Reports, by address.
    pub reports: AttemptLimiter,
}

impl Visitors {
    /// Counting here; `key` is the service's own.
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

    /// Counts a click of a link whose page is to be shown.
    pub fn count(&self, asked: &LinkRequest) -> Admitted {
        let (visit, target) = (asked.visit(), asked.target());
        if let Some(limit) = &asked.link.fields.gates.limit {
            return self.recorder.record_limited(&visit, &target, asked.link.id, limit);
        }
        self.recorder.record(&visit, &target);
        Admitted::Through
    }

    /// Takes down that a gate stopped a visit.
    pub fn stopped(&self, asked: &LinkRequest, block: Block) {
        self.recorder.record_blocked(&asked.visit(), &asked.target(), block);
    }

    /// Whether the peer says that the request reached it over HTTPS; `None` where it is no trusted
    /// proxy.
    pub fn says_https(&self, parts: &Parts) -> Option<bool> {
        let headers = Headers::of_map(&parts.headers);
        self.recorder.enricher().proxies.says_https(peer(parts), &headers)
    }

    /// The address of who asks.
    pub fn client(&self, parts: &Parts) -> IpAddr {
        let headers = Headers::of_map(&parts.headers);
        self.recorder.enricher().proxies.client(peer(parts), &headers)
    }
}

/// The other end of the request's connection, which the server has noted.
fn peer(parts: &Parts) -> IpAddr {
    parts.extensions.get().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Peer(peer)| *peer)
}

/// A request about a link, and the link.
pub struct LinkRequest {
    /// As it stood when the request came.
    pub link: Link,
    /// The request but for its body.
    pub parts: Parts,
    /// When it came, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What a visit's address has behind the slug: `/more?query`.
    pub rest: String,
}

impl LinkRequest {
    /// For the link at a slug.
    ///
    /// # Errors
    /// The answer where there is none.
    pub fn of(services: &Services, slug: &str, parts: Parts) -> Result<Self, Box<Response>> {
        let link = find(services, slug, &parts)?;
        let rest = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        Ok(Self { link, parts, at_ms: now_ms(), rest })
    }

    /// What stops a visit of the link that was not sent on.
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

    /// The link as its clicks have it.
    fn target(&self) -> ClickTarget {
        let Self { link, .. } = self;
        let (domain, version) = (link.fields.domain.as_str(), link.version);
        ClickTarget::new(link.workspace, link.id, version, domain, "", "")
    }

    /// What stops this visit, but for the limit of clicks.
    pub fn block(&self, services: &Services) -> Block {
        gate(&services.visitors.unlock, &self.link, &self.parts.headers, self.at_ms)
    }

    /// What a visit's address has behind the slug, without its query: `/more`.
    pub fn more(&self) -> &str {
        self.rest.split('?').next().unwrap_or_default()
    }

    /// Where the link leads, with more of a path behind it if there is more; empty for a page of
    /// the service's own. `None` where the link leads nowhere from there.
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

    /// A path with the visitor's own query.
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

/// The gate that stops a visit of a link, but for the limit of clicks.
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

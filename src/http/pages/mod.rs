//! Pages for visitors who are not simply redirected. They work without scripts, and forbid them.
//!
//! | path | |
//! |---|---|
//! | `/l/{slug}` | the page of a link to a network, a card or a text; counts as its click |
//! | `/l/{slug}/card.vcf` | the card as a file; counts as a click only if there is a limit and the
//! page was not seen before |
//! | `/l/{slug}/unlock` | accepts the password of a link |
//! | `/l/{slug}/report` | accepts a report of a link |
//! | `/auth/{purpose}/{token}` | what the links in mails to users do |
//! | `/{slug}+` | a preview of the link's destination |
//! | `/{slug}` | for crawlers of social networks, the link's metadata; else a visit that was not
//! redirected: why it is blocked, or a redirect to `/l` |
//! | `/{slug}/more` | the same, for a link that forwards paths |
//!
//! `views` renders from plain values; the other files decide what is shown. Pages are
//! self-contained: they load nothing.

mod account;
mod answer;
mod blocked;
mod guesses;
mod landing;
mod password_form;
mod preview;
mod report;
mod sharing;
#[cfg(test)]
mod tests;
mod unlocking;
mod views;
mod visitors;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use metrics::counter;

pub use answer::{Answer, POLICY};
pub use blocked::{blocked, failed, not_found, too_many_visits, uncounted};
pub use sharing::is_reader;
pub use views::{OpenApp, Social};
pub use visitors::{LinkRequest, Visitors, gate};

use super::attempt_limiter::ANY_SUBJECT;
use super::{Services, host};
use crate::domain::link::{Block, Link};
use crate::domain::slug::Slug;
use crate::metrics::REQUESTS_LIMITED;

/// The routes below `/l` and `/auth`.
pub fn router() -> Router<Services> {
    Router::new()
        .route("/l/{slug}", get(landing::page))
        .route("/l/{slug}/card.vcf", get(landing::card))
        .route("/l/{slug}/unlock", post(unlocking::unlock).get(unlocking::redirect_to_link))
        .route("/l/{slug}/report", get(report::form).post(report::send))
        .merge(account::router())
}

/// The response to a client that has too many visits.
pub fn visit_limit_exceeded(services: &Services, parts: &Parts) -> Option<Response> {
    let visits = services.address_limits.visits.as_ref()?;
    let refused = visits.take(services.visitors.client(parts), &ANY_SUBJECT).err()?;
    counter!(REQUESTS_LIMITED, "limit" => "visits").increment(1);
    let (status, notice) = too_many_visits();
    let wait = Some(refused.retry_seconds.into());
    Some(Answer::page(status, &notice).retry_after(wait).into_response())
}

/// Requests without a route: a preview, a visit that was not redirected, or no link.
pub async fn fallback(State(services): State<Services>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    if let Some(refusal) = visit_limit_exceeded(&services, &parts) {
        return refusal;
    }
    let is_read = matches!(parts.method, Method::GET | Method::HEAD);
    let name = parts.uri.path().strip_prefix('/').filter(|_| is_read).unwrap_or_default();
    let (slug, more) = name.split_at(name.find('/').unwrap_or(name.len()));
    let is_below = !more.is_empty();
    let (slug, is_preview) = match preview::slug_of(slug) {
        Some(slug) if !is_below => (slug.to_owned(), true),
        _ => (slug.to_owned(), false),
    };
    if !Slug::is_wellformed(&slug) || (is_below && Slug::is_reserved(&slug)) {
        return no_link(&services, &parts);
    }
    let rest = parts.uri.path_and_query().and_then(|all| all.as_str().get(1 + slug.len()..));
    let rest = rest.unwrap_or_default().to_owned();
    match LinkRequest::of(&services, &slug, parts) {
        Ok(request) if is_preview => preview::page(&services, &request).await,
        Ok(request) => unredirected_visit(&services, &LinkRequest { rest, ..request }),
        Err(refused) => *refused,
    }
}

/// A visit that was not redirected.
fn unredirected_visit(services: &Services, request: &LinkRequest) -> Response {
    if request.location().is_none() {
        return no_link(services, &request.parts);
    }
    match request.block_of_visit(services) {
        Block::None if request.link.fields.content.payload().is_some() => {
            Answer::redirect(&request.with_query(&format!("/l/{}", request.link.slug)))
                .into_response()
        }
        Block::None if sharing::is_reader_request(request) => sharing::page(services, request),
        // The redirect path accepted it a moment ago.
        Block::None => not_found(&request.parts.headers),
        block => {
            services.visitors.record_blocked(request, block);
            blocked(services, request, block)
        }
    }
}

/// Whether a client prefers JSON to a page.
fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(axum::http::header::ACCEPT);
    let accept = accept.and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.contains("json") && !accept.contains("text/html")
}

/// The response for a path without a link: the domain may have a redirect for those.
fn no_link(services: &Services, parts: &Parts) -> Response {
    host::fallback_redirect(services, parts).unwrap_or_else(|| not_found(&parts.headers))
}

/// The link at a slug of the request's host, or the response if there is none.
fn find_link(services: &Services, slug: &str, parts: &Parts) -> Result<Link, Box<Response>> {
    let host = services.domains.host(host::authority(&parts.uri, &parts.headers));
    let domain = host.map(|host| host.hostname).unwrap_or_default();
    match services.links.at(&domain, slug) {
        Ok(Some(link)) => Ok(link),
        Ok(None) => Err(no_link(services, parts).into()),
        Err(error) => Err(failed(&parts.headers, error).into()),
    }
}

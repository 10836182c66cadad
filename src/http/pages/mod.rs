//! What visitors see where they are not simply sent on. No page needs a script, and none could run
//! one.
//!
//! | path | |
//! |---|---|
//! | `/l/{slug}` | the page of a link that holds a network, a card or a text; counts as its click |
//! | `/l/{slug}/card.vcf` | the card as a file; counts as nothing, but as a click where there is a limit and the page was not seen before |
//! | `/l/{slug}/unlock` | takes the password of a link |
//! | `/l/{slug}/report` | takes a report of a link |
//! | `/{slug}+` | where the link leads, if it is open |
//! | `/{slug}` | for readers of social networks, what the link says of itself; else a visit that the redirect path has left: why it is not let through, or on to `/l` |
//! | `/{slug}/more` | the same, for a link that forwards paths |
//!
//! `views` renders, from plain values and without looking at anything; the other files decide what
//! is shown. Each page is a whole: it loads nothing, not even from here.

mod answer;
mod blocked;
mod guesses;
mod landing;
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

pub use answer::Answer;
pub use blocked::{blocked, not_found, uncounted};
pub use sharing::is_reader;
pub use views::{OpenApp, Social, page_policy};
pub use visitors::{LinkRequest, Visitors, gate};

use super::problem::Problem;
use super::{Services, host};
use crate::domain::link::{Block, Link};
use crate::domain::slug::Slug;

/// The pages below `/l`.
pub fn router() -> Router<Services> {
    Router::new()
        .route("/l/{slug}", get(landing::page))
        .route("/l/{slug}/card.vcf", get(landing::card))
        .route("/l/{slug}/unlock", post(unlocking::unlock).get(unlocking::back))
        .route("/l/{slug}/report", get(report::form).post(report::send))
}

/// Whatever has no route: a preview, a visit that the redirect path has left, or nothing.
pub async fn elsewhere(State(services): State<Services>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let is_read = matches!(parts.method, Method::GET | Method::HEAD);
    let name = parts.uri.path().strip_prefix('/').filter(|_| is_read).unwrap_or_default();
    let (slug, more) = name.split_at(name.find('/').unwrap_or(name.len()));
    let is_below = !more.is_empty();
    let (slug, is_preview) = match preview::slug_of(slug) {
        Some(slug) if !is_below => (slug.to_owned(), true),
        _ => (slug.to_owned(), false),
    };
    if !Slug::is_wellformed(&slug) || (is_below && Slug::is_reserved(&slug)) {
        return nothing(&services, &parts);
    }
    let rest = parts.uri.path_and_query().and_then(|all| all.as_str().get(1 + slug.len()..));
    let rest = rest.unwrap_or_default().to_owned();
    match LinkRequest::of(&services, &slug, parts) {
        Ok(asked) if is_preview => preview::page(&services, &asked).await,
        Ok(asked) => visit(&services, &LinkRequest { rest, ..asked }),
        Err(refused) => *refused,
    }
}

/// A visit that was not simply sent on.
fn visit(services: &Services, asked: &LinkRequest) -> Response {
    if asked.location().is_none() {
        return nothing(services, &asked.parts);
    }
    match asked.block_of_visit(services) {
        Block::None if asked.link.fields.content.payload().is_some() => {
            Answer::redirect(&asked.with_query(&format!("/l/{}", asked.link.slug))).into_response()
        }
        Block::None if sharing::is_wanted(asked) => sharing::page(services, asked),
        // It was let through a moment ago.
        Block::None => not_found(&asked.parts.headers),
        block => {
            services.visitors.stopped(asked, block);
            blocked(services, asked, block)
        }
    }
}

/// Whether a request would rather have JSON than a page.
fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(axum::http::header::ACCEPT);
    let accept = accept.and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.contains("json") && !accept.contains("text/html")
}

/// The answer to a path that is no link's: the request's host may lead elsewhere.
fn nothing(services: &Services, parts: &Parts) -> Response {
    host::elsewhere(services, parts).unwrap_or_else(|| not_found(&parts.headers))
}

/// The link at a slug of the request's host, or the answer where there is none.
fn find(services: &Services, slug: &str, parts: &Parts) -> Result<Link, Box<Response>> {
    let host = services.domains.host(host::authority(&parts.uri, &parts.headers));
    let domain = host.map(|host| host.hostname).unwrap_or_default();
    match services.links.at(&domain, slug) {
        Ok(Some(link)) => Ok(link),
        Ok(None) => Err(nothing(services, parts).into()),
        Err(error) => Err(Problem::from(error).into_response().into()),
    }
}

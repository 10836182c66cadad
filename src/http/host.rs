//! Whose links a request is for: its host decides.
//!
//! A verified domain's host leads to its own links alone; any other host to those of the default
//! domain. A proxy in front passes the host on as it came: `X-Forwarded-Host` is not read.

use axum::Router;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::Services;
use super::problem::Problem;
use crate::domain::domains::{Domain, DomainFields};
use crate::queries::domains::Hosts;

/// The longest slug there is.
const MAX_SLUG_BYTES: usize = 128;

/// How long app stores and devices may keep an association document.
const KEPT_A_WHILE: HeaderValue = HeaderValue::from_static("public, max-age=300");
const NEVER_STORED: HeaderValue = HeaderValue::from_static("private, no-store");

/// Room for a slug in lower case.
pub struct FoldedSlug([u8; MAX_SLUG_BYTES]);

impl Default for FoldedSlug {
    fn default() -> Self {
        Self([0; MAX_SLUG_BYTES])
    }
}

/// The host and port that a request is sent to: the target's own where it is absolute, which wins
/// over the header; empty where there is neither.
pub fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> &'a str {
    let named = || headers.get(HOST).and_then(|host| host.to_str().ok());
    uri.authority().map(axum::http::uri::Authority::as_str).or_else(named).unwrap_or_default()
}

/// Where a request's link is looked up: the domain (empty: the default one), and the slug in the
/// form in which the domain compares it. Allocates nothing, and asks for the request's authority
/// only where there are domains.
pub fn place<'a, 'r>(
    hosts: &'a Hosts,
    authority: impl FnOnce() -> &'r str,
    slug: &'a str,
    folded: &'a mut FoldedSlug,
) -> (&'a str, &'a str) {
    if hosts.is_empty() {
        return ("", slug);
    }
    let Some(host) = hosts.find(authority()) else { return ("", slug) };
    if !host.case_insensitive {
        return (&host.hostname, slug);
    }
    let Some(room) = folded.0.get_mut(..slug.len()) else { return (&host.hostname, slug) };
    room.copy_from_slice(slug.as_bytes());
    room.make_ascii_lowercase();
    (&host.hostname, std::str::from_utf8(room).unwrap_or(slug))
}

/// Where a path leads that is no link's, if its host's domain says so. Not a click, and never
/// stored: the path may be a link's later.
pub fn elsewhere(services: &Services, parts: &Parts) -> Option<Response> {
    let Parts { method, uri, headers, .. } = parts;
    if !matches!(*method, Method::GET | Method::HEAD) || uri.path().starts_with("/.well-known/") {
        return None;
    }
    let host = services.domains.host(authority(uri, headers))?;
    let to = if uri.path() == "/" { host.root_redirect } else { host.not_found_redirect };
    let location = HeaderValue::try_from(to?).ok()?;
    let headers = [(LOCATION, location), (CACHE_CONTROL, NEVER_STORED)];
    Some((StatusCode::FOUND, headers).into_response())
}

/// What a host shows of itself.
pub fn well_known() -> Router<Services> {
    Router::new()
        .route(Domain::PROOF_PATH, get(proof))
        .route("/.well-known/apple-app-site-association", get(apple_app_site_association))
        .route("/.well-known/assetlinks.json", get(assetlinks))
}

async fn proof(
    State(services): State<Services>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let proof = services.domains.shown_proof(authority(&uri, &headers))?;
    let proof = proof.ok_or_else(|| Problem::not_found("path"))?;
    Ok(([(CACHE_CONTROL, NEVER_STORED)], proof).into_response())
}

async fn apple_app_site_association(
    State(services): State<Services>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    document(&services, &uri, &headers, |fields| fields.apple_app_site_association)
}

async fn assetlinks(
    State(services): State<Services>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    document(&services, &uri, &headers, |fields| fields.assetlinks)
}

fn document(
    services: &Services,
    uri: &Uri,
    headers: &HeaderMap,
    of: impl Fn(DomainFields) -> Option<String>,
) -> Result<Response, Problem> {
    let domain = services.domains.verified(authority(uri, headers))?;
    let text = domain.and_then(|domain| of(domain.fields));
    let text = text.ok_or_else(|| Problem::not_found("path"))?;
    let json = HeaderValue::from_static("application/json");
    Ok(([(CONTENT_TYPE, json), (CACHE_CONTROL, KEPT_A_WHILE)], text).into_response())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_absolute_target_wins_over_the_header() {
        let mut headers = HeaderMap::new();
        let uri = |text: &str| text.parse::<Uri>().unwrap();
        assert_eq!(authority(&uri("/x"), &headers), "");
        headers.insert(HOST, HeaderValue::from_static("go.example:8080"));
        assert_eq!(authority(&uri("/x"), &headers), "go.example:8080");
        assert_eq!(authority(&uri("http://other.example/x"), &headers), "other.example");
        headers.insert(HOST, HeaderValue::from_bytes(b"g\xf6.example").unwrap());
        assert_eq!(authority(&uri("/x"), &headers), "");
    }

    #[test]
    fn a_host_nobody_has_is_the_default_domain() {
        let (hosts, mut folded) = (Hosts::default(), FoldedSlug::default());
        assert_eq!(place(&hosts, || "go.example", "Promo", &mut folded), ("", "Promo"));
    }
}

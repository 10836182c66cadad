//! Maps the host of a request to a domain.
//!
//! The host of a verified domain serves only its own links; any other host serves those of the
//! default domain. A reverse proxy must pass the host on unchanged: `X-Forwarded-Host` is ignored.

use std::net::Ipv6Addr;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::Services;
use crate::domain::domains::{Domain, DomainFields};
use crate::domain::error::{Result, ServiceError};
use crate::queries::domains::Hosts;

/// The maximum length of a slug.
const MAX_SLUG_BYTES: usize = 128;

/// How long app stores and devices may cache an association document.
const CACHED_BRIEFLY: HeaderValue = HeaderValue::from_static("public, max-age=300");
const NEVER_STORED: HeaderValue = HeaderValue::from_static("private, no-store");

/// A buffer for a slug in lower case.
pub struct FoldedSlug([u8; MAX_SLUG_BYTES]);

impl Default for FoldedSlug {
    fn default() -> Self {
        Self([0; MAX_SLUG_BYTES])
    }
}

/// The host and port of a request: from an absolute target, which takes precedence, or the header;
/// empty if there is neither.
pub fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> &'a str {
    let named = || headers.get(HOST).and_then(|host| host.to_str().ok());
    uri.authority().map(axum::http::uri::Authority::as_str).or_else(named).unwrap_or_default()
}

/// What is wrong with the host of a request (RFC 9112 §3.2), even if it is not used. HTTP/1.0 has
/// no `Host`: without one, a request is for the default domain.
pub fn host_error(version: Version, uri: &Uri, headers: &HeaderMap) -> Option<&'static str> {
    let mut lines = headers.get_all(HOST).iter();
    let (first, second) = (lines.next(), lines.next());
    let target = uri.authority().map(|authority| authority.as_str().as_bytes());
    match first {
        None if version >= Version::HTTP_11 => Some("must be sent"),
        Some(_) if second.is_some() => Some("must be sent once"),
        Some(host) if !is_wellformed(host.as_bytes()) => {
            Some("must be a host, or a host and a port, such as sho.rt:8080")
        }
        _ if target.is_some_and(|target| !is_wellformed(target)) => {
            Some("must be what an absolute target names: a host, or a host and a port")
        }
        _ => None,
    }
}

/// Whether a text is a host, or a host and a port (RFC 3986 §3.2.2). An empty host is invalid: RFC
/// 9110 §4.2.1 forbids it in `http` and `https`.
pub fn is_wellformed(text: &[u8]) -> bool {
    let length = text.iter().position(|byte| *byte == b':').unwrap_or(text.len());
    let (name, port) = match text {
        [b'[', ..] => {
            let end = text.iter().position(|byte| *byte == b']').map_or(0, |end| end + 1);
            text.split_at(end)
        }
        _ => text.split_at(length),
    };
    let is_host = match name {
        [b'[', address @ .., b']'] => {
            str::from_utf8(address).is_ok_and(|address| address.parse::<Ipv6Addr>().is_ok())
        }
        name => !name.is_empty() && is_registered_name(name),
    };
    let is_port = match port {
        [] | [b':'] => true,
        [b':', digits @ ..] => {
            let number = str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u16>().ok());
            number.is_some() && digits.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    };
    is_host && is_port
}

fn is_registered_name(name: &[u8]) -> bool {
    name.iter().enumerate().all(|(at, byte)| match byte {
        b'%' => {
            name.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        }
        byte => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(byte),
    })
}

/// A layer that rejects requests without exactly one valid host.
pub async fn required(request: Request, next: Next) -> Response {
    match host_error(request.version(), request.uri(), request.headers()) {
        Some(host_error) => ServiceError::field("Host", host_error).into_response(),
        None => next.run(request).await,
    }
}

/// The domain (empty: the default domain) and the normalized slug of a request's link. Allocates
/// nothing, and evaluates `authority` only if there are domains.
pub fn lookup_key<'a, 'r>(
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
    let Some(buffer) = folded.0.get_mut(..slug.len()) else { return (&host.hostname, slug) };
    buffer.copy_from_slice(slug.as_bytes());
    buffer.make_ascii_lowercase();
    (&host.hostname, std::str::from_utf8(buffer).unwrap_or(slug))
}

/// The redirect of the host's domain for paths without a link, if configured. Not a click, and not
/// cacheable: the path may get a link later.
pub fn fallback_redirect(services: &Services, parts: &Parts) -> Option<Response> {
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

/// Documents that a host serves about itself.
pub fn well_known() -> Router<Services> {
    Router::new()
        .route(Domain::PROOF_PATH, get(proof))
        .route("/.well-known/apple-app-site-association", get(apple_app_site_association))
        .route("/.well-known/assetlinks.json", get(assetlinks))
}

async fn proof(State(services): State<Services>, uri: Uri, headers: HeaderMap) -> Result<Response> {
    let proof = services.domains.shown_proof(authority(&uri, &headers))?;
    let proof = proof.ok_or_else(|| ServiceError::not_found("path"))?;
    Ok(([(CACHE_CONTROL, NEVER_STORED)], proof).into_response())
}

async fn apple_app_site_association(
    State(services): State<Services>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response> {
    document(&services, &uri, &headers, |fields| fields.apple_app_site_association)
}

async fn assetlinks(
    State(services): State<Services>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response> {
    document(&services, &uri, &headers, |fields| fields.assetlinks)
}

fn document(
    services: &Services,
    uri: &Uri,
    headers: &HeaderMap,
    of: impl Fn(DomainFields) -> Option<String>,
) -> Result<Response> {
    let domain = services.domains.verified(authority(uri, headers))?;
    let text = domain.and_then(|domain| of(domain.fields));
    let text = text.ok_or_else(|| ServiceError::not_found("path"))?;
    let json = HeaderValue::from_static("application/json");
    Ok(([(CONTENT_TYPE, json), (CACHE_CONTROL, CACHED_BRIEFLY)], text).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absolute_target_takes_precedence_over_the_header() {
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
    fn a_host_is_a_name_or_an_address_with_an_optional_port() {
        for host in [
            "x",
            "go.example.",
            "go.example:8080",
            "go.example:",
            "127.0.0.1:80",
            "[::1]",
            "[2001:db8::1]:443",
            "a_b.xn--bcher-kva.example",
            "a%20b",
        ] {
            assert!(is_wellformed(host.as_bytes()), "{host}");
        }
        for host in [
            "",
            ":80",
            "a b",
            "a/b",
            "a?b",
            "a#b",
            "u@a",
            "a:b",
            "a:1:2",
            "a:65536",
            "a:+8",
            "::1",
            "[::1",
            "[]",
            "[x]",
            "[::1]x",
            "[::1]:x",
            "a%2",
            "a%zz",
            "b\u{fc}cher.example",
            "a\\b",
            "a\tb",
            "a\"b",
            "a<b",
        ] {
            assert!(!is_wellformed(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn a_request_names_one_host() {
        let fault_of = |version, target: &str, hosts: &[&str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(HOST, HeaderValue::try_from(*host).unwrap());
            }
            host_error(version, &target.parse().unwrap(), &headers).is_some()
        };
        let (old, new) = (Version::HTTP_10, Version::HTTP_11);
        for (version, target, hosts, is_fault) in [
            (new, "/x", &["a"][..], false),
            (new, "/x", &[], true),
            (old, "/x", &[], false),
            (old, "/x", &["a b"], true),
            (old, "/x", &["a", "a"], true),
            (new, "/x", &["a", "a"], true),
            (new, "/x", &["a", "b"], true),
            (new, "/x", &[""], true),
            (new, "http://a/x", &["b"], false),
            (new, "http://a/x", &[], true),
            (new, "http://a/x", &["a/b"], true),
            (new, "http://u:p@a/x", &["a"], true),
        ] {
            assert_eq!(
                fault_of(version, target, hosts),
                is_fault,
                "{version:?} {target} {hosts:?}"
            );
        }
    }

    #[test]
    fn an_unknown_host_is_the_default_domain() {
        let (hosts, mut folded) = (Hosts::default(), FoldedSlug::default());
        assert_eq!(lookup_key(&hosts, || "go.example", "Promo", &mut folded), ("", "Promo"));
    }
}

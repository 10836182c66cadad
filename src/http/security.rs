//! What protects requests on their way: which of them may carry a token, and what browsers are
//! told about TLS.

use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};

use super::problem::Problem;
use super::{Peer, Services};
use crate::commands::secret;

/// Sent with each answer over the service's own TLS, and with no other (RFC 6797 §7.2): a proxy that
/// terminates TLS decides for itself. A year, for the host alone: its subdomains may be served by
/// something else.
pub const STRICT_TRANSPORT_SECURITY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// The operator's key, sent beside a token by the `slugline` command. Only a client that can read
/// the data folder of the running service knows it: its requests do not leave the machine.
pub const OPERATOR_KEY: HeaderName = HeaderName::from_static("slugline-operator-key");

/// An extension of requests that came over the service's own TLS.
#[derive(Debug, Clone, Copy)]
pub struct OverTls;

/// Refuses a request with a token that came over plain HTTP although the service is public at an
/// `https` address. Whether the token is valid is not looked up.
///
/// Loopback peers are no exception: a reverse proxy on the same machine is one.
pub fn protect_token(parts: &Parts, services: &Services) -> Result<(), Problem> {
    let site = &services.site;
    let is_exempt = || {
        let key = parts.headers.get(OPERATOR_KEY).and_then(|key| key.to_str().ok());
        key.is_some_and(|key| secret::hash(key) == services.operator_key)
    };
    if site.scheme != "https" || parts.extensions.get::<OverTls>().is_some() || is_exempt() {
        return Ok(());
    }
    let base = &site.base;
    let advice = match services.visitors.says_https(parts) {
        Some(true) => return Ok(()),
        Some(false) => {
            "If the reverse proxy received this request over HTTPS, have the proxy send \
                        `X-Forwarded-Proto: https`."
                .to_owned()
        }
        None => {
            let peer = parts.extensions.get::<Peer>().map(|Peer(peer)| peer.to_canonical());
            let peer = peer.map_or_else(|| "ADDRESS".to_owned(), |peer| peer.to_string());
            format!(
                "If a reverse proxy terminates TLS, start slugline with `--trusted-proxies {peer}` \
                 and have the proxy send `X-Forwarded-Proto: https`."
            )
        }
    };
    let detail = format!("Tokens are accepted over HTTPS only: use {base}. {advice}");
    Err(Problem::new(StatusCode::FORBIDDEN, "HTTPS_REQUIRED", detail))
}

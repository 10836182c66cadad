//! Transport security: which requests may contain a token, and HSTS.

use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};

use super::{Peer, Services};
use crate::commands::secret;
use crate::domain::error::{ErrorCode, Result, ServiceError};

/// Sent with each response over the service's own TLS, and only then (RFC 6797 §7.2): a proxy that
/// terminates TLS decides for itself. A year, without subdomains, which other services may use.
pub const STRICT_TRANSPORT_SECURITY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// The operator key, which the `slugline` command sends with a token. Only a client that can read
/// the service's data folder knows it: its requests do not leave the machine.
pub const OPERATOR_KEY: HeaderName = HeaderName::from_static("slugline-operator-key");

/// An extension of requests over the service's own TLS.
#[derive(Debug, Clone, Copy)]
pub struct OverTls;

/// Rejects a request with a token over plain HTTP if the service's public address is `https`,
/// without looking up the token.
///
/// Loopback peers are no exception: they include reverse proxies on the same machine.
pub fn protect_token(parts: &Parts, services: &Services) -> Result<()> {
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
    Err(ServiceError::new(ErrorCode::InsecureTransport, detail))
}

//! The HTTP client for outgoing requests: reqwest with rustls and ring. It doesn't follow
//! redirects.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, ClientBuilder, Response, redirect};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, crypto};

/// The default `User-Agent`.
const USER_AGENT: &str = concat!("slugline/", env!("CARGO_PKG_VERSION"));
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The system's root certificates, read from files.
pub fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// A client that trusts these roots.
///
/// # Errors
/// If the provider supports no version of TLS.
pub fn http_client(roots: RootCertStore) -> Result<ClientBuilder, rustls::Error> {
    // Explicit because reqwest otherwise requires a process-wide provider, and none is installed.
    let provider = Arc::new(crypto::ring::default_provider());
    let tls =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Client::builder()
        .tls_backend_preconfigured(tls.with_root_certificates(roots).with_no_client_auth())
        .redirect(redirect::Policy::none())
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT))
}

/// Reads a body up to a size limit; the flag is true if the body was truncated.
pub(super) async fn read_body(
    response: &mut Response,
    max_bytes: usize,
) -> reqwest::Result<(Vec<u8>, bool)> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let kept = chunk.len().min(max_bytes - body.len());
        body.extend_from_slice(&chunk[..kept]);
        if kept < chunk.len() {
            return Ok((body, true));
        }
    }
    Ok((body, false))
}

/// Describes why a request failed: the step and the root cause.
pub(super) fn failure(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "the request timed out".to_owned();
    }
    let step = match error {
        _ if causes(error).any(<dyn Error + 'static>::is::<rustls::Error>) => "TLS",
        _ if error.is_connect() => "the connection",
        _ => "the HTTP exchange",
    };
    let cause = causes(error).last().map(ToString::to_string);
    format!("{step} failed: {}", cause.unwrap_or_default())
}

/// An error and its causes. `source` of an [`io::Error`] skips the error inside it.
pub(super) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source())
    })
}

//! Requests to URLs that users choose.
//!
//! The client's resolver returns only addresses that the [`Guard`] permits, and the client connects
//! to these: DNS rebinding between the check and the connection is not possible. IP addresses in
//! URLs bypass the resolver and are checked before. Redirects are not followed, and no proxy is
//! used.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Request, Response};
use tokio::sync::OnceCell;
use url::{Host, Url};

use super::client::{causes, failure, http_client, read_body, system_roots};
use super::guard::Guard;
use super::names::{NameError, Names};

/// The maximum number of addresses of a host that are tried.
const MAX_ADDRESSES: usize = 4;

/// Why a request failed; shown to the user who chose the URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutgoingError {
    /// The URL is not http or https.
    #[error("the address is not an http or https URL with a host")]
    BadUrl,
    /// The host can't be resolved.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The guard permits none of the host's addresses.
    #[error("{0} leads to no address and port that requests may be sent to")]
    Refused(String),
    /// No connection, or no valid HTTP response.
    #[error("{0}")]
    Unreachable(String),
    /// The response was not complete in time.
    #[error("the request timed out")]
    TimedOut,
    /// The status of the response is not 200.
    #[error("the answer is {0}")]
    Status(StatusCode),
    /// The body exceeds the limit or is incomplete.
    #[error("the answer is too large or broke off")]
    BadBody,
}

/// Limits of one request.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The timeout, until the end of the response.
    pub time: Duration,
    /// The maximum size of the response body.
    pub body_bytes: usize,
}

/// Sends requests to URLs that users choose. Cheap to clone.
#[derive(Clone)]
pub struct Outgoing {
    names: Names,
    guard: Arc<Guard>,
    /// Built on first use, because that reads the system's root certificates.
    clients: Arc<OnceCell<Clients>>,
}

/// The guard needs the port, which a resolver doesn't know: hence one client for the web ports and
/// one for all others.
struct Clients {
    web_ports: Client,
    other_ports: Client,
}

impl Outgoing {
    /// Creates a sender with a resolver and a guard.
    pub fn new(names: Names, guard: Guard) -> Self {
        Self { names, guard: Arc::new(guard), clients: Arc::default() }
    }

    /// Sends a `GET` and returns the body of a 200 response. The connection is not reused, so that
    /// current DNS records are used.
    pub async fn get(&self, url: &Url, limits: Limits) -> Result<Bytes, OutgoingError> {
        let mut request = Request::new(Method::GET, url.clone());
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        let mut response = self.send(request, limits).await?;
        if response.status() != StatusCode::OK {
            return Err(OutgoingError::Status(response.status()));
        }
        match body(&mut response, limits).await? {
            (body, false) => Ok(body),
            (_, true) => Err(OutgoingError::BadBody),
        }
    }

    /// Sends a `POST` and returns the response with any status. The body is truncated at the limit.
    ///
    /// # Errors
    /// [`OutgoingError`], except `Status`.
    pub async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        content: impl Into<Bytes>,
        limits: Limits,
    ) -> Result<http::Response<Bytes>, OutgoingError> {
        let mut request = Request::new(Method::POST, url.clone());
        *request.headers_mut() = headers;
        *request.body_mut() = Some(content.into().into());
        let mut response = self.send(request, limits).await?;
        let (body, _) = body(&mut response, limits).await?;
        Ok(http::Response::from(response).map(|_| body))
    }

    async fn send(&self, mut request: Request, limits: Limits) -> Result<Response, OutgoingError> {
        let url = request.url();
        if !matches!(url.scheme(), "http" | "https") {
            return Err(OutgoingError::BadUrl);
        }
        let port = url.port_or_known_default().ok_or(OutgoingError::BadUrl)?;
        let address: Option<IpAddr> = match url.host().ok_or(OutgoingError::BadUrl)? {
            Host::Ipv4(v4) => Some(v4.into()),
            Host::Ipv6(v6) => Some(v6.into()),
            Host::Domain(_) => None,
        };
        if address.is_some_and(|address| !self.guard.permits(address, port)) {
            return Err(OutgoingError::Refused(url.host_str().unwrap_or_default().to_owned()));
        }
        *request.timeout_mut() = Some(limits.time);
        let clients = self.clients.get_or_try_init(|| self.build()).await?;
        let client =
            if Guard::is_web_port(port) { &clients.web_ports } else { &clients.other_ports };
        client.execute(request).await.map_err(|error| outgoing_error(&error))
    }

    async fn build(&self) -> Result<Clients, OutgoingError> {
        let failed = |error: String| OutgoingError::Unreachable(format!("TLS failed: {error}"));
        let roots = tokio::task::spawn_blocking(system_roots).await;
        let roots = roots.map_err(|error| failed(error.to_string()))?;
        let client = |port| {
            let (names, guard) = (self.names.clone(), Arc::clone(&self.guard));
            let builder = http_client(roots.clone()).map_err(|error| failed(error.to_string()))?;
            let builder = builder.no_proxy().dns_resolver(GuardedResolver { names, guard, port });
            builder.build().map_err(|error| outgoing_error(&error))
        };
        Ok(Clients { web_ports: client(443)?, other_ports: client(0)? })
    }
}

/// Returns only addresses that the guard permits at this port, which represents the client's ports.
#[derive(Clone)]
struct GuardedResolver {
    names: Names,
    guard: Arc<Guard>,
    port: u16,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let Self { names, guard, port } = self.clone();
        Box::pin(async move {
            let found = names.addresses(name.as_str()).await.map_err(OutgoingError::from)?;
            let permitted = found.into_iter().filter(|address| guard.permits(*address, port));
            // The client replaces port 0 with the URL's port.
            let permitted: Vec<_> =
                permitted.take(MAX_ADDRESSES).map(|address| SocketAddr::new(address, 0)).collect();
            if permitted.is_empty() {
                return Err(OutgoingError::Refused(name.as_str().to_owned()).into());
            }
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}

async fn body(response: &mut Response, limits: Limits) -> Result<(Bytes, bool), OutgoingError> {
    match read_body(response, limits.body_bytes).await {
        Ok((body, is_cut)) => Ok((body.into(), is_cut)),
        Err(error) if error.is_timeout() => Err(OutgoingError::TimedOut),
        Err(_) => Err(OutgoingError::BadBody),
    }
}

fn outgoing_error(error: &reqwest::Error) -> OutgoingError {
    // An error of the resolver.
    if let Some(own) = causes(error).find_map(|cause| cause.downcast_ref::<OutgoingError>()) {
        return own.clone();
    }
    if error.is_timeout() {
        return OutgoingError::TimedOut;
    }
    OutgoingError::Unreachable(failure(error))
}

//! Requests to where a user says.
//!
//! The host is looked up here, each address is held against the [`Guard`], and the connection is
//! made to the very address that passed: so no name can answer one thing when it is checked and
//! another when it is used, and an address in the place of a name is checked like any other. That
//! is why this stands on hyper itself. No redirect is followed, and nothing is taken from the
//! environment.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use url::{Host, Url};

use super::guard::Guard;
use super::names::{NameError, Names};
use super::tls;

/// How long a request may take, from the look-up of its host to the end of its answer.
const TIMEOUT: Duration = Duration::from_secs(8);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How many of a host's addresses are tried.
const MAX_ADDRESSES: usize = 4;

/// Why a request came to nothing; meant for the eyes of whoever named its target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutgoingError {
    /// The address is no http or https URL.
    #[error("the address is no http or https URL with a host")]
    BadUrl,
    /// The host can't be found.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The guard refuses each of the host's addresses.
    #[error("{0} leads to no address and port that requests may be sent to")]
    Refused(String),
    /// Nobody answers there, or not as a web server does.
    #[error("{0}")]
    Unreachable(String),
    /// It took too long.
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    TimedOut,
    /// The answer is not 200.
    #[error("the answer is {0}")]
    Status(StatusCode),
    /// The answer is larger than is read.
    #[error("the answer is too large or broke off")]
    BadBody,
}

/// The way out. Cheap to clone.
#[derive(Clone)]
pub struct Outgoing {
    names: Names,
    guard: Arc<Guard>,
    /// Read once somebody wants TLS.
    tls: Arc<OnceCell<TlsConnector>>,
}

impl Outgoing {
    /// With this name server and this rule.
    pub fn new(names: Names, guard: Guard) -> Self {
        Self { names, guard: Arc::new(guard), tls: Arc::new(OnceCell::new()) }
    }

    /// What a `GET` is answered with 200, at most so many bytes.
    ///
    /// # Errors
    /// [`OutgoingError`].
    pub async fn get(&self, url: &Url, max_bytes: usize) -> Result<Bytes, OutgoingError> {
        let answered = tokio::time::timeout(TIMEOUT, self.ask(url, max_bytes)).await;
        answered.map_err(|_| OutgoingError::TimedOut)?
    }

    async fn ask(&self, url: &Url, max_bytes: usize) -> Result<Bytes, OutgoingError> {
        let is_tls = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return Err(OutgoingError::BadUrl),
        };
        let addresses = self.permitted(url).await?;
        let stream = connect(&addresses).await?;
        if !is_tls {
            return exchange(stream, url, max_bytes).await;
        }
        let host = url.host_str().ok_or(OutgoingError::BadUrl)?;
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
            .map_err(|_| OutgoingError::BadUrl)?;
        let connector = self.tls.get_or_try_init(connector).await?;
        let stream = connector.connect(name, stream).await;
        exchange(stream.map_err(|error| unreachable("TLS", &error))?, url, max_bytes).await
    }

    /// The addresses of a URL's host that may be reached.
    async fn permitted(&self, url: &Url) -> Result<Vec<SocketAddr>, OutgoingError> {
        let port = url.port_or_known_default().ok_or(OutgoingError::BadUrl)?;
        let found = match url.host().ok_or(OutgoingError::BadUrl)? {
            Host::Ipv4(v4) => vec![v4.into()],
            Host::Ipv6(v6) => vec![v6.into()],
            Host::Domain(name) => self.names.addresses(name).await?,
        };
        let permitted = found.into_iter().filter(|address| self.guard.permits(*address, port));
        let permitted: Vec<_> =
            permitted.take(MAX_ADDRESSES).map(|address| SocketAddr::new(address, port)).collect();
        if permitted.is_empty() {
            let host = url.host_str().unwrap_or_default().to_owned();
            return Err(OutgoingError::Refused(host));
        }
        Ok(permitted)
    }
}

async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, OutgoingError> {
    let mut failure = OutgoingError::TimedOut;
    for address in addresses {
        match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failure = unreachable("the connection", &error),
            Err(_) => failure = OutgoingError::TimedOut,
        }
    }
    Err(failure)
}

async fn connector() -> Result<TlsConnector, OutgoingError> {
    let read = tokio::task::spawn_blocking(tls::system_roots).await;
    let roots = read.map_err(|_| unreachable("TLS", &"no root certificates"))?;
    tls::connector(roots).map_err(|error| unreachable("TLS", &error))
}

async fn exchange<S>(stream: S, url: &Url, max_bytes: usize) -> Result<Bytes, OutgoingError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let authority = url.port().map_or_else(
        || url.host_str().unwrap_or_default().to_owned(),
        |port| format!("{}:{port}", url.host_str().unwrap_or_default()),
    );
    let target = url
        .query()
        .map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let request = Request::builder()
        .method(Method::GET)
        .uri(target)
        .header(HOST, authority)
        .header(USER_AGENT, concat!("slugline/", env!("CARGO_PKG_VERSION")))
        .body(Full::<Bytes>::default())
        .map_err(|_| OutgoingError::BadUrl)?;
    let failed = |error: hyper::Error| unreachable("the exchange", &error);
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(failed)?;
    // It ends with the sender, when this function does.
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(failed)?;
    if answer.status() != StatusCode::OK {
        return Err(OutgoingError::Status(answer.status()));
    }
    let body = Limited::new(answer.into_body(), max_bytes).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|_| OutgoingError::BadBody)
}

fn unreachable(what: &str, error: &dyn std::fmt::Display) -> OutgoingError {
    OutgoingError::Unreachable(format!("{what} failed: {error}"))
}

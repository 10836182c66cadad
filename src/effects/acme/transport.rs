//! How an authority is spoken to: over TLS alone, each exchange on a connection of its own, within
//! a time, and read up to a size.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{RootCertStore, pki_types};

use super::AcmeError;

/// How long an exchange may take, the look-up of the host included.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Certificate chains have a few kilobytes, directories less.
const MAX_ANSWER_BYTES: usize = 256 << 10;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Transport(TlsConnector);

impl Transport {
    /// To authorities of the roots in this file, or of the system's.
    pub(super) fn new(root: Option<&Path>) -> Result<Self, AcmeError> {
        let connector = crate::effects::tls::connector(roots(root)?);
        connector.map(Self).map_err(|error| unusable(root, &error))
    }
}

impl HttpClient for Transport {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let tls = self.0.clone();
        Box::pin(async move {
            match tokio::time::timeout(TIMEOUT, exchange(&tls, request)).await {
                Ok(answered) => answered.map(BytesResponse::from).map_err(Error::Other),
                Err(_) => Err(Error::Other(format!("no answer in {} s", TIMEOUT.as_secs()).into())),
            }
        })
    }
}

async fn exchange(
    tls: &TlsConnector,
    request: Request<BodyWrapper<Bytes>>,
) -> Result<Response<Full<Bytes>>, AnyError> {
    let (mut parts, body) = request.into_parts();
    let authority = parts.uri.authority().cloned();
    let authority = authority.filter(|_| parts.uri.scheme_str() == Some("https"));
    let authority = authority.ok_or_else(|| format!("{} is no https URL", parts.uri))?;
    let host = authority.host().trim_matches(['[', ']']).to_owned();
    let port = authority.port_u16().unwrap_or(443);

    let stream = TcpStream::connect((host.as_str(), port)).await?;
    let stream = tls.connect(pki_types::ServerName::try_from(host)?, stream).await?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await?;
    // It ends with the sender, when this function does.
    tokio::spawn(connection);

    parts.headers.insert(HOST, HeaderValue::try_from(authority.as_str())?);
    let target = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    parts.uri = Uri::try_from(target)?;
    let answer = sender.send_request(Request::from_parts(parts, body)).await?;
    let (parts, body) = answer.into_parts();
    let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await?.to_bytes();
    Ok(Response::from_parts(parts, Full::new(body)))
}

/// The roots in a file, or else the system's.
fn roots(path: Option<&Path>) -> Result<RootCertStore, AcmeError> {
    use pki_types::CertificateDer;
    use pki_types::pem::PemObject;
    let Some(file) = path else { return Ok(crate::effects::tls::system_roots()) };
    let mut roots = RootCertStore::empty();
    let read = CertificateDer::pem_file_iter(file).map_err(|error| unusable(path, &error))?;
    for root in read {
        let root = root.map_err(|error| unusable(path, &error))?;
        roots.add(root).map_err(|error| unusable(path, &error))?;
    }
    if roots.is_empty() {
        return Err(unusable(path, &"it holds no certificate"));
    }
    Ok(roots)
}

fn unusable(path: Option<&Path>, reason: &dyn std::fmt::Display) -> AcmeError {
    let path = path.map_or("the system's roots".to_owned(), |path| path.display().to_string());
    AcmeError::Roots { path, reason: reason.to_string() }
}

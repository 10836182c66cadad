//! The HTTP client for certificate authorities: https only, with a timeout and a size limit.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use reqwest::{Body, Client};
use tokio_rustls::rustls::{RootCertStore, pki_types};

use super::AcmeError;
use crate::effects::client::{failure, http_client, read_body, system_roots};

/// The timeout of an exchange, from the DNS lookup to the end of the response.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Certificate chains and directories are only a few kilobytes.
const MAX_RESPONSE_BYTES: usize = 256 << 10;

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Transport(Client);

impl Transport {
    /// A client that trusts the roots in this file, or else the system's.
    pub(super) fn new(root: Option<&Path>) -> Result<Self, AcmeError> {
        let client = http_client(roots(root)?).map_err(|error| unusable(root, &error))?;
        let client = client.https_only(true).no_proxy().timeout(TIMEOUT).build();
        client.map(Self).map_err(|error| unusable(root, &error))
    }
}

impl HttpClient for Transport {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.0.clone();
        Box::pin(async move {
            let host = request.uri().host().unwrap_or_default().to_owned();
            let failed =
                |error: reqwest::Error| Error::Other(format!("{host}: {}", failure(&error)).into());
            let request = request.map(Body::wrap).try_into().map_err(failed)?;
            let mut response = client.execute(request).await.map_err(failed)?;
            let (body, is_cut) =
                read_body(&mut response, MAX_RESPONSE_BYTES).await.map_err(failed)?;
            if is_cut {
                return Err(Error::Other(format!("{host}: the response is too large").into()));
            }
            let (parts, _) = http::Response::from(response).into_parts();
            Ok(BytesResponse { parts, body: Box::new(Bytes::from(body)) })
        })
    }
}

/// The roots in a file, or else the system's.
fn roots(path: Option<&Path>) -> Result<RootCertStore, AcmeError> {
    use pki_types::CertificateDer;
    use pki_types::pem::PemObject;
    let Some(file) = path else { return Ok(system_roots()) };
    let mut roots = RootCertStore::empty();
    let read = CertificateDer::pem_file_iter(file).map_err(|error| unusable(path, &error))?;
    for root in read {
        let root = root.map_err(|error| unusable(path, &error))?;
        roots.add(root).map_err(|error| unusable(path, &error))?;
    }
    if roots.is_empty() {
        return Err(unusable(path, &"it contains no certificate"));
    }
    Ok(roots)
}

fn unusable(path: Option<&Path>, reason: &dyn std::fmt::Display) -> AcmeError {
    let path = path.map_or("the system's roots".to_owned(), |path| path.display().to_string());
    AcmeError::Roots { path, reason: reason.to_string() }
}

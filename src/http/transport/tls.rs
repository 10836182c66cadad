//! TLS: certificates from files or from ACME, selected by the client's server name.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, InconsistentKeys, ServerConfig};
use x509_parser::parse_x509_certificate;

use super::HttpApp;
use super::connections::{Accepted, ConnectionLimits, Listener};
use super::hyper::Hyper;
use super::stream::Prefixed;
use crate::limits::TLS_HANDSHAKE_TIMEOUT;

/// The certificate in a folder for clients without a server name, or without a certificate for it.
const DEFAULT_NAME: &str = "default";

/// The source of the certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateSource {
    /// One chain and its key (PEM), for all names.
    Pair {
        /// The chain, the server's certificate first.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// `HOST.crt` with `HOST.key` for each host (`*.HOST.crt` for its subdomains), and
    /// `default.crt` with `default.key` for the others.
    Folder(PathBuf),
    /// The same, for certificates obtained by the service itself: the folder may be missing or
    /// empty, and an invalid pair is skipped.
    Managed(PathBuf),
}

/// The loaded certificates.
#[derive(Debug)]
pub struct Certificates {
    source: CertificateSource,
    read: ArcSwap<Keys>,
}

#[derive(Debug, Default)]
struct Keys {
    by_host: HashMap<String, Arc<CertifiedKey>>,
    default: Option<Arc<CertifiedKey>>,
}

impl Certificates {
    /// Reads the certificates.
    pub fn read(source: CertificateSource) -> anyhow::Result<Self> {
        let keys = ArcSwap::from_pointee(Keys::read(&source)?);
        Ok(Self { source, read: keys })
    }

    /// Reloads the certificates for new connections.
    ///
    /// # Errors
    /// As [`read`](Self::read); the old ones are kept.
    pub fn reload(&self) -> anyhow::Result<()> {
        self.read.store(Keys::read(&self.source)?.into());
        Ok(())
    }

    /// The host's own certificate (DER).
    pub fn own(&self, host: &str) -> Option<CertificateDer<'static>> {
        let keys = self.read.load();
        keys.by_host.get(host).and_then(|pair| pair.cert.first()).cloned()
    }

    /// When the certificate of each host expires, in seconds since the Unix epoch.
    pub fn expiries(&self) -> Vec<(String, i64)> {
        let keys = self.read.load();
        let default = keys.default.iter().map(|pair| (DEFAULT_NAME, pair));
        let all = keys.by_host.iter().map(|(host, pair)| (host.as_str(), pair)).chain(default);
        let expiry = |pair: &CertifiedKey| {
            let (_, certificate) = parse_x509_certificate(pair.cert.first()?).ok()?;
            Some(certificate.validity().not_after.timestamp())
        };
        all.filter_map(|(host, pair)| Some((host.to_owned(), expiry(pair)?))).collect()
    }
}

/// The first certificate (DER) of a chain (PEM), if the chain is valid with this key.
pub fn check(chain: &str, key: &str) -> anyhow::Result<CertificateDer<'static>> {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>()?;
    let pair = pair(chain, &PrivateKeyDer::from_pem_slice(key.as_bytes())?)?;
    pair.cert.into_iter().next().context("contains no certificate")
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.read.load().find(hello.server_name())
    }
}

impl Keys {
    fn read(source: &CertificateSource) -> anyhow::Result<Self> {
        match source {
            CertificateSource::Pair { certificate, key } => {
                let default = Some(read_pair(certificate, key)?);
                Ok(Self { by_host: HashMap::new(), default })
            }
            CertificateSource::Folder(folder) => Self::read_folder(folder),
            CertificateSource::Managed(folder) => Self::read_managed(folder),
        }
    }

    fn read_folder(folder: &Path) -> anyhow::Result<Self> {
        let mut keys = Self::default();
        for (host, path) in chains(folder).with_context(|| folder.display().to_string())? {
            keys.add(&host, read_pair(&path, &path.with_extension("key"))?);
        }
        if keys.by_host.is_empty() && keys.default.is_none() {
            bail!("{} contains no HOST.crt", folder.display());
        }
        Ok(keys)
    }

    fn read_managed(folder: &Path) -> anyhow::Result<Self> {
        let mut keys = Self::default();
        if !folder.try_exists()? {
            return Ok(keys);
        }
        for (host, path) in chains(folder).with_context(|| folder.display().to_string())? {
            match read_pair(&path, &path.with_extension("key")) {
                Ok(pair) => keys.add(&host, pair),
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::warn!(host, error, "skipping an invalid certificate");
                }
            }
        }
        Ok(keys)
    }

    fn add(&mut self, host: &str, pair: Arc<CertifiedKey>) {
        if host == DEFAULT_NAME {
            self.default = Some(pair);
        } else {
            self.by_host.insert(host.to_ascii_lowercase(), pair);
        }
    }

    fn find(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let own = name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            let above = || {
                let (_, parent) = name.split_once('.')?;
                self.by_host.get(&format!("*.{parent}"))
            };
            self.by_host.get(&name).or_else(above)
        });
        own.or(self.default.as_ref()).cloned()
    }
}

/// The chains in a folder, each with its file stem.
fn chains(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut chains = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|ending| ending != "crt") {
            continue;
        }
        let host = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
        chains.extend(host.map(|host| (host, path)));
    }
    Ok(chains)
}

fn read_pair(certificate: &Path, key: &Path) -> anyhow::Result<Arc<CertifiedKey>> {
    let named = |path: &Path| path.display().to_string();
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .with_context(|| named(certificate))?;
    let secret = PrivateKeyDer::from_pem_file(key).with_context(|| named(key))?;
    Ok(Arc::new(pair(chain, &secret).with_context(|| named(certificate))?))
}

/// A chain and its key, if they match.
fn pair(
    chain: Vec<CertificateDer<'static>>,
    key: &PrivateKeyDer<'_>,
) -> anyhow::Result<CertifiedKey> {
    if chain.is_empty() {
        bail!("contains no certificate");
    }
    let pair = CertifiedKey::new(chain, ring::sign::any_supported_type(key)?);
    match pair.keys_match() {
        // Some kinds of keys do not reveal their public half: then the client finds out.
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(pair),
        Err(error) => Err(error.into()),
    }
}

/// Serves over TLS until `stop` completes, then lets active requests finish.
pub async fn serve(
    listener: Listener,
    limits: Arc<ConnectionLimits>,
    certificates: Arc<Certificates>,
    app: HttpApp,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let app = HttpApp { is_tls: true, ..app };
    let hyper = Hyper::new(app, tokio::runtime::Handle::current());
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept(&limits) => accepted,
            () = &mut stop => break,
        };
        let Some(Accepted { stream, peer, permit }) = accepted else { continue };
        let Ok(stream) = TcpStream::from_std(stream) else { continue };
        let (acceptor, pending) = (acceptor.clone(), hyper.connection(peer, permit));
        tokio::spawn(async move {
            // A failed handshake is the client's problem.
            let handshake =
                tokio::time::timeout(TLS_HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await;
            if let Ok(Ok(stream)) = handshake {
                pending.serve(Prefixed::new(b"", stream)).await;
            }
        });
    }
    drop(listener);
    hyper.shutdown().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_pair(folder: &Path, name: &str) {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        fs::write(folder.join(format!("{name}.crt")), made.cert.pem()).unwrap();
        fs::write(folder.join(format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
    }

    #[test]
    fn each_host_has_its_own_certificate() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.example", "*.b.example", "default"] {
            write_pair(folder.path(), name);
        }
        let keys = Keys::read_folder(folder.path()).unwrap();
        let shown = |name: Option<&str>| {
            let found = keys.find(name).unwrap();
            let names = keys.by_host.iter().find(|(_, pair)| Arc::ptr_eq(pair, &found));
            names.map_or("default", |(name, _)| name.as_str()).to_owned()
        };
        assert_eq!(shown(Some("A.example")), "a.example");
        assert_eq!(shown(Some("x.b.example")), "*.b.example");
        assert_eq!(shown(Some("x.y.b.example")), "default");
        assert_eq!(shown(Some("b.example")), "default");
        assert_eq!(shown(None), "default");
    }

    #[test]
    fn managed_certificates_may_be_missing_and_invalid_ones_are_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let absent = CertificateSource::Managed(folder.path().join("absent"));
        assert!(Certificates::read(absent).unwrap().own("a.example").is_none());
        let managed = Certificates::read(CertificateSource::Managed(folder.path().into())).unwrap();
        for name in ["a.example", "b.example"] {
            write_pair(folder.path(), name);
        }
        fs::write(folder.path().join("b.example.key"), "half").unwrap();
        assert!(managed.own("a.example").is_none());
        managed.reload().unwrap();
        let read = |ending: &str| fs::read_to_string(folder.path().join(ending)).unwrap();
        // The last second of 4095, which rcgen writes if no time is given.
        assert_eq!(managed.expiries(), [("a.example".to_owned(), 67_090_118_400)]);
        let checked = check(&read("a.example.crt"), &read("a.example.key")).unwrap();
        assert_eq!(managed.own("a.example"), Some(checked));
        assert!(managed.own("b.example").is_none());
        write_pair(folder.path(), "c.example");
        assert!(check(&read("a.example.crt"), &read("c.example.key")).is_err());
        assert!(check("", &read("c.example.key")).is_err());
    }

    #[test]
    fn errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let message = |keys: anyhow::Result<Keys>| format!("{:#}", keys.unwrap_err());
        assert!(message(Keys::read_folder(folder.path())).contains("no HOST.crt"));
        write_pair(folder.path(), "a.example");
        write_pair(folder.path(), "b.example");
        fs::copy(folder.path().join("b.example.key"), folder.path().join("a.example.key")).unwrap();
        assert!(message(Keys::read_folder(folder.path())).contains("a.example.crt"));
        fs::remove_file(folder.path().join("a.example.key")).unwrap();
        assert!(message(Keys::read_folder(folder.path())).contains("a.example.key"));
    }
}

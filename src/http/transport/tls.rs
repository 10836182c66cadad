//! TLS: certificates that the operator gives or that were obtained, chosen by the name that the
//! client asks for.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

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

use super::HttpApp;
use super::connections::{Accepted, ConnectionLimits, Listener};
use super::hyper::Hyper;
use super::stream::Prefixed;

/// How long a client may take to agree on keys.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(8);

/// The certificate in a folder for clients that ask for no name, or for one without its own.
const DEFAULT_NAME: &str = "default";

/// Where the certificates are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateSource {
    /// One chain and its key (PEM), for whatever name.
    Pair {
        /// The chain, the server's own first.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
    },
    /// `HOST.crt` with `HOST.key` for each host (`*.HOST.crt` for the hosts below one), and
    /// `default.crt` with `default.key` for the others.
    Folder(PathBuf),
    /// The same, where the service itself keeps what it has obtained: there may be nothing yet,
    /// and a pair that is of no use is passed over.
    Kept(PathBuf),
}

/// The certificates as they were read last.
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
    /// Reads them.
    ///
    /// # Errors
    /// Where a file is missing, unreadable, or a key is another certificate's.
    pub fn read(source: CertificateSource) -> anyhow::Result<Self> {
        let keys = ArcSwap::from_pointee(Keys::read(&source)?);
        Ok(Self { source, read: keys })
    }

    /// Reads them again; connections from then on get the new ones.
    ///
    /// # Errors
    /// As [`read`](Self::read); then the old ones stay.
    pub fn reload(&self) -> anyhow::Result<()> {
        self.read.store(Keys::read(&self.source)?.into());
        Ok(())
    }

    /// The certificate (DER) that a host has for itself.
    pub fn own(&self, host: &str) -> Option<CertificateDer<'static>> {
        let keys = self.read.load();
        keys.by_host.get(host).and_then(|pair| pair.cert.first()).cloned()
    }
}

/// The first certificate (DER) of a chain (PEM), if all of it can be used with this key.
///
/// # Errors
/// Where it can't.
pub fn check(chain: &str, key: &str) -> anyhow::Result<CertificateDer<'static>> {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>()?;
    let pair = pair(chain, &PrivateKeyDer::from_pem_slice(key.as_bytes())?)?;
    pair.cert.into_iter().next().context("no certificate in it")
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
            CertificateSource::Kept(folder) => Self::read_kept(folder),
        }
    }

    fn read_folder(folder: &Path) -> anyhow::Result<Self> {
        let mut keys = Self::default();
        for (host, path) in chains(folder).with_context(|| folder.display().to_string())? {
            keys.add(&host, read_pair(&path, &path.with_extension("key"))?);
        }
        if keys.by_host.is_empty() && keys.default.is_none() {
            bail!("{} holds no HOST.crt", folder.display());
        }
        Ok(keys)
    }

    fn read_kept(folder: &Path) -> anyhow::Result<Self> {
        let mut keys = Self::default();
        if !folder.try_exists()? {
            return Ok(keys);
        }
        for (host, path) in chains(folder).with_context(|| folder.display().to_string())? {
            match read_pair(&path, &path.with_extension("key")) {
                Ok(pair) => keys.add(&host, pair),
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::warn!(host, error, "a kept certificate is of no use");
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

/// The chains in a folder, each with the name of its file.
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

/// A chain and its key, if they fit together.
fn pair(
    chain: Vec<CertificateDer<'static>>,
    key: &PrivateKeyDer<'_>,
) -> anyhow::Result<CertifiedKey> {
    if chain.is_empty() {
        bail!("no certificate in it");
    }
    let pair = CertifiedKey::new(chain, ring::sign::any_supported_type(key)?);
    match pair.keys_match() {
        // Some kinds of keys don't tell their public half: then the client finds out.
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(pair),
        Err(error) => Err(error.into()),
    }
}

/// Serves over TLS until `stop` is done, then lets requests under way end.
///
/// # Errors
/// Where TLS can't be set up at all.
pub async fn serve(
    listener: Listener,
    limits: Arc<ConnectionLimits>,
    certificates: Arc<Certificates>,
    front: HttpApp,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let front = HttpApp { is_tls: true, ..front };
    let hyper = Hyper::new(front, tokio::runtime::Handle::current());
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept(&limits) => accepted,
            () = &mut stop => break,
        };
        let Some(Accepted { stream, peer, permit }) = accepted else { continue };
        let Ok(stream) = TcpStream::from_std(stream) else { continue };
        let (acceptor, served) = (acceptor.clone(), hyper.connection(peer, permit));
        tokio::spawn(async move {
            // A client that doesn't agree is its own affair.
            let agreed = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await;
            if let Ok(Ok(stream)) = agreed {
                served.over(Prefixed::with_encoded_target(stream)).await;
            }
        });
    }
    drop(listener);
    hyper.shutdown().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
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
    fn what_is_kept_may_be_nothing_and_a_broken_pair_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let absent = CertificateSource::Kept(folder.path().join("absent"));
        assert!(Certificates::read(absent).unwrap().own("a.example").is_none());
        let kept = Certificates::read(CertificateSource::Kept(folder.path().into())).unwrap();
        for name in ["a.example", "b.example"] {
            write_pair(folder.path(), name);
        }
        fs::write(folder.path().join("b.example.key"), "half").unwrap();
        assert!(kept.own("a.example").is_none());
        kept.reload().unwrap();
        let read = |ending: &str| fs::read_to_string(folder.path().join(ending)).unwrap();
        let checked = check(&read("a.example.crt"), &read("a.example.key")).unwrap();
        assert_eq!(kept.own("a.example"), Some(checked));
        assert!(kept.own("b.example").is_none());
        write_pair(folder.path(), "c.example");
        assert!(check(&read("a.example.crt"), &read("c.example.key")).is_err());
        assert!(check("", &read("c.example.key")).is_err());
    }

    #[test]
    fn files_that_do_not_fit_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let told = |keys: anyhow::Result<Keys>| format!("{:#}", keys.unwrap_err());
        assert!(told(Keys::read_folder(folder.path())).contains("no HOST.crt"));
        write_pair(folder.path(), "a.example");
        write_pair(folder.path(), "b.example");
        fs::copy(folder.path().join("b.example.key"), folder.path().join("a.example.key")).unwrap();
        assert!(told(Keys::read_folder(folder.path())).contains("a.example.crt"));
        fs::remove_file(folder.path().join("a.example.key")).unwrap();
        assert!(told(Keys::read_folder(folder.path())).contains("a.example.key"));
    }
}

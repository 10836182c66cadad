//! TLS settings.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use url::Url;

use super::ServeArgs;
use super::address::to_listen_on;
use crate::effects::acme::AcmeSettings;
use crate::http::transport::tls::CertificateSource;

/// The default ACME directory.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// The TLS listener and its certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// The address and port.
    pub listen: SocketAddr,
    /// The certificates.
    pub certificates: TlsCertificates,
}

/// The source of the certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsCertificates {
    /// Provided by the operator.
    Given(CertificateSource),
    /// Obtained with ACME.
    Acme(AcmeSettings),
}

/// Validates the TLS settings; `None` for no TLS.
pub(super) fn check(args: &ServeArgs) -> anyhow::Result<Option<TlsSettings>> {
    let is_acme = args.tls_acme.unwrap_or(false);
    let certificates = match (is_acme, given(args)?) {
        (true, None) => Some(TlsCertificates::Acme(acme(args)?)),
        (true, Some(_)) => {
            bail!("tls-acme cannot be combined with tls-cert, tls-key or tls-dir")
        }
        (false, given) => given.map(TlsCertificates::Given),
    };
    let has_authority = args.tls_acme_contact.is_some()
        || args.tls_acme_directory.is_some()
        || args.tls_acme_root.is_some();
    // An explicit `false` disables ACME in a file, whose other ACME settings are then ignored.
    if has_authority && args.tls_acme.is_none() {
        bail!("tls-acme-contact, tls-acme-directory and tls-acme-root require tls-acme");
    }
    let listen = args.tls_listen.as_deref().map(to_listen_on).transpose();
    match (listen.context("tls-listen")?, certificates) {
        (None, None) => Ok(None),
        (Some(listen), Some(certificates)) => Ok(Some(TlsSettings { listen, certificates })),
        (Some(_), None) => {
            bail!("tls-listen requires tls-cert with tls-key, or tls-dir, or tls-acme")
        }
        (None, Some(_)) => bail!("certificates require tls-listen"),
    }
}

fn given(args: &ServeArgs) -> anyhow::Result<Option<CertificateSource>> {
    match (args.tls_cert.clone(), args.tls_key.clone(), args.tls_dir.clone()) {
        (None, None, None) => Ok(None),
        (Some(certificate), Some(key), None) => {
            Ok(Some(CertificateSource::Pair { certificate, key }))
        }
        (None, None, Some(folder)) => Ok(Some(CertificateSource::Folder(folder))),
        _ => bail!("use either tls-cert with tls-key, or tls-dir"),
    }
}

fn acme(args: &ServeArgs) -> anyhow::Result<AcmeSettings> {
    let directory = match &args.tls_acme_directory {
        Some(url) => url.clone(),
        None => Url::parse(LETS_ENCRYPT).context("tls-acme-directory")?,
    };
    if directory.scheme() != "https" {
        bail!("tls-acme-directory must be https, not `{directory}`");
    }
    let contact = args.tls_acme_contact.clone();
    if contact.as_ref().is_some_and(|contact| !contact.starts_with("mailto:")) {
        bail!("tls-acme-contact must be a mailto URL such as mailto:ops@example.com");
    }
    Ok(AcmeSettings { directory, contact, root: args.tls_acme_root.clone() })
}

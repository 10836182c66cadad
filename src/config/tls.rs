//! The settings of TLS.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use url::Url;

use super::ServeArgs;
use crate::effects::acme::AcmeSettings;
use crate::http::transport::tls::CertificateSource;

/// The authority that is asked unless another is named.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// Where TLS is spoken, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// The address and port.
    pub listen: SocketAddr,
    /// The certificates.
    pub certificates: TlsCertificates,
}

/// Where certificates come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsCertificates {
    /// The operator gives them.
    Given(CertificateSource),
    /// They are obtained.
    Acme(AcmeSettings),
}

/// `None`: no TLS.
pub(super) fn check(args: &ServeArgs) -> anyhow::Result<Option<TlsSettings>> {
    let is_acme = args.tls_acme.unwrap_or(false);
    let certificates = match (is_acme, given(args)?) {
        (true, None) => Some(TlsCertificates::Acme(acme(args)?)),
        (true, Some(_)) => {
            bail!("tls-acme obtains all certificates: leave out tls-cert, tls-key and tls-dir")
        }
        (false, given) => given.map(TlsCertificates::Given),
    };
    let has_authority = args.tls_acme_contact.is_some()
        || args.tls_acme_directory.is_some()
        || args.tls_acme_root.is_some();
    // An explicit `false` switches off what a file sets up: its authority is no mistake.
    if has_authority && args.tls_acme.is_none() {
        bail!("an authority is of no use without tls-acme");
    }
    match (args.tls_listen, certificates) {
        (None, None) => Ok(None),
        (Some(listen), Some(certificates)) => Ok(Some(TlsSettings { listen, certificates })),
        (Some(_), None) => {
            bail!("tls-listen needs tls-cert with tls-key, or tls-dir, or tls-acme")
        }
        (None, Some(_)) => bail!("certificates are of no use without tls-listen"),
    }
}

fn given(args: &ServeArgs) -> anyhow::Result<Option<CertificateSource>> {
    match (args.tls_cert.clone(), args.tls_key.clone(), args.tls_dir.clone()) {
        (None, None, None) => Ok(None),
        (Some(certificate), Some(key), None) => {
            Ok(Some(CertificateSource::Pair { certificate, key }))
        }
        (None, None, Some(folder)) => Ok(Some(CertificateSource::Folder(folder))),
        _ => bail!("certificates are either tls-cert with tls-key, or tls-dir"),
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
        bail!("tls-acme-contact must be such as mailto:ops@example.com");
    }
    Ok(AcmeSettings { directory, contact, root: args.tls_acme_root.clone() })
}

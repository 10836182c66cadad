//! The listener for TLS, and its certificates.

use std::sync::Arc;

use anyhow::Context;
use tokio::task::JoinHandle;

use super::acme::{CertificateKeeper, folder};
use super::stop_signal;
use crate::config::{Settings, TlsCertificates};
use crate::effects::acme::Authority;
use crate::http::challenge::OpenChallenge;
use crate::http::transport::HttpApp;
use crate::http::transport::connections::{ConnectionLimits, Listener};
use crate::http::transport::tls::{CertificateSource, Certificates, serve};
use crate::projections::index::Index;

/// What TLS needs, open.
pub struct TlsSide {
    listener: Listener,
    certificates: Arc<Certificates>,
    /// Whom to ask for certificates, where they are not given.
    authority: Option<Authority>,
}

impl TlsSide {
    /// Reads the certificates and listens, if TLS is wanted. Runs on a runtime.
    pub fn open(settings: &Settings) -> anyhow::Result<Option<Self>> {
        let Some(tls) = &settings.tls else { return Ok(None) };
        let (source, authority) = match &tls.certificates {
            TlsCertificates::Given(source) => (source.clone(), None),
            TlsCertificates::Acme(acme) => {
                let folder = folder(&settings.data_dir);
                let authority = Authority::new(acme.clone(), folder.clone());
                (CertificateSource::Kept(folder), Some(authority.context("tls-acme-root")?))
            }
        };
        let certificates = Arc::new(Certificates::read(source).context("TLS")?);
        let listener = Listener::bind(tls.listen)
            .with_context(|| format!("can't listen on {}", tls.listen))?;
        Ok(Some(Self { listener, certificates, authority }))
    }

    /// Has certificates obtained, if they are not given.
    pub fn obtain(
        &mut self,
        challenge: Arc<OpenChallenge>,
        index: Arc<Index>,
        own_host: Option<&str>,
    ) {
        let Some(authority) = self.authority.take() else { return };
        let certificates = Arc::clone(&self.certificates);
        let keeper = CertificateKeeper::new(authority, certificates, challenge, index, own_host);
        tokio::spawn(keeper.keep());
    }

    /// The certificates, to be read again.
    pub fn certificates(&self) -> Arc<Certificates> {
        Arc::clone(&self.certificates)
    }

    /// Serves until the process is told to stop.
    pub fn serve(self, limits: Arc<ConnectionLimits>, front: HttpApp) -> JoinHandle<()> {
        let Self { listener, certificates, .. } = self;
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "TLS is served");
        }
        tokio::spawn(async move {
            if let Err(error) = serve(listener, limits, certificates, front, stop_signal()).await {
                tracing::error!(%error, "TLS can't be served");
            }
        })
    }
}

//! The TLS listener and its certificates.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::acme::{CertificateManager, folder};
use super::signals::StopSignal;
use crate::config::{Settings, TlsCertificates};
use crate::effects::acme::Authority;
use crate::http::challenge::OpenChallenge;
use crate::http::transport::HttpApp;
use crate::http::transport::connections::{ConnectionLimits, Listener};
use crate::http::transport::tls::{CertificateSource, Certificates, serve};
use crate::jobs::Scheduler;
use crate::projections::index::Index;

/// How often to check for new hosts and due certificates.
const CERTIFICATE_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The open TLS listener.
pub struct TlsSide {
    listener: Listener,
    certificates: Arc<Certificates>,
    /// The ACME authority, unless certificates are provided.
    authority: Option<Authority>,
}

impl TlsSide {
    /// Reads the certificates and listens, if TLS is configured. Must be called on a runtime.
    pub fn open(settings: &Settings) -> anyhow::Result<Option<Self>> {
        let Some(tls) = &settings.tls else { return Ok(None) };
        let (source, authority) = match &tls.certificates {
            TlsCertificates::Given(source) => (source.clone(), None),
            TlsCertificates::Acme(acme) => {
                let folder = folder(&settings.data_dir);
                let authority = Authority::new(acme.clone(), folder.clone());
                (CertificateSource::Managed(folder), Some(authority.context("tls-acme-root")?))
            }
        };
        let certificates = Arc::new(Certificates::read(source).context("TLS")?);
        let listener = Listener::bind(tls.listen)
            .with_context(|| format!("cannot listen on {}", tls.listen))?;
        Ok(Some(Self { listener, certificates, authority }))
    }

    /// Obtains certificates periodically, unless they are provided.
    pub fn obtain(
        &mut self,
        scheduler: &mut Scheduler,
        challenge: Arc<OpenChallenge>,
        index: Arc<Index>,
        own_host: Option<&str>,
    ) -> anyhow::Result<()> {
        let Some(authority) = self.authority.take() else { return Ok(()) };
        let certificates = Arc::clone(&self.certificates);
        let manager = CertificateManager::new(authority, certificates, challenge, index, own_host)?;
        let manager = Arc::new(Mutex::new(manager));
        let periods = [Duration::ZERO, CERTIFICATE_CHECK_INTERVAL];
        scheduler.every("certificates", periods, manager, |manager| async move {
            manager.lock().await.order_due().await;
        });
        Ok(())
    }

    /// The certificates, for reloading.
    pub fn certificates(&self) -> Arc<Certificates> {
        Arc::clone(&self.certificates)
    }

    /// Serves until the process is asked to stop.
    pub fn serve(
        self,
        limits: Arc<ConnectionLimits>,
        http_app: HttpApp,
        stop: StopSignal,
    ) -> JoinHandle<()> {
        let Self { listener, certificates, .. } = self;
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "serving TLS");
        }
        tokio::spawn(async move {
            let stop = stop.received();
            if let Err(error) = serve(listener, limits, certificates, http_app, stop).await {
                tracing::error!(%error, "the TLS listener failed");
            }
        })
    }
}

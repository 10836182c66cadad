//! The listener for TLS, and its certificates.

use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::stop_signal;
use crate::config::TlsSettings;
use crate::http::server::Front;
use crate::http::tls::{Certificates, serve};

/// What TLS needs, open.
pub struct TlsSide {
    listener: TcpListener,
    certificates: Arc<Certificates>,
}

impl TlsSide {
    /// Reads the certificates and listens.
    pub async fn open(settings: &TlsSettings) -> anyhow::Result<Self> {
        let certificates = Certificates::read(settings.certificates.clone()).context("TLS")?;
        let listener = TcpListener::bind(settings.listen)
            .await
            .with_context(|| format!("can't listen on {}", settings.listen))?;
        Ok(Self { listener, certificates: Arc::new(certificates) })
    }

    /// The certificates, to be read again.
    pub fn certificates(&self) -> Arc<Certificates> {
        Arc::clone(&self.certificates)
    }

    /// Serves until the process is told to stop.
    pub fn serve(self, front: Front) -> JoinHandle<()> {
        let Self { listener, certificates } = self;
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "TLS is served");
        }
        tokio::spawn(async move {
            if let Err(error) = serve(listener, certificates, front, stop_signal()).await {
                tracing::error!(%error, "TLS can't be served");
            }
        })
    }
}

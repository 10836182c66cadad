//! SIGHUP reloads files; SIGTERM and SIGINT stop the service.

use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::blocklist::BlocklistFile;
use super::plans::CatalogueFile;
use crate::clicks::Recorder;
use crate::http::transport::tls::Certificates;
use crate::projections::index::Index;

/// The files that are read again on SIGHUP, with what they are checked against.
#[derive(Clone)]
pub struct Reloadable {
    pub recorder: Arc<Recorder>,
    pub blocklist: Arc<BlocklistFile>,
    pub catalogue: Arc<CatalogueFile>,
    pub index: Arc<Index>,
    pub certificates: Option<Arc<Certificates>>,
}

/// Reloads the geo database, the blocklist, the catalogue of plans and the certificates on SIGHUP.
/// If a file cannot be read, the previous one is kept.
pub async fn reload_on_hangup(files: Reloadable) {
    let Ok(mut hangups) = signal(SignalKind::hangup()) else { return };
    while hangups.recv().await.is_some() {
        let files = files.clone();
        let reloaded = tokio::task::spawn_blocking(move || {
            let Reloadable { recorder, blocklist, catalogue, index, certificates } = files;
            let geo = recorder.enricher.geo.reload().map_err(anyhow::Error::from);
            let plans = catalogue.reload(&index);
            let certificates = certificates.map(|certificates| certificates.reload());
            let read = [("geo database", geo), ("blocklist", blocklist.reload()), ("plans", plans)];
            let read = read.into_iter().chain(certificates.map(|read| ("certificates", read)));
            read.for_each(|(what, read)| match read {
                Ok(()) => tracing::info!(what, "reloaded"),
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::error!(what, error, "reload failed; keeping the previous one");
                }
            });
        });
        if let Err(error) = reloaded.await {
            tracing::error!(%error, "reloading panicked");
        }
    }
}

/// Tells all listeners of SIGTERM and SIGINT. Cheap to clone.
#[derive(Clone)]
pub struct StopSignal(watch::Receiver<bool>);

impl StopSignal {
    /// Handles these signals from now on.
    pub fn listen(runtime: &Runtime) -> Self {
        let _context = runtime.enter();
        let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            match signals {
                (Ok(mut terminate), Ok(mut interrupt)) => {
                    tokio::select! {
                        _ = terminate.recv() => {}
                        _ = interrupt.recv() => {}
                    }
                }
                _ => std::future::pending().await,
            }
            sender.send_replace(true);
        });
        Self(receiver)
    }

    /// Waits until the process is asked to stop.
    pub async fn received(mut self) {
        let _runtime_ended = self.0.wait_for(|is_stopping| *is_stopping).await;
    }
}

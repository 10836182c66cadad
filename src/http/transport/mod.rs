//! Connections: accepted within [`connections`], read within time limits, and closed
//! gracefully.
//!
//! Each starts in the [`reactor`], and may be handed over to [`hyper`]. TLS connections ([`tls`])
//! start in hyper.

pub mod connections;
mod hyper;
pub mod reactor;
mod stream;
pub mod tls;

use std::io;
use std::sync::Arc;

use axum::Router;

use crate::http::redirect::Redirector;
use crate::limits::DRAIN_TIMEOUT;
use connections::{ConnectionLimits, Listener};
use hyper::Hyper;
use reactor::Handle;

/// The redirect path and the router.
#[derive(Clone)]
pub struct HttpApp {
    /// Answers requests for links; `None` if links are not served.
    pub redirector: Option<Arc<Redirector>>,
    /// Answers other requests.
    pub router: Router,
    /// Whether its connections use the service's own TLS.
    pub is_tls: bool,
}

/// Serves until `stop` completes, then lets active requests finish.
pub async fn serve(
    listener: Listener,
    limits: Arc<ConnectionLimits>,
    app: HttpApp,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let redirector = app.redirector.clone();
    let hyper = Arc::new(Hyper::new(app, tokio::runtime::Handle::current()));
    let threads = std::thread::available_parallelism().map_or(1, Into::into);
    let reactors = redirector
        .iter()
        .flat_map(|redirector| std::iter::repeat_n(redirector, threads).enumerate())
        .map(|(number, redirector)| {
            Handle::start(number, Arc::clone(redirector), Arc::clone(&hyper))
        })
        .collect::<io::Result<Vec<_>>>()?;

    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept(&limits) => accepted,
            () = &mut stop => break,
        };
        let Some(accepted) = accepted else { continue };
        let idlest = reactors.iter().min_by_key(|reactor| reactor.connections());
        match idlest {
            Some(reactor) => reactor.serve(accepted),
            None => hyper.serve(accepted.into()),
        }
    }
    drop(listener);
    reactors.iter().for_each(Handle::stop);
    let join = move || reactors.into_iter().for_each(Handle::join);
    let joined = tokio::task::spawn_blocking(join);
    if tokio::time::timeout(DRAIN_TIMEOUT * 2, joined).await.is_err() {
        tracing::warn!("a redirect thread did not stop in time");
    }
    // The threads have ended, so nothing can be handed over any more.
    if let Some(hyper) = Arc::into_inner(hyper) {
        hyper.shutdown().await;
    }
    Ok(())
}

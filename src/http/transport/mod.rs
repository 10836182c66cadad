//! Connections: accepted within [limits](connections), read within a time, ended in order.
//!
//! Each begins with the [`reactor`](reactor), and may go over to [`hyper`](hyper).
//! What comes over [`tls`](tls) begins with hyper.

pub mod connections;
mod hyper;
pub mod reactor;
mod stream;
pub mod tls;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;

use crate::http::redirect::Redirector;
use connections::{ConnectionLimits, Listener};
use hyper::Hyper;
use reactor::Handle;

/// A connection on which no request is under way is ended when it brought none for one to two of
/// these: it is idle, or its client sends a head drop by drop.
pub(super) const IDLE_PERIOD: Duration = Duration::from_secs(8);
/// How long requests under way may take to end once the server stops.
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// The redirect path, and the router behind it.
#[derive(Clone)]
pub struct HttpApp {
    /// Answers what is a link's; `None` where links are not served.
    pub redirector: Option<Arc<Redirector>>,
    /// Answers the rest.
    pub router: Router,
    /// Whether its connections are the service's own TLS.
    pub is_tls: bool,
}

/// Serves until `stop` is done, then lets requests under way end.
///
/// # Errors
/// When the system refuses what the threads need at the start.
pub async fn serve(
    listener: Listener,
    limits: Arc<ConnectionLimits>,
    front: HttpApp,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let redirector = front.redirector.clone();
    let hyper = Arc::new(Hyper::new(front, tokio::runtime::Handle::current()));
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
        tracing::warn!("a thread that answers redirects does not end");
    }
    // The threads are gone, and with them all who could hand anything over.
    if let Some(hyper) = Arc::into_inner(hyper) {
        hyper.shutdown().await;
    }
    Ok(())
}

//! Connections: accepted up to a bound, read within a time, ended in order.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::ServiceExt;
use tower::util::Oneshot;

use super::redirect::Redirector;

/// How many connections are served at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 16_384;
/// How long a client may take for a request's head, the wait for a next request included.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// The largest head that is read, in bytes; a larger one is answered 431.
const MAX_HEAD_BYTES: usize = 32 << 10;
/// How long requests under way may take to end once the server stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait when the system has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The redirect path, and the router behind it.
#[derive(Clone)]
pub struct Front {
    /// Answers what is a link's.
    pub redirector: Arc<Redirector>,
    /// Answers the rest.
    pub router: Router,
}

/// A connection's service: it knows the other end.
struct Connection {
    front: Front,
    peer: IpAddr,
}

/// An answer that is there, or one that the router works on.
enum Answer {
    Redirect(Ready<Result<Response<Body>, Infallible>>),
    Router(Pin<Box<Oneshot<Router, Request<Body>>>>),
}

impl Future for Answer {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Redirect(answer) => Pin::new(answer).poll(context),
            Self::Router(answer) => answer.as_mut().poll(context),
        }
    }
}

impl hyper::service::Service<Request<Incoming>> for Connection {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        match self.front.redirector.answer(&request, self.peer) {
            Some(response) => Answer::Redirect(ready(Ok(response))),
            None => {
                let router = self.front.router.clone();
                Answer::Router(Box::pin(router.oneshot(request.map(Body::new))))
            }
        }
    }
}

/// Serves until `stop` is done, then lets requests under way end.
pub async fn serve(listener: TcpListener, front: Front, stop: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = &mut stop => break,
        };
        let (stream, peer, place) = accepted;
        let service = Connection { front: front.clone(), peer: peer.ip() };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            // What a client does to its own connection is no event of the service.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_TIMEOUT, connections.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in time and were cut off");
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, Option<tokio::sync::OwnedSemaphorePermit>) {
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // An answer is one small write: it must not wait for more.
                let _slower_at_worst = stream.set_nodelay(true);
                return (stream, peer, place);
            }
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

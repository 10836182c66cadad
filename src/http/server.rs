//! Connections: accepted up to a bound, read within a time, ended in order.

use std::convert::Infallible;
use std::future::Ready;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::ServiceExt;
use tower::util::Oneshot;

use super::redirect::Redirector;

/// How many connections are served at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 16_384;
/// A connection on which no request is under way is ended when it brought none for one to two of
/// these: it is idle, or its client sends a head drop by drop.
const IDLE_PERIOD: Duration = Duration::from_secs(8);
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
    activity: Arc<Activity>,
}

/// What a connection has been doing.
///
/// hyper's own timeout for heads would arm and disarm a timer for each request, at a tenth of
/// what a redirect costs. These are two counters, looked at now and then.
#[derive(Default)]
struct Activity {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Activity {
    fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    fn end(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// How many requests there have been, unless one is under way.
    fn idle_after(&self) -> Option<u64> {
        let ended = self.ended.load(Ordering::Relaxed);
        (self.begun.load(Ordering::Relaxed) == ended).then_some(ended)
    }
}

/// An answer that is there, or one that the router works on.
enum Answer {
    Redirect(Ready<Result<Response<Body>, Infallible>>),
    Router { answer: Pin<Box<Oneshot<Router, Request<Body>>>>, under_way: Option<UnderWay> },
}

/// A request that the router works on, until its answer is sent; over when dropped.
struct UnderWay(Arc<Activity>);

/// An answer's body that is still being sent: a slow reader is not idle.
struct Watched {
    body: Body,
    _under_way: Option<UnderWay>,
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Future for Answer {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Redirect(answer) => Pin::new(answer).poll(context),
            Self::Router { answer, under_way } => {
                let response = ready!(answer.as_mut().poll(context));
                let watched = |body| Body::new(Watched { body, _under_way: under_way.take() });
                Poll::Ready(response.map(|response| response.map(watched)))
            }
        }
    }
}

impl hyper::service::Service<Request<Incoming>> for Connection {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, mut request: Request<Incoming>) -> Answer {
        self.activity.begin();
        if let Some(response) = self.front.redirector.answer(&mut request, self.peer) {
            self.activity.end();
            return Answer::Redirect(std::future::ready(Ok(response)));
        }
        let under_way = UnderWay(Arc::clone(&self.activity));
        let router = self.front.router.clone();
        let answer = Box::pin(router.oneshot(request.map(Body::new)));
        Answer::Router { answer, under_way: Some(under_way) }
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
        let activity = Arc::new(Activity::default());
        let service =
            Connection { front: front.clone(), peer: peer.ip(), activity: Arc::clone(&activity) };
        let connection = http1::Builder::new()
            .header_read_timeout(None)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            tokio::select! {
                biased;
                // What a client does to its own connection is no event of the service.
                _ = connection => {}
                () = idle(&activity) => {}
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_TIMEOUT, connections.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in time and were cut off");
    }
}

/// Done when no request was begun for a whole period and none is under way.
async fn idle(activity: &Activity) {
    let mut before = None;
    loop {
        tokio::time::sleep(IDLE_PERIOD).await;
        let now = activity.idle_after();
        if now.is_some() && now == before {
            return;
        }
        before = now;
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

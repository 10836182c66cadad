//! What the reactor hands over, and what comes over TLS: hyper serves the rest of such a
//! connection's life.
//!
//! Visits of links are answered here too, by the same [`Redirector`](crate::http::redirect::Redirector),
//! each click appended by itself.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Ready;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::{
    CACHE_CONTROL, LOCATION, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tower::ServiceExt;
use tower::util::Oneshot;

use super::connections::{Accepted, ConnectionPermit};
use super::stream::Prefixed;
use super::{DRAIN_TIMEOUT, HttpApp, IDLE_PERIOD};
use crate::clicks::{ClickBatch, Headers};
use crate::http::redirect::{self, Answer, Moment, RequestHead};
use crate::http::{host, security};

/// The largest head that is read, in bytes; a larger one is answered 431.
const MAX_HEAD_BYTES: usize = 32 << 10;

thread_local! {
    /// The memory of a click that is a group by itself.
    static CLICK: RefCell<ClickBatch> = RefCell::default();
}

/// A connection, and what it has brought that nobody has answered.
pub(super) struct HandedOver {
    pub(super) stream: std::net::TcpStream,
    pub(super) read: Vec<u8>,
    pub(super) peer: IpAddr,
    pub(super) permit: ConnectionPermit,
}

impl From<Accepted> for HandedOver {
    fn from(Accepted { stream, peer, permit }: Accepted) -> Self {
        Self { stream, read: Vec::new(), peer, permit }
    }
}

/// Serves connections with hyper.
pub(super) struct Hyper {
    front: HttpApp,
    runtime: tokio::runtime::Handle,
    connections: GracefulShutdown,
    /// Whoever is left when it changes, or is dropped, is cut off.
    cut: watch::Sender<()>,
}

impl Hyper {
    /// On this runtime.
    pub(super) fn new(front: HttpApp, runtime: tokio::runtime::Handle) -> Self {
        let (connections, cut) = (GracefulShutdown::new(), watch::Sender::new(()));
        Self { front, runtime, connections, cut }
    }

    /// Serves a connection to its end. May be called by any thread.
    pub(super) fn serve(&self, handed_over: HandedOver) {
        let HandedOver { stream, read, peer, permit } = handed_over;
        let served = self.connection(peer, permit);
        self.runtime.spawn(async move {
            match TcpStream::from_std(stream) {
                Ok(stream) => served.over(Prefixed::new(read, stream)).await,
                Err(error) => tracing::warn!(%error, "a connection can't be waited for"),
            }
        });
    }

    /// What will serve a connection with this other end, whose stream is not ready yet. Until then
    /// [`Self::shutdown`] waits for it too.
    pub(super) fn connection(&self, peer: IpAddr, permit: ConnectionPermit) -> Served {
        let (watcher, cut) = (self.connections.watcher(), self.cut.subscribe());
        Served { front: self.front.clone(), peer, watcher, cut, permit }
    }

    /// Lets requests under way end within [`DRAIN_TIMEOUT`], and cuts the others off. Afterwards
    /// there is no connection any more, nor what one of them held of the service.
    pub(super) async fn shutdown(self) {
        let Self { connections, cut, .. } = self;
        if tokio::time::timeout(DRAIN_TIMEOUT, connections.shutdown()).await.is_err() {
            tracing::warn!("some requests did not end in time and were cut off");
            cut.send_replace(());
            cut.closed().await;
        }
    }
}

/// See [`Hyper::connection`].
pub(super) struct Served {
    front: HttpApp,
    peer: IpAddr,
    watcher: Watcher,
    cut: watch::Receiver<()>,
    permit: ConnectionPermit,
}

impl Served {
    /// Answers what comes over a stream, until it ends, idles, the server stops, or it is cut off.
    pub(super) async fn over(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self { front, peer, watcher, mut cut, permit } = self;
        let activity = Arc::new(Activity::default());
        let service = Connection { front, peer, activity: Arc::clone(&activity) };
        let connection = http1::Builder::new()
            .header_read_timeout(None)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            biased;
            // What a client does to its own connection is no event of the service.
            _ = watcher.watch(connection) => {}
            () = idle(&activity) => {}
            _ = cut.changed() => {}
        }
        drop(permit);
    }
}

/// A connection's service: it knows the other end.
struct Connection {
    front: HttpApp,
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
enum Answering {
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

impl Future for Answering {
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
    type Future = Answering;

    fn call(&self, mut request: Request<Incoming>) -> Answering {
        self.activity.begin();
        if let Some(answer) = self.redirect(&request) {
            self.activity.end();
            // The request's map becomes the answer's, and with hyper's help the next request's:
            // so a connection allocates one, once.
            let headers = std::mem::take(request.headers_mut());
            let mut response = response(answer, headers);
            if self.front.is_tls {
                let value = security::STRICT_TRANSPORT_SECURITY;
                response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, value);
            }
            return Answering::Redirect(std::future::ready(Ok(response)));
        }
        if self.front.is_tls {
            request.extensions_mut().insert(security::OverTls);
        }
        request.extensions_mut().insert(crate::http::Peer(self.peer));
        let under_way = UnderWay(Arc::clone(&self.activity));
        let router = self.front.router.clone();
        let answer = Box::pin(router.oneshot(request.map(Body::new)));
        Answering::Router { answer, under_way: Some(under_way) }
    }
}

impl Connection {
    /// The answer to a visit of a link, its click logged.
    fn redirect(&self, request: &Request<Incoming>) -> Option<Answer> {
        let head = match *request.method() {
            Method::GET => false,
            Method::HEAD => true,
            _ => return None,
        };
        let uri = request.uri();
        if host::fault(request.version(), uri, request.headers()).is_some() {
            return None;
        }
        let (path, query) = (uri.path(), uri.query());
        let authority = uri.authority().map(Authority::as_str);
        let headers = Headers::of_map(request.headers());
        let head = RequestHead { peer: self.peer, head, path, query, authority, headers };
        let (redirector, moment) = (self.front.redirector.as_ref()?, Moment::now());
        CLICK.with_borrow_mut(|click| {
            let answer = redirector.answer(&head, &moment, click)?;
            redirector.settle(click, &moment);
            Some(answer)
        })
    }
}

fn response(answer: Answer, mut headers: HeaderMap) -> Response<Body> {
    headers.clear();
    // Addresses are visible ASCII, so this has no way to fail.
    let location = answer.location().map(HeaderValue::try_from);
    headers.extend(location.into_iter().flatten().map(|location| (LOCATION, location)));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(redirect::CACHE_CONTROL));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static(redirect::REFERRER_POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, crate::http::NOSNIFF);
    for (name, value) in answer.headers {
        headers.append(name, value);
    }
    let mut response = Response::new(Body::from(answer.page));
    *response.status_mut() = answer.status;
    *response.headers_mut() = headers;
    response
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

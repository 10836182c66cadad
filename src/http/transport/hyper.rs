//! Serves connections handed over by the reactor, and TLS connections, with hyper.
//!
//! It answers visits of links too, with the same [`Redirector`](crate::http::redirect::Redirector),
//! and appends each click by itself.

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

use super::HttpApp;
use super::connections::{Accepted, ConnectionPermit};
use super::stream::Prefixed;
use crate::clicks::{ClickBatch, Headers};
use crate::http::redirect::{self, Answer, RequestHead, RequestTime};
use crate::http::{host, security};
use crate::limits::{DRAIN_TIMEOUT, IDLE_PERIOD};

/// The maximum size of a request head, in bytes; larger ones get a 431.
const MAX_HEAD_BYTES: usize = 32 << 10;

thread_local! {
    /// The buffer for the click of one visit.
    static CLICK: RefCell<ClickBatch> = RefCell::default();
}

/// A connection with the bytes read but not processed.
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
    app: HttpApp,
    runtime: tokio::runtime::Handle,
    connections: GracefulShutdown,
    /// Aborts the remaining connections when it changes or is dropped.
    abort: watch::Sender<()>,
}

impl Hyper {
    /// Serves on this runtime.
    pub(super) fn new(app: HttpApp, runtime: tokio::runtime::Handle) -> Self {
        let (connections, abort) = (GracefulShutdown::new(), watch::Sender::new(()));
        Self { app, runtime, connections, abort }
    }

    /// Serves a connection to its end. Can be called from any thread.
    pub(super) fn serve(&self, handed_over: HandedOver) {
        let HandedOver { stream, read, peer, permit } = handed_over;
        let pending = self.connection(peer, permit);
        self.runtime.spawn(async move {
            match TcpStream::from_std(stream) {
                Ok(stream) => pending.serve(Prefixed::new(&read, stream)).await,
                Err(error) => tracing::warn!(%error, "cannot register a connection"),
            }
        });
    }

    /// Prepares a connection whose stream is not ready yet. [`Self::shutdown`] waits for it too.
    pub(super) fn connection(&self, peer: IpAddr, permit: ConnectionPermit) -> PendingConnection {
        let (watcher, abort) = (self.connections.watcher(), self.abort.subscribe());
        PendingConnection { app: self.app.clone(), peer, watcher, abort, permit }
    }

    /// Lets active requests finish within [`DRAIN_TIMEOUT`], and aborts the others. On return, all
    /// connections and their resources are dropped.
    pub(super) async fn shutdown(self) {
        let Self { connections, abort, .. } = self;
        if tokio::time::timeout(DRAIN_TIMEOUT, connections.shutdown()).await.is_err() {
            tracing::warn!("some requests did not finish in time and were aborted");
            abort.send_replace(());
            abort.closed().await;
        }
    }
}

/// A connection that is counted for the shutdown, see [`Hyper::connection`].
pub(super) struct PendingConnection {
    app: HttpApp,
    peer: IpAddr,
    watcher: Watcher,
    abort: watch::Receiver<()>,
    permit: ConnectionPermit,
}

impl PendingConnection {
    /// Serves a stream until it ends, is idle, the server stops, or it is aborted.
    pub(super) async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self { app, peer, watcher, mut abort, permit } = self;
        let activity = Arc::new(Activity::default());
        let service = Connection { app, peer, activity: Arc::clone(&activity) };
        let connection = http1::Builder::new()
            .header_read_timeout(None)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        tokio::select! {
            biased;
            // Errors of a client's connection are not logged.
            _ = watcher.watch(connection) => {}
            () = idle(&activity) => {}
            _ = abort.changed() => {}
        }
        drop(permit);
    }
}

/// The service of a connection, with its peer.
struct Connection {
    app: HttpApp,
    peer: IpAddr,
    activity: Arc<Activity>,
}

/// The activity of a connection.
///
/// hyper's own timeout for heads would set and clear a timer for each request, at a tenth of the
/// cost of a redirect. Two counters, checked periodically, are cheaper.
#[derive(Default)]
struct Activity {
    started: AtomicU64,
    finished: AtomicU64,
}

impl Activity {
    fn start(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
    }

    fn finish(&self) {
        self.finished.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of finished requests, unless one is active.
    fn finished_if_idle(&self) -> Option<u64> {
        let finished = self.finished.load(Ordering::Relaxed);
        (self.started.load(Ordering::Relaxed) == finished).then_some(finished)
    }
}

/// A finished redirect, or a response of the router.
enum ResponseFuture {
    Redirect(Ready<Result<Response<Body>, Infallible>>),
    Router { answer: Pin<Box<Oneshot<Router, Request<Body>>>>, active: Option<ActiveRequest> },
}

/// A request that the router handles, until its response is sent; ends when dropped.
struct ActiveRequest(Arc<Activity>);

/// A response body that is being sent: a slow reader is not idle.
struct TrackedBody {
    body: Body,
    _active: Option<ActiveRequest>,
}

impl hyper::body::Body for TrackedBody {
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

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.finish();
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Redirect(answer) => Pin::new(answer).poll(context),
            Self::Router { answer, active } => {
                let response = ready!(answer.as_mut().poll(context));
                let tracked = |body| Body::new(TrackedBody { body, _active: active.take() });
                Poll::Ready(response.map(|response| response.map(tracked)))
            }
        }
    }
}

impl hyper::service::Service<Request<Incoming>> for Connection {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn call(&self, mut request: Request<Incoming>) -> ResponseFuture {
        self.activity.start();
        if let Some(answer) = self.redirect(&request) {
            self.activity.finish();
            // The response reuses the request's map, and hyper reuses it for the next request, so a
            // connection allocates one map.
            let headers = std::mem::take(request.headers_mut());
            let mut response = response(answer, headers);
            if self.app.is_tls {
                let value = security::STRICT_TRANSPORT_SECURITY;
                response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, value);
            }
            return ResponseFuture::Redirect(std::future::ready(Ok(response)));
        }
        if self.app.is_tls {
            request.extensions_mut().insert(security::OverTls);
        }
        request.extensions_mut().insert(crate::http::Peer(self.peer));
        let active = ActiveRequest(Arc::clone(&self.activity));
        let router = self.app.router.clone();
        let answer = Box::pin(router.oneshot(request.map(Body::new)));
        ResponseFuture::Router { answer, active: Some(active) }
    }
}

impl Connection {
    /// Answers a visit of a link and logs its click.
    fn redirect(&self, request: &Request<Incoming>) -> Option<Answer> {
        let head = match *request.method() {
            Method::GET => false,
            Method::HEAD => true,
            _ => return None,
        };
        let uri = request.uri();
        if host::host_error(request.version(), uri, request.headers()).is_some() {
            return None;
        }
        let (path, query) = (uri.path(), uri.query());
        let authority = uri.authority().map(Authority::as_str);
        let headers = Headers::of_map(request.headers());
        let head = RequestHead { peer: self.peer, head, path, query, authority, headers };
        let (redirector, moment) = (self.app.redirector.as_ref()?, RequestTime::now());
        CLICK.with_borrow_mut(|click| {
            let answer = redirector.answer(&head, &moment, click)?;
            redirector.append_clicks(click, &moment);
            Some(answer)
        })
    }
}

fn response(answer: Answer, mut headers: HeaderMap) -> Response<Body> {
    headers.clear();
    // Locations are visible ASCII, so this cannot fail.
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

/// Completes when no request has started or been active for a whole period.
async fn idle(activity: &Activity) {
    let mut before = None;
    loop {
        tokio::time::sleep(IDLE_PERIOD).await;
        let now = activity.finished_if_idle();
        if now.is_some() && now == before {
            return;
        }
        before = now;
    }
}

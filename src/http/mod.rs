//! HTTP: the redirect path in front, the router behind it.
//!
//! A connection begins with [`transport::reactor`], whose threads do nothing but answer visits of links. What
//! brings anything else is handed over to `hyper`. In both a request first meets [`redirect`],
//! which answers it if its path is a link's slug. All else goes through the router below, whose
//! layers stand in the order in which a request meets them.

mod attempt_limiter;
mod auth;
pub mod auth_failures;
mod body;
pub mod challenge;
mod form;
mod guides;
pub mod health;
mod host;
pub mod last_used;
mod native;
pub mod pages;
mod params;
mod problem;
pub mod proof;
pub mod redirect;
pub mod security;
mod signing;
pub mod transport;

use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use crate::commands::Commands;
use crate::imports::Imports;
use crate::queries::analytics::Analytics;
use crate::queries::domains::Domains;
use crate::queries::exports::Exports;
use crate::queries::history::Histories;
use crate::queries::links::Links;
use crate::queries::operations::{Operations, Reconciliation};
use problem::Problem;

/// On each answer: what its `Content-Type` says holds, whatever its bytes look like.
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// How long a request may take, its body included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The same for requests that read all clicks, or a large file.
const LONG_TIMEOUT: Duration = Duration::from_secs(3_600);

/// What handlers work with. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    /// The way to change things.
    pub commands: Commands,
    /// Reads of the index.
    pub links: Links,
    /// Reads of the past.
    pub histories: Histories,
    /// Reads of domains.
    pub domains: Domains,
    /// Looks whether domains are whose they are said to be.
    pub prover: Arc<dyn proof::DomainProver>,
    /// What certificate authorities look for.
    pub challenge: Arc<challenge::OpenChallenge>,
    /// Reads of the clicks.
    pub analytics: Analytics,
    /// Where the service is reached.
    pub site: Arc<Site>,
    /// Files of clicks.
    pub exports: Exports,
    /// Files of links.
    pub imports: Imports,
    /// How the service is.
    pub health: Arc<dyn health::Health>,
    /// What those who run the service may ask.
    pub operations: Operations,
    /// SHA-256 of the operator's key.
    pub operator_key: [u8; 32],
    /// What lists, creates and revokes tokens.
    pub tokens: Tokens,
    /// Failed authentications.
    pub auth_failures: Arc<auth_failures::AuthFailures>,
    /// What the pages for visitors share.
    pub visitors: Arc<pages::Visitors>,
}

/// The other end of a request's connection: the server notes it for the router, as an extension.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Where the service is reached from outside.
#[derive(Debug, Clone)]
pub struct Site {
    /// `https://sho.rt`, without a slash at its end.
    pub base: String,
    /// `https`
    pub scheme: String,
    /// `sho.rt`, with the port where it is not the scheme's own: the default domain.
    pub host: String,
}

/// The comparison of log and ClickHouse, as its answer has it.
pub fn reconciliation_json(found: Reconciliation) -> serde_json::Value {
    serde_json::json!(native::admin::ReconciliationView::from(found))
}

pub use native::admin::moment_ms;
pub use native::tokens::{TokenBody, Tokens};

/// The API's OpenAPI document.
pub fn openapi_document() -> utoipa::openapi::OpenApi {
    native::openapi::document(Audience::All)
}

/// Whose requests a listener takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Everybody's: there is no other listener.
    All,
    /// All but the operator's.
    Public,
    /// The operator's alone.
    Operator,
}

/// The routes for an audience, and the layers around them.
pub fn router(services: Services, audience: Audience) -> Router {
    let layers = ServiceBuilder::new()
        .layer(from_fn(problem::render))
        .layer(from_fn(host::required))
        .layer(CatchPanicLayer::custom(panicked));
    let routes = match audience {
        Audience::All => public().merge(health::router()),
        Audience::Public => public(),
        Audience::Operator => health::router().fallback(async || Problem::not_found("path")),
    };
    routes
        .layer(from_fn_with_state(REQUEST_TIMEOUT, within_time))
        // Its routes have timeouts of their own.
        .nest("/api/v1", native::router(&services, audience))
        .layer(layers)
        .with_state(services)
}

fn public() -> Router<Services> {
    Router::new()
        .merge(guides::router())
        .merge(pages::router())
        .merge(host::well_known())
        .merge(challenge::router())
        .fallback(elsewhere)
}

async fn within_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    tokio::time::timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
        let detail = "The request took too long.";
        Problem::new(StatusCode::REQUEST_TIMEOUT, "TIMEOUT", detail).into_response()
    })
}

fn panicked(_: Box<dyn Any + Send>) -> Response {
    // The panic's own message is on standard error, with its place.
    Problem::internal("a handler panicked").into_response()
}

/// What no route takes: programs that miss the API's path are told so as programs.
async fn elsewhere(services: State<Services>, request: Request) -> Response {
    if request.uri().path().starts_with("/api/") {
        return Problem::not_found("path").into_response();
    }
    pages::elsewhere(services, request).await
}

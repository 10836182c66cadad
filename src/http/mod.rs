//! HTTP: the redirect path, and the router behind it.
//!
//! A connection starts in the [reactor](transport::reactor), whose threads only answer visits of
//! links, and is handed over to `hyper` for anything else. Both first pass a request to
//! [`redirect`], which answers it if its path is a link's slug. All other requests go through the
//! router below, whose layers are in the order in which a request passes them.

pub mod api_meter;
pub mod attempt_limiter;
pub mod auth;
mod body;
pub mod challenge;
mod cookies;
mod cors;
mod dialects;
pub mod domain_verifier;
mod final_newline;
mod form;
mod guides;
pub mod health;
mod host;
pub mod last_used;
pub mod mail;
mod native;
pub mod pages;
mod params;
mod postman;
mod problem;
pub mod qr_codes;
pub mod rate_limit;
pub mod redirect;
pub mod response_counts;
pub mod scheduled;
pub mod security;
pub mod transport;

use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::CACHE_CONTROL;
use axum::middleware::{Next, from_fn, from_fn_with_state, map_request_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use crate::commands::Commands;
use crate::commands::accounts::Accounts;
use crate::domain::error::{ErrorCode, ServiceError};
use crate::domain::plan::rate::RateClass;
use crate::jobs::exports::Exports;
use crate::jobs::imports::Imports;
use crate::limits::{HEAVY_REQUEST_TIMEOUT, REQUEST_TIMEOUT};
use crate::queries::analytics::Analytics;
use crate::queries::domains::Domains;
use crate::queries::history::LinkHistory;
use crate::queries::links::Links;
use crate::queries::operations::{Operations, Reconciliation};
use crate::queries::plans::Plans;

/// Sent with each response: browsers must not sniff the content type.
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// The target of the lines of the access log, which `--access-log` enables.
pub const ACCESS_LOG: &str = "access";

/// The dependencies of the handlers. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    /// Executes commands.
    pub commands: Commands,
    /// Reads the index.
    pub links: Links,
    /// Reads history.
    pub link_history: LinkHistory,
    /// Reads domains.
    pub domains: Domains,
    /// Verifies the ownership of domains.
    pub domain_verifier: Arc<dyn domain_verifier::DomainVerifier>,
    /// The open ACME challenge.
    pub challenge: Arc<challenge::OpenChallenge>,
    /// Reads clicks.
    pub analytics: Analytics,
    /// The hosts of dialects.
    pub dialect_hosts: DialectHosts,
    /// The public address of the service.
    pub site: Arc<Site>,
    /// Exports of clicks.
    pub exports: Exports,
    /// Imports of links.
    pub imports: Imports,
    /// The health of the service.
    pub health: Arc<dyn health::Health>,
    /// Operator commands.
    pub operations: Operations,
    /// SHA-256 of the operator key.
    pub operator_key: [u8; 32],
    /// Lists, creates and revokes tokens.
    pub tokens: Tokens,
    /// Failed authentications.
    pub auth_failures: Arc<auth::failures::AuthFailures>,
    /// Counts requests against the rate limits of plans.
    pub rate_limiter: Arc<rate_limit::RateLimiter>,
    /// Counts API calls.
    pub api_meter: Arc<api_meter::ApiMeter>,
    /// The secrets of payment providers.
    pub provider_secrets: ProviderSecrets,
    /// Starts periodic tasks.
    pub scheduled: Arc<dyn scheduled::ScheduledTasks>,
    /// SHA-256 of the secret with which requests may start them.
    pub cron_secret: Option<[u8; 32]>,
    /// Reads plans, usage and credits.
    pub plans: Plans,
    /// Users, workspaces and sessions.
    pub accounts: Accounts,
    /// The cookies of sessions.
    pub session_cookies: auth::SessionCookies,
    /// Limits on the requests of an address.
    pub address_limits: attempt_limiter::AddressLimits,
    /// Limits on sign-ins.
    pub sign_in_limits: Arc<auth::sign_in_limits::SignInLimits>,
    /// Reads and draws QR codes.
    pub qr: qr_codes::QrServices,
    /// Sends mail, if it is configured.
    pub mailer: Option<Arc<dyn mail::Mailer>>,
    /// State shared by the pages for visitors.
    pub visitors: Arc<pages::Visitors>,
}

/// The peer of a request's connection, set by the server as an extension.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// The public address of the service.
#[derive(Debug, Clone)]
pub struct Site {
    /// `https://sho.rt`, without a trailing slash.
    pub base: String,
    /// `https`
    pub scheme: String,
    /// `sho.rt`, with the port unless it is the scheme's default: the default domain.
    pub host: String,
}

impl Site {
    /// The short URL at a slug of a domain (empty: the default domain).
    pub fn short_url(&self, domain: &str, slug: &str) -> String {
        match domain {
            "" => format!("{}/{slug}", self.base),
            domain => format!("{}://{domain}/{slug}", self.scheme),
        }
    }
}

/// A reconciliation as JSON, as in the API.
pub fn reconciliation_json(found: Reconciliation) -> serde_json::Value {
    serde_json::json!(native::admin::ReconciliationView::from(found))
}

use dialects::to_dialect;
use final_newline::end_json_with_newline;

pub use dialects::DialectHosts;
pub use native::ProviderSecrets;
pub use native::admin::timestamp_ms;
pub use native::qr_codes::exports::resume as resume_qr_exports;
pub use native::tokens::{TokenBody, Tokens};

/// The API's OpenAPI document.
pub fn openapi_document() -> utoipa::openapi::OpenApi {
    native::openapi::document(Audience::All)
}

/// Which requests a listener accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// All: there is no other listener.
    All,
    /// All except the operator's.
    Public,
    /// Only the operator's.
    Operator,
}

/// The routes for an audience, with their layers.
pub fn router(services: Services, audience: Audience) -> Router {
    let layers = ServiceBuilder::new()
        .layer(map_response(end_json_with_newline))
        .layer(from_fn_with_state(form_at as fn(&str) -> _, problem::render))
        .layer(from_fn(host::required))
        .layer(CatchPanicLayer::custom(on_panic));
    let routes = match audience {
        Audience::All => public().merge(health::router()),
        Audience::Public => public(),
        Audience::Operator => health::router().fallback(async || ServiceError::not_found("path")),
    };
    let others = match audience {
        Audience::All | Audience::Public => Router::new()
            .nest("/api/auth", native::auth_router(&services))
            .merge(dialects::router(&services)),
        Audience::Operator => Router::new(),
    };
    let hosts = services.dialect_hosts.clone();
    let all = routes
        .layer(from_fn_with_state(REQUEST_TIMEOUT, with_timeout))
        // Its routes have timeouts of their own.
        .nest("/api/v1", native::router(&services, audience))
        .merge(others)
        .layer(layers)
        .with_state(services);
    if hosts.is_empty() {
        return all;
    }
    // Before the routes are matched.
    Router::new().fallback_service(all).layer(map_request_with_state(hosts, to_dialect))
}

fn public() -> Router<Services> {
    Router::new()
        .merge(guides::router())
        .merge(pages::router())
        .merge(host::well_known())
        .merge(challenge::router())
        .route("/qr/{file}", get(qr_codes::images::public))
        .fallback(fallback)
}

async fn with_timeout(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    tokio::time::timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
        let detail = "The request took too long.";
        ServiceError::new(ErrorCode::Timeout, detail).into_response()
    })
}

/// The form of errors below a path, if it is a dialect's.
fn form_at(path: &str) -> Option<problem::ErrorForm> {
    dialects::of_path(path).map(|dialect| dialect.render_error)
}

/// Marks responses as private and not to be stored.
async fn not_stored(mut response: Response) -> Response {
    let value = HeaderValue::from_static("private, no-store");
    response.headers_mut().entry(CACHE_CONTROL).or_insert(value);
    response
}

/// The timeout of requests of a class.
const fn timeout_of(class: RateClass) -> Duration {
    match class {
        RateClass::Standard => REQUEST_TIMEOUT,
        RateClass::Heavy => HEAVY_REQUEST_TIMEOUT,
    }
}

fn on_panic(_: Box<dyn Any + Send>) -> Response {
    // The panic's message and location are on standard error.
    ServiceError::internal("a handler panicked").into_response()
}

/// Requests without a route: API paths get a JSON problem.
async fn fallback(services: State<Services>, request: Request) -> Response {
    if request.uri().path().starts_with("/api/") {
        return ServiceError::not_found("path").into_response();
    }
    pages::fallback(services, request).await
}

//! `/livez`, `/readyz`, `/metrics`: for those who run the service.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use super::Services;

/// Knows how the service is.
pub trait Health: Send + Sync {
    /// The state of each projection.
    fn report(&self) -> Report;
    /// All metrics, in Prometheus's text format.
    fn metrics(&self) -> String;
}

/// How the service is.
#[derive(Debug, Serialize)]
pub struct Report {
    /// `ready`; `degraded` when a log takes no more writes: then redirects go on, and a restart
    /// is needed for the rest.
    pub status: &'static str,
    /// slugline's version.
    pub version: &'static str,
    /// Each log by name.
    pub logs: Logs,
    /// Each projection by name.
    pub projections: Projections,
}

/// The logs.
#[derive(Debug, Serialize)]
pub struct Logs {
    /// Changes of links and tokens.
    pub mutations: LogState,
    /// Clicks.
    pub clicks: LogState,
}

/// How a log is.
#[derive(Debug, Serialize)]
pub struct LogState {
    /// `up`, or `stopped`: then it takes no more writes until a restart.
    pub state: &'static str,
    /// Why it is stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The last offset.
    pub end: u64,
    /// The last offset that survives a power failure.
    pub synced: u64,
}

/// The projections.
#[derive(Debug, Serialize)]
pub struct Projections {
    /// The links, over the mutation log.
    pub index: Projection,
    /// The analytics, over the click log.
    pub clickhouse: Projection,
}

/// How far a projection is.
#[derive(Debug, Serialize)]
pub struct Projection {
    /// `up`, or `away`: then it is behind until it is back.
    pub state: &'static str,
    /// The last offset that it reflects.
    pub offset: u64,
    /// The last offset of its log.
    pub log_end: u64,
    /// How many events it is behind.
    pub lag_events: u64,
    /// For how long it has been behind, in milliseconds.
    pub lag_ms: u64,
    /// How it compared with its log the last time; null before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconciled: Option<Reconciled>,
}

/// How a projection compared with its log.
#[derive(Debug, Serialize)]
pub struct Reconciled {
    /// Up to which offset both were compared.
    pub through: u64,
    /// How many months of workspaces differed.
    pub differences: usize,
}

/// The paths for probes and for Prometheus.
pub fn router() -> Router<Services> {
    Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
}

/// The process answers.
async fn live() -> &'static str {
    "ok\n"
}

/// Redirects can be served: the index was open before the port was. Analytics may be behind.
async fn ready(State(services): State<Services>) -> Json<Report> {
    Json(services.health.report())
}

/// Prometheus's text format.
async fn metrics(State(services): State<Services>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], services.health.metrics())
}

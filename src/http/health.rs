//! `/livez`, `/readyz` and `/metrics`, for operators.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;
use serde::Serialize;

use super::Services;

/// Reports the health of the service.
pub trait Health: Send + Sync {
    /// The state of each projection.
    fn report(&self) -> Report;
    /// All metrics, in Prometheus's text format.
    fn metrics(&self) -> String;
}

/// The health of the service.
#[derive(Debug, Serialize)]
pub struct Report {
    /// `ready`; `degraded` if a log accepts no more writes: redirects continue, everything else
    /// requires a restart.
    pub status: &'static str,
    /// slugline's version.
    pub version: &'static str,
    /// The logs by name.
    pub logs: Logs,
    /// The projections by name.
    pub projections: Projections,
    /// The packages that the service uses, by name.
    pub downloads: Downloads,
    /// What may be set wrong, as sentences.
    pub warnings: Vec<String>,
}

/// The packages that the service uses.
#[derive(Debug, Clone, Serialize)]
pub struct Downloads {
    /// The library of the embedded ClickHouse.
    pub engine: Download,
    /// The database of countries.
    pub geo_db: Download,
    /// The list of crawlers; until it is there, the one in the program is used.
    pub crawler_list: Download,
}

/// The state of a package.
#[derive(Debug, Clone, Serialize)]
pub struct Download {
    /// `ready`, `fetching`, `failed` until the next try, or `disabled`: it is not used.
    pub state: &'static str,
    /// Why the last try failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_try_at: Option<Timestamp>,
}

impl Download {
    /// A state without a failure.
    pub const fn of(state: &'static str) -> Self {
        Self { state, reason: None, next_try_at: None }
    }

    /// After a failed try.
    pub const fn failed(reason: String, next_try_at: Timestamp) -> Self {
        Self { state: "failed", reason: Some(reason), next_try_at: Some(next_try_at) }
    }
}

/// The logs.
#[derive(Debug, Serialize)]
pub struct Logs {
    /// The mutations of links and tokens.
    pub mutations: LogState,
    /// Clicks.
    pub clicks: LogState,
}

/// The state of a log.
#[derive(Debug, Serialize)]
pub struct LogState {
    /// `up`, or `stopped`: it accepts no more writes until a restart.
    pub state: &'static str,
    /// Why it stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The last offset.
    pub end: u64,
    /// The last durable offset.
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

/// The state of a projection.
#[derive(Debug, Serialize)]
pub struct Projection {
    /// `up`, or `away`: unavailable, and behind until it is back.
    pub state: &'static str,
    /// The last offset that it reflects.
    pub offset: u64,
    /// The last offset of its log.
    pub log_end: u64,
    /// How many events it is behind.
    pub lag_events: u64,
    /// For how long it has been behind, in milliseconds.
    pub lag_ms: u64,
    /// The last reconciliation with its log; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconciled: Option<Reconciled>,
}

/// The result of a reconciliation.
#[derive(Debug, Serialize)]
pub struct Reconciled {
    /// The offset up to which both were compared.
    pub through: u64,
    /// The number of months of workspaces that differ.
    pub differences: usize,
}

/// The routes for probes and for Prometheus.
pub fn router() -> Router<Services> {
    Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
}

/// The process responds.
async fn live() -> &'static str {
    "ok\n"
}

/// Redirects can be served: the index was opened before the port. Analytics may be behind.
async fn ready(State(services): State<Services>) -> Json<Report> {
    Json(services.health.report())
}

/// Prometheus's text format.
async fn metrics(State(services): State<Services>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], services.health.metrics())
}

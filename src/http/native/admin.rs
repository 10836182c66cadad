//! `/api/v1/admin`: for those who run the service.
//!
//! Who has the operator's key (the service writes it into its data folder at each start, for
//! the `slugline` command beside it) sees all workspaces. An owner's token sees its own.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Data;
use crate::domain::ids::WorkspaceId;
use crate::http::Services;
use crate::http::auth::{Operator, OperatorOrOwner};
use crate::http::params::{Name, Params};
use crate::http::problem::{Problem, ProblemBody};
use crate::queries::operations::{Compared, RebuildState, Reconciliation};

/// The log and ClickHouse, compared.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReconciliationView {
    /// Whether each click of the log is in ClickHouse once, and in the sums by hour.
    equal: bool,
    /// The offset of the click log up to which all was compared.
    through: u64,
    /// By month (UTC) and workspace.
    months: Vec<ComparedView>,
}

/// One month of one workspace, counted thrice.
#[derive(Debug, Serialize, ToSchema)]
pub struct ComparedView {
    #[schema(example = "2026-11")]
    month: String,
    workspace: String,
    /// Clicks in the log.
    log: u64,
    /// Rows in ClickHouse.
    clickhouse: u64,
    /// What was removed there, because its links were deleted.
    removed: u64,
    /// Their sum in ClickHouse's rollups; of several that differ, one that is wrong.
    rollups: u64,
    /// What differs; null when nothing does.
    difference: Option<String>,
}

impl From<Reconciliation> for ReconciliationView {
    fn from(found: Reconciliation) -> Self {
        Self {
            equal: found.differences() == 0,
            through: found.through,
            months: found.compared.iter().map(ComparedView::from).collect(),
        }
    }
}

impl From<&Compared> for ComparedView {
    fn from(compared: &Compared) -> Self {
        let workspace: Uuid = compared.workspace;
        Self {
            month: format!("{:04}-{:02}", compared.month / 100, compared.month % 100),
            workspace: WorkspaceId::new(workspace).to_string(),
            log: compared.logged.clicks,
            clickhouse: compared.stored.clicks,
            removed: compared.removed.clicks,
            rollups: compared.sum(),
            difference: compared.difference(),
        }
    }
}

/// How a rebuild goes, or went.
#[derive(Debug, Serialize, ToSchema)]
pub struct RebuildView {
    /// `idle`, `running`, `done` or `failed`.
    state: &'static str,
    /// The events that are folded.
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<u64>,
    /// The events that there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    /// How long it took, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl From<RebuildState> for RebuildView {
    fn from(state: RebuildState) -> Self {
        let view = Self { state: "idle", done: None, total: None, seconds: None, error: None };
        match state {
            RebuildState::Idle => view,
            RebuildState::Running { done, total } => {
                Self { state: "running", done: Some(done), total: Some(total), ..view }
            }
            RebuildState::Done { events, took } => Self {
                state: "done",
                done: Some(events),
                total: Some(events),
                seconds: Some(took.as_secs_f64()),
                ..view
            },
            RebuildState::Failed(error) => Self { state: "failed", error: Some(error), ..view },
        }
    }
}

/// Compare the log with ClickHouse: is each click there, and once?
///
/// Reads the whole click log.
#[utoipa::path(
    get, path = "/admin/reconcile", tag = "admin",
    responses(
        (status = 200, body = Data<ReconciliationView>),
        (status = 403, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn reconcile(
    State(services): State<Services>,
    asker: OperatorOrOwner,
    params: Params,
) -> Result<Json<Data<ReconciliationView>>, Problem> {
    params.finish()?;
    let found = services.operations.reconcile(asker.workspace()).await?;
    Ok(Json(Data { data: found.into() }))
}

/// Make a projection anew from the log (`index` or `analytics`), while the present one serves.
#[utoipa::path(
    post, path = "/admin/rebuild/{projection}", tag = "admin",
    params(("projection" = String, Path, description = "index or analytics")),
    responses(
        (status = 202, body = Data<RebuildView>),
        (status = 403, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "One is under way", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn rebuild(
    State(services): State<Services>,
    _: Operator,
    Name(projection): Name,
) -> Result<(StatusCode, Json<Data<RebuildView>>), Problem> {
    match projection.as_str() {
        "analytics" => services.operations.rebuild_analytics().await?,
        "index" => services.operations.rebuild_index()?,
        _ => return Err(Problem::not_found("projection")),
    }
    Ok((StatusCode::ACCEPTED, Json(Data { data: state(&services, &projection)? })))
}

/// See how a rebuild goes, or how the last one went.
#[utoipa::path(
    get, path = "/admin/rebuild/{projection}", tag = "admin",
    params(("projection" = String, Path, description = "index or analytics")),
    responses(
        (status = 200, body = Data<RebuildView>),
        (status = 403, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn rebuild_state(
    State(services): State<Services>,
    _: Operator,
    Name(projection): Name,
) -> Result<Json<Data<RebuildView>>, Problem> {
    Ok(Json(Data { data: state(&services, &projection)? }))
}

fn state(services: &Services, projection: &str) -> Result<RebuildView, Problem> {
    match projection {
        "analytics" => Ok(services.operations.analytics_rebuild().into()),
        "index" => Ok(services.operations.index_rebuild().into()),
        _ => Err(Problem::not_found("projection")),
    }
}

//! `/api/v1/admin`: operation of the service.
//!
//! The operator's key gives access to all workspaces. The service writes it into its data folder at
//! each start, for `slugline` commands on the same machine. A superadmin who is signed in has the
//! same access.

mod domains;
mod recharges;
mod tokens;
mod users;
mod workspaces;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;
use uuid::Uuid;

use super::Data;
use super::route::Routes;
use super::schema::RebuildStatus;
use crate::domain::error::{Result, ServiceError};
use crate::domain::ids::WorkspaceId;
use crate::domain::plan::rate::RateClass;
use crate::http::Services;
use crate::http::auth::Access;
use crate::http::params::{Name, Params};
use crate::queries::operations::{
    Compared, Extent, Operations, RebuildState, Reclassification, Reconciliation,
};

pub fn routes() -> Routes {
    Routes::of("admin", "admin")
        .route(Access::Operator, routes!(reconcile))
        .with(|route| route.class = RateClass::Heavy)
        .route(Access::Operator, routes!(rebuild))
        .route(Access::Operator, routes!(rebuild_status))
        .route(Access::Operator, routes!(reclassify))
        .with(|route| route.class = RateClass::Heavy)
        .route(Access::Operator, routes!(reclassify_status))
        .route(Access::Operator, routes!(backup))
        .with(|route| route.class = RateClass::Heavy)
        .then("admin", "admin_tokens")
        .route(Access::Operator, routes!(tokens::create))
        .route(Access::Operator, routes!(tokens::list))
        .route(Access::Operator, routes!(tokens::revoke))
        .then("admin", "admin_workspaces")
        .route(Access::Operator, routes!(workspaces::list))
        .route(Access::Operator, routes!(workspaces::set_plan))
        .route(Access::Operator, routes!(workspaces::grant_credits))
        .then("admin", "admin_domains")
        .route(Access::Operator, routes!(domains::list))
        .then("admin", "admin_recharges")
        .route(Access::Operator, routes!(recharges::list))
        .then("admin", "admin_users")
        .without_idempotency_keys()
        .route(Access::Operator, routes!(users::create))
        .route(Access::Operator, routes!(users::list))
        .route(Access::Operator, routes!(users::update))
        .route(Access::Operator, routes!(users::create_link))
        .route(Access::Operator, routes!(users::delete))
}

/// The click log compared with ClickHouse.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReconciliationView {
    /// Whether each click of the log is in ClickHouse exactly once, and in the rollups.
    equal: bool,
    /// The offset of the click log up to which both were compared.
    through: u64,
    /// The results by month (UTC) and workspace.
    months: Vec<ComparedView>,
}

/// The counts of one month of one workspace.
#[derive(Debug, Serialize, ToSchema)]
pub struct ComparedView {
    #[schema(example = "2026-11")]
    month: String,
    workspace: String,
    /// Clicks in the log.
    log: u64,
    /// Rows in ClickHouse.
    clickhouse: u64,
    /// Clicks removed from ClickHouse because their links were deleted.
    removed: u64,
    /// Clicks in ClickHouse's rollups; if several rollups differ, a wrong one.
    rollups: u64,
    /// The difference; null if there is none.
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

/// The status of a rebuild.
#[derive(Debug, Serialize, ToSchema)]
pub struct RebuildView {
    /// The state of the rebuild.
    #[schema(value_type = RebuildStatus)]
    state: &'static str,
    /// The number of events processed.
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<u64>,
    /// The total number of events.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    /// The duration in seconds.
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

/// Compares the click log with ClickHouse.
///
/// Reports whether each click is stored exactly once. Reads the whole click log.
#[utoipa::path(
    get, path = "/admin/reconcile",
    responses((status = 200, body = Data<ReconciliationView>)),
)]
pub async fn reconcile(
    State(services): State<Services>,
    params: Params,
) -> Result<Json<Data<ReconciliationView>>> {
    params.finish()?;
    let found = services.operations.analytics.reconcile(Extent::Whole).await?;
    Ok(Json(Data { data: found.into() }))
}

/// Starts a rebuild of a projection from the log.
///
/// The current projection keeps serving until the new one is complete.
#[utoipa::path(
    post, path = "/admin/rebuild/{projection}",
    responses(
        (status = 202, body = Data<RebuildView>),
        (status = 409, description = "Another one is already running."),
    ),
)]
pub async fn rebuild(
    State(services): State<Services>,
    Name(projection): Name,
) -> Result<(StatusCode, Json<Data<RebuildView>>)> {
    match projection.as_str() {
        "analytics" => services.operations.analytics.rebuild().await?,
        "index" => services.operations.index.begin()?,
        _ => return Err(ServiceError::not_found("projection")),
    }
    Ok((StatusCode::ACCEPTED, Json(Data { data: state(&services, &projection)? })))
}

/// Retrieves the status of the current or last rebuild.
#[utoipa::path(
    get, path = "/admin/rebuild/{projection}",
    responses((status = 200, body = Data<RebuildView>)),
)]
pub async fn rebuild_status(
    State(services): State<Services>,
    Name(projection): Name,
) -> Result<Json<Data<RebuildView>>> {
    Ok(Json(Data { data: state(&services, &projection)? }))
}

fn state(services: &Services, projection: &str) -> Result<RebuildView> {
    match projection {
        "analytics" => Ok(services.operations.analytics.rebuild_state().into()),
        "index" => Ok(services.operations.index.state().into()),
        _ => Err(ServiceError::not_found("projection")),
    }
}

/// The clicks that were written into the data folder.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExportedRowsView {
    /// The first offset that the click log has: the clicks before it were written; 1 if it has all.
    first: u64,
}

/// Exports the clicks that the log has dropped.
///
/// Writes what only ClickHouse has into the data folder, from where `slugline backup` copies it.
#[utoipa::path(
    post, path = "/admin/backup",
    responses(
        (status = 200, body = Data<ExportedRowsView>),
        (status = 409, description = "A rebuild or another export is running."),
    ),
)]
pub async fn backup(
    State(services): State<Services>,
    params: Params,
) -> Result<Json<Data<ExportedRowsView>>> {
    params.finish()?;
    let first = services.operations.analytics.export_rows().await?.first;
    Ok(Json(Data { data: ExportedRowsView { first } }))
}

/// The result of a reclassification.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReclassificationView {
    /// The number of user agents with clicks in the period.
    agents: u64,
    /// The number of them whose classification changed.
    reclassified: u64,
    /// The offset of the click log from which the change applies; 0 if nothing changed.
    offset: u64,
}

/// How far reclassifications have been applied.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReclassifiedView {
    /// The offset of the click log up to which reclassifications have been applied.
    through: u64,
}

/// Reloads the crawler list and reclassifies past clicks.
///
/// Changes are appended to the click log; the affected tables are then rebuilt in the background.
#[utoipa::path(
    post, path = "/admin/reclassify",
    params(
        ("since" = String, Query, example = "2026-11-21", description = "The first day (UTC) or time of the clicks to reclassify, or `all`."),
    ),
    responses(
        (status = 202, body = Data<ReclassificationView>),
        (status = 409, description = "Another one is already running."),
    ),
)]
pub async fn reclassify(
    State(services): State<Services>,
    mut params: Params,
) -> Result<(StatusCode, Json<Data<ReclassificationView>>)> {
    let since = params.text("since").unwrap_or_default();
    let since_ms = timestamp_ms(&since);
    if since_ms.is_none() {
        params.refuse("since", "must be a day such as 2026-11-21, a time, or all");
    }
    params.finish()?;
    let Operations { analytics, classifier, .. } = services.operations;
    let found = analytics.reclassify(since_ms.unwrap_or_default(), classifier).await?;
    let Reclassification { agents, reclassified, offset } = found;
    let data = ReclassificationView { agents, reclassified, offset };
    Ok((StatusCode::ACCEPTED, Json(Data { data })))
}

/// Retrieves how far reclassifications have been applied.
#[utoipa::path(
    get, path = "/admin/reclassify",
    responses((status = 200, body = Data<ReclassifiedView>)),
)]
pub async fn reclassify_status(
    State(services): State<Services>,
    params: Params,
) -> Result<Json<Data<ReclassifiedView>>> {
    params.finish()?;
    let through = services.operations.analytics.reclassified_through();
    Ok(Json(Data { data: ReclassifiedView { through } }))
}

/// A time, or the start of a day in UTC, in milliseconds since the Unix epoch.
pub fn timestamp_ms(text: &str) -> Option<u64> {
    if text == "all" {
        return Some(0);
    }
    let moment = match text.parse::<jiff::civil::Date>() {
        Ok(day) if text.len() <= 10 => day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp(),
        _ => text.parse::<jiff::Timestamp>().ok()?,
    };
    u64::try_from(moment.as_millisecond()).ok()
}

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
use crate::queries::operations::{Compared, RebuildState, Reclassification, Reconciliation};

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

/// User agents, judged anew.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReclassificationView {
    /// How many user agents have clicks since then.
    agents: u64,
    /// How many of them are taken for something else now.
    reclassified: u64,
    /// The offset of the click log from which on that holds; 0 where nothing changed.
    offset: u64,
}

/// How far reclassifications are carried out.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReclassifiedView {
    /// Up to this offset of the click log.
    through: u64,
}

/// Read the crawler list again, and classify past clicks by it.
///
/// What changes is appended to the log; the tables are made anew thereafter, while the present ones
/// serve.
#[utoipa::path(
    post, path = "/admin/reclassify", tag = "admin",
    params(("since" = String, Query, description = "Clicks from this day (UTC) or moment on, or `all`")),
    responses(
        (status = 202, body = Data<ReclassificationView>),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "One is under way", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn reclassify(
    State(services): State<Services>,
    _: Operator,
    mut params: Params,
) -> Result<(StatusCode, Json<Data<ReclassificationView>>), Problem> {
    let since = params.text("since").unwrap_or_default();
    let since_ms = moment_ms(&since);
    if since_ms.is_none() {
        params.refuse("since", "must be a day such as 2026-11-21, a moment, or all");
    }
    params.finish()?;
    let found = services.operations.reclassify(since_ms.unwrap_or_default()).await?;
    let Reclassification { agents, reclassified, offset } = found;
    let data = ReclassificationView { agents, reclassified, offset };
    Ok((StatusCode::ACCEPTED, Json(Data { data })))
}

/// See how far reclassifications are carried out.
#[utoipa::path(
    get, path = "/admin/reclassify", tag = "admin",
    responses(
        (status = 200, body = Data<ReclassifiedView>),
        (status = 403, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn reclassified(
    State(services): State<Services>,
    _: Operator,
    params: Params,
) -> Result<Json<Data<ReclassifiedView>>, Problem> {
    params.finish()?;
    let through = services.operations.reclassified_through();
    Ok(Json(Data { data: ReclassifiedView { through } }))
}

/// A day's first moment in UTC or a moment, in milliseconds since the Unix epoch.
pub fn moment_ms(text: &str) -> Option<u64> {
    if text == "all" {
        return Some(0);
    }
    let moment = match text.parse::<jiff::civil::Date>() {
        Ok(day) if text.len() <= 10 => day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp(),
        _ => text.parse::<jiff::Timestamp>().ok()?,
    };
    u64::try_from(moment.as_millisecond()).ok()
}

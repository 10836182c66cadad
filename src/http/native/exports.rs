//! `/api/v1/exports`: files of clicks, written beside other work.

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tower::ServiceExt;
use tower_http::services::ServeFile;
use utoipa::ToSchema;

use super::analytics::as_of;
use super::analytics::body::QueryBody;
use super::analytics::scope::Resolver;
use super::{Data, iso8601};
use crate::domain::ids::WorkspaceId;
use crate::http::Services;
use crate::http::auth::{AnalyticsRead, Can};
use crate::http::body::JsonBody;
use crate::http::params::Name;
use crate::http::problem::{Problem, ProblemBody};
use crate::queries::analytics::Format;
use crate::queries::exports::{Job, State as JobState};

/// Which clicks a file is to have.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "format": "parquet", "date_range": "last_month" }))]
pub struct ExportBody {
    /// `csv`, `ndjson`, `parquet` or `arrow`.
    format: String,
    /// As in a question; `all` when absent.
    #[schema(value_type = Option<Object>)]
    date_range: Option<Value>,
    /// As in a question.
    #[schema(value_type = Option<Object>)]
    filters: Option<Value>,
    /// As in a question.
    timezone: Option<String>,
    /// `exclude`, which is the default, `include` or `only`.
    bots: Option<String>,
    /// Wait until this offset is counted: up to 10 s, then 504. One beyond the end of the log is
    /// refused.
    min_offset: Option<u64>,
}

/// An export.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExportView {
    #[schema(example = "exp_01jd8vx1h5e9fs6q2b7c3m4n5p")]
    id: String,
    format: &'static str,
    /// `queued`, `running`, `done` or `failed`.
    state: &'static str,
    /// How much of the clicks is read, from 0 to 1.
    progress: f64,
    /// How many clicks the file has.
    clicks: u64,
    /// How long the file is, so far.
    bytes: u64,
    /// It has each click up to this offset of the log, and no other.
    as_of_offset: u64,
    created_at: String,
    /// When the file goes.
    expires_at: String,
    /// Where the file is, once it is done.
    download_url: Option<String>,
    /// Why there is no file.
    error: Option<String>,
}

impl ExportView {
    fn new(job: &Job, services: &Services) -> Self {
        let id = job.id().to_string();
        let base = &services.site.base;
        let is_done = job.state == JobState::Done;
        Self {
            download_url: is_done.then(|| format!("{base}/api/v1/exports/{id}/download")),
            id,
            format: job.format.as_str(),
            state: match job.state {
                JobState::Queued => "queued",
                JobState::Running => "running",
                JobState::Done => "done",
                JobState::Failed => "failed",
            },
            progress: job.progress,
            clicks: job.clicks,
            bytes: job.bytes,
            as_of_offset: job.as_of_offset,
            created_at: iso8601(job.created_at_ms.cast_unsigned()),
            expires_at: iso8601(job.expires_at_ms().cast_unsigned()),
            error: job.error.clone(),
        }
    }
}

/// Begin an export: a file of clicks, by day, link and time. It is kept for a day.
#[utoipa::path(
    post, path = "/exports", tag = "analytics", request_body = ExportBody,
    responses(
        (status = 202, body = Data<ExportView>),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "There are ten already", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn create(
    State(services): State<Services>,
    actor: Can<AnalyticsRead>,
    JsonBody { value: body, .. }: JsonBody<ExportBody>,
) -> Result<(StatusCode, Json<Data<ExportView>>), Problem> {
    let ExportBody { format, date_range, filters, timezone, bots, min_offset } = body;
    let range = date_range.unwrap_or_else(|| Value::from("all"));
    let question = QueryBody::about(filters, Some(range), timezone, bots);
    let resolver = Resolver { services: &services, workspace: actor.workspace };
    let query = question.read(&resolver, Timestamp::now())?;
    let found = Format::EVERY.iter().copied().find(|each| each.as_str() == format);
    let format = found.ok_or_else(|| {
        let names: Vec<_> = Format::EVERY.iter().map(|format| format.as_str()).collect();
        Problem::field("format", format!("must be one of {}", names.join(", ")))
    })?;
    let as_of = as_of(&services, min_offset).await?;
    let job = services.exports.begin(query, format, as_of).await?;
    Ok((StatusCode::ACCEPTED, Json(Data { data: ExportView::new(&job, &services) })))
}

/// The workspace's exports, the newest first.
#[utoipa::path(
    get, path = "/exports", tag = "analytics",
    responses((status = 200, body = Data<Vec<ExportView>>))
)]
pub async fn list(
    State(services): State<Services>,
    actor: Can<AnalyticsRead>,
) -> Json<Data<Vec<ExportView>>> {
    let jobs = services.exports.list(actor.workspace).await;
    Json(Data { data: jobs.iter().map(|job| ExportView::new(job, &services)).collect() })
}

/// See how an export stands.
#[utoipa::path(
    get, path = "/exports/{export}", tag = "analytics",
    params(("export" = String, Path, description = "The export's id")),
    responses(
        (status = 200, body = Data<ExportView>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn read(
    State(services): State<Services>,
    actor: Can<AnalyticsRead>,
    Name(export): Name,
) -> Result<Json<Data<ExportView>>, Problem> {
    let job = find(&services, actor.workspace, &export)?;
    Ok(Json(Data { data: ExportView::new(&job, &services) }))
}

/// End an export and remove its file.
#[utoipa::path(
    delete, path = "/exports/{export}", tag = "analytics",
    params(("export" = String, Path, description = "The export's id")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn delete(
    State(services): State<Services>,
    actor: Can<AnalyticsRead>,
    Name(export): Name,
) -> Result<StatusCode, Problem> {
    let job = find(&services, actor.workspace, &export)?;
    services.exports.remove(&job).await;
    Ok(StatusCode::NO_CONTENT)
}

/// The file of an export that is done; a part of it for a request with `Range`.
#[utoipa::path(
    get, path = "/exports/{export}/download", tag = "analytics",
    params(("export" = String, Path, description = "The export's id")),
    responses(
        (status = 200, description = "The file"),
        (status = 206, description = "A part of it"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is not done", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn download(
    State(services): State<Services>,
    actor: Can<AnalyticsRead>,
    Name(export): Name,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let job = find(&services, actor.workspace, &export)?;
    let Some(path) = services.exports.file(&job) else {
        let detail = match &job.error {
            Some(error) => format!("The export has failed: {error}."),
            None => "The export is not done yet.".to_owned(),
        };
        return Err(Problem::new(StatusCode::CONFLICT, "CONFLICT", detail));
    };
    let Ok(served) = ServeFile::new(path).oneshot(request).await;
    let mut response = served.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(job.format.media_type()));
    let disposition =
        format!("attachment; filename=\"clicks-{}.{}\"", job.as_of_offset, job.format.as_str());
    headers.extend(HeaderValue::try_from(disposition).map(|value| (CONTENT_DISPOSITION, value)));
    Ok(response)
}

fn find(services: &Services, workspace: WorkspaceId, export: &str) -> Result<Job, Problem> {
    let job = export.parse().ok().and_then(|id| services.exports.find(workspace, id));
    job.ok_or_else(|| Problem::not_found("export"))
}

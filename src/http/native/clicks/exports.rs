//! `/api/v1/exports`: files of clicks, written in the background.

use axum::Json;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, StatusCode};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::error::{Result, ServiceError};
use crate::domain::ids::{ExportId, WorkspaceId};
use crate::http::Services;
use crate::http::auth::Api;
use crate::http::body::JsonBody;
use crate::http::native::analytics::as_of;
use crate::http::native::analytics::body::{FilterValue, QueryBody};
use crate::http::native::analytics::scope::Resolver;
use crate::http::native::schema::DateRangeValue;
use crate::http::native::{Data, download, iso8601};
use crate::http::params::Name;
use crate::jobs::State as JobState;
use crate::jobs::exports::{Export, Job};
use crate::queries::analytics::{Bots, Format};

/// The clicks to export, and the format.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "format": "parquet", "date_range": "last_month" }))]
pub struct ExportBody {
    /// The format of the file.
    #[schema(value_type = Format)]
    format: String,
    /// The date range, as in a query; `all` by default.
    #[schema(value_type = Option<DateRangeValue>)]
    date_range: Option<Value>,
    /// The filters, as in a query.
    #[schema(value_type = Option<FilterValue>)]
    filters: Option<Value>,
    /// The IANA time zone, as in a query.
    timezone: Option<String>,
    /// Whether to include bots; `exclude` by default.
    #[schema(value_type = Option<Bots>)]
    bots: Option<String>,
    /// Waits up to 10 seconds until this offset is counted. Must not be beyond the end of the log.
    min_offset: Option<u64>,
}

/// An export.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExportView {
    #[schema(example = "exp_01jd8vx1h5e9fs6q2b7c3m4n5p")]
    id: String,
    /// The format of the file.
    #[schema(value_type = Format)]
    format: &'static str,
    /// The state of the export.
    #[schema(value_type = JobState)]
    state: &'static str,
    /// The fraction of the clicks read so far.
    #[schema(minimum = 0, maximum = 1)]
    progress: f64,
    /// The number of clicks in the file.
    clicks: u64,
    /// The size of the file so far.
    bytes: u64,
    /// The file holds exactly the clicks up to this offset of the log.
    as_of_offset: u64,
    #[schema(format = DateTime)]
    created_at: String,
    /// When the file is deleted.
    #[schema(format = DateTime)]
    expires_at: String,
    /// The URL of the file; null until the export is done.
    download_url: Option<String>,
    /// Why the export failed.
    error: Option<String>,
}

impl ExportView {
    fn new(job: &Job, services: &Services) -> Self {
        let id = job.id().to_string();
        let base = &services.site.base;
        let is_done = job.state == JobState::Done;
        let Export { format, as_of_offset, clicks, progress, bytes } = job.details;
        Self {
            download_url: is_done.then(|| format!("{base}/api/v1/exports/{id}/download")),
            id,
            format: format.as_str(),
            state: job.state.as_str(),
            progress,
            clicks,
            bytes,
            as_of_offset,
            created_at: iso8601(job.created_at_ms),
            expires_at: iso8601(job.expires_at_ms().unwrap_or_default()),
            error: job.error.clone(),
        }
    }
}

/// Starts an export of clicks.
///
/// The file is ordered by day, link and time, and kept for a day.
#[utoipa::path(
    post, path = "/exports", request_body = ExportBody,
    responses(
        (status = 202, body = Data<ExportView>),
        (status = 409, description = "There are already ten exports."),
    ),
)]
pub async fn create(
    Api { services, actor }: Api,
    JsonBody { value: body, .. }: JsonBody<ExportBody>,
) -> Result<(StatusCode, Json<Data<ExportView>>)> {
    let ExportBody { format, date_range, filters, timezone, bots, min_offset } = body;
    let range = date_range.unwrap_or_else(|| Value::from("all"));
    let query = QueryBody::about(filters, Some(range), timezone, bots);
    let resolver = Resolver { services: &services, workspace: actor.workspace };
    let query = query.read(&resolver, Timestamp::now())?;
    let format = Format::named(&format).ok_or_else(|| {
        ServiceError::field("format", format!("must be one of {}", Format::names()))
    })?;
    let as_of = as_of(&services, min_offset).await?;
    let job = services.exports.begin(query, format, as_of).await?;
    Ok((StatusCode::ACCEPTED, Json(Data { data: ExportView::new(&job, &services) })))
}

/// Lists the workspace's exports, newest first.
#[utoipa::path(get, path = "/exports", responses((status = 200, body = Data<Vec<ExportView>>)))]
pub async fn list(Api { services, actor }: Api) -> Json<Data<Vec<ExportView>>> {
    let jobs = services.exports.jobs.list(actor.workspace);
    Json(Data { data: jobs.iter().map(|job| ExportView::new(job, &services)).collect() })
}

/// Retrieves an export.
#[utoipa::path(get, path = "/exports/{export}", responses((status = 200, body = Data<ExportView>)))]
pub async fn get(
    Api { services, actor }: Api,
    Name(export): Name,
) -> Result<Json<Data<ExportView>>> {
    let job = find(&services, actor.workspace, &export)?;
    Ok(Json(Data { data: ExportView::new(&job, &services) }))
}

/// Cancels an export and deletes its file.
#[utoipa::path(
    delete, path = "/exports/{export}",
    responses((status = 204)),
)]
pub async fn delete(Api { services, actor }: Api, Name(export): Name) -> Result<StatusCode> {
    let job = find(&services, actor.workspace, &export)?;
    services.exports.jobs.remove(&job).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Downloads an export's file.
///
/// Supports `Range` requests.
#[utoipa::path(
    get, path = "/exports/{export}/download",
    responses(
        (status = 200, description = "The file.", content(
            (String = "text/csv"), (String = "application/x-ndjson"),
            (String = "application/vnd.apache.parquet"), (String = "application/vnd.apache.arrow.file"),
        )),
        (status = 206, description = "The requested part of the file.", content(
            (String = "text/csv"), (String = "application/x-ndjson"),
            (String = "application/vnd.apache.parquet"), (String = "application/vnd.apache.arrow.file"),
        )),
        (status = 409, description = "The export is not done."),
    ),
)]
pub async fn download(
    Api { services, actor }: Api,
    Name(export): Name,
    request: Request,
) -> Result<Response<Body>> {
    let job = find(&services, actor.workspace, &export)?;
    let file = (services.exports.file(&job), job.error.as_deref());
    let Export { format, as_of_offset, .. } = job.details;
    let name = format!("clicks-{as_of_offset}.{}", format.as_str());
    download::download(file, request, (format.media_type(), &name)).await
}

fn find(services: &Services, workspace: WorkspaceId, export: &str) -> Result<Job> {
    let id = export.parse::<ExportId>().ok();
    let job = id.and_then(|id| services.exports.jobs.find(workspace, id.uuid()));
    job.ok_or_else(|| ServiceError::not_found("export"))
}

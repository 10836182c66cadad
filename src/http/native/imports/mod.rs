//! `/api/v1/imports`: imports of links from files.

mod report;

use axum::Json;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use http_body_util::BodyExt;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::route::Routes;
use super::{Data, iso8601, replayed};
use crate::commands::{CommandRequest, Mode};
use crate::domain::command::{Command, OnConflict};
use crate::domain::error::{ErrorCode, Invalid, Result, ServiceError};
use crate::domain::ids::{ImportId, WorkspaceId};
use crate::domain::link::{Field, LinkInput};
use crate::domain::plan::Feature;
use crate::domain::plan::rate::RateClass;
use crate::domain::token::Ability::{LinksRead, LinksWrite};
use crate::domain::token::Actor;
use crate::http::Services;
use crate::http::auth::Api;
use crate::http::body::key_of;
use crate::http::params::{Name, Params};
use crate::jobs::State as JobState;
use crate::jobs::imports::formats::Format;
use crate::jobs::imports::{Counts, Job, Plan, Upload};

pub fn routes() -> Routes {
    Routes::of("imports", "imports")
        .route(LinksWrite, routes!(create))
        .with(|route| (route.class, route.feature) = (RateClass::Heavy, Some(Feature::Imports)))
        .route(LinksRead, routes!(list))
        .route(LinksRead, routes!(get))
        .route(LinksWrite, routes!(delete))
        .route(LinksRead, routes!(report::rejects))
        .route(LinksRead, routes!(report::warnings))
}

/// How to import a file.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what `create` reads by name")]
pub struct ImportParams {
    /// The format of the file, or the service it was exported from; detected by default.
    #[param(inline, value_type = Option<Format>)]
    format: Option<String>,
    /// Set to `true` to validate the file and report the results without changing anything.
    dry_run: Option<bool>,
    /// What to do with a link whose external ID or slug exists: `reject` it (the default), `skip`
    /// it, or `replace` the existing link as `PUT /links/{link}` does.
    #[param(inline, value_type = Option<OnConflict>)]
    on_conflict: Option<String>,
    /// The domain for all links. By default, links keep their domain if it is a verified one of the
    /// workspace, and otherwise use its default domain.
    domain: Option<String>,
    /// The folder for links that name none.
    folder: Option<String>,
    /// Tags for all links, separated by commas. May be repeated.
    tag: Option<String>,
}

/// An import.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportView {
    #[schema(example = "imp_01jd8vx1h5e9fs6q2b7c3m4n5p")]
    id: String,
    /// The format of the file.
    #[schema(value_type = Format)]
    format: &'static str,
    /// Whether nothing is changed.
    dry_run: bool,
    /// What happens to links that exist.
    #[schema(value_type = OnConflict)]
    on_conflict: &'static str,
    /// The state of the import.
    #[schema(value_type = JobState)]
    state: &'static str,
    /// The fraction of the file read so far.
    #[schema(minimum = 0, maximum = 1)]
    progress: f64,
    /// The number of links read.
    rows: u64,
    /// Links that were created.
    created: u64,
    /// Existing links that were changed.
    replaced: u64,
    /// Existing links that were already identical.
    unchanged: u64,
    /// Existing links that were skipped.
    skipped: u64,
    /// Links that were rejected.
    rejected: u64,
    /// The URL of the rejected links, with the reasons.
    rejects_url: String,
    /// Links that were imported with differences from the file, such as a shortened title.
    warnings: u64,
    /// The URL of these links, with the differences; at most 100,000.
    warnings_url: String,
    /// Created links whose slug was generated because the file has none.
    generated_slugs: u64,
    /// Domains in the file that the workspace does not have, at most 20. Their links use its default
    /// domain.
    unknown_domains: Vec<String>,
    /// Columns of the file that were ignored.
    ignored_columns: Vec<String>,
    /// The offset of the change log that includes the changes so far.
    offset: u64,
    #[schema(format = DateTime)]
    created_at: String,
    /// When the report is deleted; null while the import is running.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// Why the import failed, or what it waits for. Changes made before a failure are kept.
    error: Option<String>,
}

impl ImportView {
    fn new(job: &Job, services: &Services) -> Self {
        let (id, base, import) = (job.id().to_string(), &services.site.base, &job.details);
        let Counts { rows, created, replaced, unchanged, skipped, .. } = import.counts;
        let Counts { rejected, warnings, generated_slugs, .. } = import.counts;
        let is_unknown = |domain: &&String| !domain.eq_ignore_ascii_case(&services.site.host);
        Self {
            warnings_url: format!("{base}/api/v1/imports/{id}/warnings"),
            rejects_url: format!("{base}/api/v1/imports/{id}/rejects"),
            id,
            format: import.plan.format.as_str(),
            dry_run: import.plan.dry_run,
            on_conflict: import.plan.on_conflict.as_str(),
            state: job.state.as_str(),
            progress: job.progress(),
            rows,
            created,
            replaced,
            unchanged,
            skipped,
            rejected,
            warnings,
            generated_slugs,
            unknown_domains: import.unknown_domains.iter().filter(is_unknown).cloned().collect(),
            ignored_columns: import.ignored_columns.clone(),
            offset: import.offset,
            created_at: iso8601(job.created_at_ms),
            expires_at: job.expires_at_ms().map(iso8601),
            error: job.error.clone(),
        }
    }
}

/// Starts an import of links from a file.
///
/// The request body is the file, at most 128 MiB. The import continues after the response.
#[utoipa::path(
    post, path = "/imports", request_body(content = String, content_type = "application/octet-stream", description = "The file."),
    params(ImportParams),
    responses(
        (status = 202, body = Data<ImportView>),
        (status = 409, description = "There are already ten imports."),
        (status = 413, description = "The file is larger than 128 MiB."),
    ),
)]
pub async fn create(
    Api { services, actor }: Api,
    mut params: Params,
    request: Request,
) -> Result<Response<Body>> {
    let format = params.choice("format", Format::EVERY, Format::as_str);
    let dry_run = params.flag("dry_run").unwrap_or(false);
    let on_conflict = params.choice("on_conflict", &OnConflict::EVERY, OnConflict::as_str);
    let domain = params.text("domain");
    let (tags, folder) = (params.texts("tag"), params.text("folder"));
    params.finish()?;
    check(&services, &actor, domain.clone(), folder.clone(), tags.clone()).await?;
    let key = key_of(request.headers())?;
    let mut upload = services.imports.upload(actor.workspace).await?;
    let head = receive(request.into_body(), &mut upload).await?;
    let Some(format) = format.or_else(|| Format::guess(&head)) else {
        let rule = format!("cannot be detected from this file: use one of {}", Format::names());
        return Err(ServiceError::field("format", rule));
    };
    let on_conflict = on_conflict.unwrap_or_default();
    let plan = Plan { format, dry_run, on_conflict, domain, folder, tags };
    let (job, is_replay) = services.imports.begin(&actor, plan, upload, key).await?;
    let data = ImportView::new(&job, &services);
    Ok((StatusCode::ACCEPTED, replayed(is_replay), Json(Data { data })).into_response())
}

/// Validates the fields for all links, by a dry run of creating a link with them.
async fn check(
    services: &Services,
    actor: &Actor,
    domain: Option<String>,
    folder: Option<String>,
    tags: Vec<String>,
) -> Result<()> {
    let input = LinkInput {
        destination: Field::Value("https://example.com/".to_owned()),
        domain: domain.map_or(Field::Absent, Field::Value),
        folder: folder.map_or(Field::Absent, Field::Value),
        tags: Field::Value(tags),
        ..LinkInput::default()
    };
    let request = CommandRequest { command: Command::CreateLink(input), idempotency: None };
    let mut results = services.commands.run_all(*actor, vec![request], Mode::DryRun).await?;
    let mut invalid = Invalid::default();
    let fields = results.pop().and_then(Result::err).map(|error| error.fields).unwrap_or_default();
    for (name, reasons) in fields {
        let name = if name.starts_with("tags") { "tag" } else { name.as_str() };
        if matches!(name, "domain" | "folder" | "tag") {
            for reason in reasons {
                invalid.add(name, reason);
            }
        }
    }
    Ok(invalid.into_result()?)
}

/// Receives the file; returns its beginning.
async fn receive(mut body: Body, upload: &mut Upload) -> Result<Vec<u8>> {
    while let Some(frame) = body.frame().await {
        let incomplete = |_| ServiceError::new(ErrorCode::Invalid, "The body is incomplete.");
        if let Ok(piece) = frame.map_err(incomplete)?.into_data() {
            upload.write(&piece).await?;
        }
    }
    let head = upload.head().await?;
    if head.is_empty() {
        return Err(ServiceError::field("body", "is required: the file"));
    }
    Ok(head)
}

/// Lists the workspace's running imports and those of the last day, newest first.
#[utoipa::path(get, path = "/imports", responses((status = 200, body = Data<Vec<ImportView>>)))]
pub async fn list(Api { services, actor }: Api) -> Json<Data<Vec<ImportView>>> {
    let jobs = services.imports.jobs.list(actor.workspace);
    Json(Data { data: jobs.iter().map(|job| ImportView::new(job, &services)).collect() })
}

/// Retrieves an import.
#[utoipa::path(get, path = "/imports/{import}", responses((status = 200, body = Data<ImportView>)))]
pub async fn get(
    Api { services, actor }: Api,
    Name(import): Name,
) -> Result<Json<Data<ImportView>>> {
    let job = find(&services, actor.workspace, &import)?;
    Ok(Json(Data { data: ImportView::new(&job, &services) }))
}

/// Cancels an import and deletes its report.
///
/// Links that it created are kept.
#[utoipa::path(
    delete, path = "/imports/{import}",
    responses((status = 204)),
)]
pub async fn delete(Api { services, actor }: Api, Name(import): Name) -> Result<StatusCode> {
    let job = find(&services, actor.workspace, &import)?;
    services.imports.remove(&job).await;
    Ok(StatusCode::NO_CONTENT)
}

fn find(services: &Services, workspace: WorkspaceId, import: &str) -> Result<Job> {
    let id = import.parse::<ImportId>().ok();
    let job = id.and_then(|id| services.imports.jobs.find(workspace, id.uuid()));
    job.ok_or_else(|| ServiceError::not_found("import"))
}

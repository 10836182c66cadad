//! `/api/v1/imports`: links come in from elsewhere, as files.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use futures_util::Stream;
use http_body_util::BodyExt;
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use utoipa::{IntoParams, ToSchema};

use super::{Data, iso8601, replayed};
use crate::commands::{CommandError, Mode, Wish};
use crate::domain::command::{Command, OnConflict};
use crate::domain::csv_cell;
use crate::domain::error::DomainError;
use crate::domain::ids::WorkspaceId;
use crate::domain::link::{Field, LinkInput};
use crate::domain::token::Actor;
use crate::http::Services;
use crate::http::auth::{Can, LinksRead, LinksWrite};
use crate::http::body::key_of;
use crate::http::params::{Name, Params};
use crate::http::problem::{Problem, ProblemBody};
use crate::imports::formats::Format;
use crate::imports::{Counts, Job, Plan, Reject, State as JobState, Upload};

/// What is to be done with the links of a file.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "it only describes what is taken by name")]
pub struct Importing {
    /// What the file is: `csv`, `ndjson`, or an export of `bitly`, `dub`, `shlink`, `yourls` or
    /// `kutt`. When absent it is guessed by the file's beginning.
    format: Option<String>,
    /// `true`: nothing is changed; the counts and the report say what would be.
    dry_run: Option<bool>,
    /// What of a link whose external id or slug is there already: `reject` (when absent), `skip`,
    /// or `replace`, as `PUT /links/{link}` does.
    on_conflict: Option<String>,
    /// All links are to be on this domain. When absent, on the one that they had, if it is a
    /// verified one of the workspace, else on its default one.
    domain: Option<String>,
    /// Where those links are kept that name no folder.
    folder: Option<String>,
    /// A tag for all links; several with commas between them, or several times.
    tag: Option<String>,
}

/// An import.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportView {
    #[schema(example = "imp_01jd8vx1h5e9fs6q2b7c3m4n5p")]
    id: String,
    format: &'static str,
    dry_run: bool,
    on_conflict: &'static str,
    /// `queued`, `running`, `done` or `failed`.
    state: &'static str,
    /// How much of the file is read, from 0 to 1.
    progress: f64,
    /// How many links were read.
    rows: u64,
    /// Links that are new.
    created: u64,
    /// Links that were there and have changed.
    replaced: u64,
    /// Links that were there just so.
    unchanged: u64,
    /// Links that were there and were left alone.
    skipped: u64,
    /// Links that could not be taken.
    rejected: u64,
    /// Where the rejected links are, each with what is wrong with it.
    rejects_url: String,
    /// Links that were taken, but not quite as the file has them: a title that was cut, another
    /// short link that was left out.
    warnings: u64,
    /// Where those links are, each with what differs; at most 100,000.
    warnings_url: String,
    /// New links whose slug was generated, because the file has none for them.
    generated_slugs: u64,
    /// Domains that links had and that the workspace does not have: those links are on its default
    /// domain. At most 20 are named.
    unknown_domains: Vec<String>,
    /// Columns of the file of which nothing is made.
    ignored_columns: Vec<String>,
    /// The offset of the log of changes that reflects what was done.
    offset: u64,
    created_at: String,
    /// When this report goes; null before the import is over.
    expires_at: Option<String>,
    /// Why it failed (what was done before stands), or what it waits for.
    error: Option<String>,
}

impl ImportView {
    fn new(job: &Job, services: &Services) -> Self {
        let (id, base) = (job.id().to_string(), &services.site.base);
        let Counts { rows, created, replaced, unchanged, skipped, .. } = job.counts;
        let Counts { rejected, warnings, generated_slugs, .. } = job.counts;
        let is_unknown = |domain: &&String| !domain.eq_ignore_ascii_case(&services.site.host);
        Self {
            warnings_url: format!("{base}/api/v1/imports/{id}/warnings"),
            rejects_url: format!("{base}/api/v1/imports/{id}/rejects"),
            id,
            format: job.plan.format.as_str(),
            dry_run: job.plan.dry_run,
            on_conflict: job.plan.on_conflict.as_str(),
            state: match job.state {
                JobState::Queued => "queued",
                JobState::Running => "running",
                JobState::Done => "done",
                JobState::Failed => "failed",
            },
            progress: job.progress(),
            rows,
            created,
            replaced,
            unchanged,
            skipped,
            rejected,
            warnings,
            generated_slugs,
            unknown_domains: job.unknown_domains.iter().filter(is_unknown).cloned().collect(),
            ignored_columns: job.ignored_columns.clone(),
            offset: job.offset,
            created_at: iso8601(job.created_at_ms),
            expires_at: job.expires_at_ms().map(iso8601),
            error: job.error.clone(),
        }
    }
}

/// Import links: the body is the file, of at most 128 MiB. The import goes on after the answer.
#[utoipa::path(
    post, path = "/imports", tag = "links",
    params(
        Importing,
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a repeated request the same request, for as long as the import is known"),
    ),
    request_body(content = String, content_type = "application/octet-stream"),
    responses(
        (status = 202, body = Data<ImportView>),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "There are ten already", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The file is larger than 128 MiB", body = ProblemBody, content_type = "application/problem+json"),
        (status = 507, description = "The disk is nearly full", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn create(
    State(services): State<Services>,
    actor: Can<LinksWrite>,
    mut params: Params,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let format = params.choice("format", &Format::ALL, Format::as_str);
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
        let names: Vec<_> = Format::ALL.iter().map(|format| format.as_str()).collect();
        let rule = format!("can't be guessed by this file: say which of {}", names.join(", "));
        return Err(Problem::field("format", rule));
    };
    let on_conflict = on_conflict.unwrap_or_default();
    let plan = Plan { format, dry_run, on_conflict, domain, folder, tags };
    let (job, is_replay) = services.imports.begin(&actor, plan, upload, key).await?;
    let data = ImportView::new(&job, &services);
    Ok((StatusCode::ACCEPTED, replayed(is_replay), Json(Data { data })).into_response())
}

/// Holds what all links are to have against what a link may have: a link is made of it, and
/// forgotten.
async fn check(
    services: &Services,
    actor: &Actor,
    domain: Option<String>,
    folder: Option<String>,
    tags: Vec<String>,
) -> Result<(), Problem> {
    fn field<T>(value: Option<T>) -> Field<T> {
        value.map_or(Field::Absent, Field::Value)
    }
    let input = LinkInput {
        destination: Field::Value("https://example.com/".to_owned()),
        domain: field(domain),
        folder: field(folder),
        tags: Field::Value(tags),
        ..LinkInput::default()
    };
    let wish = Wish { command: Command::CreateLink(input), idempotency: None };
    let mut results = services.commands.run_all(*actor, vec![wish], Mode::Rehearse).await?;
    let Some(Err(CommandError::Refused(DomainError::Invalid(invalid)))) = results.pop() else {
        return Ok(());
    };
    let mut wrong = BTreeMap::new();
    for (name, reasons) in invalid.fields() {
        let name = if name.starts_with("tags") { "tag" } else { name.as_str() };
        if matches!(name, "domain" | "folder" | "tag") {
            wrong.insert(name.to_owned(), reasons.clone());
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Problem::invalid(wrong)) }
}

/// Takes the file in; returns how it begins.
async fn receive(mut body: Body, upload: &mut Upload) -> Result<Vec<u8>, Problem> {
    while let Some(frame) = body.frame().await {
        let broke_off =
            |_| Problem::new(StatusCode::BAD_REQUEST, "VALIDATION_ERROR", "The body broke off.");
        if let Ok(piece) = frame.map_err(broke_off)?.into_data() {
            upload.write(&piece).await?;
        }
    }
    let head = upload.head().await?;
    if head.is_empty() {
        return Err(Problem::field("body", "is required: the file"));
    }
    Ok(head)
}

/// The workspace's imports, the newest first: those under way, and those of the last day.
#[utoipa::path(
    get, path = "/imports", tag = "links",
    responses((status = 200, body = Data<Vec<ImportView>>))
)]
pub async fn list(
    State(services): State<Services>,
    actor: Can<LinksRead>,
) -> Json<Data<Vec<ImportView>>> {
    let jobs = services.imports.list(actor.workspace);
    Json(Data { data: jobs.iter().map(|job| ImportView::new(job, &services)).collect() })
}

/// See how an import stands.
#[utoipa::path(
    get, path = "/imports/{import}", tag = "links",
    params(("import" = String, Path, description = "The import's id")),
    responses(
        (status = 200, body = Data<ImportView>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn read(
    State(services): State<Services>,
    actor: Can<LinksRead>,
    Name(import): Name,
) -> Result<Json<Data<ImportView>>, Problem> {
    let job = find(&services, actor.workspace, &import)?;
    Ok(Json(Data { data: ImportView::new(&job, &services) }))
}

/// End an import and remove its report. The links that it made stay.
#[utoipa::path(
    delete, path = "/imports/{import}", tag = "links",
    params(("import" = String, Path, description = "The import's id")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn delete(
    State(services): State<Services>,
    actor: Can<LinksWrite>,
    Name(import): Name,
) -> Result<StatusCode, Problem> {
    let job = find(&services, actor.workspace, &import)?;
    services.imports.remove(job.id).await;
    Ok(StatusCode::NO_CONTENT)
}

/// The links that an import could not take so far, each with what is wrong with it.
#[utoipa::path(
    get, path = "/imports/{import}/rejects", tag = "links",
    params(
        ("import" = String, Path, description = "The import's id"),
        ("format" = Option<String>, Query, description = "`ndjson` (when absent) or `csv`"),
    ),
    responses(
        (status = 200, description = "A line for each: `row`, `line`, `slug`, `destination`, and `errors` (field → what is wrong with it)", content_type = "application/x-ndjson", body = String),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn rejects(
    State(services): State<Services>,
    actor: Can<LinksRead>,
    Name(import): Name,
    params: Params,
) -> Result<Response<Body>, Problem> {
    report(&services, actor.workspace, &import, params, Part::Rejects).await
}

/// The links that an import has taken so far, but not as the file has them, each with what differs.
#[utoipa::path(
    get, path = "/imports/{import}/warnings", tag = "links",
    params(
        ("import" = String, Path, description = "The import's id"),
        ("format" = Option<String>, Query, description = "`ndjson` (when absent) or `csv`"),
    ),
    responses(
        (status = 200, description = "A line for each: `row`, `line`, `slug`, `destination`, and `warnings` (field → what differs)", content_type = "application/x-ndjson", body = String),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn warnings(
    State(services): State<Services>,
    actor: Can<LinksRead>,
    Name(import): Name,
    params: Params,
) -> Result<Response<Body>, Problem> {
    report(&services, actor.workspace, &import, params, Part::Warnings).await
}

/// A part of an import's report.
#[derive(Clone, Copy)]
enum Part {
    Rejects,
    Warnings,
}

impl Part {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Rejects => "rejects",
            Self::Warnings => "warnings",
        }
    }

    const fn header(self) -> &'static str {
        match self {
            Self::Rejects => "row,line,slug,destination,field,error\r\n",
            Self::Warnings => "row,line,slug,destination,field,warning\r\n",
        }
    }

    /// What a line of the report has for this part.
    const fn of(self, line: &Reject) -> &BTreeMap<String, Vec<String>> {
        match self {
            Self::Rejects => &line.errors,
            Self::Warnings => &line.warnings,
        }
    }
}

async fn report(
    services: &Services,
    workspace: WorkspaceId,
    import: &str,
    mut params: Params,
    part: Part,
) -> Result<Response<Body>, Problem> {
    let is_csv = params.choice("format", &[false, true], |csv| if csv { "csv" } else { "ndjson" });
    params.finish()?;
    let job = find(services, workspace, import)?;
    let report: Box<dyn tokio::io::AsyncRead + Send + Unpin> =
        match tokio::fs::File::open(services.imports.report(&job)).await {
            Ok(file) => Box::new(file.take(job.report_bytes)),
            // Nothing was read yet.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Box::new(tokio::io::empty())
            }
            Err(error) => return Err(Problem::internal(error.to_string())),
        };
    let is_csv = is_csv.unwrap_or(false);
    let mut response = Body::from_stream(lines(report, part, is_csv)).into_response();
    let (media_type, ending) = if is_csv {
        ("text/csv; charset=utf-8", "csv")
    } else {
        ("application/x-ndjson", "ndjson")
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    let disposition = format!("attachment; filename=\"{}-{}.{ending}\"", job.id(), part.as_str());
    headers.extend(HeaderValue::try_from(disposition).map(|value| (CONTENT_DISPOSITION, value)));
    Ok(response)
}

/// The lines of a part of the report as they are, or as CSV.
fn lines(
    report: impl tokio::io::AsyncRead + Send + Unpin,
    part: Part,
    is_csv: bool,
) -> impl Stream<Item = std::io::Result<Bytes>> {
    let header = is_csv.then(|| Bytes::from_static(part.header().as_bytes()));
    let reader = BufReader::new(report).lines();
    futures_util::stream::try_unfold((header, reader), move |(header, mut reader)| async move {
        if let Some(header) = header {
            return Ok(Some((header, (None, reader))));
        }
        while let Some(line) = reader.next_line().await? {
            let parsed: Reject = serde_json::from_str(&line)?;
            if part.of(&parsed).is_empty() {
                continue;
            }
            let bytes =
                if is_csv { as_csv(&parsed, part)? } else { format!("{line}\n").into_bytes() };
            return Ok(Some((Bytes::from(bytes), (None, reader))));
        }
        Ok(None)
    })
}

/// A line of the report as rows of CSV, one for each remark.
fn as_csv(line: &Reject, part: Part) -> std::io::Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new();
    let mut writer = writer.terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    let row = line.row.to_string();
    let at = line.line.map(|line| line.to_string()).unwrap_or_default();
    let slug = line.slug.as_deref().unwrap_or_default();
    let destination = line.destination.as_deref().unwrap_or_default();
    for (field, remarks) in part.of(line) {
        for remark in remarks {
            let cells = [&row, &at, slug, destination, field, remark].map(csv_cell::escape);
            writer.write_record(cells.iter().map(|cell| &**cell))?;
        }
    }
    writer.into_inner().map_err(|error| std::io::Error::other(error.to_string()))
}

fn find(services: &Services, workspace: WorkspaceId, import: &str) -> Result<Job, Problem> {
    let job = import.parse().ok().and_then(|id| services.imports.find(workspace, id));
    job.ok_or_else(|| Problem::not_found("import"))
}

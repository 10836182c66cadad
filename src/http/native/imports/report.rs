//! The report of an import: rejected links, and links that were imported with differences.

use std::collections::BTreeMap;

use axum::body::{Body, Bytes};
use axum::http::Response;
use axum::response::IntoResponse;
use futures_util::Stream;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use utoipa::IntoParams;

use super::find;
use crate::domain::csv_cell;
use crate::domain::error::{Result, ServiceError};
use crate::domain::ids::WorkspaceId;
use crate::http::Services;
use crate::http::auth::Api;
use crate::http::native::links::export::{TableFormat, attachment};
use crate::http::params::{Name, Params};
use crate::jobs::imports::Reject;

/// The parameter of a report.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what `report` reads by name")]
struct ReportParams {
    /// The format of the report; `ndjson` by default.
    #[param(inline, value_type = Option<TableFormat>)]
    format: Option<String>,
}

/// Downloads the rows that an import rejected, with the reasons.
#[utoipa::path(
    get, path = "/imports/{import}/rejects",
    params(ReportParams),
    responses(
        (status = 200, description = "A line per rejected link, with `row`, `line`, `slug`, `destination` and `errors` by field.", content(
        (String = "application/x-ndjson"), (String = "text/csv"),
    )),
    ),
)]
pub async fn rejects(
    Api { services, actor }: Api,
    Name(import): Name,
    params: Params,
) -> Result<Response<Body>> {
    report(&services, actor.workspace, &import, params, Part::Rejects).await
}

/// Downloads the rows that an import accepted with differences from the file.
#[utoipa::path(
    get, path = "/imports/{import}/warnings",
    params(ReportParams),
    responses(
        (status = 200, description = "A line per changed link, with `row`, `line`, `slug`, `destination` and `warnings` by field.", content(
        (String = "application/x-ndjson"), (String = "text/csv"),
    )),
    ),
)]
pub async fn warnings(
    Api { services, actor }: Api,
    Name(import): Name,
    params: Params,
) -> Result<Response<Body>> {
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

    /// The remarks of a row for this part.
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
) -> Result<Response<Body>> {
    let each = [TableFormat::Ndjson, TableFormat::Csv];
    let format = params.choice("format", &each, TableFormat::as_str);
    params.finish()?;
    let job = find(services, workspace, import)?;
    let report: Box<dyn tokio::io::AsyncRead + Send + Unpin> =
        match tokio::fs::File::open(services.imports.report(&job)).await {
            Ok(file) => Box::new(file.take(job.details.report_bytes)),
            // Nothing has been read yet.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Box::new(tokio::io::empty())
            }
            Err(error) => return Err(ServiceError::internal(error)),
        };
    let format = format.unwrap_or(TableFormat::Ndjson);
    let lines = lines(report, part, format == TableFormat::Csv);
    let name = format!("{}-{}.{}", job.id(), part.as_str(), format.as_str());
    Ok(attachment(Body::from_stream(lines).into_response(), format.media_type(), &name))
}

/// The lines of a part of the report, unchanged or as CSV.
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

/// A line of the report as CSV rows, one per remark.
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

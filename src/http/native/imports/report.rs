//! The report of an import: rejected links, and links that were imported with differences.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::body::{Body, Bytes};
use axum::http::Response;
use axum::response::IntoResponse;
use futures_util::Stream;
use serde_json::{Map, Value};
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
        (status = 200, description = "A line per rejected link, with `row`, `line`, `slug`, `destination` and `errors` by field. Of a CSV file, all columns: in `record`, or in CSV as columns, so that a corrected report can be imported.", content(
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

    /// The name of the column of remarks.
    const fn remark(self) -> &'static str {
        match self {
            Self::Rejects => "error",
            Self::Warnings => "warning",
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
    let columns = if matches!(part, Part::Rejects) { &*job.details.columns } else { &[] };
    let columns = FileColumns::of(columns);
    let lines = lines(report, part, columns, format == TableFormat::Csv);
    let name = format!("{}-{}.{}", job.id(), part.as_str(), format.as_str());
    Ok(attachment(Body::from_stream(lines).into_response(), format.media_type(), &name))
}

/// The lines of a part of the report, unchanged or as CSV.
fn lines(
    report: impl tokio::io::AsyncRead + Send + Unpin,
    part: Part,
    columns: FileColumns,
    is_csv: bool,
) -> impl Stream<Item = std::io::Result<Bytes>> {
    let reader = BufReader::new(report).lines();
    let start = (is_csv, reader, columns);
    futures_util::stream::try_unfold(start, move |(needs_header, mut reader, columns)| async move {
        if needs_header {
            let header = record(columns.header(part))?;
            return Ok(Some((Bytes::from(header), (false, reader, columns))));
        }
        while let Some(line) = reader.next_line().await? {
            let parsed: Reject = serde_json::from_str(&line)?;
            if part.of(&parsed).is_empty() {
                continue;
            }
            let bytes = if is_csv {
                as_csv(&parsed, part, &columns)?
            } else {
                as_json(line, &parsed, &columns)?
            };
            return Ok(Some((Bytes::from(bytes), (false, reader, columns))));
        }
        Ok(None)
    })
}

/// The columns of the imported file that a report repeats, with their positions.
struct FileColumns(Vec<(usize, String)>);

impl FileColumns {
    /// Without those that a report adds, because the file may be a report itself.
    fn of(columns: &[String]) -> Self {
        let is_own = |name: &String| ["row", "line", "field", "error"].contains(&name.as_str());
        let columns = columns.iter().cloned().enumerate();
        Self(columns.filter(|(_, name)| !name.is_empty() && !is_own(name)).collect())
    }

    fn header(&self, part: Part) -> impl Iterator<Item = &str> {
        let default = if self.0.is_empty() { &["slug", "destination"][..] } else { &[] };
        let own = self.0.iter().map(|(_, name)| name.as_str());
        let columns = default.iter().copied().chain(own);
        ["row", "line"].into_iter().chain(columns).chain(["field", part.remark()])
    }

    /// The names and the cells of a record.
    fn cells<'a>(&'a self, line: &'a Reject) -> impl Iterator<Item = (&'a str, &'a str)> {
        let cell = |at: usize| line.cells.get(at).map(String::as_str).unwrap_or_default();
        self.0.iter().map(move |(at, name)| (name.as_str(), cell(*at)))
    }
}

/// A line of the report as JSON, with the record by the file's names.
fn as_json(text: String, line: &Reject, columns: &FileColumns) -> std::io::Result<Vec<u8>> {
    if line.cells.is_empty() {
        return Ok((text + "\n").into_bytes());
    }
    let mut object: Map<String, Value> = serde_json::from_str(&text)?;
    object.remove("cells");
    let cells = columns.cells(line).filter(|(_, cell)| !cell.is_empty());
    let record = cells.map(|(name, cell)| (name.to_owned(), Value::from(cell))).collect();
    object.insert("record".to_owned(), Value::Object(record));
    let mut bytes = serde_json::to_vec(&object)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// A line of the report as CSV: a record for each warning, or for all errors, because a rejected
/// row may be corrected and imported again.
fn as_csv(line: &Reject, part: Part, columns: &FileColumns) -> std::io::Result<Vec<u8>> {
    let (row, at) = (line.row.to_string(), line.line.map(|line| line.to_string()));
    let remarks: Vec<_> = match part {
        Part::Warnings => {
            let all = line.warnings.iter();
            all.flat_map(|(field, all)| all.iter().map(|one| (field.clone(), one.clone())))
                .collect()
        }
        Part::Rejects => vec![joined(&line.errors)],
    };
    let mut records = Vec::new();
    for (field, remark) in &remarks {
        let mut cells = vec![row.as_str(), at.as_deref().unwrap_or_default()];
        if columns.0.is_empty() {
            cells.extend([&line.slug, &line.destination].map(|cell| cell.as_deref().unwrap_or("")));
        }
        cells.extend(columns.cells(line).map(|(_, cell)| cell));
        cells.extend([field.as_str(), remark.as_str()]);
        records.extend(record(cells.into_iter())?);
    }
    Ok(records)
}

/// The fields of a row, and what is wrong with them.
fn joined(errors: &BTreeMap<String, Vec<String>>) -> (String, String) {
    let fields = errors.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let reasons = errors.iter().map(|(field, reasons)| match errors.len() {
        1 => reasons.join(", "),
        _ => format!("{field} {}", reasons.join(", ")),
    });
    (fields, reasons.collect::<Vec<_>>().join("; "))
}

/// A record of CSV.
fn record<'a>(cells: impl Iterator<Item = &'a str>) -> std::io::Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new();
    let mut writer = writer.terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(cells.map(csv_cell::escape).map(Cow::into_owned))?;
    writer.into_inner().map_err(|error| std::io::Error::other(error.to_string()))
}

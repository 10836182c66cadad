//! `GET /api/v1/links/export`: all links as a streamed file.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderValue, Response};
use axum::response::IntoResponse;
use futures_util::Stream;
use jiff::Timestamp;
use serde_json::Value;

use super::list::{LinkFilterParams, filter};
use super::view::LinkView;
use crate::domain::csv_cell;
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::link::LINK_FIELDS;
use crate::domain::named_enum;
use crate::http::Services;
use crate::http::auth::Api;
use crate::http::params::Params;
use crate::queries::links::{Archived, LinkList, LinkQuery, Part};

/// The number of links per read.
const PAGE: usize = 500;
/// The delay before a retry while too many searches are running, and the maximum number of tries.
const TURN_WAIT: Duration = Duration::from_millis(500);
const TURNS: usize = 120;

/// Fields that responses do not have.
const WRITE_ONLY: [&str; 2] = ["password", "utm_template"];
/// Columns that imports ignore.
const READ_ONLY: [&str; 8] = [
    "has_password",
    "id",
    "short_url",
    "clicks",
    "unique_visitors",
    "created_at",
    "updated_at",
    "version",
];

/// The columns, with the names that imports accept.
fn columns() -> impl Iterator<Item = &'static str> {
    let fields = LINK_FIELDS.iter().map(|(name, _)| *name);
    fields.filter(|name| !WRITE_ONLY.contains(name)).chain(READ_ONLY)
}

named_enum! {
    /// The format of a file of links or of a report.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum TableFormat {
        /// Comma-separated values.
        Csv => "csv",
        /// A JSON object on each line.
        Ndjson => "ndjson",
    }
}

/// Downloads all links as a file that `POST /imports` accepts, oldest first.
///
/// A link that is created or deleted during the download may or may not be included. Passwords are
/// never exported; `has_password` tells that there is one. Archived links are included unless
/// `archived=false`. In CSV, texts that a spreadsheet would read as a formula begin with an
/// apostrophe, which an import removes.
#[utoipa::path(
    get, path = "/links/export",
    params(
        ("format" = inline(TableFormat), Query, description = "The format of the file."),
        ("counts" = Option<bool>, Query, description = "Set to `true` to include clicks and unique visitors, which are empty while analytics are unavailable."),
        LinkFilterParams,
    ),
    responses((status = 200, description = "The file.", content(
        (String = "text/csv"), (String = "application/x-ndjson"),
    ))),
)]
pub async fn export(Api { services, actor }: Api, mut params: Params) -> Result<Response<Body>> {
    let format = params.choice("format", TableFormat::EVERY, TableFormat::as_str);
    if format.is_none() {
        params.require("format");
    }
    let counts = params.flag("counts").unwrap_or(false);
    // Includes archived links unless the request excludes them.
    let filter = filter(&mut params, &services.site, Archived::Any);
    params.finish()?;
    let Some(format) = format else { return Err(ServiceError::field("format", "is required")) };
    let query = LinkQuery {
        filter,
        is_descending: false,
        limit: PAGE,
        counts_all: false,
        ..LinkQuery::of(actor.workspace)
    };
    let name = format!("links-{}.{}", Timestamp::now().strftime("%Y-%m-%d"), format.as_str());
    let response = Body::from_stream(pieces(services, query, format, counts)).into_response();
    Ok(attachment(response, format.media_type(), &name))
}

/// Makes clients save a response as a file with this name.
pub fn attachment(
    mut response: Response<Body>,
    media_type: &'static str,
    name: &str,
) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}\""));
    headers.extend(disposition.map(|value| (CONTENT_DISPOSITION, value)));
    response
}

impl TableFormat {
    /// The media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Ndjson => "application/x-ndjson",
        }
    }

    fn header(self) -> Bytes {
        match self {
            Self::Csv => Bytes::from(columns().collect::<Vec<_>>().join(",") + "\r\n"),
            Self::Ndjson => Bytes::new(),
        }
    }

    fn write(self, links: &[LinkView]) -> std::io::Result<Bytes> {
        let mut out = Vec::new();
        match self {
            Self::Csv => {
                let mut writer = csv::WriterBuilder::new();
                let mut writer = writer.terminator(csv::Terminator::CRLF).from_writer(&mut out);
                for link in links {
                    let link = serde_json::to_value(link)?;
                    let cells = columns().map(|column| cell(column, &link[column]));
                    writer.write_record(cells.map(|cell| csv_cell::escape(&cell).into_owned()))?;
                }
                writer.flush()?;
            }
            Self::Ndjson => {
                for link in links {
                    serde_json::to_writer(&mut out, link)?;
                    out.push(b'\n');
                }
            }
        }
        Ok(Bytes::from(out))
    }
}

/// A value as a CSV cell; empty for null.
fn cell(column: &str, value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(tags) if column == "tags" => {
            let tags: Vec<_> = tags.iter().filter_map(Value::as_str).collect();
            tags.join(",")
        }
        Value::Array(items) if items.is_empty() => String::new(),
        other => other.to_string(),
    }
}

/// Streams the header and then the pages.
fn pieces(
    services: Services,
    query: LinkQuery,
    format: TableFormat,
    counts: bool,
) -> impl Stream<Item = std::io::Result<Bytes>> {
    let next = Some(query);
    let state = (services, next, Some(format.header()).filter(|header| !header.is_empty()));
    futures_util::stream::try_unfold(state, move |(services, next, header)| async move {
        if let Some(header) = header {
            return Ok(Some((header, (services, next, None))));
        }
        let Some(mut query) = next else { return Ok(None) };
        let LinkList { links, next, .. } =
            page(&services, &query).await.map_err(std::io::Error::other)?;
        let ids: Vec<_> = links.iter().map(|link| link.id).collect();
        let counted = if counts && !ids.is_empty() {
            services.analytics.counts(query.workspace, &ids).await
        } else {
            None
        };
        let views: Vec<_> = links
            .into_iter()
            .map(|link| {
                let counts =
                    counted.as_ref().map(|all| all.get(&link.id).copied().unwrap_or_default());
                LinkView::new(&services, link, counts)
            })
            .collect();
        let written = format.write(&views)?;
        let next = next.map(|cursor| {
            query.part = Part::After(cursor);
            query
        });
        Ok(Some((written, (services, next, None))))
    })
}

/// Reads a page. A download that has begun retries instead of failing.
async fn page(services: &Services, query: &LinkQuery) -> Result<LinkList> {
    let mut turn = 0;
    loop {
        turn += 1;
        match services.links.search(query.clone()).await {
            Err(error) if error.code == ErrorCode::Overloaded && turn < TURNS => {
                tokio::time::sleep(TURN_WAIT).await;
            }
            found => return found,
        }
    }
}

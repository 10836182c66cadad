//! `GET /api/v1/links/export`: all links as a file, read while it is sent.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderValue, Response};
use axum::response::IntoResponse;
use futures_util::Stream;
use jiff::Timestamp;
use serde_json::Value;

use super::link_list::{Finding, filter};
use super::link_view::LinkView;
use crate::domain::csv_cell;
use crate::http::Services;
use crate::http::auth::{Can, LinksRead};
use crate::http::params::Params;
use crate::http::problem::{Problem, ProblemBody};
use crate::queries::links::{Archived, LinkList, LinkQuery, LinksError, Part};

/// How many links are read at once.
const PAGE: usize = 500;
/// How long is waited where too many searches are under way, and how often.
const TURN_WAIT: Duration = Duration::from_millis(500);
const TURNS: usize = 120;

/// The columns, by the names that an import takes; what it has no use for stands at the end.
const COLUMNS: [&str; 47] = [
    "slug",
    "destination",
    "domain",
    "title",
    "tags",
    "folder",
    "external_id",
    "notes",
    "kind",
    "payload",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_content",
    "utm_term",
    "forward_query",
    "forward_path",
    "redirect_status",
    "canonical",
    "noindex",
    "enabled",
    "archived",
    "starts_at",
    "expires_at",
    "expired_url",
    "max_clicks",
    "max_clicks_bots",
    "rules",
    "ios_url",
    "ios_store_url",
    "android_url",
    "android_store_url",
    "preview",
    "public_stats",
    "campaign",
    "og_title",
    "og_description",
    "og_image",
    "og_preview",
    "has_password",
    "id",
    "short_url",
    "clicks",
    "unique_visitors",
    "created_at",
    "updated_at",
    "version",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileFormat {
    Csv,
    Ndjson,
}

/// All links as a file, in the order in which they were made: what `POST /imports` takes.
///
/// A link that is made or deleted while the file is sent may be in it or not. Passwords are in no
/// file: `has_password` says that there is one. Archived links are in it, unless `archived=false`.
/// In CSV, texts that a spreadsheet would take for a formula stand behind an apostrophe, which an
/// import removes.
#[utoipa::path(
    get, path = "/links/export", tag = "links",
    params(
        ("format" = String, Query, description = "`csv` or `ndjson`"),
        ("counts" = Option<bool>, Query, description = "`true`: with clicks and unique visitors; empty where analytics are away"),
        Finding,
    ),
    responses(
        (status = 200, description = "The file", content_type = "text/csv", body = String),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn export(
    State(services): State<Services>,
    actor: Can<LinksRead>,
    mut params: Params,
) -> Result<Response<Body>, Problem> {
    let each = [FileFormat::Csv, FileFormat::Ndjson];
    let format = params.choice("format", &each, FileFormat::as_str);
    if format.is_none() {
        params.require("format");
    }
    let counts = params.flag("counts").unwrap_or(false);
    // All means all: these too, unless it is said otherwise.
    let filter = filter(&mut params, &services.site, Archived::Any);
    params.finish()?;
    let Some(format) = format else { return Err(Problem::field("format", "is required")) };
    let query = LinkQuery {
        filter,
        is_descending: false,
        limit: PAGE,
        counts_all: false,
        ..LinkQuery::of(actor.workspace)
    };
    let day = Timestamp::now().strftime("%Y-%m-%d");
    let disposition = format!("attachment; filename=\"links-{day}.{}\"", format.as_str());
    let mut response = Body::from_stream(pieces(services, query, format, counts)).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    headers.extend(HeaderValue::try_from(disposition).map(|value| (CONTENT_DISPOSITION, value)));
    Ok(response)
}

impl FileFormat {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Ndjson => "application/x-ndjson",
        }
    }

    fn header(self) -> Bytes {
        match self {
            Self::Csv => Bytes::from(format!("{}\r\n", COLUMNS.join(","))),
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
                    let cells = COLUMNS.map(|column| cell(column, &link[column]));
                    let cells = cells.each_ref().map(|cell| csv_cell::escape(cell));
                    writer.write_record(cells.iter().map(|cell| &**cell))?;
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

/// A value as a cell has it; nothing for what is not there.
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

/// A header, and then a page after the other.
fn pieces(
    services: Services,
    query: LinkQuery,
    format: FileFormat,
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

/// A page; a file that has begun waits for its turn rather than breaks off.
async fn page(services: &Services, query: &LinkQuery) -> Result<LinkList, LinksError> {
    for _ in 0..TURNS {
        match services.links.search(query.clone()).await {
            Err(LinksError::Busy) => tokio::time::sleep(TURN_WAIT).await,
            found => return found,
        }
    }
    Err(LinksError::Busy)
}

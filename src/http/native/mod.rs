//! `/api/v1`: one file a noun, with its OpenAPI beside the handlers.

pub mod admin;
mod analytics;
mod audit;
mod bulk;
mod campaigns;
mod clicks;
mod deleted;
mod domains;
mod exports;
mod external_ids;
mod imports;
mod link_export;
mod link_list;
mod link_view;
mod links;
mod openapi;
mod operator_tokens;
mod page;
mod presets;
mod reports;
mod rules;
mod tags;
pub mod tokens;
mod utm_templates;
mod versions;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, HeaderName};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{AppendHeaders, Response};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use super::{Audience, Services};

/// The native API for an audience. The document describes what the listener has.
pub fn router(audience: Audience) -> Router<Services> {
    let routes = match audience {
        Audience::All => openapi::routes().merge(openapi::operator_routes()),
        Audience::Public => openapi::routes(),
        Audience::Operator => openapi::operator_routes(),
    };
    let (routes, document) = routes.split_for_parts();
    routes
        .merge(openapi::document(document))
        .fallback(no_such_path)
        .layer(axum::middleware::map_response(not_stored))
}

/// What every successful answer stands in.
#[derive(Debug, Serialize, ToSchema)]
pub struct Data<T> {
    /// What was asked for.
    pub data: T,
}

/// The offset that a change got in the log of changes: `min_offset` of a question that is to
/// reflect it.
const LOG_OFFSET: HeaderName = HeaderName::from_static("log-offset");

/// What the answer to a change stands in.
#[derive(Debug, Serialize, ToSchema)]
pub struct Changed<T> {
    /// What was asked for.
    pub data: T,
    /// Where in the log it is.
    pub meta: ChangedMeta,
}

/// Where in the log a change is.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChangedMeta {
    /// The offset of the log of changes that this answer reflects; in the header `Log-Offset`
    /// too.
    pub offset: u64,
}

impl<T> Changed<T> {
    fn new(data: T, offset: u64) -> Self {
        Self { data, meta: ChangedMeta { offset } }
    }
}

/// The answer is that of a request that came before, with the same idempotency key.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Says so where it is one.
fn replayed(is_replay: bool) -> AppendHeaders<Option<(HeaderName, HeaderValue)>> {
    AppendHeaders(is_replay.then(|| (REPLAYED, HeaderValue::from_static("true"))))
}

/// The header that carries a change's offset.
fn log_offset(offset: u64) -> [(HeaderName, HeaderValue); 1] {
    [(LOG_OFFSET, HeaderValue::from(offset))]
}

async fn no_such_path() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "NOT_FOUND", "There is no such path in this API.")
}

/// Answers are of the moment, and somebody's own.
async fn not_stored(mut response: Response) -> Response {
    let value = HeaderValue::from_static("private, no-store");
    response.headers_mut().entry(CACHE_CONTROL).or_insert(value);
    response
}

/// A moment as the API writes it: ISO 8601, UTC, to the millisecond.
pub fn iso8601(at_ms: u64) -> String {
    let time = i64::try_from(at_ms).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
    time.unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

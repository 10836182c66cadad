//! `/api/v1`: one module per resource, with the OpenAPI declarations next to the handlers.

pub mod admin;
mod analytics;
mod audit;
mod billing;
mod clicks;
mod domains;
mod download;
mod imports;
mod links;
pub mod openapi;
mod page;
mod path_ref;
mod postman;
mod presets;
pub mod qr_codes;
mod reports;
mod route;
mod routes;
mod schema;
mod sign_in;
pub mod tokens;
mod user;
mod workspaces;

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::HeaderName;
use axum::middleware::from_fn;
use axum::response::AppendHeaders;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

pub use billing::ProviderSecrets;

use super::cors::allow_tokens;
use super::{Audience, Services, not_stored};
use crate::domain::error::{ErrorCode, ServiceError};

/// The native API for an audience. Its OpenAPI document describes only the audience's routes.
pub fn router(services: &Services, audience: Audience) -> Router<Services> {
    let routes = routes::router(services, audience, "")
        .merge(openapi::reference(audience))
        .merge(postman::router(services, audience))
        .fallback(no_such_path)
        .layer(axum::middleware::map_response(not_stored));
    match audience {
        Audience::All | Audience::Public => routes.layer(from_fn(allow_tokens)),
        Audience::Operator => routes,
    }
}

/// The routes below `/auth`, for the audience of the public listener.
pub fn auth_router(services: &Services) -> Router<Services> {
    let layer = axum::middleware::map_response(not_stored);
    routes::router(services, Audience::Public, "/auth").fallback(no_such_path).layer(layer)
}

/// The body of a successful response.
#[derive(Debug, Serialize, ToSchema)]
pub struct Data<T> {
    /// The result.
    pub data: T,
}

/// The offset of a change in the change log, to pass as `min_offset` to requests that should
/// reflect the change.
const LOG_OFFSET: HeaderName = HeaderName::from_static("log-offset");

/// The body of the response to a change.
#[derive(Debug, Serialize, ToSchema)]
pub struct Changed<T> {
    /// The result.
    pub data: T,
    /// The position of the change in the log.
    pub meta: ChangedMeta,
}

/// The position of a change in the log.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChangedMeta {
    /// The offset of the change log that the response reflects, also in the `Log-Offset` header.
    pub offset: u64,
}

impl<T> Changed<T> {
    fn new(data: T, offset: u64) -> Self {
        Self { data, meta: ChangedMeta { offset } }
    }
}

/// Marks a replay of the response to an earlier request with the same idempotency key.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The header of a replayed response.
fn replayed(is_replay: bool) -> AppendHeaders<Option<(HeaderName, HeaderValue)>> {
    AppendHeaders(is_replay.then(|| (REPLAYED, HeaderValue::from_static("true"))))
}

/// The header with a change's offset.
fn log_offset(offset: u64) -> [(HeaderName, HeaderValue); 1] {
    [(LOG_OFFSET, HeaderValue::from(offset))]
}

async fn no_such_path() -> ServiceError {
    ServiceError::new(ErrorCode::NotFound, "No such path in this API.")
}

/// Formats a time for responses: ISO 8601, UTC, in milliseconds.
pub fn iso8601(at_ms: u64) -> String {
    let time = i64::try_from(at_ms).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
    time.unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

//! Analytics: any question ([`query`]), some at once ([`batch`]), and the questions that are asked
//! most under paths of their own, as the Lynklens API (`/links/…`), the qklnk API (`/analytics`)
//! and the `ShortLink` API (`/analytics/links/…`) document them.

pub mod asked;
pub mod batch;
pub mod blocked;
pub mod body;
mod filters;
pub mod links;
pub mod overview;
pub mod query;
pub mod scope;
mod view;

use axum::Json;
use utoipa::ToSchema;

use super::iso8601;
use crate::http::Services;
use crate::http::problem::Problem;
use crate::queries::analytics::AsOf;

/// What an answer of the analytics stands in.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct Counted<T> {
    /// What was asked for.
    data: T,
    /// What it reflects.
    meta: CountedMeta,
}

/// What an answer reflects.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct CountedMeta {
    /// The moment of which the answer is.
    as_of: AsOfView,
}

/// A moment of the click log.
#[derive(Debug, Clone, serde::Serialize, ToSchema)]
pub struct AsOfView {
    /// Each click up to this offset of the click log is counted, and no other.
    offset: u64,
    /// Each click up to this time is counted.
    #[schema(example = "2026-03-02T10:31:07.250Z")]
    time: String,
    /// How long ago that was, in milliseconds; 0 when no click waits to be counted.
    lag_ms: u64,
}

impl From<AsOf> for AsOfView {
    fn from(as_of: AsOf) -> Self {
        let AsOf { offset, at_ms, lag_ms } = as_of;
        Self { offset, time: iso8601(at_ms), lag_ms }
    }
}

impl<T> Counted<T> {
    fn new(data: T, as_of: AsOf) -> Json<Self> {
        Json(Self { data, meta: CountedMeta { as_of: as_of.into() } })
    }
}

/// What an answer is to reflect: `min_offset` is waited for.
pub async fn as_of(services: &Services, min_offset: Option<u64>) -> Result<AsOf, Problem> {
    Ok(services.analytics.as_of(min_offset, services.links.applied()).await?)
}

//! Analytics: any query ([`query`]), several at once ([`batch`]), and the most common queries as
//! separate paths, which follow the documentation of the Lynklens API (`/links/…`), the qklnk API
//! (`/analytics`) and the `ShortLink` API (`/analytics/links/…`).

pub mod batch;
pub mod blocked;
pub mod body;
pub mod filters;
pub mod links;
pub mod overview;
pub mod params;
pub mod query;
pub mod scope;
pub mod view;

use axum::Json;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::iso8601;
use super::route::Routes;
use crate::domain::error::Result;
use crate::domain::token::Ability::AnalyticsRead;
use crate::http::Services;
use crate::queries::analytics::AsOf;

pub fn routes() -> Routes {
    let link_routes = Routes::of("analytics", "link_analytics")
        .route(AnalyticsRead, routes!(links::clicks))
        .route(AnalyticsRead, routes!(links::summary))
        .route(AnalyticsRead, routes!(links::continents))
        .route(AnalyticsRead, routes!(links::countries))
        .route(AnalyticsRead, routes!(links::regions))
        .route(AnalyticsRead, routes!(links::cities))
        .route(AnalyticsRead, routes!(links::devices))
        .route(AnalyticsRead, routes!(links::browsers))
        .route(AnalyticsRead, routes!(links::operating_systems))
        .route(AnalyticsRead, routes!(links::referrers))
        .route(AnalyticsRead, routes!(links::sources))
        .route(AnalyticsRead, routes!(links::languages))
        .route(AnalyticsRead, routes!(links::tags))
        .route(AnalyticsRead, routes!(links::folders))
        .route(AnalyticsRead, routes!(links::campaigns))
        .route(AnalyticsRead, routes!(links::utm));
    link_routes
        .then("analytics", "analytics")
        .route(AnalyticsRead, routes!(query::query))
        .route(AnalyticsRead, routes!(batch::batch))
        .route(AnalyticsRead, routes!(overview::overview))
        .route(AnalyticsRead, routes!(overview::link_overview))
        .route(AnalyticsRead, routes!(blocked::blocked))
        .route(AnalyticsRead, routes!(blocked::blocked_by_link))
}

/// The body of an analytics response.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct Counted<T> {
    /// The result.
    data: T,
    /// What the result reflects.
    meta: CountedMeta,
}

/// What a result reflects.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct CountedMeta {
    /// The snapshot of the click log.
    as_of: AsOfView,
}

/// A snapshot of the click log.
#[derive(Debug, Clone, serde::Serialize, ToSchema)]
pub struct AsOfView {
    /// Exactly the clicks up to this offset of the click log are counted.
    offset: u64,
    /// All clicks up to this time are counted.
    #[schema(format = DateTime, example = "2026-03-02T10:31:07.250Z")]
    time: String,
    /// The age of the snapshot in milliseconds; 0 if no click waits to be counted.
    lag_ms: u64,
}

impl From<AsOf> for AsOfView {
    fn from(as_of: AsOf) -> Self {
        let AsOf { offset, at_ms, lag_ms } = as_of;
        Self { offset, time: iso8601(at_ms), lag_ms }
    }
}

impl<T> Counted<T> {
    /// The body of a response.
    pub fn new(data: T, as_of: AsOf) -> Json<Self> {
        Json(Self { data, meta: CountedMeta { as_of: as_of.into() } })
    }
}

/// The snapshot for a response; waits for `min_offset`.
pub async fn as_of(services: &Services, min_offset: Option<u64>) -> Result<AsOf> {
    services.analytics.as_of(min_offset, services.links.applied()).await
}

//! Single clicks: listed in pages, and downloaded as files.

mod exports;

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderName, Response};
use futures_util::stream;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::analytics::links::name_of;
use super::analytics::params::{AnalyticsParams, AnalyticsRequest, FilterParams, LimitParam};
use super::analytics::{AsOfView, as_of};
use super::links::export::attachment;
use super::route::Routes;
use crate::domain::error::{Result, ServiceError};
use crate::domain::plan::Feature;
use crate::domain::token::Ability::AnalyticsRead;
use crate::http::auth::Api;
use crate::http::params::Params;
use crate::queries::analytics::{AsOf, DateRange, Dimension, Format, Metric, beyond_log_end};

const MAX_PAGE: u64 = 1_000;
const DEFAULT_PAGE: u64 = 100;

/// The offset up to which a file holds all clicks: `through` of a request that continues it.
const AS_OF_OFFSET: HeaderName = HeaderName::from_static("as-of-offset");

pub fn routes() -> Routes {
    Routes::of("analytics", "clicks")
        .route(AnalyticsRead, routes!(list))
        .route(AnalyticsRead, routes!(export))
        .with(|route| route.feature = Some(Feature::Exports))
        .then("analytics", "exports")
        .route(AnalyticsRead, routes!(exports::create))
        .with(|route| route.feature = Some(Feature::Exports))
        .route(AnalyticsRead, routes!(exports::list))
        .route(AnalyticsRead, routes!(exports::get))
        .route(AnalyticsRead, routes!(exports::delete))
        .route(AnalyticsRead, routes!(exports::download))
}

/// A page of clicks.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClickList {
    /// The clicks, newest first: `offset`, `time`, `link`, `tags`, and the value of each other
    /// dimension; null if unknown.
    /// `visitor` is the same for one visitor within a period of the salt.
    #[schema(value_type = Vec<Object>)]
    data: Vec<Map<String, Value>>,
    meta: ClickListMeta,
}

/// The position of a page of clicks.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClickListMeta {
    as_of: AsOfView,
    /// The `cursor` of the next request; null at the end.
    next_cursor: Option<String>,
}

/// Lists single clicks, newest first.
#[utoipa::path(
    get, path = "/clicks",
    params(
        AnalyticsParams,
        LimitParam,
        FilterParams,
        ("cursor" = Option<u64>, Query, minimum = 1, description = "The `next_cursor` of the previous response."),
    ),
    responses((status = 200, body = ClickList)),
)]
pub async fn list(Api { services, actor }: Api, mut params: Params) -> Result<Json<ClickList>> {
    let limit = params.number("limit", 1, MAX_PAGE).unwrap_or(DEFAULT_PAGE);
    let cursor = params.number("cursor", 1, u64::MAX);
    let request = AnalyticsRequest::take(params, &services, &actor)?;
    let period = request.period(&DateRange::All)?;
    let as_of = as_of(&services, request.min_offset).await?;
    let mut query = request.query(&[], &[Metric::Clicks], period);
    // Read one more than requested, to know whether there are more.
    query.limit = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    let mut clicks = services.analytics.clicks(&query, cursor, as_of).await?;
    let has_more = clicks.len() as u64 > limit;
    clicks.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let last = clicks.last().and_then(|click| click.get("offset")).filter(|_| has_more);
    let meta = ClickListMeta { as_of: as_of.into(), next_cursor: last.map(Value::to_string) };
    let data = clicks.into_iter().map(|click| shown(click, &services.site.host)).collect();
    Ok(Json(ClickList { data, meta }))
}

/// A click as other responses show its values: with the name of the default domain, and names after
/// codes.
fn shown(click: Map<String, Value>, host: &str) -> Map<String, Value> {
    let mut shown = Map::new();
    for (name, value) in click {
        let code = value.as_str().unwrap_or_default();
        let named = Dimension::named(&name).and_then(|dimension| name_of(dimension, code));
        let named = named.map(|(field, text)| (field.to_owned(), json!(text)));
        let value = if name == "domain" && value.is_null() { json!(host) } else { value };
        shown.insert(name, value);
        shown.extend(named);
    }
    shown
}

/// Downloads clicks as a file, ordered by day, link and time.
#[utoipa::path(
    get, path = "/analytics/export",
    params(
        ("format" = inline(Format), Query, description = "The format of the file."),
        AnalyticsParams,
        FilterParams,
        ("after" = Option<u64>, Query, minimum = 1, description = "Continues after the click with this offset: the last one of an interrupted download."),
        ("through" = Option<u64>, Query, description = "Returns clicks up to this offset only: the `As-Of-Offset` of the interrupted download."),
    ),
    responses(
        (status = 200, description = "The file. It holds all clicks up to the offset in the `As-Of-Offset` header.", content(
        (String = "text/csv"), (String = "application/x-ndjson"),
        (String = "application/vnd.apache.parquet"), (String = "application/vnd.apache.arrow.file"),
    )),
    ),
)]
pub async fn export(Api { services, actor }: Api, mut params: Params) -> Result<Response<Body>> {
    let format = params.choice("format", Format::EVERY, Format::as_str);
    let (after, through) =
        (params.number("after", 1, u64::MAX), params.number("through", 0, u64::MAX));
    let request = AnalyticsRequest::take(params, &services, &actor)?.unlimited()?;
    let format = format.ok_or_else(|| {
        ServiceError::field("format", format!("must be one of {}", Format::names()))
    })?;
    let period = request.period(&DateRange::All)?;
    let end = services.analytics.log_end();
    if through.is_some_and(|through| through > end) {
        return Err(beyond_log_end("through", end));
    }
    let as_of = as_of(&services, request.min_offset.max(through)).await?;
    let as_of = AsOf { offset: through.unwrap_or(as_of.offset).min(as_of.offset), ..as_of };
    let query = request.query(&[], &[Metric::Clicks], period);
    let export = services.analytics.export(&query, format, after, as_of).await?;
    let pieces = stream::try_unfold(export, |mut export| async {
        export.next().await.map(|piece| piece.map(|piece| (piece, export)))
    });
    let name = format!("clicks-{}.{}", Timestamp::now().strftime("%Y-%m-%d"), format.as_str());
    let mut response = Response::new(Body::from_stream(pieces));
    response.headers_mut().insert(AS_OF_OFFSET, as_of.offset.into());
    Ok(attachment(response, format.media_type(), &name))
}

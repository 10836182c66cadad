//! Single clicks: pages of them, and files.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, Response};
use futures_util::stream;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::analytics::asked::{Asked, Asking};
use super::analytics::scope::Resolver;
use super::analytics::{AsOfView, as_of};
use crate::http::Services;
use crate::http::auth::{AnalyticsRead, Can};
use crate::http::params::Params;
use crate::http::problem::{Problem, ProblemBody, beyond};
use crate::queries::analytics::{AsOf, DateRange, Format, Metric};

const MAX_PAGE: u64 = 1_000;
const DEFAULT_PAGE: u64 = 100;

/// Up to which offset a file has all clicks: `through` of a request that goes on with it.
const AS_OF_OFFSET: HeaderName = HeaderName::from_static("as-of-offset");

/// A page of clicks.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClickList {
    /// The newest first: `offset`, `time`, `link`, and the value of each dimension; `visitor` is
    /// the same for the same visitor within a period of the salt.
    #[schema(value_type = Vec<Object>)]
    data: Vec<Map<String, Value>>,
    meta: ClickListMeta,
}

/// Where a page stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct ClickListMeta {
    as_of: AsOfView,
    /// `cursor` of the next page; null on the last.
    next_cursor: Option<String>,
}

/// Clicks one by one, the newest first.
#[utoipa::path(
    get, path = "/clicks", tag = "analytics",
    params(
        Asking,
        ("limit" = Option<u16>, Query, description = "How many: 1 to 1000; 100 when absent"),
        ("cursor" = Option<u64>, Query, description = "meta.next_cursor of the page before"),
    ),
    responses((status = 200, body = ClickList), (status = 400, body = ProblemBody, content_type = "application/problem+json"), (status = 503, body = ProblemBody, content_type = "application/problem+json"))
)]
pub async fn list(
    State(services): State<Services>,
    actor: Can<AnalyticsRead>,
    mut params: Params,
) -> Result<Json<ClickList>, Problem> {
    let resolver = Resolver { services: &services, workspace: actor.workspace };
    let limit = params.number("limit", 1, MAX_PAGE).unwrap_or(DEFAULT_PAGE);
    let cursor = params.number("cursor", 1, u64::MAX);
    let asked = Asked::take(params, &resolver)?;
    let period = asked.period(&DateRange::All)?;
    let as_of = as_of(&services, asked.min_offset).await?;
    let mut query = asked.question(&resolver, None, &[Metric::Clicks], period);
    // One more than asked tells whether the list goes on.
    query.limit = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    let mut data = services.analytics.clicks(&query, cursor, as_of).await?;
    let goes_on = data.len() as u64 > limit;
    data.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let last = data.last().and_then(|click| click.get("offset")).filter(|_| goes_on);
    let meta = ClickListMeta { as_of: as_of.into(), next_cursor: last.map(Value::to_string) };
    Ok(Json(ClickList { data, meta }))
}

/// Clicks as a file, by day, link and time.
#[utoipa::path(
    get, path = "/analytics/export", tag = "analytics",
    params(
        ("format" = String, Query, description = "csv, ndjson, parquet or arrow"),
        Asking,
        ("after" = Option<u64>, Query, description = "Go on after the click with this offset: the last one of a file that broke off"),
        ("through" = Option<u64>, Query, description = "Only clicks up to this offset: that file's As-Of-Offset"),
    ),
    responses((status = 200, description = "The file; the header `As-Of-Offset` tells up to which offset it has all clicks"), (status = 400, body = ProblemBody, content_type = "application/problem+json"), (status = 503, body = ProblemBody, content_type = "application/problem+json"))
)]
pub async fn export(
    State(services): State<Services>,
    actor: Can<AnalyticsRead>,
    mut params: Params,
) -> Result<Response<Body>, Problem> {
    let resolver = Resolver { services: &services, workspace: actor.workspace };
    let format = params.choice("format", Format::EVERY, Format::as_str);
    let (after, through) =
        (params.number("after", 1, u64::MAX), params.number("through", 0, u64::MAX));
    let asked = Asked::take(params, &resolver)?;
    let format = format.ok_or_else(|| {
        let names: Vec<_> = Format::EVERY.iter().map(|format| format.as_str()).collect();
        Problem::field("format", format!("must be one of {}", names.join(", ")))
    })?;
    let period = asked.period(&DateRange::All)?;
    let end = services.analytics.log_end();
    if through.is_some_and(|through| through > end) {
        return Err(Problem::field("through", beyond(end)));
    }
    let as_of = as_of(&services, asked.min_offset.max(through)).await?;
    let as_of = AsOf { offset: through.unwrap_or(as_of.offset).min(as_of.offset), ..as_of };
    let query = asked.question(&resolver, None, &[Metric::Clicks], period);
    let export = services.analytics.export(&query, format, after, as_of).await?;
    let pieces = stream::try_unfold(export, |mut export| async {
        export.next().await.map(|piece| piece.map(|piece| (piece, export)))
    });
    let day = Timestamp::now().strftime("%Y-%m-%d");
    let disposition = format!("attachment; filename=\"clicks-{day}.{}\"", format.as_str());
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    headers.extend(HeaderValue::try_from(disposition).map(|value| (CONTENT_DISPOSITION, value)));
    headers.insert(AS_OF_OFFSET, as_of.offset.into());
    Ok(response)
}

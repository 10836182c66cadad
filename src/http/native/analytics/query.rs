//! `POST /analytics/query`: any query.

use axum::Json;
use jiff::Timestamp;

use super::as_of;
use super::body::QueryBody;
use super::scope::Resolver;
use super::view::QueryResult;
use crate::domain::error::Result;
use crate::http::auth::Api;
use crate::http::body::JsonBody;

/// Runs an analytics query.
///
/// Counts any metrics by any dimensions, over any clicks and time range.
#[utoipa::path(
    post, path = "/analytics/query", request_body = QueryBody,
    responses(
        (status = 200, body = QueryResult),
        (status = 400, description = "The query is not valid; `errors` lists what is wrong by field."),
        (status = 422, description = "The query is too costly; `detail` says how to narrow it."),
    ),
)]
pub async fn query(
    Api { services, actor }: Api,
    JsonBody { value: body, .. }: JsonBody<QueryBody>,
) -> Result<Json<QueryResult>> {
    let resolver = Resolver { services: &services, workspace: actor.workspace };
    let query = body.read(&resolver, Timestamp::now())?;
    let as_of = as_of(&services, body.min_offset).await?;
    let report = services.analytics.run(&query, as_of).await?;
    Ok(Json(QueryResult::new(&query, report, as_of, &services.site.host)))
}

//! Several queries against one snapshot.

use axum::Json;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::body::QueryBody;
use super::scope::Resolver;
use super::view::QueryResult;
use super::{AsOfView, as_of};
use crate::domain::error::{Result, ServiceError};
use crate::http::auth::Api;
use crate::http::body::JsonBody;
use crate::http::problem;
use crate::queries::analytics::AnalyticsQuery;

/// The maximum number of queries per request.
const MAX_QUERIES: usize = 100;

/// Queries to run together.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchBody {
    /// The queries. An invalid one does not affect the others.
    #[schema(value_type = Vec<QueryBody>, min_items = 1, max_items = 100)]
    queries: Vec<Value>,
    /// Waits up to 10 seconds until this offset is counted. Must not be beyond the end of the log.
    min_offset: Option<u64>,
}

/// The results of several queries.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchView {
    /// The results, in the order of the queries.
    data: Vec<BatchItem>,
    meta: BatchMeta,
}

/// The snapshot of all results.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchMeta {
    as_of: AsOfView,
}

/// The result of one query.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchItem {
    /// The HTTP status that the query would have had as a request of its own.
    status: u16,
    /// The result, if the query succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<QueryResult>,
    /// Why the query failed (RFC 9457).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    problem: Option<serde_json::Value>,
}

impl From<Result<QueryResult>> for BatchItem {
    fn from(outcome: Result<QueryResult>) -> Self {
        match outcome {
            Ok(answer) => Self { status: 200, answer: Some(answer), problem: None },
            Err(error) => {
                let (status, problem) = problem::item(&error);
                Self { status, answer: None, problem: Some(problem) }
            }
        }
    }
}

/// Runs up to 100 analytics queries against one snapshot.
///
/// Each query succeeds or fails by itself.
#[utoipa::path(
    post, path = "/analytics/batch", request_body = BatchBody,
    responses((status = 200, body = BatchView)),
)]
pub async fn batch(
    Api { services, actor }: Api,
    JsonBody { value: body, .. }: JsonBody<BatchBody>,
) -> Result<Json<BatchView>> {
    if body.queries.is_empty() || body.queries.len() > MAX_QUERIES {
        return Err(ServiceError::field("queries", format!("must be 1 to {MAX_QUERIES}")));
    }
    let as_of = as_of(&services, body.min_offset).await?;
    // The same time for all queries, so that ranges that end now are equal.
    let now = Timestamp::now();
    let resolver = Resolver { services: &services, workspace: actor.workspace };
    let read: Vec<_> = body.queries.into_iter().map(|query| read(query, &resolver, now)).collect();
    let queries: Vec<_> = read.iter().filter_map(|query| query.as_ref().ok().cloned()).collect();
    let mut reports = services.analytics.run_all(queries, as_of).await.into_iter();
    let items = read.into_iter().map(|query| {
        let query = query?;
        let report = reports.next().ok_or_else(|| ServiceError::internal("a report is missing"))?;
        Ok(QueryResult::new(&query, report?, as_of, &services.site.host))
    });
    let data = items.map(BatchItem::from).collect();
    Ok(Json(BatchView { data, meta: BatchMeta { as_of: as_of.into() } }))
}

fn read(query: Value, resolver: &Resolver<'_>, now: Timestamp) -> Result<AnalyticsQuery> {
    let body: QueryBody = crate::http::body::parse_value(query)?;
    if body.min_offset.is_some() {
        let rule = "belongs beside `queries`: all of them use one snapshot";
        return Err(ServiceError::field("min_offset", rule));
    }
    body.read(resolver, now)
}

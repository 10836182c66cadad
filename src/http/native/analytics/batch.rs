//! Some questions at once, all of the same moment.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::body::QueryBody;
use super::scope::Resolver;
use super::view::Answer;
use super::{AsOfView, as_of};
use crate::http::Services;
use crate::http::auth::{AnalyticsRead, Can};
use crate::http::body::JsonBody;
use crate::http::problem::{Problem, ProblemBody};
use crate::queries::analytics::AnalyticsQuery;

/// How many questions one request may have.
const MAX_QUERIES: usize = 100;

/// Questions.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchBody {
    /// Up to 100; what is wrong with one is its own matter.
    #[schema(value_type = Vec<QueryBody>)]
    queries: Vec<Value>,
    /// Wait until this offset is counted: up to 10 s, then 504. One beyond the end of the log is
    /// refused.
    min_offset: Option<u64>,
}

/// Their answers.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchView {
    /// In the questions' order.
    data: Vec<ItemView>,
    meta: BatchMeta,
}

/// What all of the answers reflect.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchMeta {
    as_of: AsOfView,
}

/// One answer, or what is wrong with the question.
#[derive(Debug, Serialize, ToSchema)]
pub struct ItemView {
    /// The status that the question would have got alone.
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Answer>,
    /// A problem, as RFC 9457 has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    problem: Option<serde_json::Value>,
}

impl From<Result<Answer, Problem>> for ItemView {
    fn from(outcome: Result<Answer, Problem>) -> Self {
        match outcome {
            Ok(answer) => Self { status: 200, answer: Some(answer), problem: None },
            Err(problem) => {
                let (status, problem) = problem.into_item();
                Self { status, answer: None, problem: Some(problem) }
            }
        }
    }
}

/// Up to 100 questions, all answered of the same moment.
#[utoipa::path(
    post, path = "/analytics/batch", tag = "analytics",
    request_body = BatchBody,
    responses(
        (status = 200, body = BatchView),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
        (status = 504, description = "`min_offset` was not counted in time", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn ask(
    State(services): State<Services>,
    actor: Can<AnalyticsRead>,
    JsonBody { value: body, .. }: JsonBody<BatchBody>,
) -> Result<Json<BatchView>, Problem> {
    if body.queries.is_empty() || body.queries.len() > MAX_QUERIES {
        return Err(Problem::field("queries", format!("must be 1 to {MAX_QUERIES}")));
    }
    let as_of = as_of(&services, body.min_offset).await?;
    // One moment for all: spans that end now are the same ones.
    let now = Timestamp::now();
    let resolver = Resolver { services: &services, workspace: actor.workspace };
    let read: Vec<_> = body.queries.into_iter().map(|query| read(query, &resolver, now)).collect();
    let questions: Vec<_> = read.iter().filter_map(|query| query.as_ref().ok().cloned()).collect();
    let mut reports = services.analytics.run_all(questions, as_of).await.into_iter();
    let items = read.into_iter().map(|query| {
        let query = query?;
        let report = reports.next().ok_or_else(|| Problem::internal("an answer is missing"))?;
        Ok(Answer::new(&query, report?, as_of, &services.site.host))
    });
    let data = items.map(ItemView::from).collect();
    Ok(Json(BatchView { data, meta: BatchMeta { as_of: as_of.into() } }))
}

fn read(query: Value, resolver: &Resolver<'_>, now: Timestamp) -> Result<AnalyticsQuery, Problem> {
    let body: QueryBody = crate::http::body::parse_value(query)?;
    if body.min_offset.is_some() {
        let rule = "stands beside the queries: all are answered of one moment";
        return Err(Problem::field("min_offset", rule));
    }
    body.read(resolver, now)
}

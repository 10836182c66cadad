//! Any question.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;

use super::as_of;
use super::body::QueryBody;
use super::scope::Resolver;
use super::view::Answer;
use crate::http::Services;
use crate::http::auth::{AnalyticsRead, Can};
use crate::http::body::JsonBody;
use crate::http::problem::{Problem, ProblemBody};

/// Any metrics, by any dimensions, of any clicks, over any time.
#[utoipa::path(
    post, path = "/analytics/query", tag = "analytics",
    request_body = QueryBody,
    responses(
        (status = 200, body = Answer),
        (status = 400, description = "What is wrong, field by field", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "It costs too much: what to narrow", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
        (status = 504, description = "`min_offset` was not counted in time", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn ask(
    State(services): State<Services>,
    actor: Can<AnalyticsRead>,
    JsonBody { value: body, .. }: JsonBody<QueryBody>,
) -> Result<Json<Answer>, Problem> {
    let resolver = Resolver { services: &services, workspace: actor.workspace };
    let query = body.read(&resolver, Timestamp::now())?;
    let as_of = as_of(&services, body.min_offset).await?;
    let report = services.analytics.run(&query, as_of).await?;
    Ok(Json(Answer::new(&query, report, as_of, &services.site.host)))
}

//! `/api/v1/reports`: what visitors have told of the workspace's links.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::{iso8601, log_offset};
use crate::domain::command::Command;
use crate::domain::ids::ReportId;
use crate::domain::report::Report;
use crate::http::Services;
use crate::http::auth::{Can, LinksRead, LinksWrite};
use crate::http::params::{Name, Params};
use crate::http::problem::{Problem, ProblemBody};

const DEFAULT_LIMIT: u64 = 20;
const MAX_LIMIT: u64 = 100;

/// A report of a link.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReportView {
    #[schema(example = "rep_01kaj9m3v8e9qrs4t5v6w7x8y9")]
    id: String,
    link: String,
    /// The link's slug when it was reported.
    slug: String,
    /// `phishing`, `malware`, `spam`, `illegal`, `broken` or `other`.
    reason: &'static str,
    /// In the visitor's own words; may be empty.
    text: String,
    created_at: String,
}

/// A part of a list of reports.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReportPage {
    data: Vec<ReportView>,
    meta: ReportPageMeta,
}

/// Where in the list an answer stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReportPageMeta {
    limit: u64,
    /// To be sent as `cursor`; null at the end.
    next_cursor: Option<String>,
}

impl From<Report> for ReportView {
    fn from(report: Report) -> Self {
        Self {
            id: report.id.to_string(),
            link: report.link.to_string(),
            slug: report.slug,
            reason: report.reason.as_str(),
            text: report.text,
            created_at: iso8601(report.at_ms),
        }
    }
}

/// List the reports that wait to be dealt with, the newest first.
#[utoipa::path(
    get, path = "/reports", tag = "reports",
    params(
        ("limit" = Option<u64>, Query, description = "1 to 100; 20 when absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the answer before"),
    ),
    responses(
        (status = 200, body = ReportPage),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn list(
    State(services): State<Services>,
    actor: Can<LinksRead>,
    mut params: Params,
) -> Result<Json<ReportPage>, Problem> {
    let limit = params.number("limit", 1, MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
    let cursor = params.text("cursor");
    let before: Option<ReportId> = cursor.as_deref().and_then(|text| text.parse().ok());
    if cursor.is_some() && before.is_none() {
        params.refuse("cursor", "must be the next_cursor of an answer");
    }
    params.finish()?;
    let wanted = usize::try_from(limit).unwrap_or_default();
    let (reports, next) = services.links.reports(actor.workspace, before, wanted)?;
    let meta = ReportPageMeta { limit, next_cursor: next.map(|id| id.to_string()) };
    Ok(Json(ReportPage { data: reports.into_iter().map(ReportView::from).collect(), meta }))
}

/// Say that a report is dealt with: it leaves the list.
#[utoipa::path(
    post, path = "/reports/{report}/resolve", tag = "reports",
    params(("report" = String, Path, description = "The report's id")),
    responses(
        (status = 204, description = "It is dealt with"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn resolve(
    State(services): State<Services>,
    actor: Can<LinksWrite>,
    Name(id): Name,
) -> Result<Response, Problem> {
    let id = id.parse().map_err(|_| Problem::not_found("report"))?;
    let done = services.commands.run(*actor, Command::ResolveReport(id), None).await?;
    Ok((StatusCode::NO_CONTENT, log_offset(done.offset)).into_response())
}

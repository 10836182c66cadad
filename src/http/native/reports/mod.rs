//! `/api/v1/reports`: abuse reports from visitors.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::page::{CursorMeta, CursorParams, Page};
use super::route::Routes;
use super::{iso8601, log_offset};
use crate::domain::command::Command;
use crate::domain::error::{Result, ServiceError};
use crate::domain::ids::ReportId;
use crate::domain::report::{Reason, Report};
use crate::domain::token::Ability;
use crate::http::auth::Api;
use crate::http::params::{Name, Params};

pub fn routes() -> Routes {
    Routes::of("reports", "reports")
        .route(Ability::LinksRead, routes!(list))
        .route(Ability::LinksWrite, routes!(resolve))
}

/// An abuse report.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReportView {
    #[schema(example = "rep_01kaj9m3v8e9qrs4t5v6w7x8y9")]
    id: String,
    /// The ID of the reported link.
    link: String,
    /// The slug of the link when it was reported.
    slug: String,
    /// The reason that the visitor chose.
    #[schema(value_type = Reason)]
    reason: &'static str,
    /// The visitor's comment; may be empty.
    text: String,
    #[schema(format = DateTime)]
    created_at: String,
}

/// A page of reports.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReportPage {
    data: Vec<ReportView>,
    meta: CursorMeta,
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

/// Lists the open abuse reports, newest first.
#[utoipa::path(
    get, path = "/reports",
    params(CursorParams),
    responses((status = 200, body = ReportPage)),
)]
pub async fn list(Api { services, actor }: Api, mut params: Params) -> Result<Json<ReportPage>> {
    let page = Page::take_first(&mut params);
    let before = page.take_cursor(&mut params, |text| text.parse::<ReportId>().ok());
    params.finish()?;
    let (reports, next) = services.links.reports(actor.workspace, before, page.size())?;
    let meta = CursorMeta { limit: page.limit, next_cursor: next.map(|id| id.to_string()) };
    Ok(Json(ReportPage { data: reports.into_iter().map(ReportView::from).collect(), meta }))
}

/// Resolves a report and removes it from the list.
#[utoipa::path(
    post, path = "/reports/{report}/resolve",
    responses((status = 204, description = "Resolved.")),
)]
pub async fn resolve(Api { services, actor }: Api, Name(id): Name) -> Result<Response> {
    let id = id.parse().map_err(|_| ServiceError::not_found("report"))?;
    let done = services.commands.run(actor, Command::ResolveReport(id), None).await?;
    Ok((StatusCode::NO_CONTENT, log_offset(done.offset)).into_response())
}

//! `/api/v1/links`

mod bulk;
mod crud;
mod deleted;
pub mod export;
mod external_ids;
mod list;
mod rules;
mod tags;
pub mod versions;
pub mod view;

use axum::Json;
use axum::http::header::{ETAG, IF_MATCH};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::path_ref::PathRef;
use super::route::Routes;
use super::{Changed, Data, log_offset, replayed};
use crate::commands::CommandResult;
use crate::domain::command::{Expected, Outcome};
use crate::domain::error::{Result, ServiceError};
use crate::domain::link::Link;
use crate::domain::token::Ability::{
    AnalyticsRead, LinksCreate, LinksDelete, LinksRead, LinksUpdate, LinksWrite,
};
use crate::domain::token::Actor;
use crate::http::Services;
use crate::queries::analytics::Counts;
use view::LinkView;

pub fn routes() -> Routes {
    Routes::of("links", "links")
        .route(LinksCreate, routes!(crud::create))
        .route(LinksRead, routes!(list::list))
        .route(LinksRead, routes!(list::count))
        .route(LinksRead, routes!(export::export))
        .route(LinksRead, routes!(crud::get))
        .route(LinksUpdate, routes!(crud::replace))
        .route(LinksUpdate, routes!(crud::update))
        .route(LinksDelete, routes!(crud::delete))
        .route(LinksRead, routes!(external_ids::get_by_external_id))
        .route(LinksWrite, routes!(external_ids::upsert))
        .then("links", "links_bulk")
        .route(LinksCreate, routes!(bulk::create))
        .route(LinksUpdate, routes!(bulk::update))
        .route(LinksDelete, routes!(bulk::delete))
        .then("links", "rules")
        .route(LinksRead, routes!(rules::test))
        .route(AnalyticsRead, routes!(rules::dry_run))
        .then("links", "links")
        .route(LinksRead, routes!(tags::list_tags))
        .route(LinksRead, routes!(tags::list_folders))
        .then("history", "versions")
        .route(LinksRead, routes!(versions::list))
        .route(LinksRead, routes!(versions::diff))
        .then("history", "links")
        .route(LinksUpdate, routes!(versions::revert))
        .route(LinksCreate, routes!(deleted::restore))
}

/// The parameter of changes that depend on a version.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "describes what `expected` reads by name")]
pub struct IfMatch {
    /// Applies the change only if the resource still has this `ETag`; `*` matches any version.
    #[param(rename = "If-Match", example = "\"3\"")]
    if_match: Option<String>,
}

/// The response with a link, its counts and its version.
async fn shown(services: &Services, link: Link) -> Response {
    let counts = services.analytics.counts(link.workspace, &[link.id]).await;
    let counts = counts.map(|counts| counts.get(&link.id).copied().unwrap_or_default());
    let etag = etag(link.version);
    (etag, Json(Data { data: LinkView::new(services, link, counts) })).into_response()
}

/// The `ETag` header with a version.
pub fn etag(version: u32) -> AppendHeaders<Option<(HeaderName, HeaderValue)>> {
    let value = HeaderValue::try_from(format!("\"{version}\"")).ok();
    AppendHeaders(value.map(|value| (ETAG, value)))
}

/// The response to a change: the link, its version, the change's offset, and whether it is a
/// replay.
///
/// A new link has no clicks. Those of others are not counted: a change must not wait for analytics.
fn changed(
    services: &Services,
    status: StatusCode,
    link: Link,
    (offset, is_replay): (u64, bool),
) -> Response {
    let etag = etag(link.version);
    let counts = (status == StatusCode::CREATED).then(Counts::default);
    let body = Changed::new(LinkView::new(services, link, counts), offset);
    (status, etag, log_offset(offset), replayed(is_replay), Json(body)).into_response()
}

/// Finds the actor's link by the reference in a path.
pub fn find(services: &Services, actor: &Actor, name: &PathRef) -> Result<Link> {
    let link = services.links.get(actor.workspace, &name.link()?)?;
    link.ok_or_else(|| ServiceError::not_found("link"))
}

/// Parses `If-Match`: one entity tag, or `*`.
pub fn expected(headers: &HeaderMap) -> Result<Expected> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(None) };
    let tag = value.to_str().unwrap_or_default().trim();
    if tag == "*" {
        return Ok(None);
    }
    let version = tag
        .strip_prefix('"')
        .and_then(|tag| tag.strip_suffix('"'))
        .and_then(|tag| tag.parse().ok());
    version
        .map(Some)
        .ok_or_else(|| ServiceError::field("If-Match", "must be the ETag of a response, or *"))
}

/// The response to a change of a link or to its replay.
fn answered(services: &Services, done: CommandResult) -> Result<Response> {
    let change = (done.offset, done.is_replay);
    let (link, is_new) = match done.outcome {
        Outcome::Link(link) => (link, false),
        Outcome::Upserted(link, is_new) => (link, is_new),
        other => return Err(unexpected(&other)),
    };
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(changed(services, status, *link, change))
}

fn unexpected(outcome: &Outcome) -> ServiceError {
    ServiceError::internal(format!("a link was expected, not {outcome:?}"))
}

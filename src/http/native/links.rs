//! `/api/v1/links`

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use axum::http::header::{ETAG, IF_MATCH, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::link_view::LinkView;
use super::{Changed, Data, log_offset};
use crate::commands::Done;
use crate::domain::command::{Command, Expected, LinkRef, Outcome};
use crate::domain::ids::LinkId;
use crate::domain::link::{Link, LinkInput};
use crate::domain::token::Actor;
use crate::http::Services;
use crate::http::auth::{Can, LinksRead, LinksWrite};
use crate::http::body::JsonBody;
use crate::http::params::{Name, Params};
use crate::http::problem::{Problem, ProblemBody};
use crate::queries::analytics::Counts;
use crate::queries::links::Part;

const DEFAULT_LIMIT: u64 = 20;
const MAX_LIMIT: u64 = 100;
/// Far beyond what anybody leafs to; a cursor goes further.
const MAX_PAGE: u64 = 1_000_000;

const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// A part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct LinkPage {
    data: Vec<LinkView>,
    meta: PageMeta,
}

/// Where in a list an answer stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct PageMeta {
    /// 1-indexed; null when a cursor was followed.
    page: Option<u64>,
    limit: u64,
    /// How many there are in all.
    total: u64,
    /// To be sent as `cursor`; null at the end.
    next_cursor: Option<String>,
}

/// A link's counts; `None` while analytics are away.
async fn counts_of(services: &Services, link: &Link) -> Option<Counts> {
    let counts = services.analytics.counts(link.workspace, &[link.id]).await;
    counts.map(|counts| counts.get(&link.id).copied().unwrap_or_default())
}

/// A link's version, as `ETag`.
fn etag(version: u32) -> AppendHeaders<Option<(HeaderName, HeaderValue)>> {
    let value = HeaderValue::try_from(format!("\"{version}\"")).ok();
    AppendHeaders(value.map(|value| (ETAG, value)))
}

/// The answer to a change: the link, its version and the change's offset.
fn changed(
    services: &Services,
    status: StatusCode,
    link: Link,
    counts: Option<Counts>,
    offset: u64,
) -> Response {
    let headers = (etag(link.version), log_offset(offset));
    let body = Changed::new(LinkView::new(services, link, counts), offset);
    (status, headers.0, headers.1, Json(body)).into_response()
}

fn named(text: &str) -> Result<LinkRef, Problem> {
    LinkRef::parse(text).ok_or_else(|| Problem::not_found("link"))
}

/// The link that a path of this actor's names.
pub fn find(services: &Services, actor: &Actor, text: &str) -> Result<Link, Problem> {
    let link = services.links.get(actor.workspace, &named(text)?)?;
    link.ok_or_else(|| Problem::not_found("link"))
}

/// `If-Match`: one entity tag, or `*`.
fn expected(headers: &HeaderMap) -> Result<Expected, Problem> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(None) };
    let tag = value.to_str().unwrap_or_default().trim();
    if tag == "*" {
        return Ok(None);
    }
    let version = tag
        .strip_prefix('"')
        .and_then(|tag| tag.strip_suffix('"'))
        .and_then(|tag| tag.parse().ok());
    version.map(Some).ok_or_else(|| {
        Problem::field("If-Match", "must be one entity tag as an answer's ETag has it, or *")
    })
}

/// Create a link.
#[utoipa::path(
    post, path = "/links", tag = "links", request_body = LinkInput,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a repeated request the same request, for 24 hours")),
    responses(
        (status = 201, body = Changed<LinkView>),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The slug is taken", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The idempotency key came with another request", body = ProblemBody, content_type = "application/problem+json"),
        (status = 507, description = "The disk is full", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn create(
    State(services): State<Services>,
    actor: Can<LinksWrite>,
    body: JsonBody<LinkInput>,
) -> Result<Response, Problem> {
    let command = Command::CreateLink(body.value);
    let done = services.commands.run(*actor, command, body.idempotency).await?;
    let (is_replay, offset) = (done.is_replay, done.offset);
    let link = link_of(done)?;
    let location = HeaderValue::try_from(format!("/api/v1/links/{}", link.id));
    let counts = Some(Counts::default());
    let mut response = changed(&services, StatusCode::CREATED, link, counts, offset);
    let headers = response.headers_mut();
    if let Ok(location) = location {
        headers.insert(LOCATION, location);
    }
    if is_replay {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// List links, newest first.
#[utoipa::path(
    get, path = "/links", tag = "links",
    params(
        ("page" = Option<u64>, Query, description = "1-indexed; 1 when absent"),
        ("limit" = Option<u64>, Query, description = "1 to 100; 20 when absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the answer before, instead of a page"),
    ),
    responses((status = 200, body = LinkPage))
)]
pub async fn list(
    State(services): State<Services>,
    actor: Can<LinksRead>,
    mut params: Params,
) -> Result<Json<LinkPage>, Problem> {
    let page = params.number("page", 1, MAX_PAGE);
    let limit = params.number("limit", 1, MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
    let cursor = params.text("cursor").map(|text| text.parse::<LinkId>());
    if matches!(cursor, Some(Err(_))) {
        params.refuse("cursor", "is not the next_cursor of an answer");
    }
    if cursor.is_some() && page.is_some() {
        params.refuse("cursor", "can't be combined with page");
    }
    params.finish()?;
    let (part, page) = if let Some(Ok(id)) = cursor {
        (Part::Before(id), None)
    } else {
        let page = page.unwrap_or(1);
        (Part::Page(usize::try_from(page).unwrap_or(usize::MAX)), Some(page))
    };
    let list = services.links.list(actor.workspace, part, usize::try_from(limit).unwrap_or(1))?;
    let ids: Vec<_> = list.links.iter().map(|link| link.id).collect();
    let counts: Option<HashMap<_, _>> =
        if ids.is_empty() { None } else { services.analytics.counts(actor.workspace, &ids).await };
    let data = list.links.into_iter().map(|link| {
        let counts =
            counts.as_ref().map(|counts| counts.get(&link.id).copied().unwrap_or_default());
        LinkView::new(&services, link, counts)
    });
    let meta = PageMeta {
        page,
        limit,
        total: list.total,
        next_cursor: list.next.map(|id| id.to_string()),
    };
    Ok(Json(LinkPage { data: data.collect(), meta }))
}

/// See a link.
#[utoipa::path(
    get, path = "/links/{link}", tag = "links",
    params(("link" = String, Path, description = "The link's id or slug")),
    responses((status = 200, body = Data<LinkView>), (status = 404, body = ProblemBody, content_type = "application/problem+json"))
)]
pub async fn read(
    State(services): State<Services>,
    actor: Can<LinksRead>,
    Name(name): Name,
) -> Result<Response, Problem> {
    let link = find(&services, &actor, &name)?;
    let counts = counts_of(&services, &link).await;
    let etag = etag(link.version);
    Ok((etag, Json(Data { data: LinkView::new(&services, link, counts) })).into_response())
}

/// Replace a link: what isn't named falls back to its default, but for the slug.
#[utoipa::path(
    put, path = "/links/{link}", tag = "links", request_body = LinkInput,
    params(
        ("link" = String, Path, description = "The link's id or slug"),
        ("If-Match" = Option<String>, Header, description = "Only if the link is still at the version of this ETag"),
    ),
    responses(
        (status = 200, body = Changed<LinkView>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "The link has changed", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn replace(
    State(services): State<Services>,
    actor: Can<LinksWrite>,
    Name(name): Name,
    headers: HeaderMap,
    body: JsonBody<LinkInput>,
) -> Result<Response, Problem> {
    let command = Command::ReplaceLink(named(&name)?, body.value, expected(&headers)?);
    let done = services.commands.run(*actor, command, body.idempotency).await?;
    let offset = done.offset;
    let link = link_of(done)?;
    let counts = counts_of(&services, &link).await;
    Ok(changed(&services, StatusCode::OK, link, counts, offset))
}

/// Change some fields of a link.
#[utoipa::path(
    patch, path = "/links/{link}", tag = "links", request_body = LinkInput,
    params(
        ("link" = String, Path, description = "The link's id or slug"),
        ("If-Match" = Option<String>, Header, description = "Only if the link is still at the version of this ETag"),
    ),
    responses(
        (status = 200, body = Changed<LinkView>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "The link has changed", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn change(
    State(services): State<Services>,
    actor: Can<LinksWrite>,
    Name(name): Name,
    headers: HeaderMap,
    body: JsonBody<LinkInput>,
) -> Result<Response, Problem> {
    let command = Command::ChangeLink(named(&name)?, body.value, expected(&headers)?);
    let done = services.commands.run(*actor, command, body.idempotency).await?;
    let offset = done.offset;
    let link = link_of(done)?;
    let counts = counts_of(&services, &link).await;
    Ok(changed(&services, StatusCode::OK, link, counts, offset))
}

/// Delete a link. Its slug is free again, and the analytics lose its clicks.
#[utoipa::path(
    delete, path = "/links/{link}", tag = "links",
    params(
        ("link" = String, Path, description = "The link's id or slug"),
        ("If-Match" = Option<String>, Header, description = "Only if the link is still at the version of this ETag"),
    ),
    responses((status = 204), (status = 404, body = ProblemBody, content_type = "application/problem+json"))
)]
pub async fn delete(
    State(services): State<Services>,
    actor: Can<LinksWrite>,
    Name(name): Name,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let command = Command::DeleteLink(named(&name)?, expected(&headers)?);
    let done = services.commands.run(*actor, command, None).await?;
    Ok((StatusCode::NO_CONTENT, log_offset(done.offset)).into_response())
}

fn link_of(done: Done) -> Result<Link, Problem> {
    match done.outcome {
        Outcome::Link(link) => Ok(*link),
        other => Err(Problem::internal(format!("a link was expected, not {other:?}"))),
    }
}

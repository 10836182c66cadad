//! `/api/v1/links`

use axum::Json;
use axum::extract::State;
use axum::http::header::{ETAG, IF_MATCH, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};

use super::link_view::LinkView;
use super::{Changed, Data, log_offset, replayed, versions};
use crate::commands::Done;
use crate::domain::command::{Command, Expected, LinkRef, Outcome};
use crate::domain::link::{Link, LinkInput};
use crate::domain::token::Actor;
use crate::http::Services;
use crate::http::auth::{Can, LinksRead, LinksWrite};
use crate::http::body::JsonBody;
use crate::http::params::{Name, Params};
use crate::http::problem::{Problem, ProblemBody};
use crate::queries::analytics::Counts;

/// A link's counts; `None` while analytics are away.
pub async fn counts_of(services: &Services, link: &Link) -> Option<Counts> {
    let counts = services.analytics.counts(link.workspace, &[link.id]).await;
    counts.map(|counts| counts.get(&link.id).copied().unwrap_or_default())
}

/// A link's version, as `ETag`.
pub fn etag(version: u32) -> AppendHeaders<Option<(HeaderName, HeaderValue)>> {
    let value = HeaderValue::try_from(format!("\"{version}\"")).ok();
    AppendHeaders(value.map(|value| (ETAG, value)))
}

/// The answer to a change: the link, its version, the change's offset, and whether the request came
/// before.
pub fn changed(
    services: &Services,
    status: StatusCode,
    link: Link,
    counts: Option<Counts>,
    (offset, is_replay): (u64, bool),
) -> Response {
    let etag = etag(link.version);
    let body = Changed::new(LinkView::new(services, link, counts), offset);
    (status, etag, log_offset(offset), replayed(is_replay), Json(body)).into_response()
}

/// The link that a path names.
pub fn named(text: &str) -> Result<LinkRef, Problem> {
    LinkRef::parse(text).ok_or_else(|| Problem::not_found("link"))
}

/// The link that a path of this actor's names.
pub fn find(services: &Services, actor: &Actor, text: &str) -> Result<Link, Problem> {
    let link = services.links.get(actor.workspace, &named(text)?)?;
    link.ok_or_else(|| Problem::not_found("link"))
}

/// `If-Match`: one entity tag, or `*`.
pub fn expected(headers: &HeaderMap) -> Result<Expected, Problem> {
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
    let change = (done.offset, done.is_replay);
    let link = link_of(done)?;
    let location = HeaderValue::try_from(format!("/api/v1/links/{}", link.id));
    let counts = Some(Counts::default());
    let mut response = changed(&services, StatusCode::CREATED, link, counts, change);
    if let Ok(location) = location {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// See a link, as it is or as it was.
#[utoipa::path(
    get, path = "/links/{link}", tag = "links",
    params(
        ("link" = String, Path, description = "The link's id or slug"),
        ("at" = Option<String>, Query, description = "As it was at this moment; its counts, which are of now, are null then"),
    ),
    responses((status = 200, body = Data<LinkView>), (status = 404, body = ProblemBody, content_type = "application/problem+json"))
)]
pub async fn read(
    State(services): State<Services>,
    actor: Can<LinksRead>,
    Name(name): Name,
    mut params: Params,
) -> Result<Response, Problem> {
    let at_ms = params.moment("at");
    params.finish()?;
    if let Some(at_ms) = at_ms {
        let data = versions::read_at(&services, &actor, &name, at_ms).await?;
        return Ok(Json(Data { data }).into_response());
    }
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
    answered(&services, done).await
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
    answered(&services, done).await
}

/// Delete a link. Its slug is free again, and the analytics lose its clicks.
///
/// For 30 days it can be restored, without these clicks, unless it is purged.
#[utoipa::path(
    delete, path = "/links/{link}", tag = "links",
    params(
        ("link" = String, Path, description = "The link's id or slug; only the id of one that is deleted"),
        ("purge" = Option<bool>, Query, description = "For good: also of a link that is deleted already. Neither it nor its versions can be asked for any more; the log on the disk keeps them"),
        ("If-Match" = Option<String>, Header, description = "Only if the link is still at the version of this ETag"),
    ),
    responses((status = 204), (status = 404, body = ProblemBody, content_type = "application/problem+json"))
)]
pub async fn delete(
    State(services): State<Services>,
    actor: Can<LinksWrite>,
    Name(name): Name,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response, Problem> {
    let is_purge = params.flag("purge").unwrap_or(false);
    params.finish()?;
    let (link, expected) = (named(&name)?, expected(&headers)?);
    let command = if is_purge {
        Command::PurgeLink(link, expected)
    } else {
        Command::DeleteLink(link, expected)
    };
    let done = services.commands.run(*actor, command, None).await?;
    Ok((StatusCode::NO_CONTENT, log_offset(done.offset)).into_response())
}

/// The answer to a change of a link, or to its repetition.
pub async fn answered(services: &Services, done: Done) -> Result<Response, Problem> {
    let change = (done.offset, done.is_replay);
    let link = link_of(done)?;
    let counts = counts_of(services, &link).await;
    Ok(changed(services, StatusCode::OK, link, counts, change))
}

fn link_of(done: Done) -> Result<Link, Problem> {
    match done.outcome {
        Outcome::Link(link) => Ok(*link),
        other => Err(Problem::internal(format!("a link was expected, not {other:?}"))),
    }
}

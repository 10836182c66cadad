//! Creates, retrieves, replaces, updates and deletes single links.

use axum::Json;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use utoipa::IntoParams;

use super::view::LinkView;
use super::{IfMatch, answered, changed, expected, find, shown, unexpected, versions};
use crate::domain::command::{Command, Expected, LinkRef, Outcome};
use crate::domain::error::Result;
use crate::domain::link::LinkInput;
use crate::domain::token::Actor;
use crate::http::Services;
use crate::http::auth::Api;
use crate::http::body::JsonBody;
use crate::http::native::path_ref::PathRef;
use crate::http::native::{Changed, Data, log_offset};
use crate::http::params::Params;

/// Creates a link.
#[utoipa::path(
    post, path = "/links", request_body = LinkInput,
    responses(
        (status = 201, body = Changed<LinkView>),
        (status = 409, description = "The slug is taken."),
    ),
)]
pub async fn create(Api { services, actor }: Api, body: JsonBody<LinkInput>) -> Result<Response> {
    let command = Command::CreateLink(body.value);
    let done = services.commands.run(actor, command, body.idempotency).await?;
    let change = (done.offset, done.is_replay);
    let Outcome::Link(link) = done.outcome else { return Err(unexpected(&done.outcome)) };
    let location = HeaderValue::try_from(format!("/api/v1/links/{}", link.id));
    let mut response = changed(&services, StatusCode::CREATED, *link, change);
    if let Ok(location) = location {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// Retrieves a link, as it is now or as it was at a given time.
#[utoipa::path(
    get, path = "/links/{link}",
    params((
        "at" = Option<String>, Query, format = DateTime,
        description = "Returns the link as it was at this time, without counts of clicks.",
    )),
    responses((status = 200, body = Data<LinkView>)),
)]
pub async fn get(
    Api { services, actor }: Api,
    name: PathRef,
    mut params: Params,
) -> Result<Response> {
    let at_ms = params.timestamp("at");
    params.finish()?;
    if let Some(at_ms) = at_ms {
        let data = versions::read_at(&services, &actor, &name, at_ms).await?;
        return Ok(Json(Data { data }).into_response());
    }
    let link = find(&services, &actor, &name)?;
    Ok(shown(&services, link).await)
}

/// Replaces a link.
///
/// Fields that the request omits return to their defaults, except for the slug, which is kept.
#[utoipa::path(
    put, path = "/links/{link}", request_body = LinkInput,
    params(IfMatch),
    responses((status = 200, body = Changed<LinkView>)),
)]
pub async fn replace(
    Api { services, actor }: Api,
    name: PathRef,
    headers: HeaderMap,
    body: JsonBody<LinkInput>,
) -> Result<Response> {
    write(&services, actor, &name, &headers, body, Command::ReplaceLink).await
}

/// Updates a link.
///
/// Fields that the request omits keep their values.
#[utoipa::path(
    patch, path = "/links/{link}", request_body = LinkInput,
    params(IfMatch),
    responses((status = 200, body = Changed<LinkView>)),
)]
pub async fn update(
    Api { services, actor }: Api,
    name: PathRef,
    headers: HeaderMap,
    body: JsonBody<LinkInput>,
) -> Result<Response> {
    write(&services, actor, &name, &headers, body, Command::ChangeLink).await
}

/// Replaces or updates a link.
async fn write(
    services: &Services,
    actor: Actor,
    name: &PathRef,
    headers: &HeaderMap,
    body: JsonBody<LinkInput>,
    command: fn(LinkRef, LinkInput, Expected) -> Command,
) -> Result<Response> {
    let command = command(name.link()?, body.value, expected(headers)?);
    let done = services.commands.run(actor, command, body.idempotency).await?;
    answered(services, done)
}

/// The parameter of deletions.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what handlers read by name")]
pub struct PurgeParam {
    /// Deletes permanently, including a link that is already deleted: neither it nor its versions
    /// can be retrieved or restored. The log on disk keeps them.
    #[param(default = false)]
    purge: Option<bool>,
}

/// Deletes a link.
///
/// Its slug becomes available again, and its clicks are removed from analytics. The link can be
/// restored for 30 days, without these clicks, unless it is purged.
#[utoipa::path(
    delete, path = "/links/{link}",
    params(PurgeParam, IfMatch),
    responses((status = 204)),
)]
pub async fn delete(
    Api { services, actor }: Api,
    name: PathRef,
    headers: HeaderMap,
    mut params: Params,
) -> Result<Response> {
    let is_purge = params.flag("purge").unwrap_or(false);
    params.finish()?;
    let (link, expected) = (name.link()?, expected(&headers)?);
    let command = if is_purge { Command::PurgeLink } else { Command::DeleteLink };
    let done = services.commands.run(actor, command(link, expected), None).await?;
    Ok((StatusCode::NO_CONTENT, log_offset(done.offset)).into_response())
}

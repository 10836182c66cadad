//! `/api/v1/links/by-external-id/{external_id}`: links by external ID.

use axum::http::HeaderMap;
use axum::response::Response;

use super::view::LinkView;
use super::{IfMatch, answered, expected, shown};
use crate::domain::command::{Command, LinkRef, Outcome};
use crate::domain::error::{Result, ServiceError};
use crate::domain::link::LinkInput;
use crate::http::auth::Api;
use crate::http::body::JsonBody;
use crate::http::native::{Changed, Data};
use crate::http::params::Name;

/// Retrieves a link by its external ID.
#[utoipa::path(
    get, path = "/links/by-external-id/{external_id}",
    responses((status = 200, body = Data<LinkView>)),
)]
pub async fn get_by_external_id(
    Api { services, actor }: Api,
    Name(external_id): Name,
) -> Result<Response> {
    let link = services.links.get(actor.workspace, &LinkRef::ExternalId(external_id))?;
    let link = link.ok_or_else(|| ServiceError::not_found("link"))?;
    Ok(shown(&services, link).await)
}

/// Creates or replaces the link with an external ID.
///
/// Of several concurrent requests, exactly one creates the link. An existing link is replaced as by
/// `PUT /links/{link}`.
#[utoipa::path(
    put, path = "/links/by-external-id/{external_id}", request_body = LinkInput,
    params(IfMatch),
    responses(
        (status = 200, description = "The existing link was replaced.", body = Changed<LinkView>),
        (status = 201, description = "The link was created.", body = Changed<LinkView>),
        (status = 409, description = "The slug is taken."),
        (status = 412, description = "The link does not exist, or is not at the version named by `If-Match`."),
    ),
)]
pub async fn upsert(
    Api { services, actor }: Api,
    Name(external_id): Name,
    headers: HeaderMap,
    body: JsonBody<LinkInput>,
) -> Result<Response> {
    let command = Command::UpsertLink(external_id, body.value, expected(&headers)?);
    let mut done = services.commands.run(actor, command, body.idempotency).await?;
    if let Outcome::Link(link) = done.outcome {
        // A repeated request: the first one created or replaced the link.
        let is_new = link.version == 1;
        done.outcome = Outcome::Upserted(link, is_new);
    }
    answered(&services, done)
}

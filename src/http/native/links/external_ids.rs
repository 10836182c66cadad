//! `/api/v1/links/by-external-id/{external_id}`: links by external ID.

use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::view::LinkView;
use super::{IfMatch, changed, counts_of, etag, expected};
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
    let counts = counts_of(&services, &link).await;
    let etag = etag(link.version);
    Ok((etag, Json(Data { data: LinkView::new(&services, link, counts) })).into_response())
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
    let done = services.commands.run(actor, command, body.idempotency).await?;
    let change = (done.offset, done.is_replay);
    let (link, is_new) = match done.outcome {
        Outcome::Upserted(link, is_new) => (*link, is_new),
        // A repeated request: the first one created or replaced the link.
        Outcome::Link(link) => {
            let is_new = link.version == 1;
            (*link, is_new)
        }
        other => return Err(ServiceError::internal(format!("a link was expected, not {other:?}"))),
    };
    let counts = counts_of(&services, &link).await;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(changed(&services, status, link, counts, change))
}

//! `/api/v1/links/by-external-id/{external_id}`: links by what another system calls them.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::link_view::LinkView;
use super::links::{changed, counts_of, etag, expected};
use super::{Changed, Data};
use crate::domain::command::{Command, LinkRef, Outcome};
use crate::domain::link::LinkInput;
use crate::http::Services;
use crate::http::auth::{Can, LinksRead, LinksWrite};
use crate::http::body::JsonBody;
use crate::http::params::Name;
use crate::http::problem::{Problem, ProblemBody};

/// See the link with an external id.
#[utoipa::path(
    get, path = "/links/by-external-id/{external_id}", tag = "links",
    params(("external_id" = String, Path, description = "What another system calls the link")),
    responses((status = 200, body = Data<LinkView>), (status = 404, body = ProblemBody, content_type = "application/problem+json"))
)]
pub async fn read(
    State(services): State<Services>,
    actor: Can<LinksRead>,
    Name(external_id): Name,
) -> Result<Response, Problem> {
    let link = services.links.get(actor.workspace, &LinkRef::ExternalId(external_id))?;
    let link = link.ok_or_else(|| Problem::not_found("link"))?;
    let counts = counts_of(&services, &link).await;
    let etag = etag(link.version);
    Ok((etag, Json(Data { data: LinkView::new(&services, link, counts) })).into_response())
}

/// Create or replace the link with an external id: of however many that ask at once, one creates
/// it. A link that is there is replaced as by `PUT /links/{link}`.
#[utoipa::path(
    put, path = "/links/by-external-id/{external_id}", tag = "links", request_body = LinkInput,
    params(
        ("external_id" = String, Path, description = "What another system calls the link"),
        ("If-Match" = Option<String>, Header, description = "Only if the link is there, and still at the version of this ETag"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a repeated request the same request, for 24 hours"),
    ),
    responses(
        (status = 200, description = "It was there", body = Changed<LinkView>),
        (status = 201, description = "It is new", body = Changed<LinkView>),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The slug is taken", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "The link has changed, or is not there", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn upsert(
    State(services): State<Services>,
    actor: Can<LinksWrite>,
    Name(external_id): Name,
    headers: HeaderMap,
    body: JsonBody<LinkInput>,
) -> Result<Response, Problem> {
    let command = Command::UpsertLink(external_id, body.value, expected(&headers)?);
    let done = services.commands.run(*actor, command, body.idempotency).await?;
    let change = (done.offset, done.is_replay);
    let (link, is_new) = match done.outcome {
        Outcome::Upserted(link, is_new) => (*link, is_new),
        // A request that came before, and made or changed the link.
        Outcome::Link(link) => {
            let is_new = link.version == 1;
            (*link, is_new)
        }
        other => return Err(Problem::internal(format!("a link was expected, not {other:?}"))),
    };
    let counts = counts_of(&services, &link).await;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(changed(&services, status, link, counts, change))
}

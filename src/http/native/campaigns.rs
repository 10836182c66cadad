//! `/api/v1/campaigns`: what links belong to.

use axum::Json;
use axum::extract::State;
use axum::response::Response;

use super::presets::{self, PresetPage, PresetView};
use super::{Changed, Data};
use crate::domain::preset::{PresetInput, PresetKind};
use crate::http::Services;
use crate::http::auth::{Can, LinksRead, LinksWrite};
use crate::http::body::JsonBody;
use crate::http::params::{Name, Params};
use crate::http::problem::{Problem, ProblemBody};

const KIND: PresetKind = PresetKind::Campaign;

/// Create a campaign.
#[utoipa::path(
    post, path = "/campaigns", tag = "campaigns", request_body = PresetInput,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a repeated request the same request, for 24 hours")),
    responses(
        (status = 201, body = Changed<PresetView>),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The name is taken", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn create(
    State(services): State<Services>,
    actor: Can<LinksWrite>,
    body: JsonBody<PresetInput>,
) -> Result<Response, Problem> {
    presets::create(&services, *actor, KIND, body).await
}

/// List the workspace's campaigns, newest first.
#[utoipa::path(
    get, path = "/campaigns", tag = "campaigns",
    params(
        ("page" = Option<u64>, Query, description = "1-indexed; 1 when absent"),
        ("limit" = Option<u64>, Query, description = "1 to 100; 20 when absent"),
    ),
    responses((status = 200, body = PresetPage))
)]
pub async fn list(
    State(services): State<Services>,
    actor: Can<LinksRead>,
    params: Params,
) -> Result<Json<PresetPage>, Problem> {
    presets::list(&services, *actor, KIND, params).await
}

/// See a campaign.
#[utoipa::path(
    get, path = "/campaigns/{campaign}", tag = "campaigns",
    params(("campaign" = String, Path, description = "The campaign's id")),
    responses((status = 200, body = Data<PresetView>), (status = 404, body = ProblemBody, content_type = "application/problem+json"))
)]
pub async fn read(
    State(services): State<Services>,
    actor: Can<LinksRead>,
    Name(id): Name,
) -> Result<Json<Data<PresetView>>, Problem> {
    presets::read(&services, *actor, KIND, &id)
}

/// Change some fields of a campaign. Links that were made before stay as they are.
#[utoipa::path(
    patch, path = "/campaigns/{campaign}", tag = "campaigns", request_body = PresetInput,
    params(("campaign" = String, Path, description = "The campaign's id")),
    responses(
        (status = 200, body = Changed<PresetView>),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The name is taken", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn change(
    State(services): State<Services>,
    actor: Can<LinksWrite>,
    Name(id): Name,
    body: JsonBody<PresetInput>,
) -> Result<Response, Problem> {
    presets::change(&services, *actor, KIND, &id, body).await
}

/// Delete a campaign that no link belongs to any more: `GET /links?campaign=…&archived=any` finds
/// those that do.
#[utoipa::path(
    delete, path = "/campaigns/{campaign}", tag = "campaigns",
    params(("campaign" = String, Path, description = "The campaign's id")),
    responses(
        (status = 204),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Links belong to it", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn delete(
    State(services): State<Services>,
    actor: Can<LinksWrite>,
    Name(id): Name,
) -> Result<Response, Problem> {
    presets::delete(&services, *actor, KIND, &id).await
}

//! `/api/v1/tags` and `/api/v1/folders`: what links are sorted under.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::page::{Page, PageMeta};
use crate::domain::token::Actor;
use crate::http::Services;
use crate::http::auth::{Can, LinksRead};
use crate::http::params::Params;
use crate::http::problem::Problem;
use crate::queries::links::NamesOf;

/// A tag or a folder.
#[derive(Debug, Serialize, ToSchema)]
pub struct NamedView {
    /// As it was first spelled.
    #[schema(example = "spring")]
    name: String,
    /// How many links have it, archived ones among them; of a folder, those in it itself.
    links: u64,
}

/// A part of a list of tags or folders.
#[derive(Debug, Serialize, ToSchema)]
pub struct NamedPage {
    data: Vec<NamedView>,
    meta: PageMeta,
}

/// List the tags that links have, by name.
#[utoipa::path(
    get, path = "/tags", tag = "links",
    params(
        ("page" = Option<u64>, Query, description = "1-indexed; 1 when absent"),
        ("limit" = Option<u64>, Query, description = "1 to 100; 20 when absent"),
    ),
    responses((status = 200, body = NamedPage))
)]
pub async fn tags(
    State(services): State<Services>,
    actor: Can<LinksRead>,
    params: Params,
) -> Result<Json<NamedPage>, Problem> {
    names(&services, &actor, params, NamesOf::Tags).await
}

/// List the folders that links are in, by name.
#[utoipa::path(
    get, path = "/folders", tag = "links",
    params(
        ("page" = Option<u64>, Query, description = "1-indexed; 1 when absent"),
        ("limit" = Option<u64>, Query, description = "1 to 100; 20 when absent"),
    ),
    responses((status = 200, body = NamedPage))
)]
pub async fn folders(
    State(services): State<Services>,
    actor: Can<LinksRead>,
    params: Params,
) -> Result<Json<NamedPage>, Problem> {
    names(&services, &actor, params, NamesOf::Folders).await
}

async fn names(
    services: &Services,
    actor: &Actor,
    mut params: Params,
    of: NamesOf,
) -> Result<Json<NamedPage>, Problem> {
    let page = Page::take(&mut params);
    params.finish()?;
    let found = services.links.names(actor.workspace, of, page.number(), page.size()).await?;
    let data = found.names.into_iter();
    let data = data.map(|named| NamedView { name: named.name, links: named.links }).collect();
    Ok(Json(NamedPage { data, meta: page.meta(found.total) }))
}

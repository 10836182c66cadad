//! `/api/v1/tags` and `/api/v1/folders`.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::error::Result;
use crate::domain::token::Actor;
use crate::http::Services;
use crate::http::auth::Api;
use crate::http::native::page::{Page, PageMeta, PageParams};
use crate::http::params::Params;
use crate::queries::links::NamesOf;

/// A tag or a folder.
#[derive(Debug, Serialize, ToSchema)]
pub struct NamedView {
    /// The name as first spelled.
    #[schema(example = "spring")]
    name: String,
    /// The number of links, including archived ones; for a folder, those directly in it.
    links: u64,
}

/// A page of tags or folders.
#[derive(Debug, Serialize, ToSchema)]
pub struct NamedPage {
    data: Vec<NamedView>,
    meta: PageMeta,
}

/// Lists the tags in use, by name.
#[utoipa::path(
    get, path = "/tags",
    params(PageParams),
    responses((status = 200, body = NamedPage)),
)]
pub async fn list_tags(Api { services, actor }: Api, params: Params) -> Result<Json<NamedPage>> {
    names(&services, &actor, params, NamesOf::Tags).await
}

/// Lists the folders in use, by name.
#[utoipa::path(
    get, path = "/folders",
    params(PageParams),
    responses((status = 200, body = NamedPage)),
)]
pub async fn list_folders(Api { services, actor }: Api, params: Params) -> Result<Json<NamedPage>> {
    names(&services, &actor, params, NamesOf::Folders).await
}

async fn names(
    services: &Services,
    actor: &Actor,
    mut params: Params,
    of: NamesOf,
) -> Result<Json<NamedPage>> {
    let page = Page::take(&mut params);
    params.finish()?;
    let found = services.links.names(actor.workspace, of, page.number(), page.size()).await?;
    let data = found.names.into_iter();
    let data = data.map(|named| NamedView { name: named.name, links: named.links }).collect();
    Ok(Json(NamedPage { data, meta: page.meta(found.total) }))
}

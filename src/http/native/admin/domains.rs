//! `/api/v1/admin/domains`: the verified domains of all workspaces, for the operator.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::error::Result;
use crate::http::Services;
use crate::http::native::page::{Page, PageOf, PageParams};
use crate::http::params::Params;

/// A domain that leads to this service.
#[derive(Serialize, ToSchema)]
pub struct AdminDomainView {
    #[schema(example = "go.example.com")]
    hostname: String,
    /// The workspace's ID.
    #[schema(example = "ws_01kaj9m3v8e9qrs4t5v6w7x8y9")]
    workspace: String,
}

/// Lists the verified domains of all workspaces, by name.
#[utoipa::path(
    get, path = "/admin/domains", params(PageParams),
    responses((status = 200, body = PageOf<AdminDomainView>)),
)]
pub async fn list(
    State(services): State<Services>,
    mut params: Params,
) -> Result<Json<PageOf<AdminDomainView>>> {
    let page = Page::take(&mut params);
    params.finish()?;
    let verified = services.domains.all_verified();
    Ok(Json(page.of(verified, |(hostname, workspace)| {
        Ok(AdminDomainView { hostname, workspace: workspace.to_string() })
    })?))
}

//! Deleted links: listed by `/api/v1/links?deleted=true`, and restored.

use axum::Json;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use super::answered;
use super::view::{LinkPage, LinkView};
use crate::domain::command::{Command, LinkRef};
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::ids::LinkId;
use crate::domain::token::Actor;
use crate::http::Services;
use crate::http::auth::Api;
use crate::http::body::OptionalBody;
use crate::http::native::Changed;
use crate::http::native::page::Page;
use crate::http::params::{Name, Params};

/// Options for restoring a link.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreBody {
    /// The slug to restore the link under; its own by default.
    #[serde(default)]
    #[schema(example = "other")]
    slug: Option<String>,
}

/// The deleted links that can be restored, newest first, by page or by cursor.
pub fn list(services: &Services, actor: &Actor, mut params: Params) -> Result<Json<LinkPage>> {
    let page = Page::take(&mut params);
    let before = page.take_cursor(&mut params, |text| text.parse::<LinkId>().ok());
    params.finish()?;
    let skip = if before.is_some() { 0 } else { page.skipped() };
    let found = services.link_history.tombstones(actor.workspace, (before, skip, page.size()))?;
    let next_cursor = found.next.map(|id| id.to_string());
    let data = found.items.into_iter().map(|one| LinkView::of_deleted(services, one)).collect();
    let meta = page.meta_after(before.is_some(), Some(found.total), next_cursor);
    Ok(Json(LinkPage { data, meta }))
}

/// Restores a deleted link.
///
/// A link can be restored within 30 days of its deletion, unless it was purged. It returns as a new
/// version. Its slug and external ID must still be available; otherwise pass another slug. A campaign
/// that has been deleted since is not restored. Clicks from before the deletion stay out of analytics.
#[utoipa::path(
    post, path = "/links/{link}/restore", request_body = Option<RestoreBody>,
    responses(
        (status = 200, body = Changed<LinkView>),
        (status = 400, description = "The slug is invalid, or a URL of the link is now on the blocklist."),
        (status = 409, description = "Another link uses the slug or the external ID, or the link is not deleted."),
    ),
)]
pub async fn restore(
    Api { services, actor }: Api,
    Name(id): Name,
    body: OptionalBody<RestoreBody>,
) -> Result<Response> {
    let link: LinkId = id.parse().map_err(|_| ServiceError::not_found("link"))?;
    let deleted_version = match services.link_history.tombstone(actor.workspace, link)? {
        Some(tombstone) => {
            // New clicks have to follow the record that removes the earlier ones from analytics.
            if !services.analytics.has_forgotten(tombstone.offset).await {
                let detail = "The link's deletion is not in the log of clicks yet.";
                return Err(ServiceError::unavailable(ErrorCode::ChangesUnavailable, detail));
            }
            tombstone.link.version
        }
        // A repeated request finds the link already restored.
        None => match services.links.get(actor.workspace, &LinkRef::Id(link))? {
            Some(_) if body.idempotency.is_none() => return Err(ServiceError::not_deleted()),
            Some(link) => link.version.saturating_sub(1),
            None => return Err(ServiceError::not_found("link")),
        },
    };
    let command = Command::RestoreLink { link, deleted_version, slug: body.value.slug };
    let done = services.commands.run(actor, command, body.idempotency).await?;
    answered(&services, done)
}

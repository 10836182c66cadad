//! Links that were deleted: listed by `/api/v1/links?deleted=true`, and brought back.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Changed;
use super::link_list::LinkPage;
use super::link_view::LinkView;
use super::links::answered;
use super::page::{Page, PageMeta};
use crate::domain::command::{Command, LinkRef};
use crate::domain::error::DomainError;
use crate::domain::ids::LinkId;
use crate::domain::token::Actor;
use crate::http::Services;
use crate::http::auth::{Can, LinksWrite};
use crate::http::body::OptionalBody;
use crate::http::params::{Name, Params};
use crate::http::problem::{Problem, ProblemBody};

/// How a link is to come back.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreBody {
    /// Where it is to answer; where it did when absent.
    #[serde(default)]
    #[schema(example = "other")]
    slug: Option<String>,
}

/// The deleted links that can be restored, the last made first: page by page, or behind a cursor.
pub fn list(
    services: &Services,
    actor: &Actor,
    mut params: Params,
) -> Result<Json<LinkPage>, Problem> {
    let page = Page::take(&mut params);
    let rule = "is not the next_cursor of an answer";
    let before = params.parsed("cursor", rule, |text| text.parse::<LinkId>().ok());
    if before.is_some() && page.page.is_some() {
        params.refuse("cursor", "can't be combined with page");
    }
    params.finish()?;
    let number = before.is_none().then(|| page.page.unwrap_or(1));
    let skip = number.map_or(0, |_| page.number().saturating_sub(1).saturating_mul(page.size()));
    let found = services.histories.tombstones(actor.workspace, (before, skip, page.size()))?;
    let next_cursor = found.next.map(|id| id.to_string());
    let data = found.items.into_iter().map(|one| LinkView::of_deleted(services, one)).collect();
    let total = Some(found.total);
    let meta = PageMeta { page: number, limit: page.limit, total, next_cursor };
    Ok(Json(LinkPage { data, meta }))
}

/// Restore a deleted link.
///
/// Within 30 days of its deletion, unless it was purged. It comes back as it was, as a new version;
/// its slug has to be free still, or another one is to be given, and so has its external id. It belongs
/// to no campaign that is gone by now. Its clicks from before the deletion
/// stay out of the analytics; those from now on count.
#[utoipa::path(
    post, path = "/links/{link}/restore", tag = "history", request_body = Option<RestoreBody>,
    params(
        ("link" = String, Path, description = "The link's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a repeated request the same request, for 24 hours"),
    ),
    responses(
        (status = 200, body = Changed<LinkView>),
        (status = 400, description = "The slug is none, or an address of the link is on the blocklist by now", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The slug or the external id is another link's by now, or the link is not deleted", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn restore(
    State(services): State<Services>,
    actor: Can<LinksWrite>,
    Name(id): Name,
    body: OptionalBody<RestoreBody>,
) -> Result<Response, Problem> {
    let link: LinkId = id.parse().map_err(|_| Problem::not_found("link"))?;
    let deleted_version = match services.histories.tombstone(actor.workspace, link)? {
        Some(tombstone) => {
            // What clicks it gets from now on are to come after the record that takes those from
            // before out of the analytics.
            if !services.analytics.has_forgotten(tombstone.offset).await {
                let detail = "The link's deletion is not in the log of clicks yet.";
                return Err(Problem::unavailable("CHANGES_UNAVAILABLE", detail));
            }
            tombstone.link.version
        }
        // A repeated request finds the link that the first one has restored.
        None => match services.links.get(actor.workspace, &LinkRef::Id(link))? {
            Some(_) if body.idempotency.is_none() => return Err(DomainError::NotDeleted.into()),
            Some(link) => link.version.saturating_sub(1),
            None => return Err(Problem::not_found("link")),
        },
    };
    let command = Command::RestoreLink { link, deleted_version, slug: body.value.slug };
    let done = services.commands.run(*actor, command, body.idempotency).await?;
    answered(&services, done).await
}

//! Versions of a link: listed, compared, reverted to, and read as of a time.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::view::LinkView;
use super::{IfMatch, answered, expected};
use crate::domain::command::Command;
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::link::Link;
use crate::domain::token::Actor;
use crate::http::Services;
use crate::http::auth::Api;
use crate::http::body::JsonBody;
use crate::http::native::page::{CursorParams, Page, PageMeta, PageParam};
use crate::http::native::path_ref::PathRef;
use crate::http::native::schema::VersionChange;
use crate::http::native::{Changed, Data, iso8601};
use crate::http::params::Params;
use crate::queries::history::{LinkAtTime, LinkVersion};

/// Fields of a link's JSON that its owner does not set, or that are derived from others.
const NO_FIELDS: [&str; 7] =
    ["id", "short_url", "clicks", "unique_visitors", "created_at", "updated_at", "version"];

/// A version of a link.
#[derive(Debug, Serialize, ToSchema)]
pub struct VersionView {
    version: u32,
    /// When the version was created.
    #[schema(format = DateTime)]
    at: String,
    /// The token that created it; null for the service itself.
    actor: Option<String>,
    /// The ID of the user who created the version; null for machine tokens and the service itself.
    user: Option<String>,
    /// What created the version.
    #[schema(value_type = VersionChange)]
    change: String,
    /// The version that the link was reverted to.
    reverted_to: Option<u32>,
    /// The link at this version; for a deletion, as it was before. Counts of clicks are null.
    link: LinkView,
}

/// A page of a link's versions.
#[derive(Debug, Serialize, ToSchema)]
pub struct VersionPage {
    data: Vec<VersionView>,
    meta: PageMeta,
}

/// The differences between two versions.
#[derive(Debug, Serialize, ToSchema)]
pub struct DiffView {
    from: u32,
    to: u32,
    /// The changed fields. For a changed password, both values are null.
    changes: BTreeMap<String, FieldChange>,
}

/// A changed field.
#[derive(Debug, Serialize, ToSchema)]
pub struct FieldChange {
    /// The value in the first version.
    #[schema(value_type = serde_json::Value)]
    from: Value,
    /// The value in the second version.
    #[schema(value_type = serde_json::Value)]
    to: Value,
}

/// The version to revert to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevertBody {
    /// The version whose slug and fields to restore.
    #[schema(example = 2, minimum = 1)]
    version: u32,
}

impl VersionView {
    fn new(services: &Services, version: LinkVersion) -> Self {
        let action = version.action.name();
        Self {
            version: version.link.version,
            at: iso8601(version.at_ms),
            actor: version.actor.map(|actor| actor.to_string()),
            user: version.user.map(|user| user.to_string()),
            change: action.rsplit_once('.').map_or("", |(_, verb)| verb).to_owned(),
            reverted_to: version.reverted_to,
            link: LinkView::new(services, version.link, None),
        }
    }
}

/// The fields that differ between two versions of a link; a changed password without its values.
pub fn differences(
    services: &Services,
    from: Link,
    to: Link,
) -> Result<BTreeMap<String, FieldChange>> {
    let fields = |link: Link| match serde_json::to_value(LinkView::new(services, link, None)) {
        Ok(Value::Object(fields)) => Ok(fields),
        _ => Err(ServiceError::internal("a link is no JSON object")),
    };
    let is_other_password = from.fields.gates.has_other_password(&to.fields.gates);
    let (mut from, to) = (fields(from)?, fields(to)?);
    let changes = to.into_iter().filter_map(|(name, to)| {
        let from = from.remove(&name).unwrap_or_default();
        let differs = from != to && !NO_FIELDS.contains(&name.as_str());
        differs.then_some((name, FieldChange { from, to }))
    });
    let mut changes: BTreeMap<_, _> = changes.collect();
    if is_other_password {
        let unsaid = FieldChange { from: Value::Null, to: Value::Null };
        changes.insert("password".to_owned(), unsaid);
    }
    Ok(changes)
}

/// The link at a time, in milliseconds since the Unix epoch.
pub async fn read_at(
    services: &Services,
    actor: &Actor,
    name: &PathRef,
    at_ms: u64,
) -> Result<LinkView> {
    let gone = |detail: &'static str| Err(ServiceError::new(ErrorCode::NotFound, detail));
    match services.link_history.link_at(actor.workspace, name.link()?, at_ms).await? {
        LinkAtTime::NotFound => Err(ServiceError::not_found("link")),
        LinkAtTime::NotCreatedYet => gone("The link had not been made yet at that time."),
        LinkAtTime::Deleted => gone("The link was deleted at that time."),
        LinkAtTime::Live(link) => Ok(LinkView::new(services, *link, None)),
    }
}

/// Lists a link's versions, newest first.
///
/// Each change creates a version, and so does a deletion. Name a deleted link by its ID. The versions
/// of a link that was purged, or that can no longer be restored, are gone.
#[utoipa::path(
    get, path = "/links/{link}/versions",
    params(PageParam, CursorParams),
    responses((status = 200, body = VersionPage)),
)]
pub async fn list(
    Api { services, actor }: Api,
    name: PathRef,
    mut params: Params,
) -> Result<Json<VersionPage>> {
    let page = Page::take(&mut params);
    let cursor = |text: &str| text.parse().ok().filter(|version: &u32| *version > 0);
    let before = page.take_cursor(&mut params, cursor);
    params.finish()?;
    let skip = if before.is_some() { 0 } else { page.skipped() as u64 };
    let part = (before, skip, page.size());
    let found = services.link_history.versions(actor.workspace, name.link()?, part).await?;
    let found = found.ok_or_else(|| ServiceError::not_found("link"))?;
    let next_cursor = found.next.map(|next| next.to_string());
    let data =
        found.items.into_iter().map(|version| VersionView::new(&services, version)).collect();
    let meta = page.meta_after(before.is_some(), Some(found.total), next_cursor);
    Ok(Json(VersionPage { data, meta }))
}

/// Compares two versions of a link.
#[utoipa::path(
    get, path = "/links/{link}/diff",
    params(
        ("from" = u32, Query, minimum = 1, description = "The first version."),
        ("to" = u32, Query, minimum = 1, description = "The second version; may be the earlier one."),
    ),
    responses(
        (status = 200, body = Data<DiffView>),
        (status = 400, description = "The link has no such version."),
    ),
)]
pub async fn diff(
    Api { services, actor }: Api,
    name: PathRef,
    mut params: Params,
) -> Result<Json<Data<DiffView>>> {
    let [from, to] = ["from", "to"].map(|edge| {
        let version = params.number(edge, 1, u32::MAX.into());
        if version.is_none() {
            params.require(edge);
        }
        version.and_then(|version| u32::try_from(version).ok()).unwrap_or(0)
    });
    params.finish()?;
    let found = services.link_history.some_versions(actor.workspace, name.link()?, [from, to]);
    let [before, after] = found.await?.ok_or_else(|| ServiceError::not_found("link"))?;
    let before = before.ok_or_else(|| no_version("from"))?;
    let after = after.ok_or_else(|| no_version("to"))?;
    let changes = differences(&services, before.link, after.link)?;
    Ok(Json(Data { data: DiffView { from, to, changes } }))
}

/// Reverts a link to an earlier version.
///
/// This creates a new version with the slug and fields of the earlier one. A campaign that has been
/// deleted since is not restored.
#[utoipa::path(
    post, path = "/links/{link}/revert", request_body = RevertBody,
    params(IfMatch),
    responses(
        (status = 200, body = Changed<LinkView>),
        (status = 400, description = "The link has no such version, or a URL in it is now on the blocklist."),
        (status = 409, description = "Another link uses the slug or the external ID."),
    ),
)]
pub async fn revert(
    Api { services, actor }: Api,
    name: PathRef,
    headers: HeaderMap,
    body: JsonBody<RevertBody>,
) -> Result<Response> {
    let expected = expected(&headers)?;
    let wanted = [body.value.version];
    let found = services.link_history.some_versions(actor.workspace, name.link()?, wanted).await?;
    let [version] = found.ok_or_else(|| ServiceError::not_found("link"))?;
    let to = Box::new(version.ok_or_else(|| no_version("version"))?.link);
    let command = Command::RevertLink { to, expected };
    let done = services.commands.run(actor, command, body.idempotency).await?;
    answered(&services, done)
}

fn no_version(field: &str) -> ServiceError {
    ServiceError::field(field, "is not a version of this link")
}

//! `/api/v1/links/{link}/versions` and what goes with them: a link as it was, what changed between
//! two versions, and the way back.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::link_view::LinkView;
use super::links::{answered, expected, named};
use super::page::{Page, PageMeta};
use super::{Changed, Data, iso8601};
use crate::domain::command::Command;
use crate::domain::link::Link;
use crate::domain::token::Actor;
use crate::http::Services;
use crate::http::auth::{Can, LinksRead, LinksWrite};
use crate::http::body::JsonBody;
use crate::http::params::{Name, Params};
use crate::http::problem::{Problem, ProblemBody};
use crate::queries::history::{Past, Then};

/// Members of a link's JSON that are not its owner's doing, or follow from others.
const NO_FIELDS: [&str; 7] =
    ["id", "short_url", "clicks", "unique_visitors", "created_at", "updated_at", "version"];

/// A version of a link.
#[derive(Debug, Serialize, ToSchema)]
pub struct VersionView {
    version: u32,
    /// When it began.
    at: String,
    /// The token that made it; null for the service itself.
    actor: Option<String>,
    /// `created`, `changed`, `reverted`, `deleted` or `restored`.
    #[schema(example = "changed")]
    change: String,
    /// The version that was gone back to.
    reverted_to: Option<u32>,
    /// The link as it then stood; of a deleted one, as it stood until then. Its counts are null:
    /// they are of now.
    link: LinkView,
}

/// A part of a link's versions.
#[derive(Debug, Serialize, ToSchema)]
pub struct VersionPage {
    data: Vec<VersionView>,
    meta: PageMeta,
}

/// What differs between two versions.
#[derive(Debug, Serialize, ToSchema)]
pub struct DiffView {
    from: u32,
    to: u32,
    /// Field → what it was, and what it became. Of a password that is another one, both are null.
    changes: BTreeMap<String, FieldChange>,
}

/// What became of a field.
#[derive(Debug, Serialize, ToSchema)]
pub struct FieldChange {
    #[schema(value_type = Object)]
    from: Value,
    #[schema(value_type = Object)]
    to: Value,
}

/// Where to go back to.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevertBody {
    /// The version whose slug and fields are wanted.
    #[schema(example = 2)]
    version: u32,
}

impl VersionView {
    fn new(services: &Services, past: Past) -> Self {
        let action = past.action.name();
        Self {
            version: past.link.version,
            at: iso8601(past.at_ms),
            actor: past.actor.map(|actor| actor.to_string()),
            change: action.rsplit_once('.').map_or("", |(_, verb)| verb).to_owned(),
            reverted_to: past.reverted_to,
            link: LinkView::new(services, past.link, None),
        }
    }
}

/// The fields that differ between a link and what it was, as its JSON has them; and `password`,
/// without a value, where it is another one.
pub fn differences(
    services: &Services,
    from: Link,
    to: Link,
) -> Result<BTreeMap<String, FieldChange>, Problem> {
    let fields = |link: Link| match serde_json::to_value(LinkView::new(services, link, None)) {
        Ok(Value::Object(fields)) => Ok(fields),
        _ => Err(Problem::internal("a link is no JSON object")),
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

/// The link as it stood at a moment, in milliseconds since the Unix epoch.
pub async fn read_at(
    services: &Services,
    actor: &Actor,
    name: &str,
    at_ms: u64,
) -> Result<LinkView, Problem> {
    let gone = |detail: &'static str| Err(Problem::new(StatusCode::NOT_FOUND, "NOT_FOUND", detail));
    match services.histories.link_at(actor.workspace, named(name)?, at_ms).await? {
        Then::NoLink => Err(Problem::not_found("link")),
        Then::NotYet => gone("The link had not been made yet at that time."),
        Then::Deleted => gone("The link was deleted at that time."),
        Then::Stood(link) => Ok(LinkView::new(services, *link, None)),
    }
}

/// List a link's versions, newest first.
///
/// Each change makes one, and so does a deletion. A deleted link is named by its id; once it is
/// purged, or can't be restored any more, its versions are gone too.
#[utoipa::path(
    get, path = "/links/{link}/versions", tag = "history",
    params(
        ("link" = String, Path, description = "The link's id or slug"),
        ("page" = Option<u64>, Query, description = "1-indexed; 1 when absent"),
        ("limit" = Option<u64>, Query, description = "1 to 100; 20 when absent"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the answer before, instead of a page"),
    ),
    responses(
        (status = 200, body = VersionPage),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn list(
    State(services): State<Services>,
    actor: Can<LinksRead>,
    Name(name): Name,
    mut params: Params,
) -> Result<Json<VersionPage>, Problem> {
    let page = Page::take(&mut params);
    let before = params.number("cursor", 1, u32::MAX.into());
    if before.is_some() && page.page.is_some() {
        params.refuse("cursor", "can't be combined with page");
    }
    params.finish()?;
    let before = before.and_then(|before| u32::try_from(before).ok());
    let number = before.is_none().then(|| page.page.unwrap_or(1));
    let skip = number.map_or(0, |number| (number - 1) * page.limit);
    let part = (before, skip, page.size());
    let found = services.histories.versions(actor.workspace, named(&name)?, part).await?;
    let found = found.ok_or_else(|| Problem::not_found("link"))?;
    let next_cursor = found.next.map(|next| next.to_string());
    let data = found.items.into_iter().map(|past| VersionView::new(&services, past)).collect();
    let total = Some(found.total);
    let meta = PageMeta { page: number, limit: page.limit, total, next_cursor };
    Ok(Json(VersionPage { data, meta }))
}

/// See what changed between two versions of a link.
#[utoipa::path(
    get, path = "/links/{link}/diff", tag = "history",
    params(
        ("link" = String, Path, description = "The link's id or slug"),
        ("from" = u32, Query, description = "A version"),
        ("to" = u32, Query, description = "Another one, earlier or later"),
    ),
    responses(
        (status = 200, body = Data<DiffView>),
        (status = 400, description = "The link has no such version", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn diff(
    State(services): State<Services>,
    actor: Can<LinksRead>,
    Name(name): Name,
    mut params: Params,
) -> Result<Json<Data<DiffView>>, Problem> {
    let [from, to] = ["from", "to"].map(|edge| {
        let version = params.number(edge, 1, u32::MAX.into());
        if version.is_none() {
            params.require(edge);
        }
        version.and_then(|version| u32::try_from(version).ok()).unwrap_or(0)
    });
    params.finish()?;
    let found = services.histories.some_versions(actor.workspace, named(&name)?, [from, to]);
    let [before, after] = found.await?.ok_or_else(|| Problem::not_found("link"))?;
    let before = before.ok_or_else(|| no_version("from"))?;
    let after = after.ok_or_else(|| no_version("to"))?;
    let changes = differences(&services, before.link, after.link)?;
    Ok(Json(Data { data: DiffView { from, to, changes } }))
}

/// Go back to an earlier version of a link.
///
/// That makes a new version with the slug and the fields of the earlier one; but it belongs to no
/// campaign that is gone by now.
#[utoipa::path(
    post, path = "/links/{link}/revert", tag = "history", request_body = RevertBody,
    params(
        ("link" = String, Path, description = "The link's id or slug"),
        ("If-Match" = Option<String>, Header, description = "Only if the link is still at the version of this ETag"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a repeated request the same request, for 24 hours"),
    ),
    responses(
        (status = 200, body = Changed<LinkView>),
        (status = 400, description = "The link has no such version, or an address of it is on the blocklist by now", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The slug or the external id is another link's by now", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "The link has changed", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn revert(
    State(services): State<Services>,
    actor: Can<LinksWrite>,
    Name(name): Name,
    headers: HeaderMap,
    body: JsonBody<RevertBody>,
) -> Result<Response, Problem> {
    let expected = expected(&headers)?;
    let wanted = [body.value.version];
    let found = services.histories.some_versions(actor.workspace, named(&name)?, wanted).await?;
    let [past] = found.ok_or_else(|| Problem::not_found("link"))?;
    let to = Box::new(past.ok_or_else(|| no_version("version"))?.link);
    let command = Command::RevertLink { to, expected };
    let done = services.commands.run(*actor, command, body.idempotency).await?;
    answered(&services, done).await
}

fn no_version(field: &str) -> Problem {
    Problem::field(field, "is no version of this link")
}

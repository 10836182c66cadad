//! `/api/v1/links/bulk`: many links with one request, each with its own result.
//!
//! The commands are decided in order and made durable together, so a thousand cost one sync of the
//! log. An invalid item does not affect the others.

use std::collections::HashSet;
use std::fmt;

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::crud::PurgeParam;
use super::view::LinkView;
use crate::commands::{CommandRequest, CommandResult, MAX_BULK, Mode};
use crate::domain::command::{Command, Expected, LinkRef, Outcome};
use crate::domain::error::{Result, ServiceError};
use crate::domain::event::Idempotency;
use crate::domain::link::{Field, LinkInput};
use crate::domain::token::Actor;
use crate::http::Services;
use crate::http::auth::Api;
use crate::http::body::{BulkBody, parse_item, parse_value};
use crate::http::native::path_ref::PathRef;
use crate::http::native::{ChangedMeta, log_offset, replayed};
use crate::http::params::Params;
use crate::http::problem;
use crate::queries::analytics::Counts;

/// The maximum number of distinct passwords per request: hashing one takes about 20 ms.
const MAX_PASSWORDS: usize = 100;
/// The maximum size of `change`, in bytes: it is copied for each link.
const MAX_CHANGE_BYTES: usize = 64 << 10;

/// Up to [`MAX_BULK`] unparsed items. Longer lists are rejected without reading them.
#[derive(Debug)]
pub struct Items(Vec<Box<RawValue>>);

impl<'de> Deserialize<'de> for Items {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ItemsVisitor)
    }
}

struct ItemsVisitor;

impl<'de> Visitor<'de> for ItemsVisitor {
    type Value = Items;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of 1 to {MAX_BULK} links")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Items, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            if items.len() == MAX_BULK {
                return Err(A::Error::custom(format!("must be 1 to {MAX_BULK}")));
            }
            items.push(item);
        }
        if items.is_empty() {
            return Err(A::Error::custom(format!("must be 1 to {MAX_BULK}")));
        }
        Ok(Items(items))
    }
}

/// Links to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"links": [
    {"destination": "https://example.com/a", "slug": "a"},
    {"destination": "https://example.com/b", "tags": ["spring"]}
]}))]
pub struct CreateLinksBody {
    /// The links, each as in `POST /links`.
    #[schema(value_type = Vec<LinkInput>, min_items = 1, max_items = 1000)]
    links: Items,
}

/// Links to update.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "links": ["a", {"link": "b", "title": "B", "if_version": 3}],
    "change": {"folder": "spring/2027"}
}))]
pub struct ChangeLinksBody {
    /// The links: IDs or slugs, or objects that also hold the fields to update, as in
    /// `PATCH /links/{link}`.
    #[schema(value_type = Vec<BulkUpdateTarget>, min_items = 1, max_items = 1000)]
    links: Items,
    /// The fields to update of each link, unless its own object sets them; at most 64 KiB.
    #[serde(default)]
    #[schema(value_type = Option<LinkInput>)]
    change: Map<String, Value>,
}

/// Links to delete.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"links": ["a", {"link": "b", "if_version": 3}]}))]
pub struct DeleteLinksBody {
    /// The links: IDs or slugs, or objects that also hold the expected version.
    #[schema(value_type = Vec<BulkDeleteTarget>, min_items = 1, max_items = 1000)]
    links: Items,
}

/// A link to update: its ID or slug, or an object.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "describes what `BulkTarget::read` reads")]
enum BulkUpdateTarget {
    /// The link's ID or slug.
    Name(String),
    /// The link, and the fields to update beside it, as in `PATCH /links/{link}`.
    Object {
        /// The link's ID or slug.
        link: String,
        /// Applies the change only if the link is at this version.
        #[schema(minimum = 1)]
        if_version: Option<u32>,
    },
}

/// A link to delete: its ID or slug, or an object.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "describes what `BulkTarget::read` reads")]
enum BulkDeleteTarget {
    /// The link's ID or slug.
    Name(String),
    /// The link, and its expected version.
    Object {
        /// The link's ID or slug.
        link: String,
        /// Deletes the link only if it is at this version.
        #[schema(minimum = 1)]
        if_version: Option<u32>,
    },
}

/// The results of a bulk request.
#[derive(Debug, Serialize, ToSchema)]
pub struct BulkView {
    /// The results, in the order of the request.
    data: Vec<BulkItem>,
    meta: BulkMeta,
}

/// A summary of the results.
#[derive(Debug, Serialize, ToSchema)]
pub struct BulkMeta {
    /// The offset of the last change.
    #[serde(flatten)]
    changed: ChangedMeta,
    /// The number of items that succeeded.
    succeeded: usize,
    /// The number of items that failed.
    failed: usize,
}

/// The result of one item.
#[derive(Debug, Serialize, ToSchema)]
pub struct BulkItem {
    /// The HTTP status that the item would have had as a request of its own.
    status: u16,
    /// The link after the change, without counts of clicks; absent if it was deleted or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<LinkView>,
    /// Why the item failed (RFC 9457).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    problem: Option<Value>,
}

/// Creates up to 1,000 links.
///
/// Each item succeeds or fails by itself.
#[utoipa::path(
    post, path = "/links/bulk", request_body = CreateLinksBody,
    responses((status = 200, body = BulkView)),
)]
pub async fn create(Api { services, actor }: Api, body: BulkBody) -> Result<Response> {
    let _permit = services.commands.bulk_permit().await?;
    let CreateLinksBody { links } = body.parse()?;
    let commands = links.0.iter().map(|item| Ok(Command::CreateLink(parse_item(item)?)));
    run(&services, actor, commands.collect(), body.idempotency).await
}

/// Updates up to 1,000 links.
///
/// Each item succeeds or fails by itself.
#[utoipa::path(
    patch, path = "/links/bulk", request_body = ChangeLinksBody,
    responses((status = 200, body = BulkView)),
)]
pub async fn update(Api { services, actor }: Api, body: BulkBody) -> Result<Response> {
    let _permit = services.commands.bulk_permit().await?;
    let ChangeLinksBody { links, change } = body.parse()?;
    if serde_json::to_string(&change).is_ok_and(|text| text.len() > MAX_CHANGE_BYTES) {
        let rule = format!("must not be longer than {MAX_CHANGE_BYTES} bytes");
        return Err(ServiceError::field("change", rule));
    }
    let commands = links.0.iter().map(|item| {
        let BulkTarget { link, expected, fields } = BulkTarget::read(item)?;
        let mut all = change.clone();
        all.extend(fields);
        let input: LinkInput = parse_value(Value::Object(all))?;
        Ok(Command::ChangeLink(link, input, expected))
    });
    run(&services, actor, commands.collect(), body.idempotency).await
}

/// Deletes up to 1,000 links.
///
/// Each item succeeds or fails by itself.
#[utoipa::path(
    delete, path = "/links/bulk", request_body = DeleteLinksBody,
    params(PurgeParam),
    responses((status = 200, body = BulkView)),
)]
pub async fn delete(
    Api { services, actor }: Api,
    mut params: Params,
    body: BulkBody,
) -> Result<Response> {
    let is_purge = params.flag("purge").unwrap_or(false);
    params.finish()?;
    let _permit = services.commands.bulk_permit().await?;
    let DeleteLinksBody { links } = body.parse()?;
    let commands = links.0.iter().map(|item| {
        let BulkTarget { link, expected, fields } = BulkTarget::read(item)?;
        if let Some(name) = fields.keys().next() {
            let rule = "is not a field here: `link` and `if_version` are";
            return Err(ServiceError::field(name, rule));
        }
        Ok(if is_purge {
            Command::PurgeLink(link, expected)
        } else {
            Command::DeleteLink(link, expected)
        })
    });
    run(&services, actor, commands.collect(), body.idempotency).await
}

/// The link of an item, with its expected version and its other fields.
struct BulkTarget {
    link: LinkRef,
    expected: Expected,
    fields: Map<String, Value>,
}

impl BulkTarget {
    fn read(item: &RawValue) -> Result<Self> {
        let is_wrong = || {
            let rule = "must be a link's id or slug, or an object that has it as `link`";
            ServiceError::field("links", rule)
        };
        let mut fields = match serde_json::from_str(item.get()).map_err(|_| is_wrong())? {
            Value::String(name) => {
                return Ok(Self {
                    link: PathRef::new(name).link()?,
                    expected: None,
                    fields: Map::new(),
                });
            }
            Value::Object(fields) => fields,
            _ => return Err(is_wrong()),
        };
        let link = match fields.remove("link") {
            Some(Value::String(name)) => PathRef::new(name).link()?,
            Some(_) => return Err(ServiceError::field("link", "must be a link's id or slug")),
            None => return Err(ServiceError::field("link", "is required")),
        };
        let expected = match fields.remove("if_version") {
            None | Some(Value::Null) => None,
            Some(version) => {
                let version = version.as_u64().and_then(|version| u32::try_from(version).ok());
                let rule = "must be a version of a link";
                Some(version.ok_or_else(|| ServiceError::field("if_version", rule))?)
            }
        };
        Ok(Self { link, expected, fields })
    }
}

/// Runs the items that are valid commands, and returns a result for each item, in order.
async fn run(
    services: &Services,
    actor: Actor,
    mut items: Vec<Result<Command>>,
    idempotency: Option<Idempotency>,
) -> Result<Response> {
    let commands = items.iter_mut().filter_map(|item| item.as_mut().ok());
    let passwords = commands.filter_map(|command| match &command.link_input()?.password {
        Field::Value(password) => password.to_be_hashed(),
        Field::Absent | Field::Null => None,
    });
    if passwords.collect::<HashSet<_>>().len() > MAX_PASSWORDS {
        let rule = format!("must be one of at most {MAX_PASSWORDS} in one request");
        return Err(ServiceError::field("password", rule));
    }
    let is_new: Vec<_> =
        items.iter().map(|item| matches!(item, Ok(Command::CreateLink(_)))).collect();
    let (mut requests, mut unread) = (Vec::new(), Vec::new());
    for (place, item) in items.into_iter().enumerate() {
        match item {
            Ok(command) => {
                let idempotency = idempotency.as_ref().map(|request| request.of_item(place));
                requests.push(CommandRequest { command, idempotency });
                unread.push(None);
            }
            Err(problem) => unread.push(Some(problem)),
        }
    }
    let results = if requests.is_empty() {
        Vec::new()
    } else {
        services.commands.run_all(actor, requests, Mode::Commit).await?
    };
    let mut results = results.into_iter();
    let mut offset = services.links.applied();
    let (mut is_replay, mut failed) = (false, 0);
    let mut data = Vec::with_capacity(is_new.len());
    for (unread, is_new) in unread.into_iter().zip(is_new) {
        let result = match unread {
            Some(problem) => Err(problem),
            None => match results.next() {
                Some(result) => result,
                None => Err(ServiceError::internal("a result is missing")),
            },
        };
        if let Ok(done) = &result {
            offset = offset.max(done.offset);
            is_replay |= done.is_replay;
        }
        failed += usize::from(result.is_err());
        data.push(BulkItem::new(services, result, is_new));
    }
    let meta = BulkMeta { changed: ChangedMeta { offset }, succeeded: data.len() - failed, failed };
    let body = Json(BulkView { data, meta });
    Ok((log_offset(offset), replayed(is_replay), body).into_response())
}

impl BulkItem {
    fn new(services: &Services, result: Result<CommandResult>, is_new: bool) -> Self {
        let done = match result {
            Ok(done) => done,
            Err(error) => {
                let (status, problem) = problem::item(&error);
                return Self { status, link: None, problem: Some(problem) };
            }
        };
        match done.outcome {
            Outcome::Link(link) => {
                let counts = is_new.then(Counts::default);
                let link = Some(LinkView::new(services, *link, counts));
                Self { status: if is_new { 201 } else { 200 }, link, problem: None }
            }
            _ => Self { status: 204, link: None, problem: None },
        }
    }
}

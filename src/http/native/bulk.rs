//! `/api/v1/links/bulk`: many links with one request, each with its own result.
//!
//! The request's commands are decided one after the other and made durable together, so a
//! thousand cost one sync of the log. What is wrong with one is its own matter.

use std::collections::HashSet;
use std::fmt;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::link_view::LinkView;
use super::links::named;
use super::{ChangedMeta, log_offset, replayed};
use crate::commands::{Done, MAX_BULK, Mode, Wish};
use crate::domain::command::{Command, Expected, LinkRef, Outcome};
use crate::domain::event::Idempotency;
use crate::domain::link::{Field, LinkInput};
use crate::domain::token::Actor;
use crate::http::Services;
use crate::http::auth::{Can, LinksWrite};
use crate::http::body::{BulkBody, parse_item, parse_value};
use crate::http::params::Params;
use crate::http::problem::{Problem, ProblemBody};
use crate::queries::analytics::Counts;

/// How many different passwords one request may set: to hash one takes some 20 ms.
const MAX_PASSWORDS: usize = 100;
/// How long what is to be changed of each link may be, in bytes: it is there for each.
const MAX_CHANGE_BYTES: usize = 64 << 10;

/// Up to [`MAX_BULK`] items as they were sent; of more no more is kept.
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

/// Links to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"links": [
    {"destination": "https://example.com/a", "slug": "a"},
    {"destination": "https://example.com/b", "tags": ["spring"]}
]}))]
pub struct CreateLinksBody {
    /// 1 to 1,000, each as `POST /links` takes it.
    #[schema(value_type = Vec<LinkInput>)]
    links: Items,
}

/// Links to be changed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "links": ["a", {"link": "b", "title": "B", "if_version": 3}],
    "change": {"folder": "spring/2027"}
}))]
pub struct ChangeLinksBody {
    /// 1 to 1,000: a link's id or slug; or an object with it as `link`, the fields to be changed as
    /// `PATCH /links/{link}` takes them, and `if_version` where the link has to be at one.
    #[schema(value_type = Vec<Value>)]
    links: Items,
    /// What is to be changed of each link, but for what its own object says; at most 64 KiB.
    #[serde(default)]
    #[schema(value_type = Option<LinkInput>)]
    change: Map<String, Value>,
}

/// Links to be deleted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"links": ["a", {"link": "b", "if_version": 3}]}))]
pub struct DeleteLinksBody {
    /// 1 to 1,000: a link's id or slug; or an object with it as `link`, and `if_version` where the
    /// link has to be at one.
    #[schema(value_type = Vec<Value>)]
    links: Items,
}

/// What became of many links.
#[derive(Debug, Serialize, ToSchema)]
pub struct BulkView {
    /// In the request's order.
    data: Vec<BulkItem>,
    meta: BulkMeta,
}

/// How it went.
#[derive(Debug, Serialize, ToSchema)]
pub struct BulkMeta {
    /// Where in the log the last change is.
    #[serde(flatten)]
    changed: ChangedMeta,
    /// How many links were made, changed or deleted as asked.
    succeeded: usize,
    /// How many were not.
    failed: usize,
}

/// What became of one of them.
#[derive(Debug, Serialize, ToSchema)]
pub struct BulkItem {
    /// The status that it would have got alone.
    status: u16,
    /// The link as it stands now; without counts of clicks. Absent where it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<LinkView>,
    /// A problem, as RFC 9457 has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    problem: Option<Value>,
}

/// Make up to 1,000 links.
#[utoipa::path(
    post, path = "/links/bulk", tag = "links", request_body = CreateLinksBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a repeated request the same request, for 24 hours: links that it made are not made again")),
    responses(
        (status = 200, body = BulkView),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is larger than 4 MiB", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn create(
    State(services): State<Services>,
    actor: Can<LinksWrite>,
    body: BulkBody,
) -> Result<Response, Problem> {
    let _turn = services.commands.bulk_turn().await?;
    let CreateLinksBody { links } = body.parse()?;
    let commands = links.0.iter().map(|item| Ok(Command::CreateLink(parse_item(item)?)));
    run(&services, *actor, commands.collect(), body.idempotency).await
}

/// Change up to 1,000 links.
#[utoipa::path(
    patch, path = "/links/bulk", tag = "links", request_body = ChangeLinksBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a repeated request the same request, for 24 hours")),
    responses(
        (status = 200, body = BulkView),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is larger than 4 MiB", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn change(
    State(services): State<Services>,
    actor: Can<LinksWrite>,
    body: BulkBody,
) -> Result<Response, Problem> {
    let _turn = services.commands.bulk_turn().await?;
    let ChangeLinksBody { links, change } = body.parse()?;
    if serde_json::to_string(&change).is_ok_and(|text| text.len() > MAX_CHANGE_BYTES) {
        let rule = format!("must not be longer than {MAX_CHANGE_BYTES} bytes");
        return Err(Problem::field("change", rule));
    }
    let commands = links.0.iter().map(|item| {
        let Meant { link, expected, fields } = Meant::read(item)?;
        let mut all = change.clone();
        all.extend(fields);
        let input: LinkInput = parse_value(Value::Object(all))?;
        Ok(Command::ChangeLink(link, input, expected))
    });
    run(&services, *actor, commands.collect(), body.idempotency).await
}

/// Delete up to 1,000 links.
#[utoipa::path(
    delete, path = "/links/bulk", tag = "links", request_body = DeleteLinksBody,
    params(
        ("purge" = Option<bool>, Query, description = "For good, as with `DELETE /links/{link}`"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a repeated request the same request, for 24 hours"),
    ),
    responses(
        (status = 200, body = BulkView),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn delete(
    State(services): State<Services>,
    actor: Can<LinksWrite>,
    mut params: Params,
    body: BulkBody,
) -> Result<Response, Problem> {
    let is_purge = params.flag("purge").unwrap_or(false);
    params.finish()?;
    let _turn = services.commands.bulk_turn().await?;
    let DeleteLinksBody { links } = body.parse()?;
    let commands = links.0.iter().map(|item| {
        let Meant { link, expected, fields } = Meant::read(item)?;
        if let Some(name) = fields.keys().next() {
            let rule = "is not a field here: `link` and `if_version` are";
            return Err(Problem::field(name, rule));
        }
        Ok(if is_purge {
            Command::PurgeLink(link, expected)
        } else {
            Command::DeleteLink(link, expected)
        })
    });
    run(&services, *actor, commands.collect(), body.idempotency).await
}

/// A link that an item names, and what else the item says.
struct Meant {
    link: LinkRef,
    expected: Expected,
    fields: Map<String, Value>,
}

impl Meant {
    fn read(item: &RawValue) -> Result<Self, Problem> {
        let is_wrong = || {
            let rule = "must be a link's id or slug, or an object that has it as `link`";
            Problem::field("links", rule)
        };
        let mut fields = match serde_json::from_str(item.get()).map_err(|_| is_wrong())? {
            Value::String(name) => {
                return Ok(Self { link: named(&name)?, expected: None, fields: Map::new() });
            }
            Value::Object(fields) => fields,
            _ => return Err(is_wrong()),
        };
        let link = match fields.remove("link") {
            Some(Value::String(name)) => named(&name)?,
            Some(_) => return Err(Problem::field("link", "must be a link's id or slug")),
            None => return Err(Problem::field("link", "is required")),
        };
        let expected = match fields.remove("if_version") {
            None | Some(Value::Null) => None,
            Some(version) => {
                let version = version.as_u64().and_then(|version| u32::try_from(version).ok());
                let rule = "must be a version of a link";
                Some(version.ok_or_else(|| Problem::field("if_version", rule))?)
            }
        };
        Ok(Self { link, expected, fields })
    }
}

/// Runs what could be read as a command, and puts its results in the places of the items.
async fn run(
    services: &Services,
    actor: Actor,
    mut items: Vec<Result<Command, Problem>>,
    idempotency: Option<Idempotency>,
) -> Result<Response, Problem> {
    let commands = items.iter_mut().filter_map(|item| item.as_mut().ok());
    let passwords = commands.filter_map(|command| match &command.link_input()?.password {
        Field::Value(password) => password.to_be_hashed(),
        Field::Absent | Field::Null => None,
    });
    if passwords.collect::<HashSet<_>>().len() > MAX_PASSWORDS {
        let rule = format!("must be one of at most {MAX_PASSWORDS} in one request");
        return Err(Problem::field("password", rule));
    }
    let is_new: Vec<_> =
        items.iter().map(|item| matches!(item, Ok(Command::CreateLink(_)))).collect();
    let (mut wishes, mut unread) = (Vec::new(), Vec::new());
    for (place, item) in items.into_iter().enumerate() {
        match item {
            Ok(command) => {
                let idempotency = idempotency.as_ref().map(|request| request.of_item(place));
                wishes.push(Wish { command, idempotency });
                unread.push(None);
            }
            Err(problem) => unread.push(Some(problem)),
        }
    }
    let results = if wishes.is_empty() {
        Vec::new()
    } else {
        services.commands.run_all(actor, wishes, Mode::Commit).await?
    };
    let mut results = results.into_iter();
    let mut offset = services.links.applied();
    let (mut is_replay, mut failed) = (false, 0);
    let mut data = Vec::with_capacity(is_new.len());
    for (unread, is_new) in unread.into_iter().zip(is_new) {
        let result = match unread {
            Some(problem) => Err(problem),
            None => match results.next() {
                Some(result) => result.map_err(Problem::from),
                None => Err(Problem::internal("a result is missing")),
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
    fn new(services: &Services, result: Result<Done, Problem>, is_new: bool) -> Self {
        let done = match result {
            Ok(done) => done,
            Err(problem) => {
                let (status, problem) = problem.into_item();
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

//! What dialects do with links.

use super::fields::renamed;
use crate::domain::command::{Command, LinkRef, Outcome};
use crate::domain::error::{Result, ServiceError};
use crate::domain::link::{Link, LinkInput};
use crate::domain::slug::Slug;
use crate::http::auth::Api;
use crate::queries::analytics::Counts;
use crate::queries::links::LinkQuery;

/// A link with what dialects show beside its fields.
pub struct ShownLink {
    /// The link.
    pub link: Link,
    /// Its numeric id.
    pub number: u64,
    /// Its short URL.
    pub short_url: String,
    /// Its clicks; `None` while analytics are unavailable.
    pub counts: Option<Counts>,
}

impl ShownLink {
    fn new(api: &Api, link: Link, counts: Option<Counts>) -> Result<Self> {
        let number = api.services.links.number(link.id)?;
        let short_url = api.services.site.short_url(&link.fields.domain, link.slug.as_str());
        Ok(Self { link, number, short_url, counts })
    }

    /// The number of clicks.
    pub fn clicks(&self) -> Option<u64> {
        self.counts.map(|counts| counts.clicks)
    }

    /// The destination; empty for a page.
    pub fn destination(&self) -> &str {
        self.link.fields.content.destination().map_or("", |url| url.as_str())
    }
}

/// The names of a dialect for fields of links, by slugline's.
pub type Names = &'static [(&'static str, &'static str)];

/// Creates a link.
pub async fn create(api: &Api, input: LinkInput, names: Names) -> Result<ShownLink> {
    let link = run(api, Command::CreateLink(input), names).await?;
    ShownLink::new(api, link, Some(Counts::default()))
}

/// Changes the fields of a link that are present.
pub async fn change(api: &Api, link: &Link, input: LinkInput, names: Names) -> Result<ShownLink> {
    let command = Command::ChangeLink(LinkRef::Id(link.id), input, None);
    let link = run(api, command, names).await?;
    show(api, link).await
}

async fn run(api: &Api, command: Command, names: Names) -> Result<Link> {
    let done = api.services.commands.run(api.actor, command, None).await;
    match done.map_err(|error| renamed(error, names))?.outcome {
        Outcome::Link(link) => Ok(*link),
        other => Err(ServiceError::internal(format!("a link was expected, not {other:?}"))),
    }
}

/// Deletes a link, restorable for some time.
pub async fn delete(api: &Api, link: &Link) -> Result<()> {
    let command = Command::DeleteLink(LinkRef::Id(link.id), None);
    api.services.commands.run(api.actor, command, None).await.map(drop)
}

/// Deletes a link permanently.
pub async fn purge(api: &Api, link: &Link) -> Result<()> {
    let command = Command::PurgeLink(LinkRef::Id(link.id), None);
    api.services.commands.run(api.actor, command, None).await.map(drop)
}

/// Finds a link of the caller's workspace by its slug.
pub fn by_slug(api: &Api, text: &str) -> Result<Link> {
    let slug = Slug::is_wellformed(text).then(|| Slug::from_log(text));
    let found = slug.map(|slug| api.services.links.by_slug(api.actor.workspace, &slug));
    found.transpose()?.flatten().ok_or_else(|| ServiceError::not_found("link"))
}

/// Finds a link of the caller's workspace by its id or slug.
pub fn by_id_or_slug(api: &Api, text: &str) -> Result<Link> {
    let Ok(id) = text.parse() else { return by_slug(api, text) };
    let found = api.services.links.get(api.actor.workspace, &LinkRef::Id(id))?;
    found.ok_or_else(|| ServiceError::not_found("link"))
}

/// A link with its counts.
pub async fn show(api: &Api, link: Link) -> Result<ShownLink> {
    let shown = show_all(api, vec![link]).await?.pop();
    shown.ok_or_else(|| ServiceError::internal("a link was expected"))
}

/// Links with their counts.
pub async fn show_all(api: &Api, links: Vec<Link>) -> Result<Vec<ShownLink>> {
    if links.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<_> = links.iter().map(|link| link.id).collect();
    let counts = api.services.analytics.counts(api.actor.workspace, &ids).await;
    let shown = links.into_iter().map(|link| {
        let of_link = counts.as_ref().map(|all| all.get(&link.id).copied().unwrap_or_default());
        ShownLink::new(api, link, of_link)
    });
    shown.collect()
}

/// A part of the workspace's links, and the number of all.
pub async fn list(api: &Api, query: LinkQuery) -> Result<(Vec<ShownLink>, u64)> {
    let list = api.services.links.search(query).await?;
    Ok((show_all(api, list.links).await?, list.total.unwrap_or_default()))
}

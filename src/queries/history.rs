//! History: the versions of links, deleted links, and the audit log of a workspace.
//!
//! The index has the offset of each version and event; their content is read from the mutation log,
//! on blocking threads.

use std::sync::Arc;

use crate::domain::action::Action;
use crate::domain::command::LinkRef;
use crate::domain::error::{Result, ServiceError, Unreadable};
use crate::domain::event::{Envelope, Event, EventKind};
use crate::domain::ids::{LinkId, TokenId, UserId, WorkspaceId};
use crate::domain::link::Link;
use crate::projections::history::History;
pub use crate::projections::index::Tombstone;
use crate::projections::index::{Audited, Index, Read, ReadDomains, Version};

/// The maximum number of events that one request scans: a rare event may be far back.
const MAX_SCANNED: usize = 100_000;

/// A version of a link.
#[derive(Debug)]
pub struct LinkVersion {
    /// When the version was created, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The token that created it; `None` for sessions and the service itself.
    pub actor: Option<TokenId>,
    /// The user who created it; `None` for machine tokens and the service itself.
    pub user: Option<UserId>,
    /// The action that created it.
    pub action: Action,
    /// The version that it reverted to, if any.
    pub reverted_to: Option<u32>,
    /// The link in this version; for a deletion, the link before it.
    pub link: Link,
}

/// A page of a list.
#[derive(Debug)]
pub struct Part<T, C> {
    /// The items.
    pub items: Vec<T>,
    /// The total number of items.
    pub total: u64,
    /// The cursor of the next page; `None` on the last.
    pub next: Option<C>,
}

/// The state of a link at a moment.
#[derive(Debug)]
pub enum LinkAtTime {
    /// The link does not exist.
    NotFound,
    /// It had not been created.
    NotCreatedYet,
    /// It had been deleted.
    Deleted,
    /// It was in this version.
    Live(Box<Link>),
}

/// Who made a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActorId {
    /// A token.
    Token(TokenId),
    /// A user, by a token of theirs or signed in.
    User(UserId),
}

/// Which events to return.
#[derive(Debug, Clone, Copy, Default)]
pub struct AuditFilter {
    /// Events of this link.
    pub link: Option<LinkId>,
    /// Events by this token or user.
    pub actor: Option<ActorId>,
    /// Events of this resource.
    pub subject: Option<[u8; 16]>,
    /// Events of this kind.
    pub action: Option<Action>,
    /// Events at this time or later, in milliseconds since the Unix epoch.
    pub from_ms: Option<u64>,
    /// Events before this time.
    pub to_ms: Option<u64>,
}

impl AuditFilter {
    fn matches(&self, event: &Audited) -> bool {
        let link = self.link.as_ref().map(LinkId::as_bytes);
        link.is_none_or(|link| event.subject.as_ref() == Some(link))
            && self.subject.is_none_or(|subject| event.subject == Some(subject))
            && self.actor.is_none_or(|actor| match actor {
                ActorId::Token(token) => event.token.as_ref() == Some(token.as_bytes()),
                ActorId::User(user) => event.user.as_ref() == Some(user.as_bytes()),
            })
            && self.action.is_none_or(|action| event.action == action)
            && self.from_ms.is_none_or(|from| event.at_ms >= from)
            && self.to_ms.is_none_or(|to| event.at_ms < to)
    }
}

/// An event of a workspace.
#[derive(Debug)]
pub struct Entry {
    /// The offset in the mutation log.
    pub offset: u64,
    /// The event.
    pub event: Audited,
    /// For a change of a link: the link before and after.
    pub changed: Option<Box<(Link, Link)>>,
}

/// Reads history. Cheap to clone.
#[derive(Clone)]
pub struct LinkHistory {
    index: Arc<Index>,
    history: History,
}

impl LinkHistory {
    /// Creates a reader over this index and its log.
    pub const fn new(index: Arc<Index>, history: History) -> Self {
        Self { index, history }
    }

    /// The versions of a link before `before`, newest first, skipping `skip`. `None` if the link
    /// does not exist, neither live nor restorable.
    pub async fn versions(
        &self,
        workspace: WorkspaceId,
        named: LinkRef,
        (before, skip, limit): (Option<u32>, u64, usize),
    ) -> Result<Option<Part<LinkVersion, u32>>> {
        self.spawn_blocking(move |history| {
            let Some((link, newest)) = history.find(workspace, &named)? else { return Ok(None) };
            let skip = u32::try_from(skip).unwrap_or(u32::MAX);
            let first = before.map_or(newest, |before| newest.min(before.saturating_sub(1)));
            let first = first.saturating_sub(skip);
            let versions = if first == 0 {
                vec![]
            } else {
                history.index.versions(link.as_bytes(), first, limit)?
            };
            let next = versions.last().map(|last| last.number).filter(|last| *last > 1);
            let items = versions.into_iter().map(|version| history.read(workspace, link, version));
            let items = items.collect::<Result<_>>()?;
            Ok(Some(Part { items, total: newest.into(), next }))
        })
        .await
    }

    /// Some versions of a link, each if it exists. `None` if the link does not exist, neither live
    /// nor restorable.
    pub async fn some_versions<const N: usize>(
        &self,
        workspace: WorkspaceId,
        named: LinkRef,
        numbers: [u32; N],
    ) -> Result<Option<[Option<LinkVersion>; N]>> {
        self.spawn_blocking(move |history| {
            let Some((link, newest)) = history.find(workspace, &named)? else { return Ok(None) };
            let mut found = [const { None }; N];
            for (place, number) in found.iter_mut().zip(numbers) {
                let version = history.index.version(link.as_bytes(), number)?;
                let version = version.filter(|version| version.number <= newest);
                *place = version.map(|one| history.read(workspace, link, one)).transpose()?;
            }
            Ok(Some(found))
        })
        .await
    }

    /// The link at a time, in milliseconds since the Unix epoch.
    pub async fn link_at(
        &self,
        workspace: WorkspaceId,
        named: LinkRef,
        at_ms: u64,
    ) -> Result<LinkAtTime> {
        self.spawn_blocking(move |history| {
            let Some((link, newest)) = history.find(workspace, &named)? else {
                return Ok(LinkAtTime::NotFound);
            };
            let Some(version) = history.index.version_at(link, newest, at_ms)? else {
                return Ok(LinkAtTime::NotCreatedYet);
            };
            let found = history.read(workspace, link, version)?;
            let is_deleted = found.action.number() == EventKind::LinkDeleted.number();
            Ok(if is_deleted {
                LinkAtTime::Deleted
            } else {
                LinkAtTime::Live(Box::new(found.link))
            })
        })
        .await
    }

    /// A workspace's restorable links before `before`, newest first, skipping `skip`.
    pub fn tombstones(
        &self,
        workspace: WorkspaceId,
        (before, skip, limit): (Option<LinkId>, usize, usize),
    ) -> Result<Part<Tombstone, LinkId>> {
        // Fetch one more than requested, to learn whether there is a next page.
        let part = (before, skip, limit + 1);
        let mut items = self.index.tombstones(workspace, part, now_ms())?;
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| has_more).map(|last| last.link.id);
        Ok(Part { items, total: self.index.tombstone_count(workspace)?, next })
    }

    /// A deleted link, if it can be restored.
    pub fn tombstone(&self, workspace: WorkspaceId, link: LinkId) -> Result<Option<Tombstone>> {
        let found = self.index.tombstone(workspace, link)?;
        Ok(found.filter(|found| found.restorable_until_ms > now_ms()))
    }

    /// The events of a workspace before an offset, newest first. There may be fewer entries than
    /// `limit`, or none, and still a next page.
    pub async fn audit(
        &self,
        workspace: WorkspaceId,
        filter: AuditFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<(Vec<Entry>, Option<u64>)> {
        self.spawn_blocking(move |history| {
            let bounds = (limit, MAX_SCANNED);
            let is_wanted = |event: &Audited| filter.matches(event);
            let (found, next) = history.index.audited(workspace, before, bounds, is_wanted)?;
            let entries = found.into_iter().map(|(offset, event)| {
                let changed = history.changed(workspace, offset, event.action)?.map(Box::new);
                Ok(Entry { offset, event, changed })
            });
            Ok((entries.collect::<Result<_>>()?, next))
        })
        .await
    }

    /// Runs `work` on a blocking thread.
    async fn spawn_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let history = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&history)).await;
        done.unwrap_or_else(|error| Err(ServiceError::internal(error)))
    }

    /// Resolves a link, live or restorable, to its ID and newest version.
    fn find(&self, workspace: WorkspaceId, named: &LinkRef) -> Result<Option<(LinkId, u32)>> {
        if let Some(link) = self.index.link_in(workspace, named)? {
            return Ok(Some((link.id, link.version)));
        }
        let LinkRef::Id(id) = named else { return Ok(None) };
        let found = self.tombstone(workspace, *id)?;
        Ok(found.map(|found| (*id, found.link.version)))
    }

    fn read(&self, workspace: WorkspaceId, link: LinkId, version: Version) -> Result<LinkVersion> {
        let envelope = self.history.change(version.offset)?;
        let user = UserId::from_bytes(&envelope.user).ok();
        let (event, actor) = decode(envelope, workspace)?;
        let action = Action::of(&event);
        let (reverted_to, link) = match event.into_version()? {
            Some(state) => (state.reverted_to, state.into_link(workspace)?),
            // A deletion shows the link as it was before.
            None => (None, self.before(workspace, link, version.number)?),
        };
        let link = Link { version: version.number, ..link };
        Ok(LinkVersion { at_ms: version.at_ms, actor, user, action, reverted_to, link })
    }

    /// The link in the version before this one, or before the deletion.
    fn before(&self, workspace: WorkspaceId, link: LinkId, version: u32) -> Result<Link> {
        // There is a restoration between two deletions, so two versions suffice.
        for before in self.index.versions(link.as_bytes(), version.saturating_sub(1), 2)? {
            let (event, _) = decode(self.history.change(before.offset)?, workspace)?;
            if let Some(state) = event.into_version()? {
                return Ok(state.into_link(workspace)?);
            }
        }
        Err(ServiceError::internal("a version of a link has no predecessor"))
    }

    /// The link before and after a change.
    fn changed(
        &self,
        workspace: WorkspaceId,
        offset: u64,
        action: Action,
    ) -> Result<Option<(Link, Link)>> {
        if !action.is_change_of_a_link() {
            return Ok(None);
        }
        let (event, _) = decode(self.history.change(offset)?, workspace)?;
        let (Event::LinkChanged(state) | Event::LinkRestored(state)) = event else {
            return Ok(None);
        };
        let after = state.into_link(workspace)?;
        let before = self.before(workspace, after.id, after.version)?;
        Ok(Some((before, after)))
    }
}

/// The event of a workspace and its actor.
pub(super) fn decode(
    envelope: Envelope,
    workspace: WorkspaceId,
) -> Result<(Event, Option<TokenId>)> {
    if envelope.workspace != workspace.as_bytes() {
        return Err(ServiceError::internal("the index names another workspace's change"));
    }
    let actor = TokenId::from_bytes(&envelope.token).ok();
    let event = envelope.event.ok_or(Unreadable("event"))?;
    Ok((event, actor))
}

fn now_ms() -> u64 {
    jiff::Timestamp::now().as_millisecond().cast_unsigned()
}

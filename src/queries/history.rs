//! What was: the versions of links, links that were deleted, and who did what in a workspace.
//!
//! The index knows where in the log of changes each of them is; what it was is read there. That is
//! done on threads that may wait for the disk.

use std::sync::Arc;

use crate::domain::action::Action;
use crate::domain::command::LinkRef;
use crate::domain::error::Unreadable;
use crate::domain::event::{Envelope, Event, EventKind};
use crate::domain::ids::{LinkId, TokenId, WorkspaceId};
use crate::domain::link::Link;
use crate::projections::history::{History, HistoryError};
pub use crate::projections::index::Tombstone;
use crate::projections::index::{Audited, Index, IndexError, Read, Version};

/// How many events of a workspace one answer looks at, at most: a rare one may be far back.
const LOOKED_AT: usize = 100_000;

/// The past could not be read; the text is for the operator.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each says what failed by itself")]
pub enum PastError {
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("{0}")]
    Broken(&'static str),
    #[error("reading the past panicked: {0}")]
    Panicked(#[from] tokio::task::JoinError),
}

/// A link at one of its versions.
#[derive(Debug)]
pub struct Past {
    /// When the version began, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Who made it; `None` for the service itself.
    pub actor: Option<TokenId>,
    /// What made it.
    pub action: Action,
    /// The version whose fields it brought back, if it did.
    pub reverted_to: Option<u32>,
    /// The link as it then stood, or until it was deleted.
    pub link: Link,
}

/// A part of a list, and where it goes on.
#[derive(Debug)]
pub struct Part<T, C> {
    /// What is in it.
    pub items: Vec<T>,
    /// How many there are in all.
    pub total: u64,
    /// To be given as the place before which the next part begins; `None` at the end.
    pub next: Option<C>,
}

/// How a link stood at a moment.
#[derive(Debug)]
pub enum Then {
    /// There is no such link.
    NoLink,
    /// It was not made yet.
    NotYet,
    /// It was deleted.
    Deleted,
    /// So.
    Stood(Box<Link>),
}

/// Which events are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct AuditFilter {
    /// Those of this link.
    pub link: Option<LinkId>,
    /// Those by this token.
    pub actor: Option<TokenId>,
    /// Those that did this.
    pub action: Option<Action>,
    /// Those at this moment or later, in milliseconds since the Unix epoch.
    pub from_ms: Option<u64>,
    /// Those before this moment.
    pub to_ms: Option<u64>,
}

impl AuditFilter {
    fn takes(&self, event: &Audited) -> bool {
        let link = self.link.as_ref().map(LinkId::as_bytes);
        let actor = self.actor.as_ref().map(TokenId::as_bytes);
        link.is_none_or(|link| event.subject.as_ref() == Some(link))
            && actor.is_none_or(|actor| event.actor.as_ref() == Some(actor))
            && self.action.is_none_or(|action| event.action == action)
            && self.from_ms.is_none_or(|from| event.at_ms >= from)
            && self.to_ms.is_none_or(|to| event.at_ms < to)
    }
}

/// An event of a workspace.
#[derive(Debug)]
pub struct Entry {
    /// Where in the log of changes it is.
    pub offset: u64,
    /// What was done, when, by whom and to what.
    pub event: Audited,
    /// Of a change of a link: as it was before, and after.
    pub changed: Option<Box<(Link, Link)>>,
}

/// Reads of the past. Cheap to clone.
#[derive(Clone)]
pub struct Histories {
    index: Arc<Index>,
    history: History,
}

impl Histories {
    /// Over this index and the log that it is made of.
    pub const fn new(index: Arc<Index>, history: History) -> Self {
        Self { index, history }
    }

    /// The versions of a link, the newest first, from just before `before`; `skip` of them left
    /// out. `None` where there is no such link, be it live or to be restored.
    pub async fn versions(
        &self,
        workspace: WorkspaceId,
        named: LinkRef,
        (before, skip, limit): (Option<u32>, u64, usize),
    ) -> Result<Option<Part<Past, u32>>, PastError> {
        self.aside(move |past| {
            let Some((link, newest)) = past.find(workspace, &named)? else { return Ok(None) };
            let skip = u32::try_from(skip).unwrap_or(u32::MAX);
            let first = before.map_or(newest, |before| newest.min(before.saturating_sub(1)));
            let first = first.saturating_sub(skip);
            let versions =
                if first == 0 { vec![] } else { past.index.versions(link, first, limit)? };
            let next = versions.last().map(|last| last.number).filter(|last| *last > 1);
            let items = versions.into_iter().map(|version| past.read(workspace, link, version));
            let items = items.collect::<Result<_, PastError>>()?;
            Ok(Some(Part { items, total: newest.into(), next }))
        })
        .await
    }

    /// Some versions of a link, each if there is such a one. `None` where there is no such link, be
    /// it live or to be restored.
    pub async fn some_versions<const N: usize>(
        &self,
        workspace: WorkspaceId,
        named: LinkRef,
        numbers: [u32; N],
    ) -> Result<Option<[Option<Past>; N]>, PastError> {
        self.aside(move |past| {
            let Some((link, newest)) = past.find(workspace, &named)? else { return Ok(None) };
            let mut found = [const { None }; N];
            for (place, number) in found.iter_mut().zip(numbers) {
                let version = past.index.version(link, number)?;
                let version = version.filter(|version| version.number <= newest);
                *place = version.map(|one| past.read(workspace, link, one)).transpose()?;
            }
            Ok(Some(found))
        })
        .await
    }

    /// A link as it stood at a moment, in milliseconds since the Unix epoch.
    pub async fn link_at(
        &self,
        workspace: WorkspaceId,
        named: LinkRef,
        at_ms: u64,
    ) -> Result<Then, PastError> {
        self.aside(move |past| {
            let Some((link, newest)) = past.find(workspace, &named)? else {
                return Ok(Then::NoLink);
            };
            let Some(version) = past.index.version_at(link, newest, at_ms)? else {
                return Ok(Then::NotYet);
            };
            let found = past.read(workspace, link, version)?;
            let is_deleted = found.action.number() == EventKind::LinkDeleted.number();
            Ok(if is_deleted { Then::Deleted } else { Then::Stood(Box::new(found.link)) })
        })
        .await
    }

    /// A workspace's links that can be restored now, the last made first, from just before `before`;
    /// `skip` of them left out.
    pub fn tombstones(
        &self,
        workspace: WorkspaceId,
        (before, skip, limit): (Option<LinkId>, usize, usize),
    ) -> Result<Part<Tombstone, LinkId>, PastError> {
        // One more than asked tells whether the list goes on.
        let part = (before, skip, limit + 1);
        let mut items = self.index.tombstones(workspace, part, now_ms())?;
        let goes_on = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| goes_on).map(|last| last.link.id);
        Ok(Part { items, total: self.index.tombstone_count(workspace)?, next })
    }

    /// A deleted link, if it can be restored now.
    pub fn tombstone(
        &self,
        workspace: WorkspaceId,
        link: LinkId,
    ) -> Result<Option<Tombstone>, PastError> {
        let found = self.index.tombstone(workspace, link)?;
        Ok(found.filter(|found| found.restorable_until_ms > now_ms()))
    }

    /// What happened in a workspace, the newest first, from just before an offset. There may be
    /// fewer entries than `limit`, or none, and still a place to go on.
    pub async fn audit(
        &self,
        workspace: WorkspaceId,
        filter: AuditFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<(Vec<Entry>, Option<u64>), PastError> {
        self.aside(move |past| {
            let bounds = (limit, LOOKED_AT);
            let is_wanted = |event: &Audited| filter.takes(event);
            let (found, next) = past.index.audited(workspace, before, bounds, is_wanted)?;
            let entries = found.into_iter().map(|(offset, event)| {
                let changed = past.changed(workspace, offset, event.action)?.map(Box::new);
                Ok(Entry { offset, event, changed })
            });
            Ok((entries.collect::<Result<_, PastError>>()?, next))
        })
        .await
    }

    /// Does a work that may wait for the disk.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, PastError> + Send + 'static,
    ) -> Result<T, PastError> {
        let past = self.clone();
        tokio::task::spawn_blocking(move || work(&past)).await?
    }

    /// The link that is meant, live or to be restored, and its newest version.
    fn find(
        &self,
        workspace: WorkspaceId,
        named: &LinkRef,
    ) -> Result<Option<(LinkId, u32)>, PastError> {
        if let Some(link) = self.index.link_in(workspace, named)? {
            return Ok(Some((link.id, link.version)));
        }
        let LinkRef::Id(id) = named else { return Ok(None) };
        let found = self.tombstone(workspace, *id)?;
        Ok(found.map(|found| (*id, found.link.version)))
    }

    fn read(
        &self,
        workspace: WorkspaceId,
        link: LinkId,
        version: Version,
    ) -> Result<Past, PastError> {
        let envelope = self.history.change(version.offset)?;
        let (event, actor) = taken_apart(envelope, workspace)?;
        let action = Action::of(&event);
        let (reverted_to, link) = match event.into_version()? {
            Some(state) => (state.reverted_to, state.into_link(workspace)?),
            // What is deleted stands as it did before.
            None => (None, self.before(workspace, link, version.number)?),
        };
        let link = Link { version: version.number, ..link };
        Ok(Past { at_ms: version.at_ms, actor, action, reverted_to, link })
    }

    /// The link as the version before this one left it, or the one before the deletion.
    fn before(
        &self,
        workspace: WorkspaceId,
        link: LinkId,
        version: u32,
    ) -> Result<Link, PastError> {
        // Between two deletions there is a restoration.
        for before in self.index.versions(link, version.saturating_sub(1), 2)? {
            let (event, _) = taken_apart(self.history.change(before.offset)?, workspace)?;
            if let Some(state) = event.into_version()? {
                return Ok(state.into_link(workspace)?);
            }
        }
        Err(PastError::Broken("a version of a link has none before it"))
    }

    /// What a change of a link changed.
    fn changed(
        &self,
        workspace: WorkspaceId,
        offset: u64,
        action: Action,
    ) -> Result<Option<(Link, Link)>, PastError> {
        if !action.is_change_of_a_link() {
            return Ok(None);
        }
        let (event, _) = taken_apart(self.history.change(offset)?, workspace)?;
        let (Event::LinkChanged(state) | Event::LinkRestored(state)) = event else {
            return Ok(None);
        };
        let after = state.into_link(workspace)?;
        let before = self.before(workspace, after.id, after.version)?;
        Ok(Some((before, after)))
    }
}

/// The event of a workspace, and who made it.
fn taken_apart(
    envelope: Envelope,
    workspace: WorkspaceId,
) -> Result<(Event, Option<TokenId>), PastError> {
    if envelope.workspace != workspace.as_bytes() {
        return Err(PastError::Broken("the index names another workspace's change"));
    }
    let actor = TokenId::from_bytes(&envelope.token).ok();
    let event = envelope.event.ok_or(Unreadable("event"))?;
    Ok((event, actor))
}

fn now_ms() -> u64 {
    jiff::Timestamp::now().as_millisecond().cast_unsigned()
}

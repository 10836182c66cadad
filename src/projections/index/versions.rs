//! What was: where in the log a link's versions and a workspace's events are, and which links were
//! deleted.

use std::ops::Bound;

use super::audited::Audited;
use super::read::{Read, Tombstone, number};
use super::{Index, IndexError, keys, store};
use crate::domain::ids::{LinkId, WorkspaceId};
use crate::domain::retention::RESTORABLE_MS;

/// Where a version of a link began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// 1 for the first; each change makes the next.
    pub number: u32,
    /// The offset in the log.
    pub offset: u64,
    /// When, in milliseconds since the Unix epoch; never before the version before it.
    pub at_ms: u64,
}

/// Events by their offsets, and where to go on.
pub type AuditedPart = (Vec<(u64, Audited)>, Option<u64>);

impl Version {
    fn of_row(key: &[u8], value: &[u8]) -> Option<Self> {
        let (offset, at) = value.split_at_checked(8).filter(|(_, at)| at.len() == 8)?;
        let (offset, at_ms) = (number(offset), number(at));
        Some(Self { number: keys::version_number(key)?, offset, at_ms })
    }
}

impl Index {
    /// A link's versions up to one of them, the newest first. Whether the link is somebody's, or
    /// purged, is not looked at.
    pub fn versions(
        &self,
        link: LinkId,
        newest: u32,
        limit: usize,
    ) -> Result<Vec<Version>, IndexError> {
        let (from, _) = store::prefixed(&keys::versions_of(link));
        let to = Bound::Included(keys::version(link, newest));
        let layers = self.layers.load();
        let rows = layers.rows((from, to), true).take(limit);
        let versions = rows.map(|row| {
            let (key, value) = row?;
            let version = Version::of_row(&key, &value);
            version.ok_or_else(|| self.met(IndexError::Broken("a version of a link")))
        });
        versions.collect()
    }

    /// One version of a link.
    pub fn version(&self, link: LinkId, number: u32) -> Result<Option<Version>, IndexError> {
        let found = self.versions(link, number, 1)?.pop();
        Ok(found.filter(|found| found.number == number))
    }

    /// The version at which a link stood at a moment, of those up to `newest`. Each step halves
    /// them: there may be many.
    pub fn version_at(
        &self,
        link: LinkId,
        newest: u32,
        at_ms: u64,
    ) -> Result<Option<Version>, IndexError> {
        let (mut found, mut first, mut after) = (None, 1, newest.saturating_add(1));
        while first < after {
            let middle = first + (after - first) / 2;
            match self.version(link, middle)? {
                Some(version) if version.at_ms <= at_ms => {
                    found = Some(version);
                    first = middle + 1;
                }
                _ => after = middle,
            }
        }
        Ok(found)
    }

    /// Whether a link lets only so many clicks through, or may be restored to one that does.
    pub fn may_be_limited(&self, id: LinkId, now_ms: u64) -> Result<bool, IndexError> {
        if let Some(link) = self.link(id)? {
            return Ok(link.fields.gates.limit.is_some());
        }
        let last = self.versions(id, u32::MAX, 1)?.pop();
        Ok(last.is_some_and(|deleted| deleted.at_ms.saturating_add(RESTORABLE_MS) > now_ms))
    }

    /// A workspace's deleted links that can be restored at a moment, the last made first, from just
    /// before `before`; `skip` of them left out.
    pub fn tombstones(
        &self,
        workspace: WorkspaceId,
        (before, skip, limit): (Option<LinkId>, usize, usize),
        now_ms: u64,
    ) -> Result<Vec<Tombstone>, IndexError> {
        let before = before.map(|id| keys::tombstone(workspace, id));
        let (from, end) = store::prefixed(&keys::tombstones_of(workspace));
        let layers = self.layers.load();
        let rows = layers.rows((from, before.map_or(end, Bound::Excluded)), true);
        let tombstones = rows.map(|row| {
            let (_, value) = row?;
            Tombstone::decode(&value).map_err(|error| self.met(error))
        });
        let is_kept = |found: &Result<Tombstone, _>| {
            found.as_ref().map_or(true, |found| found.restorable_until_ms > now_ms)
        };
        tombstones.filter(is_kept).skip(skip).take(limit).collect()
    }

    /// A workspace's events that `is_wanted`, the newest first, from just before an offset: at most
    /// `limit` of them, among at most `looked_at`. Returns also where to go on, unless all of them
    /// were looked at.
    pub fn audited(
        &self,
        workspace: WorkspaceId,
        before: Option<u64>,
        (limit, looked_at): (usize, usize),
        is_wanted: impl Fn(&Audited) -> bool,
    ) -> Result<AuditedPart, IndexError> {
        let before = before.map(|offset| keys::audited(workspace, offset));
        let (from, end) = store::prefixed(&keys::audited_of(workspace));
        let layers = self.layers.load();
        let rows = layers.rows((from, before.map_or(end, Bound::Excluded)), true);
        let (mut events, mut last) = (Vec::new(), None);
        for (number, row) in rows.enumerate() {
            if events.len() == limit || number == looked_at {
                return Ok((events, last));
            }
            let (key, value) = row?;
            let event = keys::audited_offset(&key).zip(Audited::decode(&value));
            let Some((offset, audited)) = event else {
                return Err(self.met(IndexError::Broken("an event of a workspace")));
            };
            last = Some(offset);
            if is_wanted(&audited) {
                events.push((offset, audited));
            }
        }
        Ok((events, None))
    }
}

//! History in the index: the offsets of the versions of links and QR codes, and of a workspace's events, and the
//! deleted links.

use std::ops::Bound;

use super::audited::Audited;
use super::encoding::{Tombstone, number};
use super::read::Read;
use super::{Index, IndexError, keys, store};
use crate::domain::ids::{LinkId, WorkspaceId};
use crate::domain::retention::RESTORABLE_MS;

/// The start of a version of a link or a QR code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// 1 for the first; each change increments it.
    pub number: u32,
    /// The offset in the log.
    pub offset: u64,
    /// The time, in milliseconds since the Unix epoch; never before that of the previous version.
    pub at_ms: u64,
}

/// Events by offset, and the cursor of the next page.
pub type AuditedPart = (Vec<(u64, Audited)>, Option<u64>);

impl Version {
    fn of_row(key: &[u8], value: &[u8]) -> Option<Self> {
        let (offset, at) = value.split_at_checked(8).filter(|(_, at)| at.len() == 8)?;
        let (offset, at_ms) = (number(offset), number(at));
        Some(Self { number: keys::version_number(key)?, offset, at_ms })
    }
}

impl Index {
    /// The versions up to `newest` of a link or a QR code, by its 16 bytes, newest first. Does not
    /// check whether it exists.
    pub fn versions(
        &self,
        subject: &[u8; 16],
        newest: u32,
        limit: usize,
    ) -> Result<Vec<Version>, IndexError> {
        let (from, _) = store::prefixed(&keys::versions_of(subject));
        let to = Bound::Included(keys::version(subject, newest));
        let layers = self.layers.load();
        let rows = layers.rows((from, to), true).take(limit);
        let versions = rows.map(|row| {
            let (key, value) = row?;
            let version = Version::of_row(&key, &value);
            version.ok_or_else(|| self.report_damage(IndexError::Broken("a version")))
        });
        versions.collect()
    }

    /// One version of a link or a QR code.
    pub fn version(&self, subject: &[u8; 16], number: u32) -> Result<Option<Version>, IndexError> {
        let found = self.versions(subject, number, 1)?.pop();
        Ok(found.filter(|found| found.number == number))
    }

    /// The version of a link at a time, of those up to `newest`. A binary search: there may be
    /// many.
    pub fn version_at(
        &self,
        link: LinkId,
        newest: u32,
        at_ms: u64,
    ) -> Result<Option<Version>, IndexError> {
        let (mut found, mut first, mut after) = (None, 1, newest.saturating_add(1));
        while first < after {
            let middle = first + (after - first) / 2;
            match self.version(link.as_bytes(), middle)? {
                Some(version) if version.at_ms <= at_ms => {
                    found = Some(version);
                    first = middle + 1;
                }
                _ => after = middle,
            }
        }
        Ok(found)
    }

    /// Whether a link has a click limit, or may be restored to a version that has one.
    pub fn may_be_limited(&self, id: LinkId, now_ms: u64) -> Result<bool, IndexError> {
        if let Some(link) = self.link(id)? {
            return Ok(link.fields.gates.limit.is_some());
        }
        let last = self.versions(id.as_bytes(), u32::MAX, 1)?.pop();
        Ok(last.is_some_and(|deleted| deleted.at_ms.saturating_add(RESTORABLE_MS) > now_ms))
    }

    /// A workspace's deleted links before `before` that can be restored at a time, newest first,
    /// skipping `skip`.
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
            Tombstone::decode(&value).map_err(|error| self.report_damage(error))
        });
        let is_kept = |found: &Result<Tombstone, _>| {
            found.as_ref().map_or(true, |found| found.restorable_until_ms > now_ms)
        };
        tombstones.filter(is_kept).skip(skip).take(limit).collect()
    }

    /// A workspace's events that match `is_wanted`, newest first, before an offset: at most `limit`
    /// of at most `max_scanned` events. Also returns the cursor of the next page, unless all events
    /// were scanned.
    pub fn audited(
        &self,
        workspace: WorkspaceId,
        before: Option<u64>,
        (limit, max_scanned): (usize, usize),
        is_wanted: impl Fn(&Audited) -> bool,
    ) -> Result<AuditedPart, IndexError> {
        let before = before.map(|offset| keys::audited(workspace, offset));
        let (from, end) = store::prefixed(&keys::audited_of(workspace));
        let layers = self.layers.load();
        let rows = layers.rows((from, before.map_or(end, Bound::Excluded)), true);
        let (mut events, mut last) = (Vec::new(), None);
        for (number, row) in rows.enumerate() {
            if events.len() == limit || number == max_scanned {
                return Ok((events, last));
            }
            let (key, value) = row?;
            let event = keys::audited_offset(&key).zip(Audited::decode(&value));
            let Some((offset, audited)) = event else {
                return Err(self.report_damage(IndexError::Broken("an event of a workspace")));
            };
            last = Some(offset);
            if is_wanted(&audited) {
                events.push((offset, audited));
            }
        }
        Ok((events, None))
    }
}

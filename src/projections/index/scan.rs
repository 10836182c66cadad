//! Scans of a workspace's links: all of them or those of a group, in order of creation, in encoded
//! form.
//!
//! A scan is not a snapshot: each row is read when the scan reaches it. A link deleted meanwhile
//! may be skipped or returned in its last state.

use std::ops::Bound;
use std::sync::Arc;

use super::encoding::{counted, decode_preset, split_workspace};
use super::group::Group;
use super::layers::Layers;
use super::read::Read;
use super::store::{KeyRange, Rows, prefixed};
use super::{Index, IndexError, keys};
use crate::domain::ids::{LinkId, WorkspaceId};
use crate::domain::preset::{UtmPreset, UtmPresetKind};

/// Nearby links are read with one range scan, if it covers at most this many times their number.
const SPREAD_MAX: usize = 4;
const ID_BYTES: usize = 16;

/// The direction and start of a scan.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// Whether the newest come first.
    pub is_back: bool,
    /// Only links after this one.
    pub beyond: Option<LinkId>,
}

/// Link IDs in the order of a [`Span`].
pub type Ids<'a> = Box<dyn Iterator<Item = Result<LinkId, IndexError>> + 'a>;

/// The name of a tag or a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name in its first spelling.
    pub name: String,
    /// The number of links.
    pub links: u64,
}

/// A scan of the index.
pub struct Scan {
    layers: Arc<Layers>,
}

impl Index {
    /// Starts a scan.
    pub fn scan(&self) -> Scan {
        Scan { layers: self.layers.load_full() }
    }
}

impl Read for Scan {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        self.layers.get(key)
    }

    fn report_damage(&self, error: IndexError) -> IndexError {
        self.layers.report_damage(error)
    }
}

impl Scan {
    /// All links of a workspace.
    pub fn all(&self, workspace: WorkspaceId, span: Span) -> Ids<'_> {
        self.ids(within(&keys::links_of(workspace), span), span.is_back)
    }

    /// The links of a group.
    pub fn members(&self, workspace: WorkspaceId, group: &Group, span: Span) -> Ids<'_> {
        self.ids(within(&keys::members(workspace, group), span), span.is_back)
    }

    /// The links of a folder and its subfolders.
    pub fn in_tree(
        &self,
        workspace: WorkspaceId,
        folder: &str,
        span: Span,
    ) -> Result<Vec<LinkId>, IndexError> {
        let below = keys::members_below(workspace, &Group::Folder(format!("{folder}/")));
        let itself = keys::members(workspace, &Group::Folder(folder.to_owned()));
        let each = self.ids(prefixed(&itself), false).chain(self.ids(prefixed(&below), false));
        let mut ids = each.collect::<Result<Vec<_>, _>>()?;
        if let Some(beyond) = span.beyond {
            ids.retain(|id| if span.is_back { *id < beyond } else { *id > beyond });
        }
        ids.sort_unstable();
        if span.is_back {
            ids.reverse();
        }
        Ok(ids)
    }

    /// The number of links in a folder and its subfolders.
    pub fn tree_count(&self, workspace: WorkspaceId, folder: &str) -> Result<u64, IndexError> {
        let itself = self.group_count(workspace, &Group::Folder(folder.to_owned()))?;
        let below = Group::Folder(format!("{folder}/"));
        let below = self.names(workspace, &below).map(|named| Ok(named?.links));
        below.sum::<Result<u64, IndexError>>().map(|below| itself + below)
    }

    /// The tags or folders whose names start with this group's, by name.
    pub fn names<'s>(
        &'s self,
        workspace: WorkspaceId,
        group: &Group,
    ) -> impl Iterator<Item = Result<Named, IndexError>> + use<'s> {
        let rows = self.layers.rows(prefixed(&keys::group(workspace, group)), false);
        rows.map(|row| {
            let (_, value) = row?;
            let (links, name) = counted(&value)
                .ok_or_else(|| self.report_damage(IndexError::Broken("a group's count")))?;
            Ok(Named { name: name.to_owned(), links })
        })
    }

    /// Campaigns or UTM templates, newest first: a part of the list, and the total number.
    pub fn presets(
        &self,
        workspace: WorkspaceId,
        kind: UtmPresetKind,
        part: std::ops::Range<usize>,
    ) -> Result<(Vec<UtmPreset>, u64), IndexError> {
        let (mut presets, mut total) = (Vec::new(), 0_u64);
        let rows = self.layers.rows(prefixed(&keys::presets_of(workspace, kind)), true);
        for (place, row) in rows.enumerate() {
            let (_, value) = row?;
            total += 1;
            if part.contains(&place) {
                let preset = decode_preset(workspace, kind, &value);
                presets.push(preset.map_err(|error| self.report_damage(error))?);
            }
        }
        Ok((presets, total))
    }

    /// A part of the rows whose keys start with a prefix, last first.
    pub(super) fn last_rows(&self, prefix: &[u8], part: std::ops::Range<usize>) -> Rows<'_> {
        let rows = self.layers.rows(prefixed(prefix), true);
        Box::new(rows.skip(part.start).take(part.len()))
    }

    /// Loads some links in encoded form, skipping deleted ones. `ids` are sorted. Also returns
    /// whether most of them were far apart: then point lookups are faster, which `is_sparse`
    /// selects.
    pub fn load(
        &self,
        workspace: WorkspaceId,
        ids: &[LinkId],
        is_sparse: bool,
    ) -> Result<(Vec<Encoded>, bool), IndexError> {
        let mut found = Vec::with_capacity(ids.len());
        let mut rest = ids;
        if let ([first, .., last], false) = (ids, is_sparse) {
            let is_back = first > last;
            let (low, high) = if is_back { (last, first) } else { (first, last) };
            let range = (Bound::Included(keys::link(*low)), Bound::Included(keys::link(*high)));
            for row in self.layers.rows(range, is_back).take(SPREAD_MAX * ids.len()) {
                let (key, value) = row?;
                let id = self.id(&key)?;
                let is_passed = |next: &LinkId| if is_back { *next > id } else { *next < id };
                while let Some((_, others)) = rest.split_first().filter(|(next, _)| is_passed(next))
                {
                    rest = others;
                }
                if let Some((_, others)) = rest.split_first().filter(|(next, _)| **next == id) {
                    found.push((id, value));
                    rest = others;
                }
            }
        }
        let was_sparse = !is_sparse && rest.len() > ids.len() / 2;
        for id in rest {
            found.extend(self.get(&keys::link(*id))?.map(|value| (*id, value)));
        }
        let mut encoded = Vec::with_capacity(found.len());
        for (id, value) in found {
            let owner = split_workspace(&value).map_err(|error| self.report_damage(error))?.0;
            encoded.extend((owner == workspace).then_some(Encoded { id, value }));
        }
        Ok((encoded, was_sparse))
    }

    fn ids(&self, range: KeyRange, is_back: bool) -> Ids<'_> {
        let rows: Rows<'_> = self.layers.rows(range, is_back);
        Box::new(rows.map(|row| self.id(&row?.0)))
    }

    /// The link ID at the end of a key.
    fn id(&self, key: &[u8]) -> Result<LinkId, IndexError> {
        let id = key.len().checked_sub(ID_BYTES).and_then(|at| key.get(at..));
        let id = id.and_then(|bytes| LinkId::from_bytes(bytes).ok());
        id.ok_or_else(|| self.report_damage(IndexError::Broken("a link's key")))
    }
}

/// An encoded link.
pub struct Encoded {
    /// The ID.
    pub id: LinkId,
    value: Vec<u8>,
}

impl Encoded {
    /// The encoded [`LinkState`](crate::domain::event::LinkState).
    pub fn state(&self) -> &[u8] {
        self.value.get(ID_BYTES..).unwrap_or_default()
    }
}

fn within(prefix: &[u8], span: Span) -> KeyRange {
    let (from, to) = prefixed(prefix);
    let beyond = span.beyond.map(|id| Bound::Excluded([prefix, id.as_bytes()].concat()));
    if span.is_back { (from, beyond.unwrap_or(to)) } else { (beyond.unwrap_or(from), to) }
}

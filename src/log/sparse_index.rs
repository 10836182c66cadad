//! Finds a record by its offset without reading its whole segment.
//!
//! Each scan of a segment adds an index entry every 128 KiB, and later scans start at the last entry
//! before the wanted record. The index takes some kilobytes per segment and is in memory only.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::error::LogError;
use super::record::{HEADER_BYTES, Record};
use super::scan::{FOREIGN, HEADERLESS};
use super::segment::{self, FIRST_RECORD, HeaderState};
use super::shared::Shared;
use super::storage::Access;
use super::window::{Parsed, Window};

/// Distance between index entries, in bytes.
const INTERVAL_BYTES: u64 = 128 << 10;

/// The position of a record.
#[derive(Debug, Clone, Copy)]
struct IndexEntry {
    offset: u64,
    position: u64,
}

/// The entries by the first offset of their segment; each list is ascending.
#[derive(Debug, Default)]
pub(super) struct SparseIndex(Mutex<BTreeMap<u64, Vec<IndexEntry>>>);

impl SparseIndex {
    /// The last entry of a segment at or before an offset.
    fn before(&self, segment: u64, offset: u64) -> IndexEntry {
        let index = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = index.get(&segment).map(Vec::as_slice).unwrap_or_default();
        let behind = index.partition_point(|entry| entry.offset <= offset);
        let known = behind.checked_sub(1).and_then(|at| index.get(at)).copied();
        known.unwrap_or(IndexEntry { offset: segment, position: FIRST_RECORD })
    }

    /// Adds an entry if it is far enough behind the last one.
    fn insert(&self, segment: u64, entry: IndexEntry) {
        let mut index = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = index.entry(segment).or_default();
        let last = index.last().map_or(FIRST_RECORD, |last| last.position);
        if entry.position >= last + INTERVAL_BYTES {
            index.push(entry);
        }
    }

    /// Removes the entries of dropped segments.
    fn remove_before(&self, segment: u64) {
        let mut index = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if index.first_key_value().is_some_and(|(first, _)| *first < segment) {
            *index = index.split_off(&segment);
        }
    }
}

/// The record at an offset; `None` beyond the end.
pub(super) fn read_at(
    shared: &Shared,
    index: &SparseIndex,
    offset: u64,
) -> Result<Option<Record>, LogError> {
    // Read before the file's length: all records up to here are complete.
    if offset > shared.end() {
        return Ok(None);
    }
    let first = shared.first();
    if offset < first {
        return Err(LogError::Dropped { offset, first });
    }
    index.remove_before(first);
    let segments = shared.segments();
    let following = segments.partition_point(|first| *first <= offset);
    let Some(&segment) = following.checked_sub(1).and_then(|at| segments.get(at)) else {
        return Err(LogError::Dropped { offset, first: shared.first() });
    };
    let path = segment::path(&shared.dir, segment);
    let corrupt = |position: u64, offset: u64, what: &str| LogError::Corrupt {
        file: path.clone(),
        position,
        offset,
        what: what.to_owned(),
    };
    let file = shared.storage.open(&path, Access::Read).map_err(LogError::io("open", &path))?;
    match segment::read_header(&*file, segment).map_err(LogError::io("read", &path))? {
        HeaderState::Valid(id) if id == shared.id => {}
        HeaderState::Valid(_) => return Err(corrupt(0, segment, FOREIGN)),
        HeaderState::Damaged(what) => return Err(corrupt(0, segment, what)),
        HeaderState::Unfinished => return Err(corrupt(0, segment, HEADERLESS)),
    }
    let mut window = Window::new(file).map_err(LogError::io("read", &path))?;
    let mut entry = index.before(segment, offset);
    loop {
        let IndexEntry { offset: at, position } = entry;
        let parsed = window.record(position, at).map_err(LogError::io("read", &path))?;
        let (header, payload) = match parsed {
            Parsed::Whole { header, payload } => (header, payload),
            Parsed::Flawed(flaw) => return Err(corrupt(position, at, &flaw.to_string())),
            Parsed::End => return Err(corrupt(position, at, "the segment ends there")),
        };
        if at == offset {
            let payload = Bytes::copy_from_slice(payload);
            let (kind, version) = (header.kind, header.version);
            return Ok(Some(Record { offset, kind, version, payload }));
        }
        let size = (HEADER_BYTES + payload.len()) as u64;
        entry = IndexEntry { offset: at + 1, position: position + size };
        index.insert(segment, entry);
    }
}

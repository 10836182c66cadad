//! Finding one record by its offset, without reading all of its segment.
//!
//! Where records begin is learned by reading: whoever goes through a segment notes a place every
//! so many bytes, and the next one starts from the last place before what he wants. Some kilobytes
//! are kept for a whole segment, and nothing on disk.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::Shared;
use super::error::LogError;
use super::record::{HEADER_BYTES, Record};
use super::scan::{FOREIGN, HEADERLESS};
use super::segment::{self, FIRST_RECORD, HeaderState};
use super::storage::Access;
use super::window::{Parsed, Window};

/// How far apart the places are that are kept, in bytes.
const PLACE_BYTES: u64 = 128 << 10;

/// Where a record begins.
#[derive(Debug, Clone, Copy)]
struct Place {
    offset: u64,
    position: u64,
}

/// The places that are known, by the first offsets of their segments; each list ascends.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<BTreeMap<u64, Vec<Place>>>);

impl Places {
    /// The last known place of a segment that is not behind an offset.
    fn before(&self, segment: u64, offset: u64) -> Place {
        let places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let places = places.get(&segment).map(Vec::as_slice).unwrap_or_default();
        let behind = places.partition_point(|place| place.offset <= offset);
        let known = behind.checked_sub(1).and_then(|at| places.get(at)).copied();
        known.unwrap_or(Place { offset: segment, position: FIRST_RECORD })
    }

    /// Keeps a place that is far enough behind the last one.
    fn note(&self, segment: u64, place: Place) {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let places = places.entry(segment).or_default();
        let last = places.last().map_or(FIRST_RECORD, |last| last.position);
        if place.position >= last + PLACE_BYTES {
            places.push(place);
        }
    }

    /// Forgets segments that were dropped.
    fn forget_before(&self, segment: u64) {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if places.first_key_value().is_some_and(|(first, _)| *first < segment) {
            *places = places.split_off(&segment);
        }
    }
}

/// The record at an offset; `None` beyond the end.
pub(super) fn read_at(
    shared: &Shared,
    places: &Places,
    offset: u64,
) -> Result<Option<Record>, LogError> {
    // Before the file's length is: all up to here is completely written.
    if offset > shared.end() {
        return Ok(None);
    }
    let first = shared.first();
    if offset < first {
        return Err(LogError::Dropped { offset, first });
    }
    places.forget_before(first);
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
    let mut place = places.before(segment, offset);
    loop {
        let Place { offset: at, position } = place;
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
        place = Place { offset: at + 1, position: position + size };
        places.note(segment, place);
    }
}

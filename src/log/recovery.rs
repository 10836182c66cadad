//! Opening a log: checking that its segments belong together, and settling how the last one ends.
//!
//! A crash can leave anything where the bytes written since the last sync were going: half
//! records, zeros, and, because pages reach the disk in any order, whole records behind holes.
//! None of that was promised to anyone, and it is cut off. Damage to records that *had* been
//! synced looks much the same at first, and must never be cut off. What tells the two apart is the
//! watermark every record carries: if anything behind the first bad record `k` was written when
//! `k` was already known to be durable, then `k` has been lost since, and the log is corrupt.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::drop;
use super::error::LogError;
use super::mark::{self, Watermark};
use super::record::{Flaw, HEADER_BYTES};
use super::search::{find_witness, lost_although_synced, lost_before_watermark};
use super::segment::{self, FIRST_RECORD, HeaderState};
use super::storage::{Access, Storage, StorageFile};
use super::window::{Parsed, Window};

/// A log made ready for appending.
pub(super) struct Recovered {
    /// The log's id.
    pub(super) id: [u8; 16],
    /// First offsets of its segments, ascending; the last is being written.
    pub(super) segments: Vec<u64>,
    /// The segment being written.
    pub(super) file: Arc<dyn StorageFile>,
    /// That segment's length in bytes.
    pub(super) length: u64,
    /// Offset of the last record, 0 when there is none. All records are durable.
    pub(super) end: u64,
    /// Where it is noted how far the log is durable.
    pub(super) watermark: Watermark,
}

/// Where the unbroken run of records in a segment ends.
pub(super) struct Scan {
    /// The offset after the last good record.
    pub(super) next: u64,
    /// The position after the last good record, in bytes.
    pub(super) position: u64,
    /// What stands there instead of a record; `None` at the end of the file.
    pub(super) flaw: Option<Flaw>,
}

/// Opens the log in `dir`, creating it when there is none, and recovers its tail.
pub(super) fn open(storage: &dyn Storage, dir: &Path) -> Result<Recovered, LogError> {
    storage.create_dir_all(dir).map_err(LogError::io("create the folder", dir))?;
    let mut segments = segment::list(storage, dir)?;
    let kept = mark::read_first(storage, dir, None)?;
    let dropped: Vec<_> = segments.extract_if(.., |segment| *segment < kept).collect();
    let headers = check_headers(storage, dir, &segments, kept)?;
    if headers.id.is_some() {
        // Only a note of this very log may have segments removed.
        mark::read_first(storage, dir, headers.id.as_ref())?;
        drop::finish(storage, dir, &dropped)?;
    }
    let synced = mark::read_watermark(storage, dir, headers.id.as_ref())?;
    if headers.newest_unfinished {
        remove_newest(storage, dir, &mut segments, synced)?;
    }
    let (Some(id), Some(&newest)) = (headers.id, segments.last()) else {
        if synced > 0 || kept > 1 {
            return Err(corrupt(dir, kept, 0, kept, "the log's segments are missing"));
        }
        return create_log(storage, dir);
    };
    let file = open_segment(storage, dir, newest, Access::ReadWrite)?;
    let mut window = Window::new(Arc::clone(&file)).map_err(read_error(dir, newest))?;
    let found = scan(&mut window, newest).map_err(read_error(dir, newest))?;
    if found.next == newest && segments.len() > 1 {
        // No record in this segment bears witness that it continues the one before.
        check_sealed(storage, dir, segments[segments.len() - 2], newest)?;
    }
    settle_tail(&*file, &mut window, dir, newest, &found, synced)?;
    let end = found.next - 1;
    let watermark = Watermark::open(storage, dir, id, end);
    // The name may not be durable yet, if the process ended right after creating the file.
    segment::sync_dir(storage, dir)?;
    Ok(Recovered { id, segments, file, length: found.position, end, watermark })
}

fn create_log(storage: &dyn Storage, dir: &Path) -> Result<Recovered, LogError> {
    let id = rand::random();
    let file = segment::create(storage, dir, &id, 1)?;
    let watermark = Watermark::open(storage, dir, id, 0);
    Ok(Recovered { id, segments: vec![1], file, length: FIRST_RECORD, end: 0, watermark })
}

/// What the headers of all segments say together.
struct Headers {
    /// The log's id; `None` when no segment has a valid header.
    id: Option<[u8; 16]>,
    /// Whether the newest segment was still being created when the machine stopped.
    newest_unfinished: bool,
}

fn check_headers(
    storage: &dyn Storage,
    dir: &Path,
    segments: &[u64],
    kept: u64,
) -> Result<Headers, LogError> {
    let mut headers = Headers { id: None, newest_unfinished: false };
    if let Some(&oldest) = segments.first().filter(|&&oldest| oldest != kept) {
        return Err(corrupt(dir, oldest, 0, kept, "the segments before it are missing"));
    }
    for &first in segments {
        let file = open_segment(storage, dir, first, Access::Read)?;
        match segment::read_header(&*file, first).map_err(read_error(dir, first))? {
            HeaderState::Valid(id) if *headers.id.get_or_insert(id) == id => {}
            HeaderState::Valid(_) => return Err(corrupt(dir, first, 0, first, FOREIGN)),
            HeaderState::Damaged(what) => return Err(corrupt(dir, first, 0, first, what)),
            HeaderState::Unfinished if segments.last() == Some(&first) => {
                headers.newest_unfinished = true;
            }
            HeaderState::Unfinished => return Err(corrupt(dir, first, 0, first, HEADERLESS)),
        }
    }
    Ok(headers)
}

/// Said of a segment whose id is not that of the segments before it.
pub(super) const FOREIGN: &str = "the segment belongs to another log";

/// Said of a segment without a header, when others follow it.
pub(super) const HEADERLESS: &str = "the segment's header is missing";

/// Removes the newest segment, which was never finished; it cannot hold a record.
fn remove_newest(
    storage: &dyn Storage,
    dir: &Path,
    segments: &mut Vec<u64>,
    synced: u64,
) -> Result<(), LogError> {
    let Some(newest) = segments.pop() else {
        return Ok(());
    };
    if synced >= newest {
        let what = lost_before_watermark(None, synced);
        return Err(corrupt(dir, newest, 0, newest, what));
    }
    if let Some(&before) = segments.last() {
        // The unfinished file is the only evidence that the segment before it was complete, and
        // where it ended, so that has to be checked before the evidence goes.
        check_sealed(storage, dir, before, newest)?;
    }
    let path = segment::path(dir, newest);
    storage.remove(&path).map_err(LogError::io("remove", &path))?;
    segment::sync_dir(storage, dir)
}

/// Checks that the segment `first`, synced before `following` was created, is whole and ends
/// right before it.
fn check_sealed(
    storage: &dyn Storage,
    dir: &Path,
    first: u64,
    following: u64,
) -> Result<(), LogError> {
    let file = open_segment(storage, dir, first, Access::Read)?;
    let found = Window::new(file)
        .and_then(|mut window| scan(&mut window, first))
        .map_err(read_error(dir, first))?;
    let what = match found.flaw {
        Some(flaw) => flaw.to_string(),
        None if found.next == following => return Ok(()),
        None => discontinuity(following),
    };
    Err(corrupt(dir, first, found.position, found.next, what))
}

/// Said of a segment whose end and successor do not meet.
pub(super) fn discontinuity(following: u64) -> String {
    format!("the segment ends there, but the next one begins with record {following}")
}

/// Reads records from the segment's start until one is not as it should be.
pub(super) fn scan(window: &mut Window, first: u64) -> io::Result<Scan> {
    let mut found = Scan { next: first, position: FIRST_RECORD, flaw: None };
    loop {
        match window.record(found.position, found.next)? {
            Parsed::End => return Ok(found),
            Parsed::Flawed(flaw) => {
                found.flaw = Some(flaw);
                return Ok(found);
            }
            Parsed::Whole { payload, .. } => {
                found.position += (HEADER_BYTES + payload.len()) as u64;
                found.next += 1;
            }
        }
    }
}

/// Cuts a torn tail off the last segment, or refuses to when synced records were lost; then makes
/// everything that is left durable.
fn settle_tail(
    file: &dyn StorageFile,
    window: &mut Window,
    dir: &Path,
    first: u64,
    found: &Scan,
    synced: u64,
) -> Result<(), LogError> {
    let path = segment::path(dir, first);
    if found.next <= synced {
        let what = lost_before_watermark(found.flaw, synced);
        return Err(corrupt(dir, first, found.position, found.next, what));
    }
    if let Some(flaw) = found.flaw {
        let witness = find_witness(window, found.position, found.next)
            .map_err(LogError::io("read", &path))?;
        if let Some(witness) = witness {
            let what = lost_although_synced(flaw, witness);
            return Err(corrupt(dir, first, found.position, found.next, what));
        }
        file.set_len(found.position).map_err(LogError::io("cut the torn tail off", &path))?;
        tracing::warn!(
            file = %path.display(),
            position = found.position,
            bytes = window.limit() - found.position,
            next_offset = found.next,
            "cut a torn tail off the log: records that were never synced"
        );
    }
    file.sync_data().map_err(LogError::io("sync", &path))
}

fn open_segment(
    storage: &dyn Storage,
    dir: &Path,
    first: u64,
    access: Access,
) -> Result<Arc<dyn StorageFile>, LogError> {
    let path = segment::path(dir, first);
    storage.open(&path, access).map_err(LogError::io("open", &path))
}

fn read_error(dir: &Path, first: u64) -> impl FnOnce(io::Error) -> LogError {
    move |error| LogError::io("read", &segment::path(dir, first))(error)
}

fn corrupt(
    dir: &Path,
    first: u64,
    position: u64,
    offset: u64,
    what: impl Into<String>,
) -> LogError {
    LogError::Corrupt { file: segment::path(dir, first), position, offset, what: what.into() }
}

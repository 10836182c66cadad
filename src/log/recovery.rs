//! Opens a log: checks that its segments belong together and repairs the end of the last one.
//!
//! A crash can leave anything in place of the bytes written since the last sync: partial records,
//! zeros, and, because pages reach the disk in any order, complete records after holes. None of
//! these were acknowledged as durable, so they are truncated. Damage to *synced* records looks
//! similar and must never be truncated. The watermark in every record distinguishes the two: if any
//! record after the first bad record `k` was written when `k` was already durable, then `k` was
//! lost since, and the log is corrupt.

use std::path::Path;
use std::sync::Arc;

use super::drop;
use super::error::LogError;
use super::newest::{self, Newest};
use super::scan::{
    FOREIGN, HEADERLESS, Scan, corrupt, discontinuity, open_segment, read_error, scan,
};
use super::search::{find_witness, lost_although_synced, lost_before_watermark};
use super::segment::{self, FIRST_RECORD, HeaderState, UNREADABLE};
use super::storage::{Access, Storage, StorageFile};
use super::watermark::{self, Watermark};
use super::window::Window;

/// A log ready for appending.
pub(super) struct Recovered {
    pub(super) id: [u8; 16],
    /// First offsets of its segments, ascending; the last is being written.
    pub(super) segments: Vec<u64>,
    pub(super) file: Arc<dyn StorageFile>,
    pub(super) length: u64,
    /// Offset of the last record, 0 if there is none. All records are durable.
    pub(super) end: u64,
    /// The file with the durable offset.
    pub(super) watermark: Watermark,
}

/// Opens the log in `dir`, creating it if absent, and recovers its tail.
pub(super) fn open(storage: &dyn Storage, dir: &Path) -> Result<Recovered, LogError> {
    storage.create_dir_all(dir).map_err(LogError::io("create the folder", dir))?;
    let mut segments = segment::list(storage, dir)?;
    let kept = watermark::read_first(storage, dir, None)?;
    let dropped: Vec<_> = segments.extract_if(.., |segment| *segment < kept).collect();
    let id = check_headers(storage, dir, &segments, kept)?;
    if id.is_some() {
        // Verify that the `first` file belongs to this log before removing segments.
        watermark::read_first(storage, dir, id.as_ref())?;
        drop::finish(storage, dir, &dropped)?;
    }
    let synced = watermark::read_watermark(storage, dir, id.as_ref())?;
    recover_newest(storage, dir, &mut segments, synced)?;
    let (Some(id), Some(&newest)) = (id, segments.last()) else {
        if synced > 0 || kept > 1 {
            return Err(corrupt(dir, kept, 0, kept, "the log's segments are missing"));
        }
        return create_log(storage, dir);
    };
    let file = open_segment(storage, dir, newest, Access::ReadWrite)?;
    let mut window = Window::new(Arc::clone(&file)).map_err(read_error(dir, newest))?;
    let found = scan(&mut window, newest).map_err(read_error(dir, newest))?;
    if found.next == newest && segments.len() > 1 {
        // No record in this segment proves that it continues the previous one.
        check_sealed(storage, dir, segments[segments.len() - 2], newest)?;
    }
    recover_tail(&*file, &mut window, dir, newest, &found, synced)?;
    let end = found.next - 1;
    let watermark = Watermark::open(storage, dir, id, end);
    // The directory entry may not be durable yet if the process ended right after creating the file.
    segment::sync_dir(storage, dir)?;
    Ok(Recovered { id, segments, file, length: found.position, end, watermark })
}

fn create_log(storage: &dyn Storage, dir: &Path) -> Result<Recovered, LogError> {
    let id = rand::random();
    let file = segment::create(storage, dir, &id, 1)?;
    let watermark = Watermark::open(storage, dir, id, 0);
    Ok(Recovered { id, segments: vec![1], file, length: FIRST_RECORD, end: 0, watermark })
}

/// Checks the headers of all segments; only the newest one's may be missing. Returns the log's id.
fn check_headers(
    storage: &dyn Storage,
    dir: &Path,
    segments: &[u64],
    kept: u64,
) -> Result<Option<[u8; 16]>, LogError> {
    let mut known = None;
    if let Some(&oldest) = segments.first().filter(|&&oldest| oldest != kept) {
        return Err(corrupt(dir, oldest, 0, kept, "the segments before it are missing"));
    }
    for &first in segments {
        let file = open_segment(storage, dir, first, Access::Read)?;
        let what = match segment::read_header(&*file, first).map_err(read_error(dir, first))? {
            HeaderState::Valid(id) if *known.get_or_insert(id) == id => continue,
            HeaderState::Valid(_) => FOREIGN,
            // `newest::classify` decides whether this is valid.
            HeaderState::Unfinished | HeaderState::Damaged(UNREADABLE)
                if segments.last() == Some(&first) =>
            {
                continue;
            }
            HeaderState::Damaged(what) => what,
            HeaderState::Unfinished => HEADERLESS,
        };
        return Err(corrupt(dir, first, 0, first, what));
    }
    Ok(known)
}

/// Removes the newest segment if it was never synced. Otherwise makes the previous one durable.
fn recover_newest(
    storage: &dyn Storage,
    dir: &Path,
    segments: &mut Vec<u64>,
    synced: u64,
) -> Result<(), LogError> {
    match (newest::classify(storage, dir, segments, synced)?, segments.as_slice()) {
        (Newest::FollowsUnsynced, &[.., previous, _]) => {
            let file = open_segment(storage, dir, previous, Access::ReadWrite)?;
            file.sync_data().map_err(LogError::io("sync", &segment::path(dir, previous)))
        }
        (Newest::NeverSynced, &[.., newest]) => {
            // Durably, before the previous segment gets records with the same offsets.
            let path = segment::path(dir, newest);
            storage.remove(&path).map_err(LogError::io("remove", &path))?;
            segment::sync_dir(storage, dir)?;
            segments.pop();
            let file = path.display();
            tracing::warn!(%file, "removed the log's newest segment: it was never synced");
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Checks that the segment `first`, durable before any record of `following`, is intact and ends
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

/// Truncates a torn tail of the last segment, or fails if synced records were lost; then makes the
/// rest durable.
fn recover_tail(
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
        file.set_len(found.position).map_err(LogError::io("truncate the torn tail of", &path))?;
        tracing::warn!(
            file = %path.display(),
            position = found.position,
            bytes = window.limit - found.position,
            next_offset = found.next,
            "truncated a torn tail of the log: records that were never synced"
        );
    }
    file.sync_data().map_err(LogError::io("sync", &path))
}

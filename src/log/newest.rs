//! What a crash has left of the newest segment.
//!
//! A segment is begun, and written to, before the segment before it and its own name and header
//! are synced. So a crash can leave it without a header, or behind a segment whose end is torn.
//! Then none of its records was durable, and it is no part of the log, unless there is evidence to
//! the contrary: the watermark, or a record that says so. A newest segment that is whole but
//! empty is normal.

use std::path::Path;
use std::sync::Arc;

use super::error::LogError;
use super::scan::{HEADERLESS, corrupt, discontinuity, open_segment, read_error, scan};
use super::search::{find_witness, lost_although_synced, lost_before_watermark};
use super::segment::{self, FIRST_RECORD, HeaderState};
use super::storage::{Access, Storage};
use super::window::Window;

/// How the newest segment stands to the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Newest {
    /// The segment before was synced to its end, or there is none.
    Follows,
    /// It continues the segment before, which may not be durable to its end.
    FollowsUnsynced,
    /// Nothing of it was ever synced, and it does not continue the segment before.
    NeverSynced,
}

/// Whether the last of `segments` is no part of the log, for readers that notice themselves what
/// is corrupt.
pub(super) fn is_never_synced(
    storage: &dyn Storage,
    dir: &Path,
    segments: &[u64],
    synced: u64,
) -> Result<bool, LogError> {
    match judge(storage, dir, segments, synced) {
        Ok(newest) => Ok(newest == Newest::NeverSynced),
        Err(LogError::Corrupt { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Judges the last of `segments`, of a log known to be durable up to `synced`.
///
/// # Errors
/// [`LogError::Corrupt`] where records are missing that were durable.
pub(super) fn judge(
    storage: &dyn Storage,
    dir: &Path,
    segments: &[u64],
    synced: u64,
) -> Result<Newest, LogError> {
    let Some(&newest) = segments.last() else { return Ok(Newest::Follows) };
    let file = open_segment(storage, dir, newest, Access::Read)?;
    let header = segment::read_header(&*file, newest).map_err(read_error(dir, newest))?;
    let problem = match header {
        HeaderState::Valid(_) => None,
        HeaderState::Damaged(what) => Some(what),
        HeaderState::Unfinished => Some(HEADERLESS),
    };
    let &[.., before, _] = segments else {
        // The first segment's header is durable before any record is written.
        return match header {
            HeaderState::Valid(_) => Ok(Newest::Follows),
            HeaderState::Unfinished if synced < newest => Ok(Newest::NeverSynced),
            HeaderState::Unfinished => {
                let what = lost_before_watermark(problem, synced);
                Err(corrupt(dir, newest, 0, newest, what))
            }
            HeaderState::Damaged(what) => Err(corrupt(dir, newest, 0, newest, what)),
        };
    };
    if problem.is_none() && synced.saturating_add(1) >= newest {
        return Ok(Newest::Follows);
    }
    let file_before = open_segment(storage, dir, before, Access::Read)?;
    let mut window_before = Window::new(file_before).map_err(read_error(dir, before))?;
    let found = scan(&mut window_before, before).map_err(read_error(dir, before))?;
    let is_whole = found.flaw.is_none() && found.next == newest;
    if is_whole && problem.is_none() {
        return Ok(Newest::FollowsUnsynced);
    }
    // All from here on goes with the newest segment.
    let lost = found.next;
    let (at, position, what) = match (problem, found.flaw) {
        (Some(problem), None) if is_whole => (newest, 0, problem.to_owned()),
        (_, Some(flaw)) => (before, found.position, flaw.to_string()),
        (_, None) => (before, found.position, discontinuity(newest)),
    };
    if lost > newest {
        return Err(corrupt(dir, at, position, lost, what));
    }
    if synced >= lost {
        let what = lost_before_watermark(Some(what), synced);
        return Err(corrupt(dir, at, position, lost, what));
    }
    let mut window = Window::new(Arc::clone(&file)).map_err(read_error(dir, newest))?;
    let witness = find_witness(&mut window_before, found.position, lost)
        .map_err(read_error(dir, before))?
        .or(find_witness(&mut window, FIRST_RECORD, lost).map_err(read_error(dir, newest))?);
    match witness {
        Some(witness) => Err(corrupt(dir, at, position, lost, lost_although_synced(what, witness))),
        None => Ok(Newest::NeverSynced),
    }
}

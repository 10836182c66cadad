//! The state of the newest segment after a crash.
//!
//! A segment is started and written to before the previous segment, its own directory entry and
//! its header are synced. So a crash can leave it without a header, or after a torn segment. Then
//! none of its records was durable and it is not part of the log, unless there is evidence to the
//! contrary: the watermark, or a record that proves it. A complete but empty newest segment is
//! normal.

use std::path::Path;
use std::sync::Arc;

use super::error::LogError;
use super::scan::{HEADERLESS, corrupt, discontinuity, open_segment, read_error, scan};
use super::search::{find_witness, lost_although_synced, lost_before_watermark};
use super::segment::{self, FIRST_RECORD, HeaderState};
use super::storage::{Access, Storage};
use super::window::Window;

/// How the newest segment relates to the previous one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Newest {
    /// The previous segment was synced to its end, or there is none.
    Follows,
    /// It continues the previous segment, which may not be durable to its end.
    FollowsUnsynced,
    /// It was never synced, and does not continue the previous segment.
    NeverSynced,
}

/// Whether the last of `segments` is not part of the log. Leaves corruption to the reader to
/// report.
pub(super) fn is_never_synced(
    storage: &dyn Storage,
    dir: &Path,
    segments: &[u64],
    synced: u64,
) -> Result<bool, LogError> {
    match classify(storage, dir, segments, synced) {
        Ok(newest) => Ok(newest == Newest::NeverSynced),
        Err(LogError::Corrupt { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Classifies the last of `segments` of a log known to be durable up to `synced`.
///
/// # Errors
/// [`LogError::Corrupt`] if durable records are missing.
pub(super) fn classify(
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
    let &[.., previous, _] = segments else {
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
    let previous_file = open_segment(storage, dir, previous, Access::Read)?;
    let mut previous_window = Window::new(previous_file).map_err(read_error(dir, previous))?;
    let found = scan(&mut previous_window, previous).map_err(read_error(dir, previous))?;
    let is_whole = found.flaw.is_none() && found.next == newest;
    if is_whole && problem.is_none() {
        return Ok(Newest::FollowsUnsynced);
    }
    // The first record that is lost if the newest segment is removed.
    let lost = found.next;
    let (at, position, what) = match (problem, found.flaw) {
        (Some(problem), None) if is_whole => (newest, 0, problem.to_owned()),
        (_, Some(flaw)) => (previous, found.position, flaw.to_string()),
        (_, None) => (previous, found.position, discontinuity(newest)),
    };
    if lost > newest {
        return Err(corrupt(dir, at, position, lost, what));
    }
    if synced >= lost {
        let what = lost_before_watermark(Some(what), synced);
        return Err(corrupt(dir, at, position, lost, what));
    }
    let mut window = Window::new(Arc::clone(&file)).map_err(read_error(dir, newest))?;
    let witness = find_witness(&mut previous_window, found.position, lost)
        .map_err(read_error(dir, previous))?
        .or(find_witness(&mut window, FIRST_RECORD, lost).map_err(read_error(dir, newest))?);
    match witness {
        Some(witness) => Err(corrupt(dir, at, position, lost, lost_although_synced(what, witness))),
        None => Ok(Newest::NeverSynced),
    }
}

//! Permanent removal of the oldest segments.
//!
//! First the `first` file is durably replaced; then the older segments are removed, oldest first.
//! A crash at any point leaves a log that opens: with the old file no segment is missing, with
//! the new one recovery removes the leftover segments.

use std::path::Path;

use super::appender::Appender;
use super::error::LogError;
use super::segment;
use super::shared::Shared;
use super::storage::Storage;
use super::watermark;

/// A sealed segment: no more records are appended to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed {
    /// Its first offset.
    pub first: u64,
    /// Its last offset.
    pub last: u64,
}

/// See [`Log::sealed_segments`](super::Log::sealed_segments).
pub(super) fn sealed(shared: &Shared) -> Vec<Sealed> {
    let firsts = shared.segments();
    firsts.windows(2).map(|pair| Sealed { first: pair[0], last: pair[1] - 1 }).collect()
}

/// See [`Log::drop_before`](super::Log::drop_before).
///
/// The caller holds [`LocalLog::dropping`](super::local::LocalLog).
pub(super) fn drop_before(
    shared: &Shared,
    appender: &Appender,
    offset: u64,
) -> Result<u64, LogError> {
    // A crash must not lose the directory entry of the first retained segment.
    appender.finish_roll()?;
    let segments = shared.segments();
    let retained_from = segments.iter().rposition(|&first| first <= offset).unwrap_or(0);
    let Some(&first) = segments.get(retained_from).filter(|_| retained_from > 0) else {
        return Ok(shared.first());
    };
    watermark::write_first(&*shared.storage, &shared.dir, &shared.id, first)?;
    shared.remove_segments_before(first);
    for &dropped in &segments[..retained_from] {
        remove(&*shared.storage, &shared.dir, dropped)?;
    }
    segment::sync_dir(&*shared.storage, &shared.dir)?;
    tracing::info!(
        dir = %shared.dir.display(),
        segments = retained_from,
        first,
        "the log's oldest segments were dropped"
    );
    Ok(first)
}

/// Removes the segments that an interrupted drop left behind, oldest first.
pub(super) fn finish(storage: &dyn Storage, dir: &Path, leftover: &[u64]) -> Result<(), LogError> {
    for &dropped in leftover {
        remove(storage, dir, dropped)?;
    }
    if leftover.is_empty() { Ok(()) } else { segment::sync_dir(storage, dir) }
}

fn remove(storage: &dyn Storage, dir: &Path, first: u64) -> Result<(), LogError> {
    let path = segment::path(dir, first);
    storage.remove(&path).map_err(LogError::io("remove", &path))
}

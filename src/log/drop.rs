//! Dropping the oldest segments, for good.
//!
//! First the note of the first record kept is replaced, durably; then the segments before it go,
//! oldest first. So at each moment a crash leaves a log that opens: with the old note all is
//! there still, with the new one recovery removes what is left over.

use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::error::LogError;
use super::segment;
use super::storage::Storage;
use super::watermark;
use super::{Log, Shared};

/// A segment that takes no more records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed {
    /// Its first offset.
    pub first: u64,
    /// Its last offset.
    pub last: u64,
}

impl Log {
    /// Offset of the first record held: 1 when nothing was dropped.
    pub fn first(&self) -> u64 {
        self.shared.first()
    }

    /// The segments that take no more records, ascending. Only such can be dropped.
    pub fn sealed_segments(&self) -> Vec<Sealed> {
        let firsts = self.shared.segments();
        firsts.windows(2).map(|pair| Sealed { first: pair[0], last: pair[1] - 1 }).collect()
    }

    /// Drops the segments that hold only records before `offset`, durably and for good. The one
    /// being written stays. Returns the first offset held from now on.
    ///
    /// # Errors
    ///
    /// [`LogError::Poisoned`] when the last segment can't be made durable; [`LogError::Io`] when
    /// the storage fails otherwise: then some of these segments may be left, which
    /// are removed when the log is opened the next time.
    pub fn drop_before(&self, offset: u64) -> Result<u64, LogError> {
        // Held throughout: one at a time.
        let _dropping = self.dropping.lock().unwrap_or_else(PoisonError::into_inner);
        // A crash must not undo the name of the first segment kept.
        self.appender.finish_roll()?;
        let shared = &*self.shared;
        let segments = shared.segments();
        let kept_from = segments.iter().rposition(|&first| first <= offset).unwrap_or(0);
        let Some(&first) = segments.get(kept_from).filter(|_| kept_from > 0) else {
            return Ok(shared.first());
        };
        watermark::write_first(&*shared.storage, &shared.dir, &shared.id, first)?;
        shared.forget_segments_before(first);
        for &dropped in &segments[..kept_from] {
            remove(&*shared.storage, &shared.dir, dropped)?;
        }
        segment::sync_dir(&*shared.storage, &shared.dir)?;
        tracing::info!(
            dir = %shared.dir.display(),
            segments = kept_from,
            first,
            "the log's oldest segments were dropped"
        );
        Ok(first)
    }
}

impl Shared {
    pub(super) fn first(&self) -> u64 {
        self.first.load(Ordering::Acquire)
    }

    fn forget_segments_before(&self, first: u64) {
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        self.first.store(first, Ordering::Release);
        segments.retain(|&segment| segment >= first);
    }
}

/// Removes the segments that an interrupted drop has left, oldest first.
pub(super) fn finish(storage: &dyn Storage, dir: &Path, left: &[u64]) -> Result<(), LogError> {
    for &dropped in left {
        remove(storage, dir, dropped)?;
    }
    if left.is_empty() { Ok(()) } else { segment::sync_dir(storage, dir) }
}

fn remove(storage: &dyn Storage, dir: &Path, first: u64) -> Result<(), LogError> {
    let path = segment::path(dir, first);
    storage.remove(&path).map_err(LogError::io("remove", &path))
}

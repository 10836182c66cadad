//! The state of an open log.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use super::error::LogError;
use super::storage::Storage;

/// State shared by the appender and the readers.
pub(super) struct Shared {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) dir: PathBuf,
    pub(super) id: [u8; 16],
    /// First offsets of the segments, ascending. A segment is listed before `end` reaches it.
    pub(super) segments: RwLock<Vec<u64>>,
    /// Offset of the first retained record.
    pub(super) first: AtomicU64,
    /// Offset of the last record appended.
    pub(super) end: AtomicU64,
    /// Offset up to which records are durable; never beyond `end`.
    pub(super) synced: AtomicU64,
    /// Why the log is poisoned, if it is.
    pub(super) poisoned: OnceLock<String>,
}

impl Shared {
    pub(super) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    pub(super) fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    pub(super) fn segments(&self) -> Vec<u64> {
        // The list is valid even if a thread panicked while holding the lock.
        let segments = self.segments.read();
        segments.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn add_segment(&self, first: u64) {
        let segments = self.segments.write();
        segments.unwrap_or_else(PoisonError::into_inner).push(first);
    }

    /// Poisons the log and returns the error.
    pub(super) fn poison(&self, reason: String) -> LogError {
        let reason = self.poisoned.get_or_init(|| {
            tracing::error!(dir = %self.dir.display(), reason, "the log accepts no more writes");
            reason
        });
        LogError::Poisoned { reason: reason.clone() }
    }

    pub(super) fn check_poison(&self) -> Result<(), LogError> {
        match self.poisoned.get() {
            None => Ok(()),
            Some(reason) => Err(LogError::Poisoned { reason: reason.clone() }),
        }
    }

    pub(super) fn first(&self) -> u64 {
        self.first.load(Ordering::Acquire)
    }

    /// Removes the segments before the first retained one. Both change under the lock, so that a
    /// reader sees no retained offset without a segment.
    pub(super) fn remove_segments_before(&self, first: u64) {
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        self.first.store(first, Ordering::Release);
        segments.retain(|&segment| segment >= first);
    }
}

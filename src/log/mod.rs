//! The append-only log: the source of truth that all other state is derived from.
//!
//! A log is a folder of *segments*, files of consecutive *records*. Records are numbered by
//! *offsets*: dense, starting at 1, never reused once durable. The log does not interpret a
//! record's payload, kind or version. Each log has its own folder; one process at a time may
//! write, see [`DataLock`].
//!
//! # Durability
//!
//! - When [`Log::append`] returns, the records have been written to the page cache: they survive
//!   a crash of the process, not of the machine. Readers see them from then on.
//! - When [`Log::sync`] returns an offset, the records up to it survive a crash of the machine. So
//!   do those up to [`Log::synced`].
//! - Starting a segment syncs nothing, so appends never wait for the disk. A sync reports records
//!   of the new segment as durable only after it has synced the previous segment, the new segment
//!   and its directory entry; a third segment is not started before that. So only the last two
//!   segments can be torn, and the last only if the previous one's end or its own is torn too.
//! - A crash leaves a prefix of the appended records that includes all synced ones. A batch can
//!   be cut in the middle.
//!
//! # Write errors
//!
//! - A failed or short write (a full disk) is durably undone, and the error returned. The log
//!   stays usable, see [`LogError::is_full`].
//! - After a failed sync the state on disk is unknown, and a later successful sync does not change
//!   that. So a failed sync *poisons* the log, as does a failure to undo a write: every further
//!   append and sync returns [`LogError::Poisoned`]. Reopening the log recovers it.
//!
//! # Recovery
//!
//! [`Log::open`] verifies the headers of all segments, every record of the last one, and every
//! record of the previous one unless it is known to be durable to its end.
//!
//! - A last segment without records is normal. One without a header, or after a torn segment, was
//!   never synced: it is removed with a warning.
//! - Bytes at the end that were never synced (partial records, zeros, or records after a hole) are
//!   truncated with a warning.
//! - If synced records are lost, opening fails with [`LogError::Corrupt`] and changes nothing.
//!   Two things distinguish this from a torn end: every record stores the durable offset at the
//!   time of writing, and a small file beside the segments, the watermark, is written after each
//!   sync. Only a power failure right after a sync that also damages what that sync made durable
//!   can leave neither.
//! - Then everything that remains is synced: after opening, [`Log::synced`] equals [`Log::end`].
//!
//! Earlier segments are verified when read, and all of them by [`verify()`].
//!
//! # Retention
//!
//! [`Log::drop_before`] permanently removes whole segments from the front. The first retained
//! offset is durably recorded first, so that segments missing for another reason are still
//! detected. Reading a dropped record returns [`LogError::Dropped`].

mod appender;
mod batch;
mod drop;
mod error;
mod lock;
mod newest;
mod reader;
mod record;
mod recovery;
mod replace;
mod scan;
mod search;
mod segment;
mod sparse_index;
mod storage;
mod subscription;
mod verify;
mod view;
mod watermark;
mod window;
mod worker;

#[cfg(test)]
#[path = "../../tests/simulation/disk/mod.rs"]
pub mod simulated;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use appender::Appender;
pub use batch::{RecordBatch, RecordRef};
pub use drop::Sealed;
pub use error::LogError;
pub use lock::DataLock;
pub use reader::Reader;
pub use record::{MAX_PAYLOAD_BYTES, NewRecord, Record};
pub use replace::replace_file;
use sparse_index::SparseIndex;
pub use storage::{Access, DiskStorage, Storage, StorageFile};
pub use subscription::{Cursors, Subscription};
pub use verify::{Problem, VerifyReport, verify};
pub use view::{LogView, Tail};
pub use worker::{Backoff, Schedule, StopFlag, Worker, lower_priority};

/// Options of a log.
#[derive(Debug, Clone, Copy)]
pub struct LogOptions {
    /// Size in bytes at which a segment is closed and the next one started. A batch is never
    /// split, so a segment is larger if its first batch is.
    pub segment_bytes: u64,
}

impl Default for LogOptions {
    /// Segments of 64 MiB.
    fn default() -> Self {
        Self { segment_bytes: 64 << 20 }
    }
}

/// A log open for appending and reading, shared between threads by reference.
///
/// Dropping it does not sync: call [`Log::sync`] first.
pub struct Log {
    shared: Arc<Shared>,
    appender: Appender,
    sparse_index: SparseIndex,
    /// Held while segments are dropped.
    dropping: Mutex<()>,
    cursors: Cursors,
}

/// State shared by the appender and the readers.
struct Shared {
    storage: Arc<dyn Storage>,
    dir: PathBuf,
    id: [u8; 16],
    /// First offsets of the segments, ascending. A segment is listed before `end` reaches it.
    segments: RwLock<Vec<u64>>,
    /// Offset of the first retained record.
    first: AtomicU64,
    /// Offset of the last record appended.
    end: AtomicU64,
    /// Offset up to which records are durable; never beyond `end`.
    synced: AtomicU64,
    /// Why the log is poisoned, if it is.
    poisoned: OnceLock<String>,
}

impl Shared {
    fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    fn segments(&self) -> Vec<u64> {
        // The list is valid even if a thread panicked while holding the lock.
        let segments = self.segments.read();
        segments.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add_segment(&self, first: u64) {
        let segments = self.segments.write();
        segments.unwrap_or_else(PoisonError::into_inner).push(first);
    }

    /// Poisons the log and returns the error.
    fn poison(&self, reason: String) -> LogError {
        let reason = self.poisoned.get_or_init(|| {
            tracing::error!(dir = %self.dir.display(), reason, "the log accepts no more writes");
            reason
        });
        LogError::Poisoned { reason: reason.clone() }
    }

    fn check_poison(&self) -> Result<(), LogError> {
        match self.poisoned.get() {
            None => Ok(()),
            Some(reason) => Err(LogError::Poisoned { reason: reason.clone() }),
        }
    }
}

impl Log {
    /// Opens the log in `dir`, creating the folder and the log if absent, and recovers its end as
    /// described in the [module documentation](self). The caller holds the folder's [`DataLock`].
    ///
    /// # Errors
    ///
    /// [`LogError::Corrupt`] if segments are missing or belong to another log, or if synced records
    /// of the last segment were lost; [`LogError::Io`] if the storage fails.
    pub fn open(
        storage: Arc<dyn Storage>,
        dir: &Path,
        options: LogOptions,
    ) -> Result<Self, LogError> {
        let recovered = recovery::open(&*storage, dir)?;
        let shared = Arc::new(Shared {
            storage,
            dir: dir.to_owned(),
            id: recovered.id,
            first: AtomicU64::new(recovered.segments.first().copied().unwrap_or(1)),
            segments: RwLock::new(recovered.segments),
            end: AtomicU64::new(recovered.end),
            synced: AtomicU64::new(recovered.end),
            poisoned: OnceLock::new(),
        });
        let appender = Appender::new(
            Arc::clone(&shared),
            recovered.file,
            recovered.length,
            options.segment_bytes,
            recovered.watermark,
        );
        Ok(Self {
            shared,
            appender,
            sparse_index: SparseIndex::default(),
            dropping: Mutex::new(()),
            cursors: Cursors::default(),
        })
    }

    /// Appends `records` with consecutive offsets in one write, and returns the last offset. An
    /// empty slice appends nothing and returns the current end.
    ///
    /// The records are not durable until a sync covers them, see [`Log::sync`].
    ///
    /// # Errors
    ///
    /// After an error, none of the records is appended. [`LogError::TooLarge`] if a payload exceeds
    /// [`MAX_PAYLOAD_BYTES`]; [`LogError::Io`] if the write failed and was undone, so it can be
    /// retried; [`LogError::Poisoned`] if it could not be undone, or the log is poisoned.
    pub fn append(&self, records: &[NewRecord<'_>]) -> Result<u64, LogError> {
        self.appender.append(records)
    }

    /// Like [`Log::append`], for records of one kind with one payload each.
    pub fn append_payloads(
        &self,
        kind: u16,
        version: u16,
        payloads: &[Vec<u8>],
    ) -> Result<u64, LogError> {
        let records = payloads.iter().map(|payload| NewRecord { kind, version, payload });
        self.append(&records.collect::<Vec<_>>())
    }

    /// Makes all records appended before the call durable, and returns the durable offset. Does not
    /// block appends; concurrent calls share one sync.
    ///
    /// # Errors
    ///
    /// [`LogError::Poisoned`] if this or an earlier sync failed.
    pub fn sync(&self) -> Result<u64, LogError> {
        self.appender.sync()
    }

    /// Offset up to which all records are durable; 0 if none is.
    pub fn synced(&self) -> u64 {
        self.shared.synced()
    }

    /// Offset of the last record appended, durable or not; 0 if the log is empty.
    pub fn end(&self) -> u64 {
        self.shared.end()
    }

    /// Why the log is poisoned; `None` if it is not.
    pub fn poisoned(&self) -> Option<&str> {
        self.shared.poisoned.get().map(String::as_str)
    }

    /// The log's random id, which never changes.
    pub fn id(&self) -> [u8; 16] {
        self.shared.id
    }

    /// Reads records from `offset` on (0: from the first retained), following the log as it grows.
    /// `offset` may be at most one past the [`end`](Log::end).
    ///
    /// Records beyond [`synced`](Log::synced) are returned too; a crash of the machine can still lose
    /// them.
    ///
    /// # Errors
    ///
    /// [`LogError::BeyondEnd`] if `offset` is further than that; [`LogError::Dropped`] if it was
    /// dropped.
    pub fn read_from(&self, offset: u64) -> Result<Reader, LogError> {
        let (first, end) = (self.first(), self.end());
        let offset = if offset == 0 { first } else { offset };
        if offset < first {
            return Err(LogError::Dropped { offset, first });
        }
        if offset > end + 1 {
            return Err(LogError::BeyondEnd { offset, end });
        }
        Ok(Reader::live(Arc::clone(&self.shared), offset))
    }
}

impl Log {
    /// The record at an offset; `None` beyond the [`end`](Log::end). Takes about ten microseconds;
    /// the first read in a segment may have to scan it.
    ///
    /// # Errors
    ///
    /// [`LogError::Dropped`] if it was dropped; otherwise those of [`Reader::next_record`].
    pub fn read_at(&self, offset: u64) -> Result<Option<Record>, LogError> {
        sparse_index::read_at(&self.shared, &self.sparse_index, offset)
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("dir", &self.shared.dir)
            .field("end", &self.end())
            .field("synced", &self.synced())
            .finish_non_exhaustive()
    }
}

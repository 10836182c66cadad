//! The append-only log: the source of truth everything else is derived from.
//!
//! A log is a folder of *segments*, files of consecutive *records*. Records are numbered by
//! *offsets*: dense, starting at 1, never reused once durable. The log does not interpret a
//! record's payload, only carries its kind and version along. Several logs share this
//! implementation, each in its own folder; one process at a time may write, see [`DataLock`].
//!
//! # What is durable when
//!
//! - When [`Log::append`] returns, the records are with the operating system: they survive the
//!   process, not the machine. Readers see them from then on.
//! - When [`Log::sync`] returns an offset, the records up to it survive the machine. So do those
//!   up to [`Log::synced`].
//! - A segment is begun without a sync, so that no append waits for the disk. Before a sync
//!   reports any of its records as durable, it has synced the segment before, the new segment and
//!   its name, and no third segment is begun meanwhile. So only the last two segments can be torn,
//!   and the last only together with the end of the one before or with its own.
//! - A crash leaves a prefix of what was appended, at least as long as what was synced. A group
//!   appended at once can be cut in the middle.
//!
//! # When writing fails
//!
//! - A write that fails or comes up short (a full disk) is undone durably, and the error
//!   returned. The log goes on being usable, see [`LogError::is_full`].
//! - After a failed sync nothing is known about what is on disk, and a later sync that succeeds
//!   tells nothing either. So a failed sync *poisons* the log, as does a failure to undo a write:
//!   every further append and sync returns [`LogError::Poisoned`]. Reopening recovers.
//!
//! # What recovery does
//!
//! [`Log::open`] checks the headers of all segments and every record of the last one; and those of
//! the one before, where it is not known to be durable to its end.
//!
//! - A last segment without records is normal. One without a header, or behind a segment that is
//!   torn, never was synced: it is removed with a warning.
//! - Bytes at its end that never were synced, be they half records, zeros, or records behind a
//!   hole, are cut off with a warning.
//! - Records lost although they had been synced are [`LogError::Corrupt`], and nothing is changed.
//!   Two things tell this from a torn end: every record says how far the log was durable when it
//!   was written, and a small file beside the segments, the watermark, is written after each
//!   sync. Only a power failure right after a sync, together with damage to just what it made
//!   durable, can leave neither.
//! - Then everything left is synced: after opening, [`Log::synced`] equals [`Log::end`].
//!
//! Earlier segments are checked when read, and all of them by [`verify()`].
//!
//! # Dropping what is old
//!
//! [`Log::drop_before`] removes whole segments from the front, for good. The first offset kept is
//! noted durably before anything goes, so that a segment that is missing for another reason is
//! still noticed. Reading a dropped record is [`LogError::Dropped`].

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
mod verify;
mod view;
mod watermark;
mod window;

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
use sparse_index::Places;
pub use storage::{Access, DiskStorage, Storage, StorageFile};
pub use verify::{Problem, VerifyReport, verify};
pub use view::{LogView, Tail};

/// How a log is kept.
#[derive(Debug, Clone, Copy)]
pub struct LogOptions {
    /// Size in bytes at which a segment is closed and the next one begun. A group of records is
    /// never split, so a segment is larger when its first group is.
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
/// Dropping it syncs nothing: call [`Log::sync`] before.
pub struct Log {
    shared: Arc<Shared>,
    appender: Appender,
    places: Places,
    /// Held while segments are dropped.
    dropping: Mutex<()>,
}

/// What the appending side tells the readers.
struct Shared {
    storage: Arc<dyn Storage>,
    dir: PathBuf,
    id: [u8; 16],
    /// First offsets of the segments, ascending. A segment is listed before `end` reaches it.
    segments: RwLock<Vec<u64>>,
    /// Offset of the first record held.
    first: AtomicU64,
    /// Offset of the last record appended.
    end: AtomicU64,
    /// Offset up to which records are durable; never beyond `end`.
    synced: AtomicU64,
    /// Why the log takes no more writes, once it does not.
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
        // A list of numbers is whole even if a thread panicked holding the lock.
        let segments = self.segments.read();
        segments.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add_segment(&self, first: u64) {
        let segments = self.segments.write();
        segments.unwrap_or_else(PoisonError::into_inner).push(first);
    }

    /// Refuses all further writes for `reason`, and returns the error that says so.
    fn poison(&self, reason: String) -> LogError {
        let reason = self.poisoned.get_or_init(|| {
            tracing::error!(dir = %self.dir.display(), reason, "the log takes no more writes");
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
    /// Opens the log in `dir`, creating folder and log when absent, and recovers its end as the
    /// module documentation says. The caller holds the folder's [`DataLock`].
    ///
    /// # Errors
    ///
    /// [`LogError::Corrupt`] when segments are missing or foreign, or when records of the last
    /// segment were lost after they had been synced; [`LogError::Io`] when the storage fails.
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
        Ok(Self { shared, appender, places: Places::default(), dropping: Mutex::new(()) })
    }

    /// Appends `records` with consecutive offsets and one write, and returns the offset of the
    /// last. An empty slice appends nothing and returns the current end.
    ///
    /// The records are not durable until a sync covers them, see [`Log::sync`].
    ///
    /// # Errors
    ///
    /// With any error none of the records is appended. [`LogError::TooLarge`] when a payload is
    /// over [`MAX_PAYLOAD_BYTES`]; [`LogError::Io`] when writing was refused but undone, so that
    /// it may be tried again; [`LogError::Poisoned`] when it could not be, or earlier failed.
    pub fn append(&self, records: &[NewRecord<'_>]) -> Result<u64, LogError> {
        self.appender.append(records)
    }

    /// Appends records of one kind, each of one payload, as [`Log::append`] does.
    pub fn append_payloads(
        &self,
        kind: u16,
        version: u16,
        payloads: &[Vec<u8>],
    ) -> Result<u64, LogError> {
        let parts: Vec<[&[u8]; 1]> = payloads.iter().map(|payload| [payload.as_slice()]).collect();
        let records = parts.iter().map(|parts| NewRecord { kind, version, parts });
        self.append(&records.collect::<Vec<_>>())
    }

    /// Makes all records appended before the call durable, and returns the offset up to which
    /// records now are. Appending goes on meanwhile; concurrent calls share their work.
    ///
    /// # Errors
    ///
    /// [`LogError::Poisoned`] when this or an earlier sync failed.
    pub fn sync(&self) -> Result<u64, LogError> {
        self.appender.sync()
    }

    /// Offset up to which all records are durable; 0 when none is.
    pub fn synced(&self) -> u64 {
        self.shared.synced()
    }

    /// Offset of the last record appended, durable or not; 0 when the log is empty.
    pub fn end(&self) -> u64 {
        self.shared.end()
    }

    /// Why the log takes no more writes; `None` while it does.
    pub fn poisoned(&self) -> Option<&str> {
        self.shared.poisoned.get().map(String::as_str)
    }

    /// The log's identity: random, and the same for as long as the log exists.
    pub fn id(&self) -> [u8; 16] {
        self.shared.id
    }

    /// Reads records from `offset` on (0 means from the first held), following the log as it grows up
    /// to its [`end`](Log::end). `offset` may be the one after the end.
    ///
    /// Records beyond [`synced`](Log::synced) are read too; a crash of the machine can still undo
    /// those.
    ///
    /// # Errors
    ///
    /// [`LogError::BeyondEnd`] when `offset` is further than that; [`LogError::Dropped`] when it
    /// was dropped.
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
    /// The record at an offset; `None` beyond the [`end`](Log::end). It costs some ten
    /// microseconds, and as long as reading the segment takes where nobody has read there before.
    ///
    /// # Errors
    ///
    /// [`LogError::Dropped`] when it was dropped; else those of [`Reader::next_record`].
    pub fn read_at(&self, offset: u64) -> Result<Option<Record>, LogError> {
        sparse_index::read_at(&self.shared, &self.places, offset)
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

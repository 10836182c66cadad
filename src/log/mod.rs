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
//! [`LocalLog::open`] verifies the headers of all segments, every record of the last one, and every
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
mod local;
mod lock;
mod newest;
mod reader;
mod record;
mod recovery;
mod replace;
mod scan;
mod search;
mod segment;
mod shared;
mod sparse_index;
mod storage;
mod subscription;
pub mod thread_pool;
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

pub use batch::{RecordBatch, RecordRef};
pub use drop::Sealed;
pub use error::LogError;
pub use local::{LocalLog, LogOptions};
pub use lock::DataLock;
pub use reader::Reader;
pub use record::{MAX_PAYLOAD_BYTES, NewRecord, Record};
pub use replace::replace_file;
pub use storage::{Access, DiskStorage, Storage, StorageFile};
pub use subscription::{Cursors, Subscription};
pub use verify::{Problem, VerifyReport, verify};
pub use view::{LogView, Tail};
pub use worker::{Backoff, Schedule, StopFlag, Worker, lower_priority};

/// A log, shared between threads by reference.
///
/// [`LocalLog`] implements it for one process. A replicated log can implement it too: it appends by
/// agreement, [`synced`](Self::synced) is what a majority of the nodes has, and each node reads its
/// own segments. Users take it as a trait object: a call costs nanoseconds, and redirects append
/// their clicks in batches.
pub trait Log: Send + Sync {
    /// The log's random id, which never changes.
    fn id(&self) -> [u8; 16];

    /// Offset of the first retained record: 1 if nothing was dropped.
    fn first(&self) -> u64;

    /// Offset of the last record appended, durable or not; 0 if the log is empty.
    fn end(&self) -> u64;

    /// Offset up to which all records are durable; 0 if none is.
    fn synced(&self) -> u64;

    /// Why the log is poisoned; `None` if it is not.
    fn poisoned(&self) -> Option<&str>;

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
    fn append(&self, records: &[NewRecord<'_>]) -> Result<u64, LogError> {
        self.append_after(None, records)
    }

    /// Like [`Log::append`], if the log ends at the offset `last`: for records that were decided on
    /// the state at that offset. `None` means any offset.
    ///
    /// # Errors
    ///
    /// Those of [`Log::append`]; [`LogError::Conflict`] if the log ends elsewhere.
    fn append_after(&self, last: Option<u64>, records: &[NewRecord<'_>]) -> Result<u64, LogError>;

    /// Like [`Log::append`], for records of one kind.
    fn append_payloads(
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
    fn sync(&self) -> Result<u64, LogError>;

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
    fn read_from(&self, offset: u64) -> Result<Reader, LogError>;

    /// The record at an offset; `None` beyond the [`end`](Log::end). Takes about ten microseconds;
    /// the first read in a segment may have to scan it.
    ///
    /// # Errors
    ///
    /// [`LogError::Dropped`] if it was dropped; otherwise those of [`Reader::next_record`].
    fn read_at(&self, offset: u64) -> Result<Option<Record>, LogError>;

    /// The sealed segments, ascending. Only these can be dropped.
    fn sealed_segments(&self) -> Vec<Sealed>;

    /// Permanently removes the sealed segments that only have records before `offset`. Returns the
    /// first offset retained.
    ///
    /// # Errors
    ///
    /// [`LogError::Poisoned`] if the last segment can't be made durable; [`LogError::Io`] if the
    /// storage fails otherwise. Segments left over after an error are removed when the log is next
    /// opened.
    fn drop_before(&self, offset: u64) -> Result<u64, LogError>;

    /// The cursors of the subscriptions.
    fn cursors(&self) -> &Cursors;
}

//! The write side of a log: appends, syncs and segment rolls.
//!
//! Three locks, always taken in this order: `active`, held for each append; `syncing`, held for
//! each fdatasync; and `unsynced`, held briefly. `syncing` keeps fdatasyncs from overlapping: the
//! kernel reports a failed write-back to only one of several concurrent calls and success to the
//! others.
//!
//! Starting a segment syncs nothing, so appends never wait for the disk. The next sync makes
//! durable, in this order, the previous segment, the new one, and its directory entry; only then
//! does it report records of the new segment as durable. A third segment is not started before
//! that sync. So a crash can tear at most the last two segments.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};

use super::error::LogError;
use super::record::{self, HEADER_BYTES, MAX_PAYLOAD_BYTES, NewRecord};
use super::segment::{self, CreateFailure, FIRST_RECORD};
use super::shared::Shared;
use super::storage::{StorageFile, write_all_at};
use super::watermark::Watermark;

/// The encoding buffer is shrunk to this capacity after use, in bytes.
const BUFFER_RETAINED_BYTES: usize = 1 << 20;

/// Writes to the last segment of a log.
pub(super) struct Appender {
    shared: Arc<Shared>,
    segment_bytes: u64,
    active: Mutex<Active>,
    syncing: Mutex<()>,
    unsynced: Mutex<Unsynced>,
    /// Written while `syncing` is held.
    watermark: Watermark,
}

/// The segment being written.
struct Active {
    file: Arc<dyn StorageFile>,
    path: PathBuf,
    /// Length of the header and the complete records, in bytes.
    length: u64,
    /// Reused for encoding each batch.
    buffer: Vec<u8>,
}

/// The files that the next sync makes durable.
#[derive(Clone)]
struct Unsynced {
    /// The previous segment, if the current one was started since the last sync. Then the
    /// directory has to be synced too.
    previous: Option<Arc<dyn StorageFile>>,
    /// The segment being written.
    current: Arc<dyn StorageFile>,
}

impl Appender {
    /// Continues the last of the `shared` segments, `file`, at `length`.
    pub(super) fn new(
        shared: Arc<Shared>,
        file: Arc<dyn StorageFile>,
        length: u64,
        segment_bytes: u64,
        watermark: Watermark,
    ) -> Self {
        let first = shared.segments().last().copied().unwrap_or(1);
        let unsynced = Mutex::new(Unsynced { previous: None, current: Arc::clone(&file) });
        let active =
            Active { file, path: segment::path(&shared.dir, first), length, buffer: Vec::new() };
        let (active, syncing) = (Mutex::new(active), Mutex::new(()));
        Self { shared, segment_bytes, active, syncing, unsynced, watermark }
    }

    /// See [`Log::append_after`](super::Log::append_after).
    pub(super) fn append(
        &self,
        last: Option<u64>,
        records: &[NewRecord<'_>],
    ) -> Result<u64, LogError> {
        let mut size: u64 = 0;
        for record in records {
            let bytes = record.payload.len();
            if bytes > MAX_PAYLOAD_BYTES {
                return Err(LogError::TooLarge { bytes });
            }
            size += (HEADER_BYTES + bytes) as u64;
        }
        let mut active = self.lock(&self.active)?;
        self.shared.check_poison()?;
        let mut offset = self.shared.end();
        if let Some(expected) = last.filter(|last| *last != offset) {
            return Err(LogError::Conflict { expected, end: offset });
        }
        if records.is_empty() {
            return Ok(offset);
        }
        if active.length > FIRST_RECORD && active.length + size > self.segment_bytes {
            self.roll(&mut active)?;
        }
        let synced = self.shared.synced();
        active.buffer.clear();
        for record in records {
            offset += 1;
            record::encode(&mut active.buffer, offset, synced, record);
        }
        let written = write_all_at(&*active.file, active.length, &active.buffer);
        active.buffer.shrink_to(BUFFER_RETAINED_BYTES);
        if let Err(error) = written {
            let error = LogError::io("write to", &active.path)(error);
            self.undo_write(&active)?;
            return Err(error);
        }
        active.length += size;
        self.shared.end.store(offset, Ordering::Release);
        Ok(offset)
    }

    /// See [`Log::sync`](super::Log::sync).
    pub(super) fn sync(&self) -> Result<u64, LogError> {
        let target = {
            let _active = self.lock(&self.active)?;
            self.shared.end()
        };
        let _syncing = self.lock(&self.syncing)?;
        self.shared.check_poison()?;
        let synced = self.shared.synced();
        if synced >= target {
            // Another sync has covered this one.
            return Ok(synced);
        }
        self.sync_files()
    }

    /// Makes the last segment's directory entry durable, and everything appended before it.
    pub(super) fn finish_roll(&self) -> Result<(), LogError> {
        if self.lock(&self.unsynced)?.previous.is_none() {
            return Ok(());
        }
        let _syncing = self.lock(&self.syncing)?;
        self.shared.check_poison()?;
        self.sync_files().map(drop)
    }

    /// Syncs the unsynced files and advances the durable offset. The caller holds `syncing`.
    fn sync_files(&self) -> Result<u64, LogError> {
        // Read before the files: at most one segment is started while `syncing` is held, so every
        // record up to here is in these two files or already durable.
        let covered = self.shared.end();
        let Unsynced { previous, current } = self.lock(&self.unsynced)?.clone();
        if let Err(error) = self.sync_each(previous.as_deref(), &*current) {
            return Err(self.shared.poison(format!("fdatasync failed: {error}")));
        }
        if previous.is_some() {
            self.lock(&self.unsynced)?.previous = None;
        }
        self.shared.synced.fetch_max(covered, Ordering::AcqRel);
        self.watermark.set(covered);
        Ok(covered)
    }

    fn sync_each(
        &self,
        previous: Option<&dyn StorageFile>,
        current: &dyn StorageFile,
    ) -> io::Result<()> {
        let Some(previous) = previous else { return current.sync_data() };
        previous.sync_data()?;
        current.sync_data()?;
        self.shared.storage.sync_dir(&self.shared.dir)
    }

    /// Truncates what a failed write left behind the last complete record.
    ///
    /// The truncation is synced: otherwise pages of the failed write could reappear among later
    /// records after a crash.
    fn undo_write(&self, active: &Active) -> Result<(), LogError> {
        if let Err(error) = active.file.set_len(active.length) {
            let path = active.path.display();
            let reason = format!("a failed write to {path} could not be undone: {error}");
            return Err(self.shared.poison(reason));
        }
        let _syncing = self.lock(&self.syncing)?;
        self.shared.check_poison()?;
        self.sync_files().map(drop)
    }

    /// Closes the active segment and starts the next. Syncs only if a segment was already started
    /// since the last sync.
    fn roll(&self, active: &mut Active) -> Result<(), LogError> {
        self.finish_roll()?;
        let first = self.shared.end() + 1;
        let shared = &self.shared;
        let file = match segment::begin(&*shared.storage, &shared.dir, &shared.id, first) {
            Ok(file) => file,
            Err(CreateFailure::Refused(error)) => return Err(error),
            Err(CreateFailure::Uncertain(error)) => {
                let cause = std::error::Error::source(&error);
                let cause = cause.map(ToString::to_string).unwrap_or_default();
                let reason = format!("starting a segment failed: {error}: {cause}");
                return Err(shared.poison(reason));
            }
        };
        let previous = Some(Arc::clone(&active.file));
        *self.lock(&self.unsynced)? = Unsynced { previous, current: Arc::clone(&file) };
        shared.add_segment(first);
        active.file = file;
        active.path = segment::path(&shared.dir, first);
        active.length = FIRST_RECORD;
        Ok(())
    }

    /// Locks one of this appender's mutexes. A poisoned mutex poisons the log: the thread that
    /// panicked may have left a write unfinished.
    fn lock<'a, T>(&self, mutex: &'a Mutex<T>) -> Result<MutexGuard<'a, T>, LogError> {
        mutex.lock().map_err(|_| {
            let reason = "a thread panicked while writing to it".to_owned();
            self.shared.poison(reason)
        })
    }
}

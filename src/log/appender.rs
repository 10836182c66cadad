//! The writing side of a log: appending, syncing, and beginning new segments.
//!
//! Three locks, always taken in this order: `active`, held for each append; `syncing`, held for
//! each fdatasync; and `unsynced`, held for an instant. The second keeps syncs from overlapping:
//! the system reports a failed write-back to one of several concurrent fdatasyncs and success to
//! the others, which must not be believed.
//!
//! Beginning a segment syncs nothing, so that no append waits for the disk. The next sync makes
//! durable, in this order, the segment before, the new one, and its name in the folder; only then
//! does it report any of the new segment's records as durable. Until then no third segment is
//! begun: that waits for a sync. So at most the last two segments can be torn by a crash.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};

use super::Shared;
use super::error::LogError;
use super::record::{self, HEADER_BYTES, MAX_PAYLOAD_BYTES, NewRecord};
use super::segment::{self, CreateFailure, FIRST_RECORD};
use super::storage::{StorageFile, write_all_at};
use super::watermark::Watermark;

/// Beyond this capacity the encoding buffer is given back after use, in bytes.
const BUFFER_KEPT_BYTES: usize = 1 << 20;

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
    /// Bytes of the file that hold whole, announced records.
    length: u64,
    /// Reused for encoding each group.
    buffer: Vec<u8>,
}

/// The files that a sync makes durable.
#[derive(Clone)]
struct Unsynced {
    /// The segment before, when the present one was begun since the last sync. Then the present
    /// one's name is to be synced, too.
    before: Option<Arc<dyn StorageFile>>,
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
        let unsynced = Mutex::new(Unsynced { before: None, current: Arc::clone(&file) });
        let active =
            Active { file, path: segment::path(&shared.dir, first), length, buffer: Vec::new() };
        let (active, syncing) = (Mutex::new(active), Mutex::new(()));
        Self { shared, segment_bytes, active, syncing, unsynced, watermark }
    }

    /// See [`Log::append`](super::Log::append).
    pub(super) fn append(&self, records: &[NewRecord<'_>]) -> Result<u64, LogError> {
        let mut size: u64 = 0;
        for record in records {
            let bytes = record.payload_bytes();
            if bytes > MAX_PAYLOAD_BYTES {
                return Err(LogError::TooLarge { bytes });
            }
            size += (HEADER_BYTES + bytes) as u64;
        }
        let mut active = self.lock(&self.active)?;
        self.shared.check_poison()?;
        let mut offset = self.shared.end();
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
        active.buffer.shrink_to(BUFFER_KEPT_BYTES);
        if let Err(error) = written {
            let error = LogError::io("write to", &active.path)(error);
            self.cut_back(&active)?;
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

    /// Makes the last segment's name durable, and all that was appended before.
    pub(super) fn finish_roll(&self) -> Result<(), LogError> {
        if self.lock(&self.unsynced)?.before.is_none() {
            return Ok(());
        }
        let _syncing = self.lock(&self.syncing)?;
        self.shared.check_poison()?;
        self.sync_files().map(drop)
    }

    /// Syncs all that is not durable, and publishes how far the log is. The caller holds
    /// `syncing`.
    fn sync_files(&self) -> Result<u64, LogError> {
        // Read before the files: at most one segment is begun while `syncing` is held, so all
        // that has been announced by now is in these two files or durable already.
        let covered = self.shared.end();
        let Unsynced { before, current } = self.lock(&self.unsynced)?.clone();
        if let Err(error) = self.sync_each(before.as_deref(), &*current) {
            return Err(self.shared.poison(format!("syncing it failed: {error}")));
        }
        if before.is_some() {
            self.lock(&self.unsynced)?.before = None;
        }
        self.shared.synced.fetch_max(covered, Ordering::AcqRel);
        self.watermark.set(covered);
        Ok(covered)
    }

    fn sync_each(
        &self,
        before: Option<&dyn StorageFile>,
        current: &dyn StorageFile,
    ) -> io::Result<()> {
        let Some(before) = before else { return current.sync_data() };
        before.sync_data()?;
        current.sync_data()?;
        self.shared.storage.sync_dir(&self.shared.dir)
    }

    /// Removes what a failed write left behind the last whole record.
    ///
    /// The cut is synced, lest pages of the failed write turn up among later records after a
    /// crash.
    fn cut_back(&self, active: &Active) -> Result<(), LogError> {
        if let Err(error) = active.file.set_len(active.length) {
            let path = active.path.display();
            let reason = format!("a failed write to {path} could not be undone: {error}");
            return Err(self.shared.poison(reason));
        }
        let _syncing = self.lock(&self.syncing)?;
        self.shared.check_poison()?;
        self.sync_files().map(drop)
    }

    /// Closes the active segment and begins the next. Syncs nothing, unless a segment was begun
    /// since the last sync already.
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
                let reason = format!("beginning a segment failed: {error}: {cause}");
                return Err(shared.poison(reason));
            }
        };
        let before = Some(Arc::clone(&active.file));
        *self.lock(&self.unsynced)? = Unsynced { before, current: Arc::clone(&file) };
        shared.add_segment(first);
        active.file = file;
        active.path = segment::path(&shared.dir, first);
        active.length = FIRST_RECORD;
        Ok(())
    }

    /// Locks one of this appender's mutexes. A thread that panicked while holding it may have
    /// left a write half done.
    fn lock<'a, T>(&self, mutex: &'a Mutex<T>) -> Result<MutexGuard<'a, T>, LogError> {
        mutex.lock().map_err(|_| {
            let reason = "a thread panicked while writing to it".to_owned();
            self.shared.poison(reason)
        })
    }
}

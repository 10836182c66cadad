//! The log on local files.

use std::fmt;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use super::appender::Appender;
use super::drop::Sealed;
use super::error::LogError;
use super::reader::Reader;
use super::record::{NewRecord, Record};
use super::shared::Shared;
use super::sparse_index::{self, SparseIndex};
use super::storage::Storage;
use super::subscription::Cursors;
use super::{Log, drop, recovery};

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

/// The log in a folder, for one process.
///
/// Dropping it does not sync: call [`Log::sync`] first.
pub struct LocalLog {
    pub(super) shared: Arc<Shared>,
    pub(super) appender: Appender,
    sparse_index: SparseIndex,
    /// Held while segments are dropped.
    pub(super) dropping: Mutex<()>,
    cursors: Cursors,
}

impl LocalLog {
    /// Opens the log in `dir`, creating the folder and the log if absent, and recovers its end as
    /// described in the [module documentation](super). The caller holds the folder's
    /// [`DataLock`](super::DataLock).
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
}

impl Log for LocalLog {
    fn id(&self) -> [u8; 16] {
        self.shared.id
    }

    fn first(&self) -> u64 {
        self.shared.first()
    }

    fn end(&self) -> u64 {
        self.shared.end()
    }

    fn synced(&self) -> u64 {
        self.shared.synced()
    }

    fn poisoned(&self) -> Option<&str> {
        self.shared.poisoned.get().map(String::as_str)
    }

    fn append_after(&self, last: Option<u64>, records: &[NewRecord<'_>]) -> Result<u64, LogError> {
        self.appender.append(last, records)
    }

    fn sync(&self) -> Result<u64, LogError> {
        self.appender.sync()
    }

    fn read_from(&self, offset: u64) -> Result<Reader, LogError> {
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

    fn read_at(&self, offset: u64) -> Result<Option<Record>, LogError> {
        sparse_index::read_at(&self.shared, &self.sparse_index, offset)
    }

    fn sealed_segments(&self) -> Vec<Sealed> {
        drop::sealed(&self.shared)
    }

    fn drop_before(&self, offset: u64) -> Result<u64, LogError> {
        let _dropping = self.dropping.lock().unwrap_or_else(PoisonError::into_inner);
        drop::drop_before(&self.shared, &self.appender, offset)
    }

    fn cursors(&self) -> &Cursors {
        &self.cursors
    }
}

impl fmt::Debug for LocalLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalLog")
            .field("dir", &self.shared.dir)
            .field("end", &self.end())
            .field("synced", &self.synced())
            .finish_non_exhaustive()
    }
}

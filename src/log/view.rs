//! A log open for reading only.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::LogError;
use super::newest;
use super::reader::Reader;
use super::scan;
use super::segment::{self, HeaderState};
use super::storage::{Access, Storage};
use super::watermark;
use super::window::Window;

/// A log open for reading only, by a process that does not write it; changes nothing on disk.
///
/// It works beside a running writer, whose [`end`](super::Log::end) it cannot know: its readers
/// stop where the last segment holds no further whole record, be it that none is written yet or
/// that the end is torn. They do not tell the two apart; [`verify`](super::verify()) does.
pub struct LogView {
    storage: Arc<dyn Storage>,
    dir: PathBuf,
    id: Option<[u8; 16]>,
    first: u64,
}

/// Where a log ends, as its files say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// The first offset of the last segment. All segments before it are complete.
    pub segment: u64,
    /// How many bytes of that segment hold its header and whole records.
    pub bytes: u64,
    /// Offset of the last whole record; 0 when there is none.
    pub last: u64,
}

impl LogView {
    /// Opens the log in `dir` for reading.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`] when the folder or its first segment cannot be read.
    pub fn open(storage: Arc<dyn Storage>, dir: &Path) -> Result<Self, LogError> {
        let mut id = None;
        if let Some(&first) = segment::list(&*storage, dir)?.first() {
            let path = segment::path(dir, first);
            let header = storage
                .open(&path, Access::Read)
                .and_then(|file| segment::read_header(&*file, first))
                .map_err(LogError::io("read", &path))?;
            if let HeaderState::Valid(valid) = header {
                id = Some(valid);
            }
        }
        let first = watermark::read_first(&*storage, dir, id.as_ref())?;
        Ok(Self { storage, dir: dir.to_owned(), id, first })
    }

    /// Offset of the first record held when the log was opened: 1 when nothing was dropped.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The log's identity; `None` when there was no log yet, or its first segment is damaged.
    pub fn id(&self) -> Option<[u8; 16]> {
        self.id
    }

    /// Where the log ends at the moment; `None` when it has no segment yet.
    ///
    /// # Errors
    ///
    /// [`LogError::Io`] when the last segment cannot be read.
    pub fn tail(&self) -> Result<Option<Tail>, LogError> {
        let mut segments = segment::list(&*self.storage, &self.dir)?;
        let synced = watermark::read_watermark(&*self.storage, &self.dir, self.id.as_ref())?;
        if newest::is_never_synced(&*self.storage, &self.dir, &segments, synced)? {
            segments.pop();
        }
        // The last one may be a file whose header is not written yet: then the log ends before.
        for &segment in segments.iter().rev() {
            let path = segment::path(&self.dir, segment);
            let scanned = self.storage.open(&path, Access::Read).and_then(|file| {
                if !matches!(segment::read_header(&*file, segment)?, HeaderState::Valid(_)) {
                    return Ok(None);
                }
                scan::scan(&mut Window::new(file)?, segment).map(Some)
            });
            if let Some(found) = scanned.map_err(LogError::io("read", &path))? {
                return Ok(Some(Tail { segment, bytes: found.position, last: found.next - 1 }));
            }
        }
        Ok(None)
    }

    /// Reads records from `offset` on (0 means from the first held). An offset beyond the end is waited
    /// for: the reader returns `None` until it exists.
    pub fn read_from(&self, offset: u64) -> Reader {
        let offset = if offset == 0 { self.first } else { offset };
        Reader::of_files(Arc::clone(&self.storage), self.dir.clone(), self.id, offset)
    }
}

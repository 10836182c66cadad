//! A log open for reading only.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::LogError;
use super::mark;
use super::reader::Reader;
use super::segment::{self, HeaderState};
use super::storage::{Access, Storage};

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
        let first = mark::read_first(&*storage, dir, id.as_ref())?;
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

    /// Reads records from `offset` on (0 means from the first held). An offset beyond the end is waited
    /// for: the reader returns `None` until it exists.
    pub fn read_from(&self, offset: u64) -> Reader {
        let offset = if offset == 0 { self.first } else { offset };
        Reader::of_files(Arc::clone(&self.storage), self.dir.clone(), self.id, offset)
    }
}

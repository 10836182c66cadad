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

/// A log open for reading only, in a process that does not write it; changes nothing on disk.
///
/// It works beside a running writer, whose [`end`](super::Log::end) it cannot know: its readers
/// stop after the last complete record of the last segment. They cannot tell a torn end from
/// records that are not written yet; [`verify`](super::verify()) can.
pub struct LogView {
    storage: Arc<dyn Storage>,
    dir: PathBuf,
    /// The log's id; `None` if there was no log yet, or its first segment is damaged.
    pub id: Option<[u8; 16]>,
    /// Offset of the first retained record when the log was opened: 1 if nothing was dropped.
    pub first: u64,
}

/// Where a log ends, according to its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// The first offset of the last segment. All earlier segments are complete.
    pub segment: u64,
    /// Length of that segment's header and complete records, in bytes.
    pub bytes: u64,
    /// Offset of the last complete record; 0 if there is none.
    pub last: u64,
}

impl LogView {
    /// Opens the log in `dir` for reading.
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

    /// Where the log currently ends; `None` if it has no segment yet.
    pub fn tail(&self) -> Result<Option<Tail>, LogError> {
        let mut segments = segment::list(&*self.storage, &self.dir)?;
        let synced = watermark::read_watermark(&*self.storage, &self.dir, self.id.as_ref())?;
        if newest::is_never_synced(&*self.storage, &self.dir, &segments, synced)? {
            segments.pop();
        }
        // The last one may not have a header yet: then the log ends in the previous one.
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

    /// Reads records from `offset` on (0: from the first retained). The reader returns `None` until
    /// the record exists.
    pub fn read_from(&self, offset: u64) -> Reader {
        let offset = if offset == 0 { self.first } else { offset };
        Reader::of_files(Arc::clone(&self.storage), self.dir.clone(), self.id, offset)
    }
}

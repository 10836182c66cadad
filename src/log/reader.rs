//! Reads records in order, across segments, while the log grows.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::batch::{RecordBatch, RecordRef};
use super::error::LogError;
use super::newest;
use super::record::{Flaw, HEADER_BYTES, Record};
use super::scan::{FOREIGN, HEADERLESS, discontinuity};
use super::segment::{self, FIRST_RECORD, HeaderState, UNREADABLE};
use super::shared::Shared;
use super::storage::{Access, Storage};
use super::watermark;
use super::window::{Parsed, Window};

/// Reads a log's records in order; created by [`Log::read_from`](super::Log::read_from) or
/// [`LogView::read_from`](super::LogView::read_from).
///
/// After returning `None` at the end, it returns more records once there are more.
pub struct Reader {
    source: Source,
    /// The log's id, once known.
    id: Option<[u8; 16]>,
    /// Offset of the record to return next.
    wanted: u64,
    /// Offset up to which the buffered bytes are known to be complete.
    complete_through: u64,
    cursor: Option<SegmentCursor>,
}

/// Where the segments of a reader come from.
enum Source {
    /// The log open in this process.
    Live(Arc<Shared>),
    /// The files only.
    Files { storage: Arc<dyn Storage>, dir: PathBuf },
}

/// A position in a segment.
struct SegmentCursor {
    first: u64,
    path: PathBuf,
    window: Window,
    position: u64,
    /// Offset of the record at `position`.
    offset: u64,
    /// Whether the segment was already sealed when the window was last refreshed.
    is_sealed: bool,
}

impl Source {
    fn segments(&self) -> Result<Vec<u64>, LogError> {
        match self {
            Self::Live(shared) => Ok(shared.segments()),
            Self::Files { storage, dir } => segment::list(&**storage, dir),
        }
    }

    fn storage(&self) -> &dyn Storage {
        match self {
            Self::Live(shared) => &*shared.storage,
            Self::Files { storage, .. } => &**storage,
        }
    }

    /// The first retained offset.
    fn first(&self) -> Result<u64, LogError> {
        match self {
            Self::Live(shared) => Ok(shared.first()),
            Self::Files { storage, dir } => watermark::read_first(&**storage, dir, None),
        }
    }

    fn path(&self, first: u64) -> PathBuf {
        match self {
            Self::Live(shared) => segment::path(&shared.dir, first),
            Self::Files { dir, .. } => segment::path(dir, first),
        }
    }
}

impl Reader {
    /// Reads the log open in this process, from `offset` on.
    pub(super) fn live(shared: Arc<Shared>, offset: u64) -> Self {
        let id = Some(shared.id);
        Self::new(Source::Live(shared), id, offset)
    }

    /// Reads the files in `dir`, from `offset` on.
    pub(super) fn of_files(
        storage: Arc<dyn Storage>,
        dir: PathBuf,
        id: Option<[u8; 16]>,
        offset: u64,
    ) -> Self {
        Self::new(Source::Files { storage, dir }, id, offset)
    }

    fn new(source: Source, id: Option<[u8; 16]>, offset: u64) -> Self {
        Self { source, id, wanted: offset.max(1), complete_through: 0, cursor: None }
    }

    /// The offset that [`next_record`](Self::next_record) returns next.
    pub fn next_offset(&self) -> u64 {
        self.wanted
    }

    /// The next record; `None` if there is none yet.
    ///
    /// # Errors
    ///
    /// [`LogError::Corrupt`] if the record is damaged; the reader does not move past it.
    /// [`LogError::Io`] if reading fails; it can be retried.
    pub fn next_record(&mut self) -> Result<Option<Record>, LogError> {
        self.next_with(|record| {
            let RecordRef { offset, kind, version, payload } = record;
            Ok(Some(Record { offset, kind, version, payload: Bytes::copy_from_slice(payload) }))
        })
    }

    /// The next record up to and including the offset `through`.
    pub fn next_through(&mut self, through: u64) -> Result<Option<Record>, LogError> {
        if self.wanted > through { Ok(None) } else { self.next_record() }
    }

    /// Adds records to `batch` until there are no more or `takes` returns `false`. The record
    /// refused is read next.
    ///
    /// # Errors
    ///
    /// Those of [`next_record`](Self::next_record), and those of `takes`. After an error of `takes`
    /// the failed record is read next; the ones before it are in `batch`.
    pub fn read_batch<E: From<LogError>>(
        &mut self,
        batch: &mut RecordBatch,
        mut takes: impl FnMut(&RecordRef<'_>) -> Result<bool, E>,
    ) -> Result<(), E> {
        let mut add = |record: RecordRef<'_>| {
            if !takes(&record)? {
                return Ok(None);
            }
            batch.push(record);
            Ok::<_, E>(Some(()))
        };
        while self.next_with(&mut add)?.is_some() {}
        Ok(())
    }

    /// Applies `take` to the next record. Returns `None` if there is no record yet or `take` returns
    /// `None`; then the reader does not move.
    fn next_with<T, E: From<LogError>>(
        &mut self,
        mut take: impl FnMut(RecordRef<'_>) -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        loop {
            if !self.follow()? {
                return Ok(None);
            }
            let Some(cursor) = self.cursor.as_mut() else {
                if self.enter()? {
                    continue;
                }
                return Ok(None);
            };
            let parsed = cursor.window.record(cursor.position, cursor.offset);
            let flaw = match parsed.map_err(LogError::io("read", &cursor.path))? {
                Parsed::Whole { header, payload } => {
                    let size = (HEADER_BYTES + payload.len()) as u64;
                    let is_wanted = header.offset >= self.wanted;
                    let mut taken = None;
                    if is_wanted {
                        let (offset, kind, version) = (header.offset, header.kind, header.version);
                        taken = take(RecordRef { offset, kind, version, payload })?;
                        if taken.is_none() {
                            return Ok(None);
                        }
                    }
                    cursor.position += size;
                    cursor.offset += 1;
                    if is_wanted {
                        self.wanted = cursor.offset;
                        return Ok(taken);
                    }
                    continue;
                }
                Parsed::End => None,
                Parsed::Flawed(flaw) => Some(flaw),
            };
            if !self.leave(flaw)? {
                return Ok(None);
            }
        }
    }

    /// Whether the wanted record can be read. If the log has grown, discards the buffer: beyond the
    /// previous end it may have a partial write, or one that was undone since.
    fn follow(&mut self) -> Result<bool, LogError> {
        let Source::Live(shared) = &self.source else {
            return Ok(true);
        };
        if self.wanted <= self.complete_through {
            return Ok(true);
        }
        let end = shared.end();
        if self.wanted > end {
            return Ok(false);
        }
        if let Some(cursor) = &mut self.cursor {
            cursor.refresh()?;
        }
        self.complete_through = end;
        Ok(true)
    }

    /// Opens the segment with the wanted record; `false` if there is none yet.
    fn enter(&mut self) -> Result<bool, LogError> {
        let segments = self.source.segments()?;
        let following = segments.partition_point(|&first| first <= self.wanted);
        let Some(&first) = following.checked_sub(1).and_then(|at| segments.get(at)) else {
            let Some(&oldest) = segments.first() else {
                return Ok(false);
            };
            self.check_dropped(self.wanted)?;
            return Err(LogError::Corrupt {
                file: self.source.path(oldest),
                position: 0,
                offset: self.wanted,
                what: "the segments before it are missing".to_owned(),
            });
        };
        self.go_to(first, following < segments.len())
    }

    /// Returns an error if the record at an offset was dropped.
    fn check_dropped(&self, offset: u64) -> Result<(), LogError> {
        let first = self.source.first()?;
        if offset < first { Err(LogError::Dropped { offset, first }) } else { Ok(()) }
    }

    /// Opens the segment `first` at its start. `false` if its creation is unfinished, which is only
    /// valid for the last segment.
    fn go_to(&mut self, first: u64, is_sealed: bool) -> Result<bool, LogError> {
        let path = self.source.path(first);
        let opened = self.source.storage().open(&path, Access::Read);
        if opened.is_err() {
            // It may have been dropped since it was listed.
            self.check_dropped(first)?;
        }
        let file = opened.map_err(LogError::io("open", &path))?;
        let header = segment::read_header(&*file, first).map_err(LogError::io("read", &path))?;
        let what = match header {
            HeaderState::Valid(id) if *self.id.get_or_insert(id) == id => {
                let window = Window::new(file).map_err(LogError::io("read", &path))?;
                self.cursor = Some(SegmentCursor {
                    first,
                    path,
                    window,
                    position: FIRST_RECORD,
                    offset: first,
                    is_sealed,
                });
                return Ok(true);
            }
            HeaderState::Valid(_) => FOREIGN,
            HeaderState::Damaged(UNREADABLE)
                if self.is_never_synced(&self.source.segments()?)? =>
            {
                return Ok(false);
            }
            HeaderState::Damaged(what) => what,
            HeaderState::Unfinished => match self.source {
                Source::Files { .. } if !is_sealed => return Ok(false),
                _ => HEADERLESS,
            },
        };
        Err(LogError::Corrupt { file: path, position: 0, offset: first, what: what.to_owned() })
    }

    /// Whether a crash left a newest segment that is not part of the log.
    fn is_never_synced(&self, segments: &[u64]) -> Result<bool, LogError> {
        let Source::Files { storage, dir } = &self.source else { return Ok(false) };
        let synced = watermark::read_watermark(&**storage, dir, self.id.as_ref())?;
        newest::is_never_synced(&**storage, dir, segments, synced)
    }

    /// Continues after the last good record of the segment (`flaw` is what follows it, if anything):
    /// in the next segment, or in this one after a refresh if it may have grown. `false` if there is
    /// nothing to read yet.
    fn leave(&mut self, flaw: Option<Flaw>) -> Result<bool, LogError> {
        let segments = self.source.segments()?;
        let Some(cursor) = self.cursor.as_mut() else {
            return Ok(true);
        };
        let following = segments.partition_point(|&first| first <= cursor.first);
        let next = segments.get(following).copied();
        let may_grow = matches!(self.source, Source::Files { .. }) && next.is_none();
        if may_grow || (next.is_some() && !cursor.is_sealed) {
            cursor.is_sealed = next.is_some();
            let before = cursor.window.limit;
            cursor.refresh()?;
            return Ok(cursor.is_sealed || cursor.window.limit > before);
        }
        let offset = cursor.offset;
        if (flaw.is_some() || next != Some(offset)) && self.is_never_synced(&segments)? {
            return Ok(false);
        }
        if flaw.is_none() && next.is_some_and(|next| next != offset) {
            self.check_dropped(offset)?;
        }
        let Some(cursor) = self.cursor.as_ref() else { return Ok(true) };
        let what = match (flaw, next) {
            (None, Some(next)) if next == offset => {
                return self.go_to(next, following + 1 < segments.len());
            }
            (None, Some(next)) => discontinuity(next),
            (None, None) => "the segment ends there".to_owned(),
            (Some(flaw), _) => flaw.to_string(),
        };
        Err(LogError::Corrupt {
            file: cursor.path.clone(),
            position: cursor.position,
            offset: cursor.offset,
            what,
        })
    }
}

impl SegmentCursor {
    fn refresh(&mut self) -> Result<(), LogError> {
        let refreshed = self.window.refresh();
        refreshed.map_err(LogError::io("read", &self.path))
    }
}

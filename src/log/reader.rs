//! Reading records in order, across segments, while the log grows.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::Shared;
use super::batch::{RecordBatch, RecordRef};
use super::error::LogError;
use super::newest;
use super::record::{Flaw, HEADER_BYTES, Record};
use super::scan::{FOREIGN, HEADERLESS, discontinuity};
use super::segment::{self, FIRST_RECORD, HeaderState, UNREADABLE};
use super::storage::{Access, Storage};
use super::watermark;
use super::window::{Parsed, Window};

/// Reads a log's records in order; made by [`Log::read_from`](super::Log::read_from) or
/// [`LogView::read_from`](super::LogView::read_from).
///
/// It keeps its place: having returned `None` at the end, it returns more once there is more.
pub struct Reader {
    source: Source,
    /// The log's id, once known.
    id: Option<[u8; 16]>,
    /// Offset of the record to return next.
    wanted: u64,
    /// Offset up to which the buffered bytes are known to be completely written.
    announced: u64,
    place: Option<Place>,
}

/// Where a reader learns what there is to read.
enum Source {
    /// From the log being written in this process.
    Live(Arc<Shared>),
    /// From the folder alone.
    Files { storage: Arc<dyn Storage>, dir: PathBuf },
}

/// A position in a segment.
struct Place {
    first: u64,
    path: PathBuf,
    window: Window,
    position: u64,
    /// Offset of the record at `position`.
    offset: u64,
    /// Whether the window was taken when the segment was already complete.
    complete: bool,
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

    /// The first record held.
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
    /// Reads the log being written in this process, from `offset` on.
    pub(super) fn live(shared: Arc<Shared>, offset: u64) -> Self {
        let id = Some(shared.id);
        Self::new(Source::Live(shared), id, offset)
    }

    /// Reads what the folder `dir` holds, from `offset` on.
    pub(super) fn of_files(
        storage: Arc<dyn Storage>,
        dir: PathBuf,
        id: Option<[u8; 16]>,
        offset: u64,
    ) -> Self {
        Self::new(Source::Files { storage, dir }, id, offset)
    }

    fn new(source: Source, id: Option<[u8; 16]>, offset: u64) -> Self {
        Self { source, id, wanted: offset.max(1), announced: 0, place: None }
    }

    /// The offset of the record [`next_record`](Self::next_record) returns next.
    pub fn next_offset(&self) -> u64 {
        self.wanted
    }

    /// The next record; `None` when there is none yet.
    ///
    /// # Errors
    ///
    /// [`LogError::Corrupt`] when the record is damaged, after which the reader stays where it is;
    /// [`LogError::Io`] when reading fails, after which it may be tried again.
    pub fn next_record(&mut self) -> Result<Option<Record>, LogError> {
        self.next_with(|record| {
            let RecordRef { offset, kind, version, payload } = record;
            Ok(Some(Record { offset, kind, version, payload: Bytes::copy_from_slice(payload) }))
        })
    }

    /// Adds records to `batch` for as long as there are any and `takes` says so. The one that it
    /// does not take is the next to be read.
    ///
    /// # Errors
    ///
    /// Those of [`next_record`](Self::next_record), and those of `takes`, after which the record
    /// in question is the next to be read; the ones before it are in `batch`.
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

    /// What `take` makes of the next record; `None` when there is none yet, or when `take` makes
    /// nothing of it, in which case the reader stays where it is.
    fn next_with<T, E: From<LogError>>(
        &mut self,
        mut take: impl FnMut(RecordRef<'_>) -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        loop {
            if !self.follow()? {
                return Ok(None);
            }
            let Some(place) = self.place.as_mut() else {
                if self.enter()? {
                    continue;
                }
                return Ok(None);
            };
            let parsed = place.window.record(place.position, place.offset);
            let flaw = match parsed.map_err(LogError::io("read", &place.path))? {
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
                    place.position += size;
                    place.offset += 1;
                    if is_wanted {
                        self.wanted = place.offset;
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

    /// Whether the wanted record may be looked for. When the log has grown, forgets what was
    /// buffered: beyond the end of that time it may hold half a write, or one undone since.
    fn follow(&mut self) -> Result<bool, LogError> {
        let Source::Live(shared) = &self.source else {
            return Ok(true);
        };
        if self.wanted <= self.announced {
            return Ok(true);
        }
        let end = shared.end();
        if self.wanted > end {
            return Ok(false);
        }
        if let Some(place) = &mut self.place {
            place.refresh()?;
        }
        self.announced = end;
        Ok(true)
    }

    /// Goes to the segment holding the wanted record; `false` when there is none yet.
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

    /// An error when the record at an offset was dropped.
    fn check_dropped(&self, offset: u64) -> Result<(), LogError> {
        let first = self.source.first()?;
        if offset < first { Err(LogError::Dropped { offset, first }) } else { Ok(()) }
    }

    /// Opens the segment `first` and goes to its start. `false` when its creation is not finished
    /// yet, which only the last segment is allowed.
    fn go_to(&mut self, first: u64, complete: bool) -> Result<bool, LogError> {
        let path = self.source.path(first);
        let opened = self.source.storage().open(&path, Access::Read);
        if opened.is_err() {
            // Dropped since it was listed, perhaps.
            self.check_dropped(first)?;
        }
        let file = opened.map_err(LogError::io("open", &path))?;
        let header = segment::read_header(&*file, first).map_err(LogError::io("read", &path))?;
        let what = match header {
            HeaderState::Valid(id) if *self.id.get_or_insert(id) == id => {
                let window = Window::new(file).map_err(LogError::io("read", &path))?;
                self.place = Some(Place {
                    first,
                    path,
                    window,
                    position: FIRST_RECORD,
                    offset: first,
                    complete,
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
                Source::Files { .. } if !complete => return Ok(false),
                _ => HEADERLESS,
            },
        };
        Err(LogError::Corrupt { file: path, position: 0, offset: first, what: what.to_owned() })
    }

    /// Whether a crash has left a newest segment that is no part of the log.
    fn is_never_synced(&self, segments: &[u64]) -> Result<bool, LogError> {
        let Source::Files { storage, dir } = &self.source else { return Ok(false) };
        let synced = watermark::read_watermark(&**storage, dir, self.id.as_ref())?;
        newest::is_never_synced(&**storage, dir, segments, synced)
    }

    /// Goes on where the segment holds no further good record (`flaw` says what is there instead,
    /// if anything): to the next segment or, when more may have been written since, to another
    /// look at this one. `false` when there is nothing to read yet.
    fn leave(&mut self, flaw: Option<Flaw>) -> Result<bool, LogError> {
        let segments = self.source.segments()?;
        let Some(place) = self.place.as_mut() else {
            return Ok(true);
        };
        let following = segments.partition_point(|&first| first <= place.first);
        let next = segments.get(following).copied();
        let may_grow = matches!(self.source, Source::Files { .. }) && next.is_none();
        if may_grow || (next.is_some() && !place.complete) {
            place.complete = next.is_some();
            let before = place.window.limit();
            place.refresh()?;
            return Ok(place.complete || place.window.limit() > before);
        }
        let offset = place.offset;
        if (flaw.is_some() || next != Some(offset)) && self.is_never_synced(&segments)? {
            return Ok(false);
        }
        if flaw.is_none() && next.is_some_and(|next| next != offset) {
            self.check_dropped(offset)?;
        }
        let Some(place) = self.place.as_ref() else { return Ok(true) };
        let what = match (flaw, next) {
            (None, Some(next)) if next == offset => {
                return self.go_to(next, following + 1 < segments.len());
            }
            (None, Some(next)) => discontinuity(next),
            (None, None) => "the segment ends there".to_owned(),
            (Some(flaw), _) => flaw.to_string(),
        };
        Err(LogError::Corrupt {
            file: place.path.clone(),
            position: place.position,
            offset: place.offset,
            what,
        })
    }
}

impl Place {
    fn refresh(&mut self) -> Result<(), LogError> {
        let refreshed = self.window.refresh();
        refreshed.map_err(LogError::io("read", &self.path))
    }
}

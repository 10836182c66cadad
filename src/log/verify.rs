//! Read-only verification of a whole log.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::error::LogError;
use super::newest;
use super::record::{Flaw, HEADER_BYTES};
use super::scan::{FOREIGN, HEADERLESS, discontinuity};
use super::search::{find_record, find_witness, lost_although_synced, lost_before_watermark};
use super::segment::{self, FIRST_RECORD, HeaderState};
use super::storage::{Access, Storage};
use super::watermark;
use super::window::{Parsed, Window};

/// The result of [`verify`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// The log's id; `None` if no segment has a valid header.
    pub id: Option<[u8; 16]>,
    /// Number of segment files.
    pub segments: u64,
    /// Total size of the segment files, in bytes.
    pub bytes: u64,
    /// Number of valid records.
    pub records: u64,
    /// Offset of the first valid record.
    pub first_offset: Option<u64>,
    /// Offset of the last valid record.
    pub last_offset: Option<u64>,
    /// Number of valid records of each kind.
    pub kinds: BTreeMap<u16, u64>,
    /// Damage, in log order.
    pub problems: Vec<Problem>,
    /// Bytes at the end of the log that were never synced and that opening it truncates. Not
    /// damage: a crash or a running writer leaves them.
    pub torn_tail_bytes: u64,
}

impl VerifyReport {
    /// Whether nothing is damaged. A torn tail is not damage.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}

/// A damaged place in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The segment file.
    pub file: PathBuf,
    /// Byte position in the file.
    pub position: u64,
    /// Offset of the record expected there.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
}

/// Reads the whole log in `dir` and reports its contents and damage, resuming after damage where
/// valid records follow. Changes nothing.
///
/// Beside a running writer it reports a snapshot of the log, which has a torn tail if a write was
/// in progress.
///
/// # Errors
///
/// [`LogError::Io`] if the folder or a segment cannot be read. Damage is not an error.
pub fn verify(storage: &dyn Storage, dir: &Path) -> Result<VerifyReport, LogError> {
    // Read before the segments: with a running writer, a later value would be ahead of them.
    let synced = watermark::read_watermark(storage, dir, None)?;
    let kept = match watermark::read_first(storage, dir, None) {
        Err(LogError::Corrupt { file, position, offset, what }) => {
            let problem = Problem { file, position, offset, what };
            let mut report = VerifyReport::default();
            report.problems.push(problem);
            return Ok(report);
        }
        kept => kept?,
    };
    let mut segments = segment::list(storage, dir)?;
    // Leftovers of an interrupted drop, which the next start removes.
    segments.retain(|segment| *segment >= kept);
    let mut report = VerifyReport::default();
    if newest::is_never_synced(storage, dir, &segments, synced)?
        && let Some(newest) = segments.pop()
    {
        let path = segment::path(dir, newest);
        let file = storage.open(&path, Access::Read).and_then(|file| file.len());
        report.torn_tail_bytes = file.map_err(LogError::io("read", &path))?;
        report.bytes = report.torn_tail_bytes;
        report.segments = 1;
    }
    let mut verifier =
        Verifier { report, expected: kept, file: PathBuf::new(), position: 0, synced };
    for (index, &first) in segments.iter().enumerate() {
        if first != verifier.expected {
            // Report it for the segment that ends too early, or the first one.
            if index == 0 {
                verifier.file = segment::path(dir, first);
                verifier.problem("the segments before it are missing");
            } else {
                verifier.problem(discontinuity(first));
            }
            verifier.expected = first;
        }
        let last = index + 1 == segments.len();
        let path = segment::path(dir, first);
        verifier.segment(storage, &path, first, last).map_err(LogError::io("read", &path))?;
    }
    if verifier.expected <= synced {
        verifier.problem(lost_before_watermark(None::<Flaw>, synced));
    }
    Ok(verifier.report)
}

/// The state of a verification.
struct Verifier {
    report: VerifyReport,
    /// Offset of the next record.
    expected: u64,
    file: PathBuf,
    position: u64,
    /// Records up to here were durable.
    synced: u64,
}

impl Verifier {
    /// Reports a problem at the current position, unless one was reported there: a segment that is
    /// cut off also leaves a gap before the next.
    fn problem(&mut self, what: impl Into<String>) {
        let last = self.report.problems.last();
        if last.is_some_and(|last| last.position == self.position && last.file == self.file) {
            return;
        }
        self.report.problems.push(Problem {
            file: self.file.clone(),
            position: self.position,
            offset: self.expected,
            what: what.into(),
        });
    }

    fn segment(
        &mut self,
        storage: &dyn Storage,
        path: &Path,
        first: u64,
        last: bool,
    ) -> io::Result<()> {
        path.clone_into(&mut self.file);
        self.position = 0;
        let file = storage.open(path, Access::Read)?;
        let header = segment::read_header(&*file, first)?;
        let mut window = Window::new(file)?;
        self.report.segments += 1;
        self.report.bytes += window.limit;
        match header {
            HeaderState::Valid(id) if *self.report.id.get_or_insert(id) == id => {}
            HeaderState::Valid(_) => self.problem(FOREIGN),
            HeaderState::Damaged(what) => self.problem(what),
            HeaderState::Unfinished if last => {
                self.report.torn_tail_bytes += window.limit;
                return Ok(());
            }
            HeaderState::Unfinished => {
                self.problem(HEADERLESS);
                return Ok(());
            }
        }
        self.position = FIRST_RECORD;
        loop {
            let flaw = match window.record(self.position, self.expected)? {
                Parsed::End => return Ok(()),
                Parsed::Flawed(flaw) => flaw,
                Parsed::Whole { header, payload } => {
                    self.position += (HEADER_BYTES + payload.len()) as u64;
                    self.report.first_offset.get_or_insert(header.offset);
                    self.report.last_offset = Some(header.offset);
                    self.report.records += 1;
                    *self.report.kinds.entry(header.kind).or_default() += 1;
                    self.expected = header.offset + 1;
                    continue;
                }
            };
            if !self.resume(&mut window, flaw, last)? {
                return Ok(());
            }
        }
    }

    /// Reports a flaw and moves to the next valid record; `false` if the segment has none.
    fn resume(&mut self, window: &mut Window, flaw: Flaw, last: bool) -> io::Result<bool> {
        if last {
            match find_witness(window, self.position, self.expected)? {
                Some(witness) => self.problem(lost_although_synced(flaw, witness)),
                None if self.expected <= self.synced => {
                    self.problem(lost_before_watermark(Some(flaw), self.synced));
                }
                None => {
                    self.report.torn_tail_bytes += window.limit - self.position;
                    return Ok(false);
                }
            }
        } else {
            self.problem(flaw.to_string());
        }
        let found = find_record(window, self.position, self.expected, |_| true)?;
        if let Some((position, offset)) = found {
            self.position = position;
            self.expected = offset;
        }
        Ok(found.is_some())
    }
}

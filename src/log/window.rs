//! A buffered look at a segment file, from which records are parsed.

use std::io;
use std::sync::Arc;

use super::record::{Flaw, HEADER_BYTES, Header};
use super::storage::{StorageFile, read_full_at};

/// How much is read from a file at a time, in bytes.
const CHUNK_BYTES: usize = 256 * 1024;

/// A file seen through a buffer, up to the length it had when last looked at.
///
/// The fixed length matters beside a running writer: bytes below a length once seen are
/// completely written, bytes beyond it may not be.
pub(super) struct Window {
    file: Arc<dyn StorageFile>,
    limit: u64,
    start: u64,
    bytes: Vec<u8>,
}

/// What stands at a position of a segment.
pub(super) enum Parsed<'w> {
    /// The end of the file.
    End,
    /// Something else than the record expected.
    Flawed(Flaw),
    /// The record expected.
    Whole {
        /// Its header.
        header: Header,
        /// Its payload.
        payload: &'w [u8],
    },
}

impl Window {
    /// Looks at `file` as long as it is now.
    pub(super) fn new(file: Arc<dyn StorageFile>) -> io::Result<Self> {
        let limit = file.len()?;
        Ok(Self { file, limit, start: 0, bytes: Vec::new() })
    }

    /// The length of the file as seen by this window, in bytes.
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Forgets what was read and takes the file's present length.
    pub(super) fn refresh(&mut self) -> io::Result<()> {
        self.limit = self.file.len()?;
        self.bytes.clear();
        Ok(())
    }

    /// The bytes from `position` on: at least `least` of them unless the file ends before, and
    /// as many more as happen to be buffered.
    pub(super) fn peek(&mut self, position: u64, least: usize) -> io::Result<&[u8]> {
        let buffered_to = self.start + self.bytes.len() as u64;
        let inside = (self.start..=buffered_to).contains(&position);
        let enough = position.saturating_add(least as u64).min(self.limit);
        if !inside || buffered_to < enough {
            self.fill(position, least)?;
        }
        let skip = usize::try_from(position - self.start).unwrap_or(usize::MAX);
        Ok(self.bytes.get(skip..).unwrap_or_default())
    }

    fn fill(&mut self, position: u64, least: usize) -> io::Result<()> {
        let rest = usize::try_from(self.limit.saturating_sub(position)).unwrap_or(usize::MAX);
        self.bytes.resize(rest.min(least.max(CHUNK_BYTES)), 0);
        self.start = position;
        // On failure nothing counts as read.
        let read = read_full_at(&*self.file, position, &mut self.bytes);
        self.bytes.truncate(*read.as_ref().unwrap_or(&0));
        read.map(drop)
    }

    /// Parses what stands at `position`, where record `expected` belongs.
    pub(super) fn record(&mut self, position: u64, expected: u64) -> io::Result<Parsed<'_>> {
        let bytes = self.peek(position, HEADER_BYTES)?;
        if bytes.is_empty() {
            return Ok(Parsed::End);
        }
        let Some(header) = Header::decode(bytes) else {
            return Ok(Parsed::Flawed(Flaw::HeaderCut));
        };
        let Some(size) = header.record_bytes() else {
            return Ok(Parsed::Flawed(Flaw::Length(header.stored_len())));
        };
        let Some(record) = self.peek(position, size)?.get(..size) else {
            return Ok(Parsed::Flawed(Flaw::PayloadCut));
        };
        if !header.matches(record) {
            return Ok(Parsed::Flawed(Flaw::Checksum));
        }
        if header.offset != expected {
            return Ok(Parsed::Flawed(Flaw::OutOfSequence(header.offset)));
        }
        Ok(Parsed::Whole { header, payload: &record[HEADER_BYTES..] })
    }
}

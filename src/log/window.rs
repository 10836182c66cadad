//! Buffered reads of a segment file.

use std::io;
use std::sync::Arc;

use super::record::{Flaw, HEADER_BYTES, Header};
use super::storage::{StorageFile, read_full_at};

/// Size of a read, in bytes.
const CHUNK_BYTES: usize = 256 * 1024;

/// A buffered file, up to the length it had at the last refresh.
///
/// The fixed length matters beside a running writer: bytes below a length once observed are
/// complete, bytes beyond it may not be.
pub(super) struct Window {
    file: Arc<dyn StorageFile>,
    /// The length of the window, in bytes.
    pub(super) limit: u64,
    start: u64,
    bytes: Vec<u8>,
}

/// The result of parsing a position of a segment.
pub(super) enum Parsed<'w> {
    /// The end of the file.
    End,
    /// Not the expected record.
    Flawed(Flaw),
    /// The expected record.
    Whole { header: Header, payload: &'w [u8] },
}

impl Window {
    /// Opens a window of the file's current length.
    pub(super) fn new(file: Arc<dyn StorageFile>) -> io::Result<Self> {
        let limit = file.len()?;
        Ok(Self { file, limit, start: 0, bytes: Vec::new() })
    }

    /// Discards the buffer and updates the length.
    pub(super) fn refresh(&mut self) -> io::Result<()> {
        self.limit = self.file.len()?;
        self.bytes.clear();
        Ok(())
    }

    /// The buffered bytes from `position` on: at least `least`, unless the file ends before.
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
        // On failure the buffer is empty.
        let read = read_full_at(&*self.file, position, &mut self.bytes);
        self.bytes.truncate(*read.as_ref().unwrap_or(&0));
        read.map(drop)
    }

    /// Parses record `expected` at `position`.
    pub(super) fn record(&mut self, position: u64, expected: u64) -> io::Result<Parsed<'_>> {
        let bytes = self.peek(position, HEADER_BYTES)?;
        if bytes.is_empty() {
            return Ok(Parsed::End);
        }
        let Some(header) = Header::decode(bytes) else {
            return Ok(Parsed::Flawed(Flaw::HeaderCut));
        };
        let Some(size) = header.record_bytes() else {
            return Ok(Parsed::Flawed(Flaw::Length(header.len)));
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

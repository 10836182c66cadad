//! Scans a segment from its start for the first invalid record.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::error::LogError;
use super::record::{Flaw, HEADER_BYTES};
use super::segment::{self, FIRST_RECORD};
use super::storage::{Access, Storage, StorageFile};
use super::window::{Parsed, Window};

/// Where the valid records of a segment end.
pub(super) struct Scan {
    /// The offset after the last good record.
    pub(super) next: u64,
    /// The position after the last good record, in bytes.
    pub(super) position: u64,
    /// What is there instead of a record; `None` at the end of the file.
    pub(super) flaw: Option<Flaw>,
}

/// The segment's id differs from that of the segments before it.
pub(super) const FOREIGN: &str = "the segment belongs to another log";

/// The segment has no header, though others follow it.
pub(super) const HEADERLESS: &str = "the segment's header is missing";

/// The segment does not end where the next one starts.
pub(super) fn discontinuity(following: u64) -> String {
    format!("the segment ends there, but the next one starts with record {following}")
}

/// Reads records from the start of the segment up to the first invalid one.
pub(super) fn scan(window: &mut Window, first: u64) -> io::Result<Scan> {
    let mut found = Scan { next: first, position: FIRST_RECORD, flaw: None };
    loop {
        match window.record(found.position, found.next)? {
            Parsed::End => return Ok(found),
            Parsed::Flawed(flaw) => {
                found.flaw = Some(flaw);
                return Ok(found);
            }
            Parsed::Whole { payload, .. } => {
                found.position += (HEADER_BYTES + payload.len()) as u64;
                found.next += 1;
            }
        }
    }
}

pub(super) fn open_segment(
    storage: &dyn Storage,
    dir: &Path,
    first: u64,
    access: Access,
) -> Result<Arc<dyn StorageFile>, LogError> {
    let path = segment::path(dir, first);
    storage.open(&path, access).map_err(LogError::io("open", &path))
}

pub(super) fn read_error(dir: &Path, first: u64) -> impl FnOnce(io::Error) -> LogError {
    move |error| LogError::io("read", &segment::path(dir, first))(error)
}

pub(super) fn corrupt(
    dir: &Path,
    first: u64,
    position: u64,
    offset: u64,
    what: impl Into<String>,
) -> LogError {
    LogError::Corrupt { file: segment::path(dir, first), position, offset, what: what.into() }
}

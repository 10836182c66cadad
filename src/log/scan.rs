//! Reading a segment from its start, and saying what is wrong with it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::error::LogError;
use super::record::{Flaw, HEADER_BYTES};
use super::segment::{self, FIRST_RECORD};
use super::storage::{Access, Storage, StorageFile};
use super::window::{Parsed, Window};

/// Where the unbroken run of records in a segment ends.
pub(super) struct Scan {
    /// The offset after the last good record.
    pub(super) next: u64,
    /// The position after the last good record, in bytes.
    pub(super) position: u64,
    /// What stands there instead of a record; `None` at the end of the file.
    pub(super) flaw: Option<Flaw>,
}

/// Said of a segment whose id is not that of the segments before it.
pub(super) const FOREIGN: &str = "the segment belongs to another log";

/// Said of a segment without a header, when others follow it.
pub(super) const HEADERLESS: &str = "the segment's header is missing";

/// Said of a segment whose end and successor do not meet.
pub(super) fn discontinuity(following: u64) -> String {
    format!("the segment ends there, but the next one begins with record {following}")
}

/// Reads records from the segment's start until one is not as it should be.
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

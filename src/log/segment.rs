//! Segment files: names, headers and creation.
//!
//! A segment's name is the offset of its first record, twenty digits, and `.seg`. It starts with a
//! header of 36 bytes: the magic `SLUGLOG1`, the log's id (16 random bytes, the same in all its
//! segments), the first offset (u64), and the CRC-32C of those (u32), little endian.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::LogError;
use super::storage::{Storage, StorageFile, read_full_at, write_all_at};

/// Size of a segment's header in bytes.
pub(super) const SEGMENT_HEADER_BYTES: usize = 36;

/// Position of a segment's first record in bytes.
pub(super) const FIRST_RECORD: u64 = SEGMENT_HEADER_BYTES as u64;

const MAGIC: &[u8; 8] = b"SLUGLOG1";
const NAME_DIGITS: usize = 20;
const SUFFIX: &str = ".seg";

/// The path of the segment whose first record is `first`.
pub(super) fn path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:0NAME_DIGITS$}{SUFFIX}"))
}

/// The first offsets of the segments in `dir`, ascending. Ignores other files.
pub(super) fn list(storage: &dyn Storage, dir: &Path) -> Result<Vec<u64>, LogError> {
    let names = storage.list(dir).map_err(LogError::io("list the folder", dir))?;
    let mut firsts: Vec<u64> = names.iter().filter_map(|name| parse_name(name)).collect();
    firsts.sort_unstable();
    Ok(firsts)
}

fn parse_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let all_digits = digits.len() == NAME_DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
    all_digits.then(|| digits.parse().ok()).flatten()
}

/// The state of a segment's header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeaderState {
    /// Valid; the log's id.
    Valid([u8; 16]),
    /// No valid header and no record after it: the machine stopped while the file was being
    /// created.
    Unfinished,
    /// Damaged ([`UNREADABLE`], unless it was never synced), or of another segment.
    Damaged(&'static str),
}

/// There are other bytes in place of the header.
pub(super) const UNREADABLE: &str = "the segment's header is damaged";

/// Reads the header of the segment named `first`.
pub(super) fn read_header(file: &dyn StorageFile, first: u64) -> io::Result<HeaderState> {
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    let read = read_full_at(file, 0, &mut bytes)?;
    let (body, crc) = bytes.split_at(SEGMENT_HEADER_BYTES - 4);
    if read < bytes.len() || &body[..8] != MAGIC || crc32c::crc32c(body).to_le_bytes() != crc {
        return Ok(if file.len()? <= FIRST_RECORD {
            HeaderState::Unfinished
        } else {
            HeaderState::Damaged(UNREADABLE)
        });
    }
    if body[24..] != first.to_le_bytes() {
        return Ok(HeaderState::Damaged(
            "the first record in the segment's header does not match the file name",
        ));
    }
    let mut id = [0; 16];
    id.copy_from_slice(&body[8..24]);
    Ok(HeaderState::Valid(id))
}

fn encode_header(id: &[u8; 16], first: u64) -> [u8; SEGMENT_HEADER_BYTES] {
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..24].copy_from_slice(id);
    bytes[24..32].copy_from_slice(&first.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..32]);
    bytes[32..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Why a segment could not be created.
pub(super) enum CreateFailure {
    /// It failed without leaving a file: creating it can be retried.
    Refused(LogError),
    /// The durable state is unknown.
    Uncertain(LogError),
}

impl From<CreateFailure> for LogError {
    fn from(failure: CreateFailure) -> Self {
        match failure {
            CreateFailure::Refused(error) | CreateFailure::Uncertain(error) => error,
        }
    }
}

/// Creates the segment that starts with `first`; it and its directory entry are durable on return.
pub(super) fn create(
    storage: &dyn Storage,
    dir: &Path,
    id: &[u8; 16],
    first: u64,
) -> Result<Arc<dyn StorageFile>, LogError> {
    let file = begin(storage, dir, id, first)?;
    file.sync_data().map_err(LogError::io("sync", &path(dir, first)))?;
    sync_dir(storage, dir)?;
    Ok(file)
}

/// Creates the segment that starts with `first`; neither it nor its directory entry is durable.
pub(super) fn begin(
    storage: &dyn Storage,
    dir: &Path,
    id: &[u8; 16],
    first: u64,
) -> Result<Arc<dyn StorageFile>, CreateFailure> {
    let path = path(dir, first);
    let file = storage
        .create_new(&path)
        .map_err(LogError::io("create", &path))
        .map_err(CreateFailure::Refused)?;
    if let Err(error) = write_all_at(&*file, 0, &encode_header(id, first)) {
        // A later append may still fit in the previous segment. If this file reappeared after a crash,
        // its offsets would overlap those records, so its removal has to be durable.
        storage
            .remove(&path)
            .map_err(LogError::io("remove", &path))
            .and_then(|()| sync_dir(storage, dir))
            .map_err(CreateFailure::Uncertain)?;
        let refused = LogError::io("write to", &path)(error);
        return Err(CreateFailure::Refused(refused));
    }
    Ok(file)
}

/// Makes the directory entries of `dir` durable.
pub(super) fn sync_dir(storage: &dyn Storage, dir: &Path) -> Result<(), LogError> {
    storage.sync_dir(dir).map_err(LogError::io("sync the folder", dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_passed_over() {
        let path = path(Path::new("d"), 42);
        assert_eq!(path, Path::new("d/00000000000000000042.seg"));
        assert_eq!(parse_name("00000000000000000042.seg"), Some(42));
        for other in ["42.seg", "0000000000000000004x.seg", "LOCK", ".seg"] {
            assert_eq!(parse_name(other), None, "{other}");
        }
        assert_eq!(parse_name("+0000000000000000042.seg"), None);
        assert_eq!(parse_name("99999999999999999999.seg"), None);
    }
}

//! Offset files: small files beside the segments that hold one offset each.
//!
//! | file        | offset                             | written                               |
//! |-------------|------------------------------------|---------------------------------------|
//! | `watermark` | known to be durable                | in place after each sync, not synced  |
//! | `first`     | of the first retained record       | replaced atomically and durably       |
//!
//! An offset file has 36 bytes: a magic of 8 bytes, the log's id, the offset (u64) and the CRC-32C
//! of those (u32), little endian.
//!
//! The watermark distinguishes the loss of the very last durable records from the torn end that a
//! crash leaves: no later record can prove that they were durable. It is evidence, not state: a log
//! without a valid watermark still opens. It never names an offset that is not durable, because it
//! is written after the sync and its checksum covers it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::LogError;
use super::segment::sync_dir;
use super::storage::{Access, Storage, StorageFile, read_full_at, write_all_at};

const FILE_BYTES: usize = 36;

/// The kind of an offset file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OffsetFile {
    Watermark,
    First,
}

impl OffsetFile {
    const fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Watermark => b"SLUGSYNC",
            Self::First => b"SLUGFRST",
        }
    }

    fn path(self, dir: &Path) -> PathBuf {
        dir.join(match self {
            Self::Watermark => "watermark",
            Self::First => "first",
        })
    }

    fn encode(self, id: &[u8; 16], offset: u64) -> [u8; FILE_BYTES] {
        let mut bytes = [0; FILE_BYTES];
        bytes[..8].copy_from_slice(self.magic());
        bytes[8..24].copy_from_slice(id);
        bytes[24..32].copy_from_slice(&offset.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..32]);
        bytes[32..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The offset, if the bytes are a valid file of this kind and, if `id` is given, of this log.
    fn decode(self, bytes: &[u8], id: Option<&[u8; 16]>) -> Option<u64> {
        let (body, crc) = bytes.first_chunk::<FILE_BYTES>()?.split_at(FILE_BYTES - 4);
        let is_whole = &body[..8] == self.magic() && crc32c::crc32c(body).to_le_bytes() == crc;
        let is_ours = id.is_none_or(|id| &body[8..24] == id);
        let offset = body[24..].first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        offset.filter(|_| is_whole && is_ours)
    }

    /// The bytes of the file; `None` if there is none.
    fn read(self, storage: &dyn Storage, dir: &Path) -> io::Result<Option<Vec<u8>>> {
        let file = match storage.open(&self.path(dir), Access::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = vec![0; FILE_BYTES];
        let read = read_full_at(&*file, 0, &mut bytes)?;
        bytes.truncate(read);
        Ok(Some(bytes))
    }
}

/// An offset known to be durable; 0 if unknown.
pub(super) fn read_watermark(
    storage: &dyn Storage,
    dir: &Path,
    id: Option<&[u8; 16]>,
) -> Result<u64, LogError> {
    let path = OffsetFile::Watermark.path(dir);
    let bytes = OffsetFile::Watermark.read(storage, dir).map_err(LogError::io("read", &path))?;
    Ok(bytes.and_then(|bytes| OffsetFile::Watermark.decode(&bytes, id)).unwrap_or(0))
}

/// The watermark of a log that is being written.
pub(super) struct Watermark {
    file: Option<Arc<dyn StorageFile>>,
    id: [u8; 16],
    has_logged_failure: AtomicBool,
}

impl Watermark {
    /// Opens or creates the file. Failures are logged only: the log works without a watermark.
    pub(super) fn open(storage: &dyn Storage, dir: &Path, id: [u8; 16], synced: u64) -> Self {
        let path = OffsetFile::Watermark.path(dir);
        let opened = match storage.open(&path, Access::ReadWrite) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => storage.create_new(&path),
            opened => opened,
        };
        let watermark = Self { file: None, id, has_logged_failure: AtomicBool::new(false) };
        match opened {
            Ok(file) => {
                let watermark = Self { file: Some(file), ..watermark };
                watermark.set(synced);
                watermark
            }
            Err(error) => {
                watermark.log_failure(&error);
                watermark
            }
        }
    }

    /// Records that offsets up to `synced` are durable. Call it after the sync that made them so.
    pub(super) fn set(&self, synced: u64) {
        let Some(file) = &self.file else { return };
        let bytes = OffsetFile::Watermark.encode(&self.id, synced);
        if let Err(error) = write_all_at(&**file, 0, &bytes) {
            self.log_failure(&error);
        }
    }

    fn log_failure(&self, error: &io::Error) {
        if !self.has_logged_failure.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "writing the log's watermark failed; continuing without it");
        }
    }
}

/// The first retained record; 1 if nothing was dropped.
///
/// # Errors
/// [`LogError::Corrupt`] if the file is damaged or belongs to another log.
pub(super) fn read_first(
    storage: &dyn Storage,
    dir: &Path,
    id: Option<&[u8; 16]>,
) -> Result<u64, LogError> {
    let path = OffsetFile::First.path(dir);
    match OffsetFile::First.read(storage, dir).map_err(LogError::io("read", &path))? {
        None => Ok(1),
        Some(bytes) => OffsetFile::First.decode(&bytes, id).ok_or_else(|| LogError::Corrupt {
            file: path,
            position: 0,
            offset: 1,
            what: "the file is damaged or belongs to another log".to_owned(),
        }),
    }
}

/// Durably replaces the `first` file.
///
/// After an error the file is either the old one or the new one.
pub(super) fn write_first(
    storage: &dyn Storage,
    dir: &Path,
    id: &[u8; 16],
    first: u64,
) -> Result<(), LogError> {
    let path = OffsetFile::First.path(dir);
    let temporary = path.with_extension("new");
    match storage.remove(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(LogError::io("remove", &temporary)(error));
        }
        _ => {}
    }
    let file = storage.create_new(&temporary).map_err(LogError::io("create", &temporary))?;
    write_all_at(&*file, 0, &OffsetFile::First.encode(id, first))
        .map_err(LogError::io("write to", &temporary))?;
    file.sync_data().map_err(LogError::io("sync", &temporary))?;
    storage.rename(&temporary, &path).map_err(LogError::io("rename", &temporary))?;
    sync_dir(storage, dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_file_reads_back_and_any_other_bytes_do_not() {
        let (id, other) = ([7; 16], [8; 16]);
        let bytes = OffsetFile::First.encode(&id, 42);
        assert_eq!(OffsetFile::First.decode(&bytes, Some(&id)), Some(42));
        assert_eq!(OffsetFile::First.decode(&bytes, None), Some(42));
        assert_eq!(OffsetFile::First.decode(&bytes, Some(&other)), None);
        assert_eq!(OffsetFile::Watermark.decode(&bytes, Some(&id)), None);
        for bit in 0..FILE_BYTES * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(OffsetFile::First.decode(&bytes, Some(&id)), None, "{bit}");
        }
        assert_eq!(OffsetFile::First.decode(&bytes[..FILE_BYTES - 1], Some(&id)), None);
    }
}

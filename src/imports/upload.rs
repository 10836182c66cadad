//! Uploads.

use std::fs;
use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use uuid::Uuid;

use super::{MAX_FILE_BYTES, RESERVED_BYTES};
use crate::domain::error::{ErrorCode, Result, ServiceError};

/// Number of bytes for the format detection.
const HEAD_BYTES: u64 = 64 << 10;
/// Number of bytes between two checks of the free disk space.
const SPACE_CHECK_BYTES: u64 = 16 << 20;

/// The workspaces of the uploads in progress.
pub(super) type Uploading = Arc<Mutex<Vec<Uuid>>>;

/// An upload in progress. Dropping it removes the file.
#[must_use]
pub struct Upload {
    pub(super) id: Uuid,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) sha256: Sha256,
    file: File,
    slot: UploadSlot,
}

/// The slot of an upload, released on drop.
struct UploadSlot {
    workspace: Uuid,
    uploading: Uploading,
}

impl Drop for UploadSlot {
    fn drop(&mut self) {
        let mut uploading = self.uploading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = uploading.iter().position(|one| *one == self.workspace) {
            uploading.swap_remove(at);
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // The file of a started import has been renamed by now.
        let _absent = fs::remove_file(&self.path);
    }
}

impl Upload {
    /// `uploading` already contains `workspace`.
    pub(super) async fn begin(
        folder: &Path,
        workspace: Uuid,
        uploading: Uploading,
    ) -> Result<Self> {
        let slot = UploadSlot { workspace, uploading };
        check_free_space(folder, MAX_FILE_BYTES)?;
        let id = Uuid::now_v7();
        let path = folder.join(format!("{id}.part"));
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path).await?;
        Ok(Self { id, path, bytes: 0, sha256: Sha256::new(), file, slot })
    }

    /// Appends a chunk to the file.
    ///
    /// # Errors
    /// `TooLarge`, or an I/O error.
    pub async fn write(&mut self, chunk: &[u8]) -> Result<()> {
        let before = self.bytes;
        self.bytes += chunk.len() as u64;
        if self.bytes > MAX_FILE_BYTES {
            let mib = MAX_FILE_BYTES >> 20;
            let message = format!("The file is larger than {mib} MiB.");
            let rule = format!("must not be larger than {mib} MiB");
            return Err(ServiceError::new(ErrorCode::TooLarge, message).with_field("body", rule));
        }
        if self.bytes / SPACE_CHECK_BYTES > before / SPACE_CHECK_BYTES {
            check_free_space(self.path.parent().unwrap_or(&self.path), 0)?;
        }
        self.sha256.update(chunk);
        Ok(self.file.write_all(chunk).await?)
    }

    /// The first bytes of the file, for the format detection.
    pub async fn head(&mut self) -> Result<Vec<u8>> {
        self.file.flush().await?;
        self.file.seek(SeekFrom::Start(0)).await?;
        let mut head = Vec::new();
        (&mut self.file).take(HEAD_BYTES).read_to_end(&mut head).await?;
        Ok(head)
    }

    pub(super) async fn sync(&self) -> io::Result<()> {
        self.file.sync_all().await
    }

    pub(super) const fn workspace(&self) -> Uuid {
        self.slot.workspace
    }
}

/// Checks that an import leaves enough disk space for the log.
pub(super) fn check_free_space(folder: &Path, wanted: u64) -> io::Result<()> {
    let disk = rustix::fs::statvfs(folder)?;
    if disk.f_bavail.saturating_mul(disk.f_frsize) < RESERVED_BYTES + wanted {
        return Err(io::Error::new(io::ErrorKind::StorageFull, "the disk is nearly full"));
    }
    Ok(())
}

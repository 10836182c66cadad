//! Uploads.

use std::fs;
use std::io::{self, SeekFrom};
use std::path::PathBuf;

use sha2::{Digest, Sha256};
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use super::MAX_FILE_BYTES;
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::ids::WorkspaceId;
use crate::jobs::runner::Slot;
use crate::jobs::store::{SPACE_CHECK_BYTES, check_free_space};

/// Number of bytes for the format detection.
const HEAD_BYTES: u64 = 64 << 10;

/// An upload in progress. Dropping it removes the file.
#[must_use]
pub struct Upload {
    pub(super) id: Uuid,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) sha256: Sha256,
    file: File,
    slot: Slot,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Upload {
    fn drop(&mut self) {
        // The file of a started import has been renamed by now.
        let _absent = fs::remove_file(&self.path);
    }
}

impl Upload {
    pub(super) async fn begin(
        path: impl Fn(Uuid) -> PathBuf,
        slot: Slot,
        permit: OwnedSemaphorePermit,
    ) -> Result<Self> {
        let id = Uuid::now_v7();
        let path = path(id);
        check_free_space(&path, MAX_FILE_BYTES)?;
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path).await?;
        Ok(Self { id, path, bytes: 0, sha256: Sha256::new(), file, slot, _permit: permit })
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
            check_free_space(&self.path, 0)?;
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

    pub(super) const fn workspace(&self) -> WorkspaceId {
        self.slot.workspace
    }
}

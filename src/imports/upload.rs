//! A file on its way in.

use std::fs;
use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use uuid::Uuid;

use super::{ImportError, MAX_FILE_BYTES, ROOM_LEFT};

/// How many bytes of a file tell what it is.
const HEAD_BYTES: u64 = 64 << 10;
/// How often it is looked whether there is room, in bytes taken.
const LOOK_EVERY: u64 = 16 << 20;

/// Whose uploads are under way.
pub(super) type Uploading = Arc<Mutex<Vec<Uuid>>>;

/// A file on its way in. What came of one that is given up goes with it.
#[must_use]
pub struct Upload {
    pub(super) id: Uuid,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) sha256: Sha256,
    file: File,
    place: Place,
}

/// Among the uploads that are under way.
struct Place {
    workspace: Uuid,
    uploading: Uploading,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut uploading = self.uploading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = uploading.iter().position(|one| *one == self.workspace) {
            uploading.swap_remove(at);
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Of one that was begun the file has another name by now.
        let _absent = fs::remove_file(&self.path);
    }
}

impl Upload {
    /// `workspace` stands in `uploading` already.
    pub(super) async fn begin(
        folder: &Path,
        workspace: Uuid,
        uploading: Uploading,
    ) -> Result<Self, ImportError> {
        let place = Place { workspace, uploading };
        has_room(folder, MAX_FILE_BYTES)?;
        let id = Uuid::now_v7();
        let path = folder.join(format!("{id}.part"));
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path).await?;
        Ok(Self { id, path, bytes: 0, sha256: Sha256::new(), file, place })
    }

    /// Takes a piece of the file.
    ///
    /// # Errors
    /// [`ImportError::TooLarge`], or the disk's.
    pub async fn write(&mut self, piece: &[u8]) -> Result<(), ImportError> {
        let before = self.bytes;
        self.bytes += piece.len() as u64;
        if self.bytes > MAX_FILE_BYTES {
            return Err(ImportError::TooLarge);
        }
        if self.bytes / LOOK_EVERY > before / LOOK_EVERY {
            has_room(self.path.parent().unwrap_or(&self.path), 0)?;
        }
        self.sha256.update(piece);
        Ok(self.file.write_all(piece).await?)
    }

    /// The first bytes of the file, to see what it is.
    pub async fn head(&mut self) -> Result<Vec<u8>, ImportError> {
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
        self.place.workspace
    }
}

/// The log must never want for room because of an import.
pub(super) fn has_room(folder: &Path, wanted: u64) -> io::Result<()> {
    let disk = rustix::fs::statvfs(folder)?;
    if disk.f_bavail.saturating_mul(disk.f_frsize) < ROOM_LEFT + wanted {
        return Err(io::Error::new(io::ErrorKind::StorageFull, "the disk is nearly full"));
    }
    Ok(())
}

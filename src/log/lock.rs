//! The lock that gives one process exclusive use of a data folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

use super::error::LogError;
use super::storage::{DiskStorage, Storage};

const LOCK_FILE: &str = "LOCK";

/// Exclusive use of a data folder, until it is dropped or the process ends.
///
/// This is an operating system lock on the file `LOCK`. The process id in the file is only for
/// error messages. The file is never removed: otherwise two processes could lock two different
/// files of that name.
#[derive(Debug)]
pub struct DataLock {
    _file: File,
}

impl DataLock {
    /// Locks `dir`, creating it durably if needed.
    ///
    /// # Errors
    ///
    /// [`LogError::InUse`] when another process (or another part of this one) holds it;
    /// [`LogError::Io`] when the lock file cannot be created or written.
    pub fn acquire(dir: &Path) -> Result<Self, LogError> {
        DiskStorage.create_dir_all(dir).map_err(LogError::io("create the folder", dir))?;
        let path = dir.join(LOCK_FILE);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(LogError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // The id is optional: it only serves the error message.
                let pid =
                    file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(LogError::InUse { dir: dir.to_owned(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(LogError::io("lock", &path)(error)),
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(LogError::io("write to", &path))?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_locked_once_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let held = DataLock::acquire(&data).unwrap();
        let error = DataLock::acquire(&data).unwrap_err();
        let me = std::process::id();
        assert!(matches!(error, LogError::InUse { pid: Some(pid), .. } if pid == me));
        assert!(error.to_string().ends_with(&format!("in use by process {me}")));
        drop(held);
        DataLock::acquire(&data).unwrap();
    }
}

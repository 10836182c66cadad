//! The file that keeps the key of the visitor ids across restarts, and destroys it on rotation.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::salt_period::SaltPeriod;

/// Magic and format version of a salt file.
const MAGIC: &str = "slugline-salt-1";

/// Why a salt file can't be used at startup.
#[derive(Debug, thiserror::Error)]
pub enum SaltFileError {
    /// The file is unreadable.
    #[error("can't read the salt file {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// The file has other contents, which must not be overwritten.
    #[error("{0} is not a salt file and was left unchanged")]
    Foreign(PathBuf),
}

/// A key and its period.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct StoredSalt {
    pub(super) key: [u8; 16],
    pub(super) period: SaltPeriod,
    /// Start of the period, in milliseconds since the Unix epoch.
    pub(super) from_ms: u64,
}

impl Drop for StoredSalt {
    fn drop(&mut self) {
        wipe(&mut self.key);
    }
}

/// Overwrites memory that held a key, in a way that the compiler does not optimize out.
pub(super) fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    std::hint::black_box(bytes);
}

/// The salt file: one line, readable by its owner only.
#[derive(Debug)]
pub(super) struct SaltFile {
    path: PathBuf,
    /// The new file, until it replaces the old one.
    next: PathBuf,
}

impl SaltFile {
    pub(super) fn new(path: PathBuf) -> Self {
        let mut next = path.clone().into_os_string();
        next.push(".next");
        Self { path, next: next.into() }
    }

    /// The stored key; `None` if the file is absent or was destroyed.
    pub(super) fn read(&self) -> Result<Option<StoredSalt>, SaltFileError> {
        let mut bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(SaltFileError::Unreadable { path: self.path.clone(), source });
            }
        };
        let destroyed = bytes.iter().all(|byte| *byte == 0);
        let stored = str::from_utf8(&bytes).ok().and_then(decode);
        wipe(&mut bytes);
        if stored.is_none() && !destroyed {
            return Err(SaltFileError::Foreign(self.path.clone()));
        }
        Ok(stored)
    }

    /// Writes a new key and destroys the old one by overwriting its bytes before the file is
    /// replaced. (A copy-on-write file system or disk may still have a copy.) If the new key can't be
    /// written, the old one is destroyed anyway.
    pub(super) fn replace(&self, salt: &StoredSalt) -> io::Result<()> {
        let written = self.write_next(salt);
        let destroyed = destroy(&self.path);
        written?;
        destroyed?;
        fs::rename(&self.next, &self.path)?;
        sync_directory(&self.path)
    }

    /// Destroys a new file that a crash left behind.
    pub(super) fn destroy_next(&self) -> io::Result<()> {
        destroy(&self.next)?;
        match fs::remove_file(&self.next) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    fn write_next(&self, salt: &StoredSalt) -> io::Result<()> {
        self.destroy_next()?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&self.next)?;
        let mut line = encode(salt).into_bytes();
        let written = file.write_all(&line);
        wipe(&mut line);
        written?;
        file.sync_all()
    }
}

/// Overwrites a file's bytes, if it exists.
fn destroy(path: &Path) -> io::Result<()> {
    let mut file = match OpenOptions::new().write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    io::copy(&mut io::Read::take(io::repeat(0), file.metadata()?.len()), &mut file)?;
    file.sync_all()
}

/// Makes a rename durable.
fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

fn encode(salt: &StoredSalt) -> String {
    let (period, from_ms) = (salt.period.as_str(), salt.from_ms);
    let key = u128::from_be_bytes(salt.key);
    format!("{MAGIC} {period} {from_ms} {key:032x}\n")
}

fn decode(line: &str) -> Option<StoredSalt> {
    let mut words = line.split_ascii_whitespace();
    if words.next()? != MAGIC {
        return None;
    }
    let period = words.next()?.parse().ok()?;
    let from_ms = words.next()?.parse().ok()?;
    let key = words.next().filter(|key| key.len() == 32)?;
    let key = u128::from_str_radix(key, 16).ok()?.to_be_bytes();
    words.next().is_none().then_some(StoredSalt { key, period, from_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn salt(fill: u8) -> StoredSalt {
        StoredSalt { key: [fill; 16], period: SaltPeriod::Daily, from_ms: 86_400_000 }
    }

    #[test]
    fn a_key_round_trips_and_its_file_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let file = SaltFile::new(directory.path().join("salt"));
        assert!(file.read().unwrap().is_none(), "no file");
        file.replace(&salt(1)).unwrap();
        assert!(file.read().unwrap() == Some(salt(1)));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&file.path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn the_old_bytes_are_overwritten_when_the_file_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let file = SaltFile::new(directory.path().join("salt"));
        file.replace(&salt(1)).unwrap();
        // A hard link to the old file shows its overwritten bytes.
        let old = directory.path().join("old");
        fs::hard_link(&file.path, &old).unwrap();
        file.replace(&salt(2)).unwrap();
        assert!(file.read().unwrap() == Some(salt(2)));
        assert!(fs::read(&old).unwrap().iter().all(|byte| *byte == 0));
        assert!(!file.next.exists());
    }

    #[test]
    fn the_old_key_is_destroyed_even_if_the_new_one_cannot_be_written() {
        let directory = tempfile::tempdir().unwrap();
        let file = SaltFile::new(directory.path().join("salt"));
        file.replace(&salt(1)).unwrap();
        fs::create_dir(&file.next).unwrap();
        assert!(file.replace(&salt(2)).is_err());
        assert!(file.read().unwrap().is_none(), "destroyed");
    }

    #[test]
    fn a_new_file_left_by_a_crash_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let file = SaltFile::new(directory.path().join("salt"));
        fs::write(&file.next, encode(&salt(1))).unwrap();
        file.replace(&salt(2)).unwrap();
        assert!(file.read().unwrap() == Some(salt(2)));
    }

    #[test]
    fn a_foreign_file_is_left_unchanged() {
        let directory = tempfile::tempdir().unwrap();
        let file = SaltFile::new(directory.path().join("salt"));
        for content in ["precious", "slugline-salt-1 daily 0 zz", "slugline-salt-2 daily 0 00"] {
            fs::write(&file.path, content).unwrap();
            assert!(matches!(file.read(), Err(SaltFileError::Foreign(_))), "{content}");
        }
        fs::write(&file.path, "").unwrap();
        assert!(file.read().unwrap().is_none());
    }
}

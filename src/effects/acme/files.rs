//! Certificate files: `HOST.crt` and `HOST.key`, readable only by their owner.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::{AcmeError, Issued};

/// The path of a host's chain.
pub(super) fn certificate(folder: &Path, host: &str) -> PathBuf {
    folder.join(format!("{host}.crt"))
}

/// Replaces a host's certificate and key.
///
/// Both are synced to disk before either is renamed, so a failed write leaves the old pair intact.
/// A crash between the two renames leaves a mismatched pair, which the next start ignores; it then
/// orders a new certificate.
pub(super) fn keep(folder: &Path, host: &str, issued: &Issued) -> Result<(), AcmeError> {
    let (key, chain) = (folder.join(format!("{host}.key")), certificate(folder, host));
    let prepared = prepare(&key, issued.key.as_bytes())
        .and_then(|()| prepare(&chain, issued.chain.as_bytes()));
    if prepared.is_err() {
        // Best effort: the error is returned, and leftover files are harmless.
        let _stays = [remove(&next(&key)), remove(&next(&chain))];
        return prepared;
    }
    put(&key)?;
    put(&chain)
}

/// Writes a file atomically: under another name first, then renames it.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), AcmeError> {
    prepare(path, bytes)?;
    put(path)
}

/// Removes a file if it exists.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Removes the files of all hosts except those that are `wanted`; returns the number of removed
/// files.
pub(super) fn retain(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<usize, AcmeError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries.map_err(|reason| failed(folder, reason))?,
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry.map_err(|reason| failed(folder, reason))?;
        let name = entry.file_name();
        if name.to_str().and_then(host_of).is_some_and(|host| !wanted(host)) {
            remove(&entry.path()).map_err(|reason| failed(&entry.path(), reason))?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// The host of a file, by its name; `None` for the account file.
fn host_of(name: &str) -> Option<&str> {
    let name = name.strip_suffix(".next").unwrap_or(name);
    name.strip_suffix(".key").or_else(|| name.strip_suffix(".crt"))
}

/// The modification time of a file, in milliseconds since the Unix epoch; 0 if it doesn't exist.
pub(super) fn written_at_ms(path: &Path) -> u64 {
    let written = fs::metadata(path).and_then(|about| about.modified()).ok();
    let age = written.and_then(|written| written.duration_since(UNIX_EPOCH).ok());
    age.and_then(|age| u64::try_from(age.as_millis()).ok()).unwrap_or_default()
}

/// The temporary name of a file.
fn next(path: &Path) -> PathBuf {
    let mut next = path.as_os_str().to_owned();
    next.push(".next");
    next.into()
}

/// Writes the temporary file.
fn prepare(path: &Path, bytes: &[u8]) -> Result<(), AcmeError> {
    let write = || {
        let folder = path.parent().unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let next = next(path);
        // A file left by a crash may have another mode.
        remove(&next)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&next)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|reason| failed(path, reason))
}

/// Renames the temporary file.
fn put(path: &Path) -> Result<(), AcmeError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let put = fs::rename(next(path), path).and_then(|()| File::open(folder)?.sync_all());
    put.map_err(|reason| failed(path, reason))
}

fn failed(path: &Path, reason: io::Error) -> AcmeError {
    AcmeError::File { path: path.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_pair_is_private_and_replaced_completely() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("certificates");
        for text in ["one", "another"] {
            let issued = Issued { chain: format!("{text} chain"), key: format!("{text} key") };
            keep(&folder, "go.example", &issued).unwrap();
            let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
            assert_eq!(read("go.example.crt"), issued.chain);
            assert_eq!(read("go.example.key"), issued.key);
            // As left by a crash, world-readable.
            fs::write(folder.join("go.example.key.next"), "half").unwrap();
        }
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(&folder.join("go.example.key")), 0o600);
        assert_eq!(mode(&folder.join("go.example.crt")), 0o600);
        assert!(written_at_ms(&certificate(&folder, "go.example")) > 0);
        assert_eq!(written_at_ms(&certificate(&folder, "other.example")), 0);
    }

    #[test]
    fn a_failed_write_keeps_the_old_pair() {
        let folder = tempfile::tempdir().unwrap();
        let issued = |text: &str| Issued { chain: format!("{text} c"), key: format!("{text} k") };
        keep(folder.path(), "go.example", &issued("old")).unwrap();
        for name in ["go.example.crt.next", "go.example.key.next"] {
            // Makes the write fail, as a full disk does.
            let obstacle = folder.path().join(name);
            fs::create_dir(&obstacle).unwrap();
            keep(folder.path(), "go.example", &issued("new")).unwrap_err();
            let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
            assert_eq!(read("go.example.crt"), "old c");
            assert_eq!(read("go.example.key"), "old k");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "no temporary files");
            fs::remove_dir(obstacle).unwrap();
        }
        keep(folder.path(), "go.example", &issued("new")).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn only_files_of_unwanted_hosts_are_removed() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("certificates");
        let wanted = |host: &str| host == "go.example";
        assert_eq!(retain(&folder, wanted).unwrap(), 0);
        let issued = Issued { chain: "chain".to_owned(), key: "key".to_owned() };
        for host in ["go.example", "gone.example", "x.go.example"] {
            keep(&folder, host, &issued).unwrap();
        }
        write(&folder.join("account.json"), b"{}").unwrap();
        fs::write(folder.join("gone.example.key.next"), "half").unwrap();
        assert_eq!(retain(&folder, wanted).unwrap(), 5);
        let left = fs::read_dir(&folder).unwrap();
        let mut left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["account.json", "go.example.crt", "go.example.key"]);
        assert_eq!(retain(&folder, wanted).unwrap(), 0);
    }
}

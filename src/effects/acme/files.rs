//! The files of certificates: `HOST.crt` and `HOST.key`, readable by their owner alone.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::{AcmeError, Issued};

/// Where a host's chain is.
pub(super) fn certificate(folder: &Path, host: &str) -> PathBuf {
    folder.join(format!("{host}.crt"))
}

/// Puts a certificate and its key in the place of those before.
///
/// Both are on the disk before either name changes: what can't be written leaves the old pair as
/// it was. A crash between the two changes leaves a pair that does not fit: the next start passes
/// it over, and orders anew.
pub(super) fn keep(folder: &Path, host: &str, issued: &Issued) -> Result<(), AcmeError> {
    let (key, chain) = (folder.join(format!("{host}.key")), certificate(folder, host));
    let prepared = prepare(&key, issued.key.as_bytes())
        .and_then(|()| prepare(&chain, issued.chain.as_bytes()));
    if prepared.is_err() {
        // The error is told; what is left over besides does no harm.
        let _stays = [remove(&next(&key)), remove(&next(&chain))];
        return prepared;
    }
    put(&key)?;
    put(&chain)
}

/// Writes a file whole: under another name first, which is then changed.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), AcmeError> {
    prepare(path, bytes)?;
    put(path)
}

/// Removes a file, if it is there.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Removes the pairs of all hosts but those that are `wanted`, and halves of theirs; says how many
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

/// Whose a file is, by its name; the account's is no host's.
fn host_of(name: &str) -> Option<&str> {
    let name = name.strip_suffix(".next").unwrap_or(name);
    name.strip_suffix(".key").or_else(|| name.strip_suffix(".crt"))
}

/// When a file was written, in milliseconds since the Unix epoch; 0 where there is none.
pub(super) fn written_at_ms(path: &Path) -> u64 {
    let written = fs::metadata(path).and_then(|about| about.modified()).ok();
    let age = written.and_then(|written| written.duration_since(UNIX_EPOCH).ok());
    age.and_then(|age| u64::try_from(age.as_millis()).ok()).unwrap_or_default()
}

/// The name that a file has until it is whole.
fn next(path: &Path) -> PathBuf {
    let mut next = path.as_os_str().to_owned();
    next.push(".next");
    next.into()
}

/// Writes what is to become a file.
fn prepare(path: &Path, bytes: &[u8]) -> Result<(), AcmeError> {
    let write = || {
        let folder = path.parent().unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let next = next(path);
        // What a crash has left: its mode is not known.
        remove(&next)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&next)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|reason| failed(path, reason))
}

/// Has what was prepared take the file's name.
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
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_pair_is_its_owners_alone_and_replaced_whole() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("certificates");
        for text in ["one", "another"] {
            let issued = Issued { chain: format!("{text} chain"), key: format!("{text} key") };
            keep(&folder, "go.example", &issued).unwrap();
            let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
            assert_eq!(read("go.example.crt"), issued.chain);
            assert_eq!(read("go.example.key"), issued.key);
            // As a crash would have left it, for all to read.
            fs::write(folder.join("go.example.key.next"), "half").unwrap();
        }
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(&folder.join("go.example.key")), 0o600);
        assert_eq!(mode(&folder.join("go.example.crt")), 0o600);
        assert!(written_at_ms(&certificate(&folder, "go.example")) > 0);
        assert_eq!(written_at_ms(&certificate(&folder, "other.example")), 0);
    }

    #[test]
    fn a_pair_that_cannot_be_written_leaves_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let issued = |text: &str| Issued { chain: format!("{text} c"), key: format!("{text} k") };
        keep(folder.path(), "go.example", &issued("old")).unwrap();
        for name in ["go.example.crt.next", "go.example.key.next"] {
            // In the way, as a full disk is.
            let obstacle = folder.path().join(name);
            fs::create_dir(&obstacle).unwrap();
            keep(folder.path(), "go.example", &issued("new")).unwrap_err();
            let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
            assert_eq!(read("go.example.crt"), "old c");
            assert_eq!(read("go.example.key"), "old k");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "no half is left");
            fs::remove_dir(obstacle).unwrap();
        }
        keep(folder.path(), "go.example", &issued("new")).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn only_pairs_of_others_are_removed() {
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

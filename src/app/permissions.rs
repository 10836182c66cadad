//! Data is private to the service's user: folders 0700, files 0600.
//!
//! The umask restricts new files, of this process and of the embedded `ClickHouse`, which inherits
//! it. Existing folders, from an older version or copied, are restricted at start.

use std::fs::{self, DirEntry, Metadata, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;

/// The permissions of the group and of others.
const OTHERS: u32 = 0o077;

/// Removes others' permissions from new files and folders of this process.
pub fn restrict_new_files() {
    rustix::process::umask(Mode::from_bits_retain(OTHERS));
}

/// Removes others' permissions from a folder and everything below it. Does not follow symbolic
/// links, except `folder` itself. Logs a warning for entries that cannot be changed, because they
/// belong to another user.
pub fn restrict(folder: &Path) {
    let mut failures = Failures::default();
    if let Err(error) = fs::metadata(folder).and_then(|metadata| tighten(folder, &metadata)) {
        failures.add(folder.to_owned(), error);
    }
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            // Owned by another user and not readable: `lost+found`, for example.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => continue,
            Err(error) => {
                failures.add(folder, error);
                continue;
            }
        };
        for entry in entries.filter_map(Result::ok) {
            match restrict_entry(&entry) {
                Ok(true) => folders.push(entry.path()),
                Ok(false) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => failures.add(entry.path(), error),
            }
        }
    }
    if let Some((path, error)) = failures.first {
        let (path, entries) = (path.display(), failures.count);
        tracing::warn!(%path, %error, entries, "cannot remove other users' permissions");
    }
}

/// The first failure, and the number of failures.
#[derive(Default)]
struct Failures {
    first: Option<(PathBuf, io::Error)>,
    count: u64,
}

impl Failures {
    fn add(&mut self, path: PathBuf, error: io::Error) {
        self.first.get_or_insert((path, error));
        self.count += 1;
    }
}

/// Returns whether the entry is a folder. A folder is restricted before it is read: afterwards no
/// other user can replace an entry by a link.
fn restrict_entry(entry: &DirEntry) -> io::Result<bool> {
    // Metadata of the entry itself, even if it is a link.
    let metadata = entry.metadata()?;
    if !metadata.is_symlink() {
        tighten(&entry.path(), &metadata)?;
    }
    Ok(metadata.is_dir())
}

fn tighten(path: &Path, metadata: &Metadata) -> io::Result<()> {
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & OTHERS == 0 {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(mode & !OTHERS))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_folder_is_restricted_with_everything_below_but_not_beyond_links() {
        let folder = tempfile::tempdir().unwrap();
        let (data, outside) = (folder.path().join("data"), folder.path().join("outside"));
        let inner = data.join("log/clicks");
        fs::create_dir_all(&inner).unwrap();
        fs::create_dir(&outside).unwrap();
        let (segment, script) = (inner.join("1.seg"), data.join("script"));
        let shared = outside.join("shared");
        for (file, mode) in [(&segment, 0o666), (&script, 0o755), (&shared, 0o644)] {
            fs::write(file, "x").unwrap();
            fs::set_permissions(file, Permissions::from_mode(mode)).unwrap();
        }
        for folder in [&data, &inner, &outside] {
            fs::set_permissions(folder, Permissions::from_mode(0o777)).unwrap();
        }
        symlink(&outside, data.join("folder-link")).unwrap();
        symlink(&shared, data.join("file-link")).unwrap();
        symlink("nowhere", data.join("dangling")).unwrap();
        restrict(&data);
        assert_eq!([mode(&data), mode(&data.join("log")), mode(&inner)], [0o700; 3]);
        assert_eq!([mode(&segment), mode(&script)], [0o600, 0o700]);
        assert_eq!([mode(&outside), mode(&shared)], [0o777, 0o644]);
    }
}

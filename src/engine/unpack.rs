//! Extracts one file from an npm tarball.

use std::fs::{self, File};
use std::io;
use std::path::{Component, Path};

use flate2::read::GzDecoder;
use tar::{Archive, EntryType};

use super::error::FetchError;
use super::package::{Entry, Package};

/// Extracts the package's file into the folder `to`, and flushes it to disk.
///
/// Of the tarball's paths, only a file name that passed [`Entry::matches`] is used, so no path in
/// the tarball can escape `to`.
///
/// # Errors
///
/// [`FetchError::NoEntry`] if the tarball has no such file, [`FetchError::NoSpace`] if the disk is
/// full, [`FetchError::Cache`] if the tarball cannot be read or the file not written.
pub(super) fn unpack(package: &Package, tarball: &Path, to: &Path) -> Result<(), FetchError> {
    match unpack_entry(package.entry, tarball, to) {
        Ok(true) => Ok(()),
        Ok(false) => Err(FetchError::NoEntry {
            package: package.name,
            entry: package.entry.name(),
            hint: package.hint,
        }),
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Err(FetchError::NoSpace {
            package: package.name,
            cache: to.to_owned(),
            needs_bytes: package.needs_bytes(),
        }),
        Err(source) => Err(FetchError::Cache { path: tarball.to_owned(), source }),
    }
}

/// Extracts the first file that matches; whether there was one.
fn unpack_entry(wanted: Entry, tarball: &Path, to: &Path) -> io::Result<bool> {
    let mut archive = Archive::new(GzDecoder::new(File::open(tarball)?));
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.header().entry_type() != EntryType::Regular {
            continue;
        }
        let Some(name) = wanted_name(&entry.path()?, wanted) else { continue };
        let mut file = File::create_new(to.join(name))?;
        io::copy(&mut entry, &mut file)?;
        file.sync_all()?;
        File::open(to)?.sync_all()?;
        return Ok(true);
    }
    Ok(false)
}

/// The file name at a tarball's path, if it is the requested file: a named file anywhere below the
/// top folder (npm's is `package/`), one with a stem directly below it.
fn wanted_name(path: &Path, wanted: Entry) -> Option<String> {
    let parts: Vec<_> = path.components().collect();
    let is_plain = parts.iter().all(|part| matches!(part, Component::Normal(_)));
    let is_deep_enough = match wanted {
        Entry::Named(_) => parts.len() >= 2,
        Entry::Stem(_) => parts.len() == 2,
    };
    let name = path.file_name()?.to_str()?;
    (is_plain && is_deep_enough && wanted.matches(name)).then(|| name.to_owned())
}

/// Removes a folder and its contents, if it exists.
pub(super) fn remove(folder: &Path) -> Result<(), FetchError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FetchError::Cache { path: folder.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};

    /// A tarball with these paths, unchecked; the content of each file is its path.
    fn tarball(at: &Path, paths: &[&str]) {
        let mut tar =
            tar::Builder::new(GzEncoder::new(File::create(at).unwrap(), Compression::fast()));
        for path in paths {
            let mut header = tar::Header::new_gnu();
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_size(path.len() as u64);
            header.set_cksum();
            tar.append(&header, path.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap();
    }

    #[test]
    fn only_the_wanted_file_comes_out() {
        let folder = tempfile::tempdir().unwrap();
        let (at, to) = (folder.path().join("t.tgz"), folder.path().join("out"));
        fs::create_dir(&to).unwrap();
        tarball(&at, &["package/index.js", "package/deep/libchdb.so", "package/libchdb.dylib"]);
        unpack(&Package::engine().unwrap(), &at, &to).unwrap();
        let names: Vec<_> = fs::read_dir(&to).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["libchdb.dylib"]);
        assert_eq!(fs::read_to_string(to.join("libchdb.dylib")).unwrap(), "package/libchdb.dylib");
    }

    #[test]
    fn a_path_that_escapes_is_not_extracted() {
        let folder = tempfile::tempdir().unwrap();
        let (at, to) = (folder.path().join("t.tgz"), folder.path().join("out"));
        fs::create_dir(&to).unwrap();
        tarball(&at, &["../libchdb.so", "/libchdb.so", "package/../libchdb.so", "libchdb.so"]);
        let error = unpack(&Package::engine().unwrap(), &at, &to).unwrap_err();
        assert!(matches!(error, FetchError::NoEntry { .. }), "{error}");
        assert!(!folder.path().join("libchdb.so").exists());
        assert_eq!(fs::read_dir(&to).unwrap().count(), 0);
    }

    #[test]
    fn a_truncated_tarball_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("t.tgz");
        tarball(&at, &["package/libchdb.so"]);
        let whole = fs::read(&at).unwrap();
        fs::write(&at, &whole[..whole.len() / 2]).unwrap();
        assert!(unpack(&Package::engine().unwrap(), &at, folder.path()).is_err());
    }
}

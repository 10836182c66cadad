//! Fetches a package's file into the cache, once.
//!
//! The cache has one folder per package and requested version, renamed into place when complete. A
//! fetch holds a lock on the package, so that two processes do not fetch the same package twice.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::FetchError;
use super::integrity::{mismatch, verify};
use super::npm::{Npm, Published};
use super::package::Package;
use super::progress::{Progress, Reporter, ShouldStop};
use super::unpack::{remove, unpack};

/// The file next to a fetched one that contains its version.
const VERSION_FILE: &str = "VERSION";
/// How often to check whether another process has fetched a package.
const LOCK_POLL: Duration = Duration::from_millis(100);

/// How to fetch.
pub struct FetchOptions {
    /// How progress is shown.
    pub progress: Progress,
    /// Whether to fetch the currently published version even if one is in the cache.
    pub is_forced: bool,
    /// Ends the fetch with [`FetchError::Stopped`] soon after it returns true.
    pub should_stop: ShouldStop,
}

impl FetchOptions {
    /// To be run to its end.
    pub fn new(progress: Progress) -> Self {
        Self { progress, is_forced: false, should_stop: Box::new(|| false) }
    }
}

/// The folder for fetched packages: `$SLUGLINE_CACHE_DIR`, else `$XDG_CACHE_HOME/slugline`,
/// else `~/.cache/slugline`.
pub fn default_cache_dir() -> Result<PathBuf, FetchError> {
    cache_dir_from(|name| std::env::var_os(name)).ok_or(FetchError::NoCacheDir)
}

/// The cache folder according to these environment variables.
fn cache_dir_from(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    path("SLUGLINE_CACHE_DIR")
        // The XDG specification says to ignore relative paths.
        .or_else(|| path("XDG_CACHE_HOME").filter(|p| p.is_absolute()).map(|p| p.join("slugline")))
        .or_else(|| path("HOME").map(|p| p.join(".cache").join("slugline")))
}

/// The package's file in the cache; fetched with npm if it is missing.
///
/// Returns a cached file at once, without npm or network; so a package requested at its latest
/// version stays at the version first fetched. Blocks for as long as npm takes, at most 17 minutes,
/// and for as long as another process fetches the same package.
///
/// # Errors
///
/// [`FetchError`]; the cache is left without partial files.
pub fn fetch(package: &Package, cache: &Path, progress: Progress) -> Result<PathBuf, FetchError> {
    fetch_with(&Npm::default(), package, cache, FetchOptions::new(progress))
}

/// As [`fetch`], with these options.
///
/// # Errors
///
/// [`FetchError`]; the cached file is kept.
pub fn fetch_as(
    package: &Package,
    cache: &Path,
    options: FetchOptions,
) -> Result<PathBuf, FetchError> {
    fetch_with(&Npm::default(), package, cache, options)
}

/// Fetches the currently published version and replaces the cached file.
///
/// # Errors
///
/// [`FetchError`]; the cached file is kept.
pub fn refresh(package: &Package, cache: &Path, progress: Progress) -> Result<PathBuf, FetchError> {
    fetch_as(package, cache, FetchOptions { is_forced: true, ..FetchOptions::new(progress) })
}

/// The package's file, if it is in the cache.
pub fn cached(package: &Package, cache: &Path) -> Option<PathBuf> {
    wanted_file(package, &cache.join(package.folder()))
}

/// The version of a file in the cache.
pub fn version(file: &Path) -> Option<String> {
    let version = fs::read_to_string(file.with_file_name(VERSION_FILE)).ok()?;
    Some(version.trim().to_owned())
}

/// As [`fetch_as`], with this npm.
pub(super) fn fetch_with(
    npm: &Npm,
    package: &Package,
    cache: &Path,
    options: FetchOptions,
) -> Result<PathBuf, FetchError> {
    let FetchOptions { progress, is_forced, should_stop } = options;
    let folder = cache.join(package.folder());
    let cached = |package, folder| if is_forced { None } else { wanted_file(package, folder) };
    if let Some(file) = cached(package, &folder) {
        return Ok(file);
    }
    // 0700: write access here is enough to make slugline load a library.
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(cache)
        .map_err(FetchError::cache(cache))?;
    // npm runs in a folder of its own, where a relative path would point elsewhere.
    let cache = &fs::canonicalize(cache).map_err(FetchError::cache(cache))?;
    let (name, bytes) = (package.name, package.packed_bytes);
    let mut reporter = Reporter::start(progress, name, bytes, should_stop);
    let _lock = lock(package, cache, &mut reporter)?;
    if let Some(file) = cached(package, &folder) {
        return Ok(file);
    }
    remove_leftovers(package, cache)?;
    check_space(package, cache)?;

    let work = Work::create(package, cache)?;
    let published = npm.view(package, &work.0, &mut reporter)?;
    let complete = pack_and_unpack(npm, package, &published, &work.0, &mut reporter)?;
    // A folder without the file may exist, created by a user.
    remove(&folder)?;
    fs::rename(&complete, &folder).map_err(FetchError::cache(&folder))?;
    sync(cache)?;
    reporter.done(&published.version);
    wanted_file(package, &folder).ok_or(FetchError::NoEntry {
        package: package.name,
        entry: package.entry.name(),
        hint: package.hint,
    })
}

/// Fetches, verifies and unpacks one version. Returns the folder to move into the cache.
fn pack_and_unpack(
    npm: &Npm,
    package: &Package,
    published: &Published,
    work: &Path,
    reporter: &mut Reporter,
) -> Result<PathBuf, FetchError> {
    let expected = package.integrity.unwrap_or(&published.integrity);
    if !published.integrity.split_whitespace().any(|hash| hash == expected) {
        // Fail before a long download rather than after it.
        return Err(mismatch(package, expected, &published.integrity));
    }
    let tarball = npm.pack(package, &published.version, work, reporter)?;
    reporter.stage("unpacking");
    remove(&work.join("npm-cache"))?;
    verify(package, &tarball, expected)?;
    let complete = work.join("whole");
    fs::create_dir(&complete).map_err(FetchError::cache(&complete))?;
    unpack(package, &tarball, &complete)?;
    let version = complete.join(VERSION_FILE);
    fs::write(&version, format!("{}\n", published.version)).map_err(FetchError::cache(&version))?;
    sync(&version)?;
    make_readable(&complete)?;
    sync(&complete)?;
    Ok(complete)
}

/// Makes a package readable for other users, whatever the umask: it is not secret, and an
/// administrator may fill the cache for a service that runs as its own user.
fn make_readable(folder: &Path) -> Result<(), FetchError> {
    let set = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode));
    let shared = set(folder, 0o755)
        .and_then(|()| fs::read_dir(folder)?.try_for_each(|entry| set(&entry?.path(), 0o644)));
    shared.map_err(FetchError::cache(folder))
}

/// The package's file, if this folder contains it.
fn wanted_file(package: &Package, folder: &Path) -> Option<PathBuf> {
    let wanted = |name: OsString| name.to_str().is_some_and(|name| package.entry.matches(name));
    let mut entries = fs::read_dir(folder).ok()?.filter_map(Result::ok);
    entries.find(|entry| wanted(entry.file_name())).map(|entry| entry.path())
}

/// Waits until no other process fetches this package. The lock is released when the file is closed
/// or the process ends.
fn lock(package: &Package, cache: &Path, reporter: &mut Reporter) -> Result<File, FetchError> {
    let path = cache.join(format!("{}.lock", package.folder()));
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(FetchError::cache(&path))?;
    let mut is_waiting = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if reporter.should_stop() => {
                return Err(FetchError::Stopped { package: package.name });
            }
            Err(TryLockError::WouldBlock) if is_waiting => std::thread::sleep(LOCK_POLL),
            Err(TryLockError::WouldBlock) => {
                reporter.stage("waiting for another slugline process to fetch it");
                is_waiting = true;
            }
            Err(TryLockError::Error(error)) => return Err(FetchError::cache(&path)(error)),
        }
    }
}

/// The prefix of the names of a package's work folders.
fn work_prefix(package: &Package) -> String {
    format!(".{}.work-", package.folder())
}

/// Removes the work folders of interrupted fetches; the caller holds the package's lock.
fn remove_leftovers(package: &Package, cache: &Path) -> Result<(), FetchError> {
    let prefix = work_prefix(package);
    for entry in fs::read_dir(cache).map_err(FetchError::cache(cache))?.filter_map(Result::ok) {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Fails early if the disk has too little space.
fn check_space(package: &Package, cache: &Path) -> Result<(), FetchError> {
    let disk = rustix::fs::statvfs(cache).map_err(|e| FetchError::cache(cache)(e.into()))?;
    let needs_bytes = package.needs_bytes();
    if disk.f_bavail.saturating_mul(disk.f_frsize) < needs_bytes {
        let cache = cache.to_owned();
        return Err(FetchError::NoSpace { package: package.name, cache, needs_bytes });
    }
    Ok(())
}

/// Flushes a file or folder to disk.
fn sync(path: &Path) -> Result<(), FetchError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(FetchError::cache(path))
}

/// A temporary folder for a fetch, removed on drop.
struct Work(PathBuf);

impl Work {
    /// Creates a folder with a new name: the npm process of an interrupted fetch may still be
    /// running, and must not write into this one.
    fn create(package: &Package, cache: &Path) -> Result<Self, FetchError> {
        let path = cache.join(format!("{}{}", work_prefix(package), uuid::Uuid::now_v7()));
        fs::create_dir(&path).map_err(FetchError::cache(&path))?;
        Ok(Self(path))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next fetch.
        let _ = remove(&self.0);
    }
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;

//! Fetches with the real npm, and with stand-ins that fail on purpose.
#![allow(clippy::unwrap_used, clippy::case_sensitive_file_extension_comparisons)]

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::engine::package::Entry;

/// An npm stand-in as a shell script; `$0.calls` gets a line per call.
fn stand_in(folder: &TempDir, body: &str) -> Npm {
    let path = folder.path().join("npm");
    fs::write(&path, format!("#!/bin/sh\necho \"$1\" >> \"$0.calls\"\n{body}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    Npm::at(&path, Duration::from_secs(1))
}

/// How often the stand-in was called.
fn calls(folder: &TempDir) -> usize {
    fs::read_to_string(folder.path().join("npm.calls")).unwrap_or_default().lines().count()
}

/// A script that calls the real npm.
const REAL: &str = "exec npm \"$@\"";

/// The files in the cache, without locks.
fn names(cache: &Path) -> Vec<String> {
    let entries = fs::read_dir(cache).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.ends_with(".lock")).collect()
}

fn hidden(npm: &Npm, package: &Package, cache: &Path) -> Result<PathBuf, FetchError> {
    fetch_with(npm, package, cache, FetchOptions::new(Progress::Hidden))
}

#[test]
fn the_second_fetch_needs_no_npm() {
    let cache = tempfile::tempdir().unwrap();
    let package = Package::crawlers();
    let file = fetch(&package, cache.path(), Progress::Shown).unwrap();
    let list: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert!(list.as_array().unwrap().len() > 100);
    assert_eq!(names(cache.path()), ["crawler-user-agents@1.x"], "only the package is kept");
    let version = fs::read_to_string(file.with_file_name(VERSION_FILE)).unwrap();
    assert!(version.starts_with("1."), "{version}");

    let nowhere = Npm::at(Path::new("/nonexistent/npm"), Duration::from_secs(1));
    assert_eq!(hidden(&nowhere, &package, cache.path()).unwrap(), file);
}

#[test]
fn two_at_once_fetch_once() {
    let (cache, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    stand_in(&bin, REAL);
    let npm = Npm::at(&bin.path().join("npm"), Duration::from_secs(120));
    let fetch = || hidden(&npm, &Package::crawlers(), cache.path()).unwrap();
    let (one, two) = std::thread::scope(|scope| {
        let (one, two) = (scope.spawn(fetch), scope.spawn(fetch));
        (one.join().unwrap(), two.join().unwrap())
    });
    assert_eq!(one, two);
    assert!(one.is_file());
    assert_eq!(calls(&bin), 2, "one view and one pack");
}

#[test]
fn without_npm_the_error_says_what_to_do() {
    let cache = tempfile::tempdir().unwrap();
    let nowhere = Npm::at(Path::new("/nonexistent/npm"), Duration::from_secs(1));
    let error = hidden(&nowhere, &Package::engine().unwrap(), cache.path()).unwrap_err();
    let text = error.to_string();
    for part in ["npm is not on the PATH", "install npm", "--engine-lib FILE", "--clickhouse-url"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(names(cache.path()).is_empty());
}

#[test]
fn the_error_contains_the_output_of_npm() {
    let (cache, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let npm = stand_in(&bin, "echo 'npm error code ENOTFOUND' >&2; exit 1");
    let text = hidden(&npm, &Package::countries(), cache.path()).unwrap_err().to_string();
    assert!(text.contains("npm error code ENOTFOUND"), "{text}");
    assert!(text.contains("check the network") && text.contains("--geo-db FILE"), "{text}");

    let full = stand_in(&bin, "echo 'npm error code ENOSPC' >&2; exit 1");
    let error = hidden(&full, &Package::countries(), cache.path()).unwrap_err();
    assert!(matches!(error, FetchError::NoSpace { .. }), "{error}");

    let strange = stand_in(&bin, "echo nonsense");
    let error = hidden(&strange, &Package::countries(), cache.path()).unwrap_err();
    assert!(matches!(error, FetchError::Answer { .. }), "{error}");
}

/// What a stand-in prints for `view`, and what it packs.
const CORRUPT: &str = r#"
if [ "$1" = view ]; then
  echo '{"dist.integrity":"sha512-AAAA","version":"1.0.0"}'
else
  echo damaged > packed/it.tgz
fi"#;

#[test]
fn a_damaged_tarball_is_refused_and_nothing_is_kept() {
    let (cache, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let npm = stand_in(&bin, CORRUPT);
    let error = hidden(&npm, &Package::crawlers(), cache.path()).unwrap_err();
    assert!(matches!(error, FetchError::Integrity { .. }), "{error}");
    assert!(names(cache.path()).is_empty());
}

#[test]
fn a_pinned_package_is_not_even_downloaded_when_the_registry_disagrees() {
    let (cache, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let npm = stand_in(&bin, CORRUPT);
    let pinned = Package { integrity: Some("sha512-BBBB"), ..Package::crawlers() };
    let error = hidden(&npm, &pinned, cache.path()).unwrap_err();
    assert!(matches!(error, FetchError::Integrity { .. }), "{error}");
    assert_eq!(calls(&bin), 1);
}

#[test]
fn a_slow_npm_is_stopped() {
    let (cache, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let body = CORRUPT.replace("echo damaged > packed/it.tgz", "exec tail -f /dev/null");
    let npm = stand_in(&bin, &body);
    let error = hidden(&npm, &Package::crawlers(), cache.path()).unwrap_err();
    assert!(matches!(error, FetchError::Slow { seconds: 1, .. }), "{error}");
    assert!(names(cache.path()).is_empty());
}

#[test]
fn a_fetch_that_is_to_stop_ends_npm_and_the_wait_for_a_lock() {
    let (cache, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let npm = stand_in(&bin, "exec tail -f /dev/null");
    let stopped = || {
        let started = std::time::Instant::now();
        let should_stop = Box::new(move || started.elapsed() > Duration::from_millis(300));
        let options = FetchOptions { should_stop, ..FetchOptions::new(Progress::Hidden) };
        let error = fetch_with(&npm, &Package::crawlers(), cache.path(), options).unwrap_err();
        assert!(matches!(error, FetchError::Stopped { .. }), "{error}");
        assert!(started.elapsed() < Duration::from_secs(10));
    };
    stopped();
    assert!(names(cache.path()).is_empty());
    let file = cache.path().join("crawler-user-agents@1.x.lock");
    let held = File::open(file).unwrap();
    held.lock().unwrap();
    stopped();
    assert_eq!(calls(&bin), 1, "the second one waited for the lock");
}

#[test]
fn leftovers_of_an_interrupted_fetch_are_removed() {
    let (cache, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let package = Package::crawlers();
    let left = cache.path().join(format!("{}gone", work_prefix(&package))).join("whole");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("crawler-user-agents.json"), "[").unwrap();
    let npm = stand_in(&bin, CORRUPT);
    assert!(hidden(&npm, &package, cache.path()).is_err());
    assert!(names(cache.path()).is_empty());
}

#[test]
fn a_full_disk_is_reported_before_the_download() {
    let (cache, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let npm = stand_in(&bin, CORRUPT);
    let huge = Package { unpacked_bytes: 1 << 60, entry: Entry::Named("x"), ..Package::crawlers() };
    let error = hidden(&npm, &huge, cache.path()).unwrap_err();
    assert!(matches!(error, FetchError::NoSpace { .. }), "{error}");
    assert!(error.to_string().contains("SLUGLINE_CACHE_DIR"), "{error}");
    assert_eq!(calls(&bin), 0);
}

#[test]
fn the_cache_folder_follows_the_environment() {
    let by = |pairs: &'static [(&str, &str)]| {
        cache_dir_from(|name| pairs.iter().find(|p| p.0 == name).map(|p| p.1.into()))
    };
    assert_eq!(by(&[("SLUGLINE_CACHE_DIR", "/c"), ("HOME", "/h")]).unwrap(), Path::new("/c"));
    assert_eq!(by(&[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")]).unwrap(), Path::new("/x/slugline"));
    let home = Path::new("/h/.cache/slugline");
    assert_eq!(by(&[("XDG_CACHE_HOME", "rel"), ("HOME", "/h")]).unwrap(), home);
    assert_eq!(by(&[("SLUGLINE_CACHE_DIR", ""), ("HOME", "/h")]).unwrap(), home);
    assert!(by(&[]).is_none());
}

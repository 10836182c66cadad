//! Engine errors, with instructions for the user.

use std::io;
use std::path::{Path, PathBuf};

/// Why a package could not be fetched. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// npm is not on the PATH.
    #[error(
        "cannot fetch {package}: npm is not on the PATH; install npm (it comes with Node.js), or {hint}"
    )]
    NoNpm {
        /// The requested package.
        package: &'static str,
        /// What to do instead.
        hint: &'static str,
    },
    /// npm ran and failed: no network, registry unreachable, no such version.
    #[error(
        "cannot fetch {package}: npm failed ({cause}); check the network and npm's registry setting, or {hint}\n{lines}"
    )]
    Npm {
        /// The requested package.
        package: &'static str,
        /// What npm says is the cause, such as `connect ECONNREFUSED 127.0.0.1:443`.
        cause: String,
        /// The last lines of npm's output.
        lines: String,
        /// What to do instead.
        hint: &'static str,
    },
    /// npm did not finish in time and was stopped.
    #[error(
        "cannot fetch {package}: npm did not finish in {seconds} s and was stopped; try again on a better network, or {hint}"
    )]
    Slow {
        /// The requested package.
        package: &'static str,
        /// The time limit, in seconds.
        seconds: u64,
        /// What to do instead.
        hint: &'static str,
    },
    /// npm's output could not be parsed.
    #[error(
        "cannot fetch {package}: npm's output could not be parsed ({problem}); update npm, or {hint}"
    )]
    Answer {
        /// The requested package.
        package: &'static str,
        /// The problem.
        problem: String,
        /// What to do instead.
        hint: &'static str,
    },
    /// The package does not have the published hash, or not the one this version of slugline
    /// expects.
    #[error(
        "{package} failed its integrity check: expected {expected}, got {found}; nothing was kept. Try again; if it fails again, the registry or a proxy is changing packages: {hint}"
    )]
    Integrity {
        /// The requested package.
        package: &'static str,
        /// The expected integrity, `sha512-` and base64.
        expected: String,
        /// The actual integrity, in the same form.
        found: String,
        /// What to do instead.
        hint: &'static str,
    },
    /// The package does not contain the file.
    #[error("{package} contains no file {entry}; {hint}")]
    NoEntry {
        /// The requested package.
        package: &'static str,
        /// The missing file.
        entry: &'static str,
        /// What to do instead.
        hint: &'static str,
    },
    /// The engine is not available for this system.
    #[error(
        "the embedded engine is not available for {os}/{arch}; use a ClickHouse server with --clickhouse-url URL"
    )]
    Platform {
        /// The operating system, for example `freebsd`.
        os: &'static str,
        /// The processor, for example `riscv64`.
        arch: &'static str,
    },
    /// The disk is too full.
    #[error("not enough disk space in {}: {package} needs {} MB; free some, or move the cache with SLUGLINE_CACHE_DIR", .cache.display(), .needs_bytes / 1_000_000)]
    NoSpace {
        /// The requested package.
        package: &'static str,
        /// The cache folder.
        cache: PathBuf,
        /// The disk space that the fetch needs at its peak, in bytes.
        needs_bytes: u64,
    },
    /// The fetch was interrupted, because its caller stops.
    #[error("fetching {package} was interrupted")]
    Stopped {
        /// The requested package.
        package: &'static str,
    },
    /// No cache folder is configured.
    #[error(
        "no cache folder: neither SLUGLINE_CACHE_DIR, XDG_CACHE_HOME nor HOME is set; set one of them"
    )]
    NoCacheDir,
    /// The cache folder could not be read or written.
    #[error("cannot use {}: {source}; check its permissions, or move the cache with SLUGLINE_CACHE_DIR", .path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// The system error.
        source: io::Error,
    },
}

impl FetchError {
    /// Maps a file system error at `path` to [`FetchError::Cache`].
    pub(super) fn cache(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Cache { path, source }
    }
}

/// Why the engine could not start, or failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A folder or a configuration file could not be written.
    #[error("cannot prepare the engine at {}: {source}", .path.display())]
    Prepare {
        /// The file or folder.
        path: PathBuf,
        /// The system error.
        source: io::Error,
    },
    /// The child process or the supervisor's thread could not be started.
    #[error("cannot start the engine's process: {0}")]
    Spawn(#[source] io::Error),
    /// The library could not be opened, or is not libchdb.
    #[error("cannot open the engine's library {}: {source}", .path.display())]
    Library {
        /// The library's file.
        path: PathBuf,
        /// The loader's error.
        source: libloading::Error,
    },
    /// An argument contains a NUL byte.
    #[error("an argument to the engine contains a NUL byte: {0:?}")]
    NulByte(String),
    /// The process that started the engine has exited.
    #[error("the process that started the engine has exited")]
    ParentGone,
    /// A system call failed.
    #[error("cannot set the engine's process up: {0}")]
    System(#[source] io::Error),
    /// `ClickHouse` ended with an error.
    #[error("the engine failed: {0}")]
    ClickHouse(String),
}

impl EngineError {
    /// Maps a file system error at `path` to [`EngineError::Prepare`].
    pub(super) fn prepare(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Prepare { path, source }
    }
}

//! What can go wrong with the engine, and what its user can do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Why a package could not be fetched. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// There is no npm program on the PATH.
    #[error(
        "cannot fetch {package}: there is no npm on the PATH; install npm (it comes with Node.js), or {hint}"
    )]
    NoNpm {
        /// The package wanted.
        package: &'static str,
        /// What to do instead.
        hint: &'static str,
    },
    /// npm ran and failed: no network, registry unreachable, no such version.
    #[error(
        "cannot fetch {package}: npm failed; check the network and npm's registry setting, or {hint}\n{lines}"
    )]
    Npm {
        /// The package wanted.
        package: &'static str,
        /// npm's own last lines.
        lines: String,
        /// What to do instead.
        hint: &'static str,
    },
    /// npm did not finish in time, and was stopped.
    #[error(
        "cannot fetch {package}: npm did not finish in {seconds} s and was stopped; try again on a better network, or {hint}"
    )]
    Slow {
        /// The package wanted.
        package: &'static str,
        /// The time it was given, in seconds.
        seconds: u64,
        /// What to do instead.
        hint: &'static str,
    },
    /// npm's answer could not be understood.
    #[error(
        "cannot fetch {package}: npm gave an answer that could not be understood ({problem}); update npm, or {hint}"
    )]
    Answer {
        /// The package wanted.
        package: &'static str,
        /// What was wrong with it.
        problem: String,
        /// What to do instead.
        hint: &'static str,
    },
    /// What was fetched is not what was published, or not what this version of slugline expects.
    #[error(
        "{package} is not what it should be: SHA-512 expected {expected}, got {found}; nothing was kept. Try again; if it stays, the registry or a proxy on the way is changing packages: {hint}"
    )]
    Integrity {
        /// The package wanted.
        package: &'static str,
        /// The integrity expected, `sha512-` and base64.
        expected: String,
        /// The integrity found, in the same form.
        found: String,
        /// What to do instead.
        hint: &'static str,
    },
    /// The package has no file of the name wanted.
    #[error("{package} has no file {entry} in it; {hint}")]
    NoEntry {
        /// The package wanted.
        package: &'static str,
        /// The file it should have.
        entry: &'static str,
        /// What to do instead.
        hint: &'static str,
    },
    /// The engine is not published for this system.
    #[error(
        "there is no embedded engine for {os}/{arch}; use a ClickHouse server with --clickhouse-url URL"
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
        /// The package wanted.
        package: &'static str,
        /// The cache folder.
        cache: PathBuf,
        /// What the fetch needs at its peak, in bytes.
        needs_bytes: u64,
    },
    /// There is no place for the cache.
    #[error(
        "no cache folder: neither SLUGLINE_CACHE_DIR, XDG_CACHE_HOME nor HOME is set; set one of them"
    )]
    NoCacheDir,
    /// The cache folder could not be read or written.
    #[error("cannot use {}: {source}; check its permissions, or move the cache with SLUGLINE_CACHE_DIR", .path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl FetchError {
    /// Turns an error of the file system at `path` into a [`FetchError::Cache`].
    pub(super) fn cache(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Cache { path, source }
    }
}

/// Why the engine could not start, or ended badly.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A folder or a configuration file could not be written.
    #[error("cannot prepare the engine at {}: {source}", .path.display())]
    Prepare {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
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
        /// What the loader said.
        source: libloading::Error,
    },
    /// An argument holds a zero byte.
    #[error("an argument to the engine holds a zero byte: {0:?}")]
    ZeroByte(String),
    /// The process that started the engine is gone already.
    #[error("the process that started the engine is gone")]
    ParentGone,
    /// A request to the system failed.
    #[error("cannot set the engine's process up: {0}")]
    System(#[source] io::Error),
    /// `ClickHouse` ended with an error of its own.
    #[error("the engine failed: {0}")]
    ClickHouse(String),
}

impl EngineError {
    /// Turns an error of the file system at `path` into an [`EngineError::Prepare`].
    pub(super) fn prepare(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Prepare { path, source }
    }
}

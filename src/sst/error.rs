//! Errors of sorted tables.

use std::io;
use std::path::{Path, PathBuf};

/// An error of a table.
#[derive(Debug, thiserror::Error)]
pub enum SstError {
    /// The file could not be read or written.
    #[error("{path}: {1}", path = .0.display())]
    Io(PathBuf, io::Error),
    /// The file is damaged.
    #[error("the file {} is damaged at byte {position}: {what}", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Byte position in the file.
        position: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The caller stopped the merge.
    #[error("the merge was stopped")]
    Stopped,
    /// A thread of the merge panicked.
    #[error("the merge panicked")]
    Panicked,
}

impl SstError {
    /// Adds the path to an I/O error; for use with `map_err`.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io(path.to_owned(), error)
    }
}

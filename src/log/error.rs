//! What can go wrong with a log, told apart by what the caller should do about it.

use std::io;
use std::path::{Path, PathBuf};

/// An error of the log or of the data-folder lock.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The operating system refused an operation. The log itself stays usable and holds nothing
    /// of the refused write. [`LogError::is_full`] tells a full disk from the rest.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was attempted, as a verb phrase ("write to").
        action: &'static str,
        /// The file or folder concerned.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },

    /// The log can no longer say what is on disk, so it takes no more writes; only reopening it
    /// (a restart) helps.
    #[error(
        "the log takes no more writes: {reason}. Check the disk, then restart: opening the log \
         again recovers it"
    )]
    Poisoned {
        /// The failure that made the log's state on disk uncertain.
        reason: String,
    },

    /// Stored bytes that had been made durable are no longer what was written.
    #[error(
        "{} is damaged at byte {position}, where record {offset} belongs: {what}. Nothing was \
         changed. Run `slugline log verify` for the extent of it; then restore this file from a \
         backup or, to give up this record and all that follow, run `slugline log quarantine`",
        .file.display()
    )]
    Corrupt {
        /// The damaged segment file.
        file: PathBuf,
        /// Byte position in the file where the damage was met.
        position: u64,
        /// Offset of the record expected there.
        offset: u64,
        /// What is wrong with the bytes.
        what: String,
    },

    /// A record's payload exceeds [`MAX_PAYLOAD_BYTES`](super::MAX_PAYLOAD_BYTES); nothing of its
    /// group was written.
    #[error("a record of {bytes} bytes is over the limit of {} bytes", super::MAX_PAYLOAD_BYTES)]
    TooLarge {
        /// Size of the refused payload in bytes.
        bytes: usize,
    },

    /// Reading was asked to start beyond the first offset still to be written: whoever asked has
    /// seen records this log does not hold.
    #[error(
        "record {offset} was asked for, but the log ends at {end}: it is older than what was \
         derived from it"
    )]
    BeyondEnd {
        /// The offset asked for.
        offset: u64,
        /// The log's last offset.
        end: u64,
    },

    /// Reading was asked for a record that was dropped with its segment.
    #[error("record {offset} was dropped: the log begins at {first}")]
    Dropped {
        /// The offset asked for.
        offset: u64,
        /// The first offset that the log holds.
        first: u64,
    },

    /// Another process works on the data folder.
    #[error(
        "the data folder {} is in use by {}",
        .dir.display(),
        .pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    InUse {
        /// The data folder.
        dir: PathBuf,
        /// The process holding it, where its lock file says so.
        pid: Option<u32>,
    },
}

impl LogError {
    /// Whether the disk (or a quota on it) is full: the write may succeed once there is room.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            _ => false,
        }
    }

    /// Whether the log refuses all further writes until it is reopened.
    pub fn is_poisoned(&self) -> bool {
        matches!(self, Self::Poisoned { .. })
    }

    /// Wraps an I/O error with what was attempted on which path; made for `map_err`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

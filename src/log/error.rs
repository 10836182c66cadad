//! Log errors, distinguished by how the caller should react.

use std::io;
use std::path::{Path, PathBuf};

/// An error of the log or of the data-folder lock.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// An I/O operation failed. The log stays usable and contains nothing of a failed write.
    /// [`LogError::is_full`] tells whether the disk is full.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// The attempted operation, as a verb phrase ("write to").
        action: &'static str,
        /// The file or folder concerned.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },

    /// The durable state of the log is unknown, so it accepts no more writes until it is reopened.
    #[error(
        "the log accepts no more writes: {reason}. Check the disk, then restart: opening the log \
         again recovers it"
    )]
    Poisoned {
        /// The failure that made the log's state on disk uncertain.
        reason: String,
    },

    /// Durable records are damaged.
    #[error(
        "{} is damaged at byte {position}, where record {offset} belongs: {what}. Nothing was \
        changed. Run `slugline log verify` to see the extent of the damage. Then restore this file \
        from a backup or, to discard this record and all later ones, run `slugline log quarantine`",
        .file.display()
    )]
    Corrupt {
        /// The damaged segment file.
        file: PathBuf,
        /// Byte position of the damage in the file.
        position: u64,
        /// Offset of the record expected there.
        offset: u64,
        /// What is wrong with the bytes.
        what: String,
    },

    /// A record's payload exceeds [`MAX_PAYLOAD_BYTES`](super::MAX_PAYLOAD_BYTES); nothing of its
    /// batch was written.
    #[error("a record of {bytes} bytes is over the limit of {} bytes", super::MAX_PAYLOAD_BYTES)]
    TooLarge {
        /// Size of the payload in bytes.
        bytes: usize,
    },

    /// The log does not end where the records to append were decided.
    #[error("the log ends at {end} instead of {expected}: something else has appended to it")]
    Conflict {
        /// The expected last offset.
        expected: u64,
        /// The log's last offset.
        end: u64,
    },

    /// A read starts beyond the end of the log: the reader has seen records that this log lacks.
    #[error(
        "record {offset} was requested, but the log ends at {end}: the log is older than the data \
        derived from it"
    )]
    BeyondEnd {
        /// The requested offset.
        offset: u64,
        /// The log's last offset.
        end: u64,
    },

    /// The requested record was dropped with its segment.
    #[error("record {offset} was dropped: the log starts at {first}")]
    Dropped {
        /// The requested offset.
        offset: u64,
        /// The first retained offset.
        first: u64,
    },

    /// Another process uses the data folder.
    #[error(
        "the data folder {} is in use by {}",
        .dir.display(),
        .pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    InUse {
        /// The data folder.
        dir: PathBuf,
        /// The id of that process, if its lock file has one.
        pid: Option<u32>,
    },
}

impl LogError {
    /// Whether the disk or a quota is full: the write can succeed once space is available.
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

    /// Adds the operation and the path to an I/O error; for use with `map_err`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

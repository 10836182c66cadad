//! Index errors.

use std::io;
use std::path::{Path, PathBuf};

use crate::domain::envelope::RecordError;
use crate::domain::error::{ServiceError, Unreadable};
use crate::log::LogError;
use crate::sst::SstError;

/// Index errors.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The store failed.
    #[error("the index's store failed: {0}")]
    Store(#[from] sled::Error),
    /// An I/O error.
    #[error("the index's {path}: {1}", path = .0.display())]
    Io(PathBuf, io::Error),
    /// The index contains invalid data.
    #[error("the index is broken: {0}")]
    Broken(&'static str),
    /// A file of the index is damaged.
    #[error("the index's file {} is damaged at byte {position}: {what}", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The position in the file.
        position: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The log has lost durable events.
    #[error(
        "{} reflects the log up to event {applied}, but the log ends at {end}: events that were \
         durable are missing from the log. Restore the log's folder (log/mutations) from where \
         its newest segments are; or, to give those events up, run `slugline rebuild index`, \
         which accepts the log as it is",
        .path.display()
    )]
    AheadOfLog {
        /// The overlay or base that is ahead.
        path: PathBuf,
        /// The offset that it reflects.
        applied: u64,
        /// The log's last offset.
        end: u64,
    },
    /// A value is not a valid protobuf message.
    #[error("the index or its log contains an invalid message: {0}")]
    Decode(#[from] prost::DecodeError),
    /// A record of the log is invalid.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A message is invalid.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A build was canceled.
    #[error("building a base of the index was canceled")]
    Stopped,
}

impl From<SstError> for IndexError {
    fn from(error: SstError) -> Self {
        match error {
            SstError::Io(path, error) => Self::Io(path, error),
            SstError::Damaged { file, position, what } => Self::Damaged { file, position, what },
            SstError::Stopped => Self::Stopped,
            SstError::Panicked => Self::Broken("writing a base panicked"),
        }
    }
}

impl From<IndexError> for ServiceError {
    fn from(error: IndexError) -> Self {
        Self::internal(error)
    }
}

impl IndexError {
    /// Whether the disk (or a quota) is full: a retry may succeed later.
    pub fn is_full(&self) -> bool {
        let kind = match self {
            Self::Store(sled::Error::Io(error)) | Self::Io(_, error) => error.kind(),
            _ => return false,
        };
        matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    /// Adds the path to an I/O error; for `map_err`.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io(path.to_owned(), error)
    }
}

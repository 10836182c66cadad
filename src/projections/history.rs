//! The read handle of the log of changes: what happened at an offset that the index names.

use std::sync::Arc;

use crate::domain::envelope::RecordError;
use crate::domain::event::Envelope;
use crate::log::{Log, LogError};

/// Why the past can't be told.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// It has no record at this offset.
    #[error("the log has no change at offset {0}")]
    Missing(u64),
    /// A record of it can't be read.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct History {
    log: Arc<Log>,
}

impl History {
    /// Over this log of changes.
    pub const fn new(log: Arc<Log>) -> Self {
        Self { log }
    }

    /// The change at an offset. It reads from the disk: not for a thread that others wait for.
    ///
    /// # Errors
    /// Where the log can't be read, or has no such record.
    pub fn change(&self, offset: u64) -> Result<Envelope, HistoryError> {
        let record = self.log.read_at(offset)?.ok_or(HistoryError::Missing(offset))?;
        let of = (offset, record.kind, record.version);
        Ok(Envelope::of_record(of, &record.payload)?)
    }
}

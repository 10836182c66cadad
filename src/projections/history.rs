//! Reads the mutation log by offset, for the offsets in the index.

use std::sync::Arc;

use crate::domain::envelope::RecordError;
use crate::domain::event::Envelope;
use crate::log::{Log, LogError};

/// Why a mutation could not be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log has no record at this offset.
    #[error("the log has no record at offset {0}")]
    Missing(u64),
    /// A record is invalid.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct History {
    log: Arc<dyn Log>,
}

impl History {
    /// Creates a reader over this mutation log.
    pub const fn new(log: Arc<dyn Log>) -> Self {
        Self { log }
    }

    /// The mutation at an offset. Reads from disk; call it on a blocking thread.
    ///
    /// # Errors
    /// If the log cannot be read, or has no such record.
    pub fn change(&self, offset: u64) -> Result<Envelope, HistoryError> {
        let record = self.log.read_at(offset)?.ok_or(HistoryError::Missing(offset))?;
        let of = (offset, record.kind, record.version);
        Ok(Envelope::of_record(of, &record.payload)?)
    }
}

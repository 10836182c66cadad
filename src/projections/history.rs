//! The read handle of the log of changes: what happened at an offset that the index names.

use std::sync::Arc;

use prost::Message;

use crate::domain::event::Envelope;
use crate::log::{Log, LogError};

/// Why the past can't be told.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A record of it makes no sense.
    #[error("the change at offset {0} can't be read: was it written by a newer slugline?")]
    Unreadable(u64),
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
        let record = self.log.read_at(offset)?.ok_or(HistoryError::Unreadable(offset))?;
        let envelope = Envelope::decode(record.payload.as_ref());
        envelope.map_err(|_| HistoryError::Unreadable(offset))
    }
}

//! Reads the mutation log by offset, for the offsets in the index.

use std::sync::Arc;

use crate::domain::error::{Result, ServiceError};
use crate::domain::event::Envelope;
use crate::log::Log;

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
    pub fn change(&self, offset: u64) -> Result<Envelope> {
        let missing = || format!("the log has no record at offset {offset}");
        let record = self.log.read_at(offset).map_err(ServiceError::internal)?;
        let record = record.ok_or_else(|| ServiceError::internal(missing()))?;
        let of = (offset, record.kind, record.version);
        Envelope::of_record(of, &record.payload).map_err(ServiceError::internal)
    }
}

//! Operator commands: reconcile, rebuild a projection, reclassify clicks.

use std::sync::Arc;

use super::analytics;
use crate::domain::error::{ErrorCode, ServiceError};
use crate::projections::clickhouse::UserAgentClassifier;
pub use crate::projections::clickhouse::{
    Compared, Extent, Operator, Reclassification, Reconciliation,
};
pub use crate::projections::index::Rebuilder;
pub use crate::projections::{OperatorError, RebuildState};

impl From<OperatorError> for ServiceError {
    fn from(error: OperatorError) -> Self {
        match error {
            OperatorError::Unavailable(absence) => analytics::unavailable(absence),
            OperatorError::Busy => {
                Self::new(ErrorCode::Conflict, "Such an operation is already running.")
            }
            OperatorError::CrawlerList(cause) => {
                let message = format!("The crawler list cannot be read: {cause}");
                Self::new(ErrorCode::CrawlerListUnavailable, message)
            }
            OperatorError::Failed(cause) => Self::internal(cause),
        }
    }
}

/// Operator commands. Cheap to clone.
#[derive(Clone)]
pub struct Operations {
    /// Of the analytics tables.
    pub analytics: Operator,
    /// Of the index.
    pub index: Rebuilder,
    /// Knows user agents.
    pub classifier: Arc<dyn UserAgentClassifier>,
}

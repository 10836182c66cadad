//! Operator commands: reconcile, rebuild a projection, reclassify clicks.

use std::sync::Arc;

use super::analytics;
use crate::domain::error::{ErrorCode, ServiceError};
use crate::projections::clickhouse::UserAgentClassifier;
pub use crate::projections::clickhouse::{
    Compared, Extent, Operator, Reclassification, Reconciliation,
};
pub use crate::projections::index::Rebuilder;
pub use crate::projections::{RebuildState, Refused};

impl From<Refused> for ServiceError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unavailable => analytics::unavailable(),
            Refused::Busy => {
                Self::new(ErrorCode::Conflict, "Such an operation is already running.")
            }
            Refused::NoList(cause) => {
                let message = format!("The crawler list cannot be read: {cause}");
                Self::new(ErrorCode::CrawlerListUnavailable, message)
            }
            Refused::Failed(cause) => Self::internal(cause),
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

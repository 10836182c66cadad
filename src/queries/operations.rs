//! Operator commands: reconcile, rebuild a projection, reclassify clicks.

use std::sync::Arc;

use crate::domain::ids::WorkspaceId;
pub use crate::projections::RebuildState;
pub use crate::projections::clickhouse::{Compared, Reclassification, Reconciliation};
use crate::projections::clickhouse::{Extent, Operator, Refused, UserAgentClassifier};
use crate::projections::index::Rebuilder;

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperationError {
    /// ClickHouse is unavailable.
    #[error("ClickHouse is unavailable")]
    Unavailable,
    /// Such an operation is already running.
    #[error("already running")]
    Busy,
    /// The crawler list cannot be reloaded; the text says why.
    #[error("{0}")]
    NoList(String),
    /// The operation failed; the text is for the operator.
    #[error("{0}")]
    Failed(String),
}

impl From<Refused> for OperationError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unavailable => Self::Unavailable,
            Refused::Busy => Self::Busy,
            Refused::Failed(cause) => Self::Failed(cause),
        }
    }
}

/// Operator commands. Cheap to clone.
#[derive(Clone)]
pub struct Operations {
    analytics: Operator,
    index: Rebuilder,
    classifier: Arc<dyn UserAgentClassifier>,
}

impl Operations {
    /// Over this projector and this index; `classifier` knows user agents.
    pub const fn new(
        analytics: Operator,
        index: Rebuilder,
        classifier: Arc<dyn UserAgentClassifier>,
    ) -> Self {
        Self { analytics, index, classifier }
    }

    /// Reloads the crawler list, and logs a reclassification of the user agents whose class has
    /// changed, for clicks since a time in milliseconds since the Unix epoch. A rebuild applies it.
    pub async fn reclassify(&self, since_ms: u64) -> Result<Reclassification, OperationError> {
        let classifier = Arc::clone(&self.classifier);
        let reloaded = tokio::task::spawn_blocking(move || classifier.reload()).await;
        let reloaded = reloaded.map_err(|error| OperationError::Failed(error.to_string()))?;
        reloaded.map_err(OperationError::NoList)?;
        Ok(self.analytics.reclassify(since_ms, Arc::clone(&self.classifier)).await?)
    }

    /// The offset of the click log up to which reclassifications are applied.
    pub fn reclassified_through(&self) -> u64 {
        self.analytics.reclassified_through()
    }

    /// Compares the counts in the whole log with ClickHouse, by month and workspace; optionally for
    /// one workspace.
    pub async fn reconcile(
        &self,
        workspace: Option<WorkspaceId>,
    ) -> Result<Reconciliation, OperationError> {
        let found = self.analytics.reconcile(Extent::Whole).await?;
        Ok(match workspace {
            Some(workspace) => found.of_workspace(workspace.uuid()),
            None => found,
        })
    }

    /// Starts a rebuild of the analytics tables.
    pub async fn rebuild_analytics(&self) -> Result<(), OperationError> {
        Ok(self.analytics.rebuild().await?)
    }

    /// Starts a rebuild of the index.
    pub fn rebuild_index(&self) -> Result<(), OperationError> {
        let begun = self.index.begin();
        let begun = begun.map_err(|error| OperationError::Failed(error.to_string()))?;
        if begun { Ok(()) } else { Err(OperationError::Busy) }
    }

    /// The state of the last rebuild of the index.
    pub fn index_rebuild(&self) -> RebuildState {
        self.index.state()
    }

    /// The state of the last rebuild of the analytics tables.
    pub fn analytics_rebuild(&self) -> RebuildState {
        self.analytics.rebuild_state()
    }
}

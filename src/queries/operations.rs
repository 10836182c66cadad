//! Operator commands: reconcile, rebuild a projection, reclassify clicks.

use std::sync::Arc;

use super::analytics;
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::ids::WorkspaceId;
pub use crate::projections::RebuildState;
pub use crate::projections::clickhouse::{Compared, Reclassification, Reconciliation};
use crate::projections::clickhouse::{Extent, Operator, Refused, UserAgentClassifier};
use crate::projections::index::Rebuilder;

impl From<Refused> for ServiceError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unavailable => analytics::unavailable(),
            Refused::Busy => already_running(),
            Refused::Failed(cause) => Self::internal(cause),
        }
    }
}

fn already_running() -> ServiceError {
    ServiceError::new(ErrorCode::Conflict, "Such an operation is already running.")
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
    pub async fn reclassify(&self, since_ms: u64) -> Result<Reclassification> {
        let classifier = Arc::clone(&self.classifier);
        let reloaded = tokio::task::spawn_blocking(move || classifier.reload()).await;
        let reloaded = reloaded.map_err(ServiceError::internal)?;
        reloaded.map_err(|cause| {
            let message = format!("The crawler list cannot be read: {cause}");
            ServiceError::new(ErrorCode::CrawlerListUnavailable, message)
        })?;
        Ok(self.analytics.reclassify(since_ms, Arc::clone(&self.classifier)).await?)
    }

    /// The offset of the click log up to which reclassifications are applied.
    pub fn reclassified_through(&self) -> u64 {
        self.analytics.reclassified_through()
    }

    /// Compares the counts in the whole log with ClickHouse, by month and workspace; optionally for
    /// one workspace.
    pub async fn reconcile(&self, workspace: Option<WorkspaceId>) -> Result<Reconciliation> {
        let found = self.analytics.reconcile(Extent::Whole).await?;
        Ok(match workspace {
            Some(workspace) => found.of_workspace(workspace.uuid()),
            None => found,
        })
    }

    /// Starts a rebuild of the analytics tables.
    pub async fn rebuild_analytics(&self) -> Result<()> {
        Ok(self.analytics.rebuild().await?)
    }

    /// Starts a rebuild of the index.
    pub fn rebuild_index(&self) -> Result<()> {
        let begun = self.index.begin();
        let begun = begun.map_err(ServiceError::internal)?;
        if begun { Ok(()) } else { Err(already_running()) }
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

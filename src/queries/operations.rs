//! What those who run the service ask of it: is everything counted once, and make a projection
//! anew.

use std::sync::Arc;

use crate::domain::ids::WorkspaceId;
pub use crate::projections::RebuildState;
pub use crate::projections::clickhouse::{Compared, Reclassification, Reconciliation};
use crate::projections::clickhouse::{Extent, Judge, Operator, Refused};
use crate::projections::index::Rebuilder;

/// Why a request came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperationError {
    /// ClickHouse is away.
    #[error("ClickHouse is away")]
    Away,
    /// Such a thing is under way.
    #[error("one is under way already")]
    Busy,
    /// The crawler list can't be read again; the text says why.
    #[error("{0}")]
    NoList(String),
    /// It went wrong; the text is for the operator.
    #[error("{0}")]
    Failed(String),
}

impl From<Refused> for OperationError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Away => Self::Away,
            Refused::Busy => Self::Busy,
            Refused::Failed(cause) => Self::Failed(cause),
        }
    }
}

/// The operators' way to the projections. Cheap to clone.
#[derive(Clone)]
pub struct Operations {
    analytics: Operator,
    index: Rebuilder,
    judge: Arc<dyn Judge>,
}

impl Operations {
    /// Over this projector and this index; `judge` knows user agents.
    pub const fn new(analytics: Operator, index: Rebuilder, judge: Arc<dyn Judge>) -> Self {
        Self { analytics, index, judge }
    }

    /// Reads the crawler list again, and has the log say which user agents are taken for something
    /// else now, for clicks since a moment, in milliseconds since the Unix epoch. A rebuild carries
    /// it out.
    pub async fn reclassify(&self, since_ms: u64) -> Result<Reclassification, OperationError> {
        let judge = Arc::clone(&self.judge);
        let renewed = tokio::task::spawn_blocking(move || judge.renew()).await;
        let renewed = renewed.map_err(|error| OperationError::Failed(error.to_string()))?;
        renewed.map_err(OperationError::NoList)?;
        Ok(self.analytics.reclassify(since_ms, Arc::clone(&self.judge)).await?)
    }

    /// Up to which offset of the click log reclassifications are carried out.
    pub fn reclassified_through(&self) -> u64 {
        self.analytics.reclassified_through()
    }

    /// Counts the whole log and ClickHouse, by month and workspace; of one workspace, or of all.
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

    /// Begins to make the analytics' tables anew.
    pub async fn rebuild_analytics(&self) -> Result<(), OperationError> {
        Ok(self.analytics.rebuild().await?)
    }

    /// Begins to make the index anew.
    pub fn rebuild_index(&self) -> Result<(), OperationError> {
        let begun = self.index.begin();
        let begun = begun.map_err(|error| OperationError::Failed(error.to_string()))?;
        if begun { Ok(()) } else { Err(OperationError::Busy) }
    }

    /// How the last rebuild of the index goes, or went.
    pub fn index_rebuild(&self) -> RebuildState {
        self.index.state()
    }

    /// How the last rebuild of the analytics goes, or went.
    pub fn analytics_rebuild(&self) -> RebuildState {
        self.analytics.rebuild_state()
    }
}

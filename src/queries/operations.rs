//! What those who run the service ask of it: is everything counted once, and make a projection
//! anew.

use crate::domain::ids::WorkspaceId;
pub use crate::projections::RebuildState;
pub use crate::projections::clickhouse::{Compared, Reconciliation};
use crate::projections::clickhouse::{Extent, Operator, Refused};
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
}

impl Operations {
    /// Over this projector and this index.
    pub const fn new(analytics: Operator, index: Rebuilder) -> Self {
        Self { analytics, index }
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

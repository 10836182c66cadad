//! The progress of a rebuild, and why an operator command fails.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The state of the last rebuild in this process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RebuildState {
    /// No rebuild was started.
    #[default]
    Idle,
    /// A rebuild is running.
    Running {
        /// The number of events processed.
        done: u64,
        /// The total number of events.
        total: u64,
    },
    /// The new projection is in use.
    Done {
        /// The number of events that it reflects.
        events: u64,
        /// The elapsed time.
        took: Duration,
    },
    /// The rebuild failed; the old projection is still in use.
    Failed(String),
}

/// A shared rebuild state.
#[derive(Debug, Clone, Default)]
pub struct RebuildProgress(Arc<Mutex<RebuildState>>);

impl RebuildProgress {
    /// The current state.
    pub fn state(&self) -> RebuildState {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets the state.
    pub fn set(&self, state: RebuildState) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Marks a rebuild as started, unless one is already running.
    pub fn begin(&self) -> Result<(), OperatorError> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, RebuildState::Running { .. }) {
            return Err(OperatorError::Busy);
        }
        *state = RebuildState::Running { done: 0, total: 0 };
        Ok(())
    }
}

/// Why an operator command failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperatorError {
    /// ClickHouse is unavailable; a sentence says why, if that is known.
    #[error("{}", .0.as_deref().unwrap_or("ClickHouse is unavailable"))]
    Unavailable(Option<String>),
    /// Such a command is already running.
    #[error("already running")]
    Busy,
    /// The crawler list cannot be reloaded; the text says why.
    #[error("{0}")]
    CrawlerList(String),
    /// The command failed; the text is for the operator.
    #[error("{0}")]
    Failed(String),
}

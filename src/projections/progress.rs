//! The progress of a rebuild.

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

    /// Marks a rebuild as started; `false` if one is already running.
    pub fn begin(&self) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_free = !matches!(*state, RebuildState::Running { .. });
        if is_free {
            *state = RebuildState::Running { done: 0, total: 0 };
        }
        is_free
    }
}

//! How a rebuild of a projection goes, or went.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What became of the last rebuild that this process was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RebuildState {
    /// None was asked for.
    #[default]
    Idle,
    /// It is under way: so many of so many events are done.
    Running {
        /// The events that are folded.
        done: u64,
        /// The events that there are to fold.
        total: u64,
    },
    /// The new projection is in use.
    Done {
        /// The events that it reflects.
        events: u64,
        /// How long it took.
        took: Duration,
    },
    /// It was given up; the old projection is in use still.
    Failed(String),
}

/// The state, seen from outside.
#[derive(Debug, Clone, Default)]
pub struct RebuildProgress(Arc<Mutex<RebuildState>>);

impl RebuildProgress {
    /// As it is at the moment.
    pub fn state(&self) -> RebuildState {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes how it goes.
    pub fn set(&self, state: RebuildState) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Marks it as begun; `false` when one is under way already.
    pub fn begin(&self) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_free = !matches!(*state, RebuildState::Running { .. });
        if is_free {
            *state = RebuildState::Running { done: 0, total: 0 };
        }
        is_free
    }
}

//! A rebuild: the next generation's tables are filled from the log while the present ones are
//! followed and read; when both are equally far, the new ones take over.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::ProjectionError;
use super::session::Session;

/// What became of the last rebuild that this process was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RebuildState {
    /// None was asked for.
    #[default]
    Idle,
    /// It is under way: so many of so many events are done.
    Running {
        /// The events that are in the new tables.
        done: u64,
        /// The events that are in the tables in use.
        total: u64,
    },
    /// The new tables are in use.
    Done {
        /// The events that they hold.
        events: u64,
        /// How long it took.
        took: Duration,
    },
    /// It was given up; the old tables are in use still.
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

    pub(super) fn set(&self, state: RebuildState) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Marks it as begun; `false` when one is under way already.
    pub(super) fn begin(&self) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_free = !matches!(*state, RebuildState::Running { .. });
        if is_free {
            *state = RebuildState::Running { done: 0, total: 0 };
        }
        is_free
    }
}

/// A rebuild under way.
pub struct Rebuild {
    next: Session,
    started: Instant,
}

impl Rebuild {
    /// Makes the new tables.
    pub async fn begin(current: &Session) -> Result<Self, ProjectionError> {
        let next = current.next_generation().await?;
        tracing::info!(generation = next.generation().number(), "the analytics are rebuilt");
        Ok(Self { next, started: Instant::now() })
    }

    /// Sends one more batch into the new tables, never further than the present ones are.
    /// Returns whether both are equally far now.
    pub async fn step(&mut self, current: &Session) -> Result<bool, ProjectionError> {
        if self.next.applied() < current.applied() {
            self.next.send_next(current.applied()).await?;
        }
        Ok(self.next.applied() == current.applied())
    }

    /// How far it is.
    pub const fn progress(&self, current: &Session) -> RebuildState {
        RebuildState::Running { done: self.next.applied(), total: current.applied() }
    }

    /// The new tables, and how long it took.
    pub fn finish(self) -> (Session, Duration) {
        (self.next, self.started.elapsed())
    }
}

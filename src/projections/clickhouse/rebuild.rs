//! A rebuild: fills the next generation's tables from the log while the current ones are updated
//! and read; when both have the same offset, the new ones are used.

use std::time::{Duration, Instant};

use super::ProjectionError;
use super::session::Session;
use crate::projections::RebuildState;

/// A running rebuild.
pub struct Rebuild {
    next: Session,
    started: Instant,
}

impl Rebuild {
    /// Creates the new tables.
    pub async fn begin(current: &Session) -> Result<Self, ProjectionError> {
        let next = current.next_generation().await?;
        tracing::info!(generation = next.generation.number(), "rebuilding the analytics");
        Ok(Self { next, started: Instant::now() })
    }

    /// Sends one batch to the new tables, never further than the current ones. Returns whether both
    /// have the same offset.
    pub async fn step(&mut self, current: &Session) -> Result<bool, ProjectionError> {
        if self.next.applied() < current.applied() {
            self.next.send_next(current.applied()).await?;
        }
        Ok(self.next.applied() == current.applied())
    }

    /// The progress.
    pub fn progress(&self, current: &Session) -> RebuildState {
        RebuildState::Running { done: self.next.applied(), total: current.applied() }
    }

    /// The new tables, and the elapsed time.
    pub fn finish(self) -> (Session, Duration) {
        (self.next, self.started.elapsed())
    }
}

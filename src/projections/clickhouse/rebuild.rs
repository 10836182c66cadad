//! A rebuild: the next generation's tables are filled from the log while the present ones are
//! followed and read; when both are equally far, the new ones take over.

use std::time::{Duration, Instant};

use super::ProjectionError;
use super::session::Session;
use crate::projections::RebuildState;

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

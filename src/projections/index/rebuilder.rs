//! A rebuild of the index that an operator asks for while the service runs.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use super::Index;
use crate::log::Log;
use crate::projections::{RebuildProgress, RebuildState, lower_priority};

/// Rebuilds the index from the log, one rebuild at a time. Cheap to clone.
#[derive(Clone)]
pub struct Rebuilder {
    index: Arc<Index>,
    log: Arc<Log>,
    progress: RebuildProgress,
}

impl Rebuilder {
    /// Of this index, from this log.
    pub fn new(index: Arc<Index>, log: Arc<Log>) -> Self {
        Self { index, log, progress: RebuildProgress::default() }
    }

    /// Begins, on a thread of its own; `false` when one is under way. Readers and the writer go
    /// on.
    pub fn begin(&self) -> std::io::Result<bool> {
        if !self.progress.begin() {
            return Ok(false);
        }
        let rebuilder = self.clone();
        let spawned = thread::Builder::new().name("index-rebuild".to_owned()).spawn(move || {
            lower_priority();
            rebuilder.run();
        });
        if let Err(error) = &spawned {
            self.progress.set(RebuildState::Failed(error.to_string()));
        }
        spawned.map(|_| true)
    }

    /// How the last one goes, or went.
    pub fn state(&self) -> RebuildState {
        self.progress.state()
    }

    fn run(&self) {
        let started = Instant::now();
        let noted = |done, total| self.progress.set(RebuildState::Running { done, total });
        let state = match self.index.rebuild(&self.log, &noted) {
            Ok(()) => {
                let (events, took) = (self.index.applied(), started.elapsed());
                tracing::info!(events, took_ms = took.as_millis(), "the rebuilt index is in use");
                RebuildState::Done { events, took }
            }
            Err(error) => {
                tracing::error!(%error, "the rebuild of the index failed; the old one stays");
                RebuildState::Failed(error.to_string())
            }
        };
        self.progress.set(state);
    }
}

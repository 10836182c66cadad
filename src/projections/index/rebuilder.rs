//! Rebuilds the index on request while the service runs.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use super::Index;
use crate::log::{Log, lower_priority};
use crate::projections::{OperatorError, RebuildProgress, RebuildState};

/// Rebuilds the index from the log, one rebuild at a time. Cheap to clone.
#[derive(Clone)]
pub struct Rebuilder {
    index: Arc<Index>,
    log: Arc<dyn Log>,
    progress: RebuildProgress,
}

impl Rebuilder {
    /// Creates a rebuilder of this index from this log.
    pub fn new(index: Arc<Index>, log: Arc<dyn Log>) -> Self {
        Self { index, log, progress: RebuildProgress::default() }
    }

    /// Starts a rebuild on its own thread. Readers and the writer continue.
    pub fn begin(&self) -> Result<(), OperatorError> {
        self.progress.begin()?;
        let rebuilder = self.clone();
        let spawned = thread::Builder::new().name("index-rebuild".to_owned()).spawn(move || {
            lower_priority();
            rebuilder.run();
        });
        spawned.map(drop).map_err(|error| {
            self.progress.set(RebuildState::Failed(error.to_string()));
            OperatorError::Failed(error.to_string())
        })
    }

    /// The state of the last rebuild.
    pub fn state(&self) -> RebuildState {
        self.progress.state()
    }

    fn run(&self) {
        let started = Instant::now();
        let report = |done, total| self.progress.set(RebuildState::Running { done, total });
        let state = match self.index.rebuild(&*self.log, &report) {
            Ok(()) => {
                let (events, took) = (self.index.applied(), started.elapsed());
                tracing::info!(
                    events,
                    took_seconds = took.as_secs_f64(),
                    "switched to the rebuilt index"
                );
                RebuildState::Done { events, took }
            }
            Err(error) => {
                tracing::error!(%error, "rebuilding the index failed; keeping the previous one");
                RebuildState::Failed(error.to_string())
            }
        };
        self.progress.set(state);
    }
}

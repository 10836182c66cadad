//! Writes the counted calls to the API to the log, about once a second.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::commands::Commands;
use crate::domain::command::Command;
use crate::domain::error::ErrorCode;
use crate::domain::ids::WorkspaceId;
use crate::domain::plan::command::BillingCommand;
use crate::domain::token::Actor;
use crate::http::api_meter::ApiMeter;
use crate::jobs::Scheduler;

/// A crash loses the calls since the last time.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// The number of workspaces whose calls are written at once.
const CONCURRENCY: usize = 256;

/// Writes the calls of a meter. Cheap to clone.
#[derive(Clone)]
pub struct ApiCallWriter {
    commands: Commands,
    meter: Arc<ApiMeter>,
    /// Held while calls are written.
    writing: Arc<Mutex<()>>,
}

impl ApiCallWriter {
    /// Writes calls periodically.
    pub fn start(scheduler: &mut Scheduler, commands: Commands, meter: Arc<ApiMeter>) -> Self {
        let writer = Self { commands, meter, writing: Arc::default() };
        let state = writer.clone();
        scheduler.every("api-calls", [WRITE_EVERY; 2], state, |writer| async move {
            writer.write().await;
        });
        writer
    }

    /// Writes the calls that were counted so far. Those that cannot be written are kept.
    pub async fn write(&self) {
        let _writing = self.writing.lock().await;
        let mut failed = None;
        for some in self.meter.take_all().chunks(CONCURRENCY) {
            let mut writes = JoinSet::new();
            for (workspace, calls) in some.iter().copied() {
                writes.spawn(self.clone().write_one(workspace, calls));
            }
            while let Some(written) = writes.join_next().await {
                failed = written.map_err(|error| error.to_string()).flatten().err().or(failed);
            }
        }
        if let Some(error) = failed {
            tracing::warn!(error, "cannot write the number of API calls; retrying");
        }
    }

    async fn write_one(self, workspace: WorkspaceId, calls: u64) -> Result<(), String> {
        let command = Command::Billing(BillingCommand::CountApiCalls(calls));
        let written = self.commands.run(Actor::operator(workspace), command, None).await;
        let error = written.err().filter(|error| error.code != ErrorCode::NotFound);
        self.meter.settle(workspace, error.is_none());
        error.map_or(Ok(()), |error| Err(error.to_string()))
    }
}

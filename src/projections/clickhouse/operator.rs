//! Operator commands for the projector.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};

use super::backup::ExportedRows;
use super::reclassify::{Reclassification, UserAgentClassifier};
use super::reconcile::{Extent, Reconciliation};
use super::status::Status;
use crate::projections::{OperatorError, RebuildProgress, RebuildState};

/// The timeout of a command: counting a long log takes a while.
const TIMEOUT: Duration = Duration::from_secs(3_600);

/// A command and its reply channel.
pub(super) enum Request {
    /// Compare ClickHouse with the log.
    Reconcile(Extent, oneshot::Sender<Result<Reconciliation, OperatorError>>),
    /// Export the rows that only ClickHouse has.
    Export(oneshot::Sender<Result<ExportedRows, OperatorError>>),
    /// Start a rebuild of the tables.
    Rebuild(oneshot::Sender<Result<(), OperatorError>>),
    /// Reclassify the user agents of clicks since a time, in milliseconds since the Unix epoch.
    Reclassify(
        u64,
        Arc<dyn UserAgentClassifier>,
        oneshot::Sender<Result<Reclassification, OperatorError>>,
    ),
}

/// Sends commands to the projector. Cheap to clone.
#[derive(Clone)]
pub struct Operator {
    requests: mpsc::Sender<Request>,
    rebuild: RebuildProgress,
    status: Arc<Status>,
    /// Held during a reconciliation: one at a time.
    reconciling: Arc<Mutex<()>>,
    /// Held during a reclassification.
    reclassifying: Arc<Mutex<()>>,
}

impl Operator {
    pub(super) fn new(
        requests: mpsc::Sender<Request>,
        rebuild: RebuildProgress,
        status: Arc<Status>,
    ) -> Self {
        let (reconciling, reclassifying) = (Arc::default(), Arc::default());
        Self { requests, rebuild, status, reconciling, reclassifying }
    }

    /// Compares ClickHouse with the log.
    pub async fn reconcile(&self, extent: Extent) -> Result<Reconciliation, OperatorError> {
        let _one_at_a_time = self.reconciling.try_lock().map_err(|_| OperatorError::Busy)?;
        self.send(|answer| Request::Reconcile(extent, answer)).await
    }

    /// Starts to rebuild the tables from the log, beside those in use.
    pub async fn rebuild(&self) -> Result<(), OperatorError> {
        self.send(Request::Rebuild).await
    }

    /// Exports the rows that only ClickHouse has, because the log has dropped their clicks, into
    /// [`EXPORTED`](super::backup::EXPORTED) in the data folder.
    pub async fn export_rows(&self) -> Result<ExportedRows, OperatorError> {
        self.send(Request::Export).await
    }

    /// Reloads the crawler list, and reclassifies the user agents of clicks since a time, in
    /// milliseconds since the Unix epoch. On return, the changes are in the log; a rebuild applies them.
    pub async fn reclassify(
        &self,
        since_ms: u64,
        classifier: Arc<dyn UserAgentClassifier>,
    ) -> Result<Reclassification, OperatorError> {
        let reloaded = Arc::clone(&classifier);
        let reloaded = tokio::task::spawn_blocking(move || reloaded.reload()).await;
        let reloaded = reloaded.map_err(|error| OperatorError::Failed(error.to_string()))?;
        reloaded.map_err(OperatorError::CrawlerList)?;
        let _one_at_a_time = self.reclassifying.try_lock().map_err(|_| OperatorError::Busy)?;
        // Wait until the clicks have the classes to compare with.
        let all = tokio::time::timeout(TIMEOUT, self.status.all_reclassified()).await;
        all.map_err(|_| OperatorError::Busy)?;
        self.send(|answer| Request::Reclassify(since_ms, classifier, answer)).await
    }

    /// The offset of the click log up to which reclassifications are applied.
    pub fn reclassified_through(&self) -> u64 {
        self.status.reclassified_through()
    }

    /// The state of the last rebuild.
    pub fn rebuild_state(&self) -> RebuildState {
        self.rebuild.state()
    }

    async fn send<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, OperatorError>>) -> Request,
    ) -> Result<T, OperatorError> {
        if !self.status.is_connected() {
            return Err(OperatorError::Unavailable(self.status.absence()));
        }
        let (answer, reply) = oneshot::channel();
        self.requests.try_send(request(answer)).map_err(|_| OperatorError::Busy)?;
        match tokio::time::timeout(TIMEOUT, reply).await {
            Ok(Ok(answer)) => answer,
            // The command was dropped with the connection, or timed out.
            Ok(Err(_)) | Err(_) => Err(OperatorError::Unavailable(None)),
        }
    }
}

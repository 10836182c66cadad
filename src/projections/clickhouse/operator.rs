//! What those who run the service may ask of the projector.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};

use super::reclassify::{Judge, Reclassification};
use super::reconcile::{Extent, Reconciliation};
use super::status::Status;
use crate::projections::{RebuildProgress, RebuildState};

/// How long an answer is waited for: a long log takes its time to be counted.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// A request, and where its answer goes.
pub(super) enum Request {
    /// Compare ClickHouse with the log.
    Reconcile(Extent, oneshot::Sender<Result<Reconciliation, Refused>>),
    /// Begin to rebuild the tables.
    Rebuild(oneshot::Sender<Result<(), Refused>>),
    /// Judge anew the user agents of clicks since a moment, in milliseconds since the Unix epoch.
    Reclassify(u64, Arc<dyn Judge>, oneshot::Sender<Result<Reclassification, Refused>>),
}

/// Why a request came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// ClickHouse is away.
    #[error("ClickHouse is away")]
    Away,
    /// Such a thing is under way.
    #[error("one is under way already")]
    Busy,
    /// It went wrong.
    #[error("{0}")]
    Failed(String),
}

/// The way to the projector. Cheap to clone.
#[derive(Clone)]
pub struct Operator {
    requests: mpsc::Sender<Request>,
    rebuild: RebuildProgress,
    status: Arc<Status>,
    /// Held while the log is counted for somebody: one at a time.
    reconciling: Arc<Mutex<()>>,
    /// And while agents are judged.
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
    pub async fn reconcile(&self, extent: Extent) -> Result<Reconciliation, Refused> {
        let _one_at_a_time = self.reconciling.try_lock().map_err(|_| Refused::Busy)?;
        self.ask(|answer| Request::Reconcile(extent, answer)).await
    }

    /// Begins to rebuild the tables of ClickHouse from the log, beside those in use.
    pub async fn rebuild(&self) -> Result<(), Refused> {
        self.ask(Request::Rebuild).await
    }

    /// Has user agents judged anew of which there are clicks since a moment, in milliseconds since
    /// the Unix epoch. What is otherwise is in the log when this returns, and is carried out by a
    /// rebuild thereafter.
    pub async fn reclassify(
        &self,
        since_ms: u64,
        judge: Arc<dyn Judge>,
    ) -> Result<Reclassification, Refused> {
        let _one_at_a_time = self.reclassifying.try_lock().map_err(|_| Refused::Busy)?;
        // What the clicks count for now is what a judgement is compared with.
        let all = tokio::time::timeout(PATIENCE, self.status.all_reclassified()).await;
        all.map_err(|_| Refused::Busy)?;
        self.ask(|answer| Request::Reclassify(since_ms, judge, answer)).await
    }

    /// Up to which offset of the click log reclassifications are carried out.
    pub fn reclassified_through(&self) -> u64 {
        self.status.reclassified_through()
    }

    /// What became of the last rebuild.
    pub fn rebuild_state(&self) -> RebuildState {
        self.rebuild.state()
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, Refused>>) -> Request,
    ) -> Result<T, Refused> {
        if !self.status.is_connected() {
            return Err(Refused::Away);
        }
        let (answer, answered) = oneshot::channel();
        self.requests.try_send(request(answer)).map_err(|_| Refused::Busy)?;
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(answer)) => answer,
            // The request was dropped with the connection, or nobody came to take it.
            Ok(Err(_)) | Err(_) => Err(Refused::Away),
        }
    }
}

//! The tasks besides sending batches, while ClickHouse is connected.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::ProjectionError;
use super::generation::Generation;
use super::rebuild::Rebuild;
use super::reconcile::Reconciliation;
use super::removal::Removal;
use super::session::Session;
use super::status::{Watermarks, now_ms};
use crate::projections::OperatorError;

/// How long the tables that a rebuild replaced are kept for running queries: longer than any query
/// may take.
const RETIRED_RETENTION: Duration = Duration::from_secs(60);
/// The delay before a failed amendment is retried.
const AMEND_RETRY_DELAY: Duration = Duration::from_secs(60);

/// The session and the tasks besides sending batches.
pub struct BackgroundTasks {
    /// The session that sends batches.
    pub session: Session,
    /// The running rebuild.
    pub rebuild: Option<Rebuild>,
    /// The running removal.
    pub removal: Option<Removal>,
    /// The running export. Until it ends, nothing but sent batches may change the tables.
    pub export: Option<JoinHandle<()>>,
    /// When the next removal or automatic rebuild may start.
    amend_after: Instant,
    /// Replaced tables, and when to drop them.
    retired: Option<(Generation, Instant)>,
    /// Receives the result of the check after the start.
    pub check: Option<oneshot::Receiver<Result<Reconciliation, OperatorError>>>,
    /// Used to compute the lag of the tables.
    pub watermarks: Watermarks,
}

impl BackgroundTasks {
    /// Without tasks yet.
    pub fn of(session: Session) -> Self {
        Self {
            session,
            rebuild: None,
            removal: None,
            export: None,
            amend_after: Instant::now(),
            retired: None,
            check: None,
            watermarks: Watermarks::default(),
        }
    }

    /// Whether no rebuild and no removal is running.
    pub const fn are_idle(&self) -> bool {
        self.rebuild.is_none() && self.removal.is_none()
    }

    /// Whether an export is running.
    pub fn is_exporting(&self) -> bool {
        self.export.as_ref().is_some_and(|export| !export.is_finished())
    }

    /// Whether amendments may be applied; not too soon after a failure.
    pub fn may_amend(&self) -> bool {
        Instant::now() >= self.amend_after && !self.is_exporting()
    }

    /// Delays amendments after a failure.
    pub fn delay_amendments(&mut self) {
        self.amend_after = Instant::now() + AMEND_RETRY_DELAY;
    }

    /// Starts to remove the clicks of deleted links, if that is due and no removal is running.
    pub async fn begin_removal(&mut self) {
        if self.removal.is_none() && !self.is_exporting() {
            let result = self.session.begin_removal(now_ms()).await;
            self.removal = self.or_later(result).flatten();
        }
    }

    /// Runs the next step of a removal, if one is running.
    pub async fn step_removal(&mut self) {
        let Some(mut removal) = self.removal.take() else { return };
        let result = self.session.step_removal(&mut removal).await;
        if self.or_later(result) == Some(false) {
            self.removal = Some(removal);
        }
    }

    /// Runs a removal to its end.
    pub async fn finish_removal(&mut self) {
        while self.removal.is_some() {
            self.step_removal().await;
        }
    }

    /// A failed removal is retried later. Sending continues, unless ClickHouse is unavailable.
    fn or_later<T>(&mut self, result: Result<T, ProjectionError>) -> Option<T> {
        result
            .inspect_err(|error| {
                tracing::error!(%error, "cannot remove the clicks of deleted links; reports exclude them");
                self.delay_amendments();
            })
            .ok()
    }

    /// Drops replaced tables now.
    pub async fn drop_retired_now(&mut self) -> Result<(), ProjectionError> {
        let Some((generation, _)) = self.retired.take() else { return Ok(()) };
        generation.drop_tables(&self.session.client).await
    }

    /// Marks tables as replaced.
    pub fn retire(&mut self, generation: Generation) {
        self.retired = Some((generation, Instant::now() + RETIRED_RETENTION));
    }

    /// Drops replaced tables once no query can be reading them.
    pub async fn drop_retired(&mut self) -> Result<(), ProjectionError> {
        match self.retired {
            Some((_, at)) if Instant::now() >= at => self.drop_retired_now().await,
            _ => Ok(()),
        }
    }
}

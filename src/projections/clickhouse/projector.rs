//! The projector: sends the click log batch by batch for as long as the service runs, and runs
//! operator commands between batches.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::ProjectionError;
use super::background_tasks::BackgroundTasks;
use super::backup::{self, ExportedRows};
use super::connection::{ClickHouse, Reading, Target};
use super::operator::{Operator, Request};
use super::plan::PlanFile;
use super::rebuild::Rebuild;
use super::reclassify::reclassify;
use super::reconcile::{Extent, Reconciliation, Stored, TallyFiles};
use super::retention::Retention;
use super::session::Session;
use super::status::{Status, now_ms};
use crate::log::{Backoff, Log};
use crate::projections::{DeletionWatch, OperatorError, RebuildProgress, RebuildState};

/// The polling interval of the log, and so how long clicks are collected at low load.
const POLL: Duration = Duration::from_millis(200);
/// How long clicks are collected at high load: one large batch costs ClickHouse much less than
/// several small ones, and a click still becomes visible well within two seconds.
const POLL_BUSY: Duration = Duration::from_secs(1);
/// How long clicks are collected while the projection lags, as at saturation. Sending takes longest
/// then, so batches are large anyway.
const POLL_LAGGING: Duration = Duration::from_millis(500);
/// The minimum lag for that, in milliseconds.
const LAGGING_MS: u64 = 1_500;
/// The minimum number of records in a batch for high load.
const BUSY_RECORDS: usize = 1_000;
/// The maximum number of queued operator commands.
const REQUESTS: usize = 8;

/// Projects the click log into ClickHouse.
pub struct Projector {
    log: Arc<dyn Log>,
    data: PathBuf,
    plan_file: PlanFile,
    tally_files: TallyFiles,
    status: Arc<Status>,
    rebuild_progress: RebuildProgress,
    targets: watch::Receiver<Option<Target>>,
    reading: watch::Sender<Option<Reading>>,
    forgotten: DeletionWatch,
    requests: mpsc::Receiver<Request>,
    request_sender: mpsc::Sender<Request>,
    stop: watch::Receiver<bool>,
    /// Whether ClickHouse was reconciled with the log since the start and the last lost connection.
    is_checked: bool,
}

impl Projector {
    /// Stores its state in the folder `data`. `forgotten` tells which link deletions the log
    /// contains; `targets` is the current address of ClickHouse; `stop` ends the run once the log
    /// is projected or ClickHouse is unavailable.
    pub fn new(
        log: Arc<dyn Log>,
        data: &Path,
        forgotten: DeletionWatch,
        targets: watch::Receiver<Option<Target>>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let (request_sender, requests) = mpsc::channel(REQUESTS);
        Self {
            log,
            data: data.to_owned(),
            plan_file: PlanFile::new(data.join("clickhouse.plan")),
            tally_files: TallyFiles::new(data),
            status: Arc::new(Status::new()),
            rebuild_progress: RebuildProgress::default(),
            targets,
            reading: watch::Sender::new(None),
            forgotten,
            requests,
            request_sender,
            stop,
            is_checked: false,
        }
    }

    /// The handle for reads, valid while the projector runs.
    pub fn clickhouse(&self) -> ClickHouse {
        ClickHouse {
            reading: self.reading.subscribe(),
            status: Arc::clone(&self.status),
            log: Arc::clone(&self.log),
            forgotten: self.forgotten.clone(),
        }
    }

    /// The handle for operator commands.
    pub fn operator(&self) -> Operator {
        Operator::new(
            self.request_sender.clone(),
            self.rebuild_progress.clone(),
            Arc::clone(&self.status),
        )
    }

    /// A task that drops clicks older than `age` from the log.
    pub fn retention(&self, age: Duration) -> Retention {
        let (log, files) = (Arc::clone(&self.log), self.tally_files.clone());
        Retention::new(log, files, Arc::clone(&self.status), self.operator(), age)
    }

    /// Runs until it is stopped.
    pub async fn run(mut self) {
        let mut retry = Backoff::default();
        while let Some(target) = self.target().await {
            let Err(error) = self.run_session(&target).await else { return };
            self.reading.send_replace(None);
            // A server that was killed may have lost rows.
            self.is_checked = false;
            if self.status.set_connected(false) {
                retry.reset();
            }
            let delay = retry.next_delay();
            tracing::warn!(%error, ?target, retry_seconds = delay.as_secs_f64(), "ClickHouse is unavailable; clicks stay in the log");
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                _ = self.targets.changed() => {}
                _ = self.stop.changed() => {}
            }
        }
    }

    /// Waits until ClickHouse has an address; `None` if stopped before.
    async fn target(&mut self) -> Option<Target> {
        tokio::select! {
            biased;
            _ = self.stop.wait_for(|stop| *stop) => None,
            target = self.targets.wait_for(Option::is_some) => target.ok()?.clone(),
        }
    }

    /// Projects until it is stopped or fails.
    async fn run_session(&mut self, target: &Target) -> Result<(), ProjectionError> {
        let (plan_file, restored) = (self.plan_file.clone(), self.data.join(backup::RESTORED));
        let status = Arc::clone(&self.status);
        let session = Session::resume(target, &self.log, plan_file, &restored, status).await?;
        self.status.set_applied(session.applied());
        self.status.set_connected(true);
        self.publish(&session);
        tracing::info!(?target, applied = session.applied(), "ClickHouse is up");
        let mut tasks = BackgroundTasks::of(session);
        let result = self.run_tasks(target, &mut tasks).await;
        if tasks.rebuild.is_some() {
            let text =
                "the connection to ClickHouse was lost; start again when it is back".to_owned();
            self.rebuild_progress.set(RebuildState::Failed(text));
        }
        result
    }

    /// Publishes the tables in use.
    fn publish(&self, session: &Session) {
        self.reading.send_replace(Some(session.reading()));
    }

    /// Sends batches when they are due, and does everything else between two batches, when the
    /// offset of the tables is known exactly.
    async fn run_tasks(
        &mut self,
        target: &Target,
        tasks: &mut BackgroundTasks,
    ) -> Result<(), ProjectionError> {
        let mut due = Instant::now();
        loop {
            if Instant::now() >= due {
                let Some(delay) = self.send_batch(tasks).await? else { return Ok(()) };
                due = Instant::now() + delay;
            }
            while let Ok(request) = self.requests.try_recv() {
                self.answer(request, tasks).await?;
            }
            self.step_tasks(tasks).await?;
            if tasks.are_idle() {
                tokio::select! {
                    () = tokio::time::sleep_until(due) => {}
                    _ = self.stop.changed() => due = Instant::now(),
                    Some(request) = self.requests.recv() => self.answer(request, tasks).await?,
                }
            }
            if self.targets.has_changed().unwrap_or(false)
                && self.targets.borrow_and_update().as_ref() != Some(target)
            {
                return Err(ProjectionError::Restarted);
            }
        }
    }

    /// Sends a batch of synced records. Returns how long to collect clicks for the next one; `None`
    /// if it is stopped and all records are sent.
    async fn send_batch(
        &mut self,
        tasks: &mut BackgroundTasks,
    ) -> Result<Option<Duration>, ProjectionError> {
        // Read before the end of the log: later records wait for the next start.
        let is_stopping = *self.stop.borrow();
        tasks.watermarks.note(self.log.end(), now_ms());
        let synced = self.log.synced();
        let sent = tasks.session.send_next(synced).await?;
        let applied = tasks.session.applied();
        self.status.set_applied(applied);
        if let Some(at_ms) = tasks.watermarks.reached(applied) {
            self.status.set_complete(at_ms);
        }
        if applied < synced {
            // The rest of the available records starts another batch.
            return Ok(Some(Duration::ZERO));
        }
        self.reconcile_once(tasks).await?;
        if is_stopping {
            return Ok(None);
        }
        self.amend(tasks).await?;
        Ok(Some(self.batch_delay(sent)))
    }

    /// How long to collect clicks after a last batch of this size.
    fn batch_delay(&self, sent: usize) -> Duration {
        if sent < BUSY_RECORDS {
            POLL
        } else if self.status.as_of(self.log.end()).lag_ms < LAGGING_MS {
            POLL_BUSY
        } else {
            POLL_LAGGING
        }
    }

    /// Runs the next step of each background task.
    async fn step_tasks(&mut self, tasks: &mut BackgroundTasks) -> Result<(), ProjectionError> {
        self.rebuild_if_different(tasks).await?;
        self.step_rebuild(tasks).await;
        tasks.step_removal().await;
        tasks.drop_retired().await
    }

    /// Starts to apply pending amendments.
    async fn amend(&self, tasks: &mut BackgroundTasks) -> Result<(), ProjectionError> {
        if !tasks.may_amend() {
            return Ok(());
        }
        tasks.begin_removal().await;
        if tasks.session.needs_rebuild() && tasks.rebuild.is_none() {
            tracing::info!("user agents were reclassified; rebuilding the analytics");
            let _already_running = self.begin_rebuild(tasks).await?;
        }
        Ok(())
    }
}

/// Operator commands and reconciliation.
impl Projector {
    async fn answer(
        &mut self,
        request: Request,
        tasks: &mut BackgroundTasks,
    ) -> Result<(), ProjectionError> {
        match request {
            Request::Reconcile(extent, answer) => {
                // The rollups are inconsistent during a removal.
                tasks.finish_removal().await;
                self.reconcile(&tasks.session, extent, answer).await
            }
            Request::Export(answer) => {
                self.begin_export(tasks, answer).await;
                Ok(())
            }
            Request::Reclassify(since_ms, classifier, answer) => {
                let client = tasks.session.client.clone();
                let tables = tasks.session.generation;
                let log = Arc::clone(&self.log);
                tokio::spawn(async move {
                    let found = reclassify(client, tables, log, classifier, since_ms).await;
                    let found = found.map_err(|error| OperatorError::Failed(error.to_string()));
                    let _receiver_dropped = answer.send(found);
                });
                Ok(())
            }
            Request::Rebuild(answer) => {
                let _receiver_dropped = answer.send(self.begin_rebuild(tasks).await?);
                Ok(())
            }
        }
    }

    /// Starts to export the rows that only ClickHouse has. Amendments wait until it is done, and a
    /// rebuild is not started.
    async fn begin_export(
        &self,
        tasks: &mut BackgroundTasks,
        answer: oneshot::Sender<Result<ExportedRows, OperatorError>>,
    ) {
        // Of an interrupted removal, some tables have the result and others do not.
        tasks.begin_removal().await;
        tasks.finish_removal().await;
        if tasks.rebuild.is_some() || tasks.is_exporting() {
            let _receiver_dropped = answer.send(Err(OperatorError::Busy));
            return;
        }
        let (client, tables) = (tasks.session.client.clone(), tasks.session.generation);
        let rows = ExportedRows::of_log(self.log.id(), self.log.first());
        let folder = self.data.join(backup::EXPORTED);
        tasks.export = Some(tokio::spawn(async move {
            let exported = backup::export(&client, tables, &rows, &folder).await;
            let exported = exported.map_err(|error| OperatorError::Failed(error.to_string()));
            let _receiver_dropped = answer.send(exported.map(|()| rows));
        }));
    }

    /// Reconciles ClickHouse with the log once after each connection, when it is up to date.
    async fn reconcile_once(&mut self, tasks: &mut BackgroundTasks) -> Result<(), ProjectionError> {
        if !self.is_checked {
            // The rollups are inconsistent after an interrupted removal.
            tasks.begin_removal().await;
            tasks.finish_removal().await;
            let (answer, check) = oneshot::channel();
            self.reconcile(&tasks.session, Extent::SinceLast, answer).await?;
            self.is_checked = true;
            tasks.check = Some(check);
        }
        Ok(())
    }

    /// Counts the rows in ClickHouse now, and the log's clicks in the background.
    async fn reconcile(
        &self,
        session: &Session,
        extent: Extent,
        answer: oneshot::Sender<Result<Reconciliation, OperatorError>>,
    ) -> Result<(), ProjectionError> {
        let stored = Stored::count(&session.client, session.generation).await?;
        let through = session.applied();
        let (log, files) = (Arc::clone(&self.log), self.tally_files.clone());
        let status = Arc::clone(&self.status);
        tokio::task::spawn_blocking(move || {
            let found = files.reconcile(&*log, &stored, through, extent);
            let found = found.map_err(|error| OperatorError::Failed(error.to_string()));
            if let Ok(found) = &found {
                status.set_reconciled(found);
            }
            let _receiver_dropped = answer.send(found);
        });
        Ok(())
    }
}

/// Rebuilds.
impl Projector {
    /// Rebuilds the tables if the check after the start found differences: a power failure may have cost ClickHouse
    /// acknowledged rows.
    async fn rebuild_if_different(
        &self,
        tasks: &mut BackgroundTasks,
    ) -> Result<(), ProjectionError> {
        if tasks.is_exporting() {
            return Ok(());
        }
        let Some(check) = &mut tasks.check else { return Ok(()) };
        let found = match check.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => return Ok(()),
            found => found,
        };
        tasks.check = None;
        if matches!(found, Ok(Ok(found)) if found.differences() > 0) {
            tracing::warn!("the analytics differ from the log; rebuilding them");
            let _already_running = self.begin_rebuild(tasks).await?;
        }
        Ok(())
    }

    /// Starts a rebuild.
    async fn begin_rebuild(
        &self,
        tasks: &mut BackgroundTasks,
    ) -> Result<Result<(), OperatorError>, ProjectionError> {
        if tasks.is_exporting() {
            return Ok(Err(OperatorError::Busy));
        }
        if let Err(refused) = self.rebuild_progress.begin() {
            return Ok(Err(refused));
        }
        match Rebuild::begin(&tasks.session).await {
            Ok(rebuild) => tasks.rebuild = Some(rebuild),
            Err(error) => {
                self.rebuild_progress.set(RebuildState::Failed(error.to_string()));
                return Err(error);
            }
        }
        Ok(Ok(()))
    }

    /// Runs the next step of a rebuild, if one is running. An error only affects the rebuild.
    async fn step_rebuild(&mut self, tasks: &mut BackgroundTasks) {
        let Some(rebuild) = &mut tasks.rebuild else { return };
        let result = match rebuild.step(&tasks.session).await {
            Ok(false) => {
                self.rebuild_progress.set(rebuild.progress(&tasks.session));
                return;
            }
            Ok(true) => self.take_over(tasks).await,
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            tracing::error!(%error, "rebuilding the analytics failed; keeping the previous tables");
            tasks.rebuild = None;
            tasks.delay_amendments();
            self.rebuild_progress.set(RebuildState::Failed(error.to_string()));
        }
    }

    /// Switches to the rebuilt tables.
    async fn take_over(&self, tasks: &mut BackgroundTasks) -> Result<(), ProjectionError> {
        let Some(rebuild) = tasks.rebuild.take() else { return Ok(()) };
        let (mut session, took) = rebuild.finish();
        // Tasks of the old tables are repeated in the new ones.
        tasks.removal = None;
        session.put_in_use(self.plan_file.clone()).await?;
        self.publish(&session);
        session.publish_reclassified();
        tasks.drop_retired_now().await?;
        let retired = std::mem::replace(&mut tasks.session, session);
        tasks.retire(retired.generation);
        let events = tasks.session.applied();
        tracing::info!(
            events,
            took_seconds = took.as_secs_f64(),
            "the rebuilt analytics are in use"
        );
        self.rebuild_progress.set(RebuildState::Done { events, took });
        Ok(())
    }
}

//! The projector: follows the click log, batch by batch, for as long as the service lives; and
//! between two batches does what an operator asks for.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::ProjectionError;
use super::background_tasks::BackgroundTasks;
use super::connection::{ClickHouse, Reading, Target};
use super::operator::{Operator, Refused, Request};
use super::plan::PlanFile;
use super::rebuild::Rebuild;
use super::reclassify::reclassify;
use super::reconcile::{Extent, Reconciliation, Stored, TallyFiles};
use super::retention::Retention;
use super::session::Session;
use super::status::{Status, now_ms};
use crate::log::Log;
use crate::projections::{Forgotten, RebuildProgress, RebuildState};

/// How often the log's end is looked at, and so how long the clicks of a quiet time gather.
const POLL: Duration = Duration::from_millis(200);
/// How long they gather when there are many: one large batch costs ClickHouse much less than
/// several small ones, and a click is still seen well within two seconds.
const POLL_BUSY: Duration = Duration::from_secs(1);
/// How long they gather while the projection lags, and so at saturation: what a batch costs beside
/// its clicks is shared by more of them.
const POLL_LAGGING: Duration = Duration::from_secs(2);
/// From this lag on, in milliseconds.
const LAGGING_MS: u64 = 1_500;
/// From how many records on a batch tells of a busy time.
const BUSY_RECORDS: usize = 1_000;
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LAST_RETRY: Duration = Duration::from_secs(5);
/// How many requests of operators may wait.
const REQUESTS: usize = 8;

/// Follows the click log into ClickHouse.
pub struct Projector {
    log: Arc<Log>,
    plan_file: PlanFile,
    tally_files: TallyFiles,
    status: Arc<Status>,
    rebuild_progress: RebuildProgress,
    targets: watch::Receiver<Option<Target>>,
    reading: watch::Sender<Option<Reading>>,
    forgotten: Forgotten,
    requests: mpsc::Receiver<Request>,
    requesting: mpsc::Sender<Request>,
    stop: watch::Receiver<bool>,
    /// Whether ClickHouse was compared with the log since the start.
    is_checked: bool,
}

impl Projector {
    /// Keeps what it has to remember in the folder `data`. `forgotten` tells which deleted links the
    /// log has; `targets` says where ClickHouse is at
    /// the moment; `stop` ends the run once the log is projected, or ClickHouse is away.
    pub fn new(
        log: Arc<Log>,
        data: &Path,
        forgotten: Forgotten,
        targets: watch::Receiver<Option<Target>>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let (requesting, requests) = mpsc::channel(REQUESTS);
        Self {
            log,
            plan_file: PlanFile::new(data.join("clickhouse.plan")),
            tally_files: TallyFiles::new(data),
            status: Arc::new(Status::new()),
            rebuild_progress: RebuildProgress::default(),
            targets,
            reading: watch::Sender::new(None),
            forgotten,
            requests,
            requesting,
            stop,
            is_checked: false,
        }
    }

    /// The handle to read with; stays good while it runs.
    pub fn clickhouse(&self) -> ClickHouse {
        ClickHouse {
            reading: self.reading.subscribe(),
            status: Arc::clone(&self.status),
            log: Arc::clone(&self.log),
            forgotten: self.forgotten.clone(),
        }
    }

    /// The handle of those who run the service.
    pub fn operator(&self) -> Operator {
        Operator::new(
            self.requesting.clone(),
            self.rebuild_progress.clone(),
            Arc::clone(&self.status),
        )
    }

    /// What drops clicks from the log that are older than `age`.
    pub fn retention(&self, age: Duration) -> Retention {
        let (log, files) = (Arc::clone(&self.log), self.tally_files.clone());
        Retention::new(log, files, Arc::clone(&self.status), self.operator(), age)
    }

    /// Runs until it is stopped.
    pub async fn run(mut self) {
        let mut retry = FIRST_RETRY;
        while !*self.stop.borrow() {
            let Some(target) = self.target().await else { return };
            let started = Instant::now();
            match self.follow(&target).await {
                Ok(()) => return,
                Err(error) => {
                    let was_connected = self.status.set_connected(false);
                    self.reading.send_replace(None);
                    if was_connected || started.elapsed() > LAST_RETRY {
                        retry = FIRST_RETRY;
                    }
                    tracing::warn!(%error, ?target, retry_ms = retry.as_millis(), "ClickHouse is away; clicks wait in the log");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(retry) => {}
                _ = self.targets.changed() => {}
                _ = self.stop.changed() => {}
            }
            retry = (retry * 2).min(LAST_RETRY);
        }
    }

    /// Waits until there is a ClickHouse to talk to; `None` when stopped before.
    async fn target(&mut self) -> Option<Target> {
        tokio::select! {
            target = self.targets.wait_for(Option::is_some) => target.ok()?.clone(),
            _ = self.stop.wait_for(|stop| *stop) => None,
        }
    }

    /// Projects until it is stopped or something fails.
    async fn follow(&mut self, target: &Target) -> Result<(), ProjectionError> {
        let session =
            Session::resume(target, &self.log, self.plan_file.clone(), Arc::clone(&self.status))
                .await?;
        self.status.set_applied(session.applied());
        self.status.set_connected(true);
        self.show(&session);
        tracing::info!(?target, applied = session.applied(), "ClickHouse is up");
        let mut following = BackgroundTasks::of(session);
        let followed = self.follow_on(target, &mut following).await;
        if following.rebuild.is_some() {
            let text = "ClickHouse went away; begin again once it is back".to_owned();
            self.rebuild_progress.set(RebuildState::Failed(text));
        }
        followed
    }

    async fn follow_on(
        &mut self,
        target: &Target,
        following: &mut BackgroundTasks,
    ) -> Result<(), ProjectionError> {
        let mut due = Instant::now();
        loop {
            if Instant::now() >= due {
                // Read before the log's end is: what comes after that waits for the next start.
                let is_stopping = *self.stop.borrow();
                following.watermarks.note(self.log.end(), now_ms());
                let synced = self.log.synced();
                let sent = following.session.send_next(synced).await?;
                let applied = following.session.applied();
                self.status.set_applied(applied);
                if let Some(at_ms) = following.watermarks.reached(applied) {
                    self.status.set_complete(at_ms);
                }
                if sent == 0 {
                    self.check_once(following).await?;
                    if is_stopping {
                        return Ok(());
                    }
                    self.amend(following).await?;
                }
                // What is left of what was there begins another batch.
                let is_behind = following.session.applied() < synced;
                due = Instant::now() + self.gathering_time(sent, is_behind);
            }
            while let Ok(request) = self.requests.try_recv() {
                self.answer(request, following).await?;
            }
            self.mend(following).await?;
            self.rebuild_on(following).await;
            following.remove_on().await;
            following.drop_retired().await?;
            if following.rebuild.is_none() && following.removal.is_none() {
                tokio::select! {
                    () = tokio::time::sleep_until(due) => {}
                    _ = self.stop.changed() => due = Instant::now(),
                    Some(request) = self.requests.recv() => self.answer(request, following).await?,
                }
            }
            if self.targets.has_changed().unwrap_or(false)
                && self.targets.borrow_and_update().as_ref() != Some(target)
            {
                return Err(ProjectionError::Restarted);
            }
        }
    }

    /// How long clicks gather after a batch of this size; `is_behind`: others wait already.
    fn gathering_time(&self, sent: usize, is_behind: bool) -> Duration {
        let is_busy = sent >= BUSY_RECORDS;
        if is_behind {
            Duration::ZERO
        } else if is_busy && self.status.lag_ms(self.log.end()) >= LAGGING_MS {
            POLL_LAGGING
        } else if is_busy {
            POLL_BUSY
        } else {
            POLL
        }
    }

    /// Tells the readers which tables are in use.
    fn show(&self, session: &Session) {
        let reading =
            Reading { client: session.client().clone(), generation: session.generation() };
        self.reading.send_replace(Some(reading));
    }

    /// Begins to carry out what amends earlier clicks.
    async fn amend(&self, following: &mut BackgroundTasks) -> Result<(), ProjectionError> {
        if !following.may_amend() {
            return Ok(());
        }
        following.begin_removal().await;
        if following.session.needs_rebuild() && following.rebuild.is_none() {
            tracing::info!("user agents were reclassified: the analytics are made anew");
            let _under_way_already = self.begin_rebuild(following).await?;
        }
        Ok(())
    }

    /// Compares ClickHouse with the log once after the start, when it has all of it.
    async fn check_once(&mut self, following: &mut BackgroundTasks) -> Result<(), ProjectionError> {
        if !self.is_checked {
            // Where a removal was cut off, the rollups don't add up.
            following.begin_removal().await;
            following.finish_removal().await;
            let (answer, check) = oneshot::channel();
            self.reconcile(&following.session, Extent::SinceLast, answer).await?;
            self.is_checked = true;
            following.check = Some(check);
        }
        Ok(())
    }

    /// Makes the tables anew where the check after the start found that they differ: a power
    /// failure may have cost ClickHouse what it had said to have.
    async fn mend(&self, following: &mut BackgroundTasks) -> Result<(), ProjectionError> {
        let Some(check) = &mut following.check else { return Ok(()) };
        let found = match check.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => return Ok(()),
            found => found,
        };
        following.check = None;
        if matches!(found, Ok(Ok(found)) if found.differences() > 0) {
            tracing::warn!("the analytics are made anew from the log, because they differ from it");
            let _under_way_already = self.begin_rebuild(following).await?;
        }
        Ok(())
    }

    /// Begins to make the tables anew.
    async fn begin_rebuild(
        &self,
        following: &mut BackgroundTasks,
    ) -> Result<Result<(), Refused>, ProjectionError> {
        if !self.rebuild_progress.begin() {
            return Ok(Err(Refused::Busy));
        }
        match Rebuild::begin(&following.session).await {
            Ok(rebuild) => following.rebuild = Some(rebuild),
            Err(error) => {
                self.rebuild_progress.set(RebuildState::Failed(error.to_string()));
                return Err(error);
            }
        }
        Ok(Ok(()))
    }

    async fn answer(
        &mut self,
        request: Request,
        following: &mut BackgroundTasks,
    ) -> Result<(), ProjectionError> {
        match request {
            Request::Reconcile(extent, answer) => {
                // The rollups of a removal under way don't add up.
                following.finish_removal().await;
                self.reconcile(&following.session, extent, answer).await
            }
            Request::Reclassify(since_ms, judge, answer) => {
                let client = following.session.client().clone();
                let tables = following.session.generation();
                let log = Arc::clone(&self.log);
                tokio::spawn(async move {
                    let found = reclassify(client, tables, log, judge, since_ms).await;
                    let found = found.map_err(|error| Refused::Failed(error.to_string()));
                    let _asker_left = answer.send(found);
                });
                Ok(())
            }
            Request::Rebuild(answer) => {
                let _asker_left = answer.send(self.begin_rebuild(following).await?);
                Ok(())
            }
        }
    }

    /// Counts ClickHouse's rows now, and the log's clicks beside what comes next.
    async fn reconcile(
        &self,
        session: &Session,
        extent: Extent,
        answer: oneshot::Sender<Result<Reconciliation, Refused>>,
    ) -> Result<(), ProjectionError> {
        let stored = Stored::count(session.client(), session.generation()).await?;
        let through = session.applied();
        let (log, files) = (Arc::clone(&self.log), self.tally_files.clone());
        let status = Arc::clone(&self.status);
        tokio::task::spawn_blocking(move || {
            let found = files.reconcile(&log, &stored, through, extent);
            let found = found.map_err(|error| Refused::Failed(error.to_string()));
            if let Ok(found) = &found {
                status.set_reconciled(found);
            }
            let _asker_left = answer.send(found);
        });
        Ok(())
    }

    /// Goes on with a rebuild, if one is under way. What goes wrong with it is its own matter.
    async fn rebuild_on(&mut self, following: &mut BackgroundTasks) {
        let Some(rebuild) = &mut following.rebuild else { return };
        let stepped = match rebuild.step(&following.session).await {
            Ok(false) => {
                self.rebuild_progress.set(rebuild.progress(&following.session));
                return;
            }
            Ok(true) => self.take_over(following).await,
            Err(error) => Err(error),
        };
        if let Err(error) = stepped {
            tracing::error!(%error, "the rebuild of the analytics failed; the old tables stay");
            following.rebuild = None;
            following.amend_later();
            self.rebuild_progress.set(RebuildState::Failed(error.to_string()));
        }
    }

    /// Puts the rebuilt tables in the place of those in use.
    async fn take_over(&self, following: &mut BackgroundTasks) -> Result<(), ProjectionError> {
        let Some(rebuild) = following.rebuild.take() else { return Ok(()) };
        let (mut session, took) = rebuild.finish();
        // What is under way in the old tables is still to be done in the new ones.
        following.removal = None;
        session.take_over(self.plan_file.clone()).await?;
        self.show(&session);
        following.retire_now().await?;
        let retired = std::mem::replace(&mut following.session, session);
        following.retire(retired.generation());
        let events = following.session.applied();
        tracing::info!(events, took_ms = took.as_millis(), "the rebuilt analytics are in use");
        self.rebuild_progress.set(RebuildState::Done { events, took });
        Ok(())
    }
}

//! The projector: follows the click log, batch by batch, for as long as the service lives.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clickhouse::{Client, RowOwned, RowWrite};
use tokio::sync::watch;

use super::plan::{Batch, Plan, PlanFile};
use super::rows::{Cutter, MAX_BATCH_RECORDS, Records};
use super::{ProjectionError, Target, schema};
use crate::log::Log;

/// How often the log's end is looked at, and so how long the clicks of a quiet time gather.
const POLL: Duration = Duration::from_millis(200);
/// How long they gather when there are many: one large batch costs ClickHouse much less than
/// several small ones, and a click is still seen well within two seconds.
const POLL_BUSY: Duration = Duration::from_secs(1);
/// From how many records on a batch tells of a busy time.
const BUSY_RECORDS: usize = 1_000;
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LAST_RETRY: Duration = Duration::from_secs(5);
/// How long ClickHouse may take for one batch before it is sent again.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);

/// How far the projection is, for whoever wants to know.
#[derive(Debug, Default)]
pub struct Status {
    applied: AtomicU64,
    is_connected: AtomicBool,
    /// When the projection last had all of the log, in milliseconds since the Unix epoch.
    complete_at_ms: AtomicU64,
}

impl Status {
    /// All up to and with this offset of the click log is in ClickHouse.
    pub fn applied(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    /// Whether ClickHouse answered last time.
    pub fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Acquire)
    }

    /// How long ago the projection last had all of the log that ends at `end`, in milliseconds;
    /// 0 when it has it now.
    pub fn lag_ms(&self, end: u64) -> u64 {
        if self.applied() >= end {
            return 0;
        }
        now_ms().saturating_sub(self.complete_at_ms.load(Ordering::Acquire))
    }
}

/// Follows the click log into ClickHouse.
pub struct Projector {
    log: Arc<Log>,
    plan_file: PlanFile,
    status: Arc<Status>,
    targets: watch::Receiver<Option<Target>>,
    ready: watch::Sender<Option<Client>>,
    stop: watch::Receiver<bool>,
}

/// A connection that is prepared, and where it stands.
struct Session {
    client: Client,
    plan: Plan,
    cutter: Cutter,
}

impl Projector {
    /// `ready` is told a client whenever ClickHouse is there with its schema, and `None` when it
    /// is not. `stop` ends the run once the log is projected, or ClickHouse is away.
    pub fn new(
        log: Arc<Log>,
        plan_file: PathBuf,
        targets: watch::Receiver<Option<Target>>,
        ready: watch::Sender<Option<Client>>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let status = Arc::new(Status::default());
        status.complete_at_ms.store(now_ms(), Ordering::Release);
        Self { log, plan_file: PlanFile::new(plan_file), status, targets, ready, stop }
    }

    /// How far it is; stays good while it runs.
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status)
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
                    let was_connected = self.status.is_connected.swap(false, Ordering::AcqRel);
                    self.ready.send_replace(None);
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
        let mut session = self.connect(target).await?;
        self.status.is_connected.store(true, Ordering::Release);
        self.ready.send_replace(Some(target.client()));
        tracing::info!(?target, applied = session.plan.applied, "ClickHouse is up");
        loop {
            let complete_at_ms = now_ms();
            let sent = self.send_next(&mut session).await?;
            if sent == 0 {
                self.status.complete_at_ms.store(complete_at_ms, Ordering::Release);
                if *self.stop.borrow() {
                    return Ok(());
                }
            }
            let pause = if sent < BUSY_RECORDS { POLL } else { POLL_BUSY };
            if sent < MAX_BATCH_RECORDS {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    _ = self.stop.changed() => {}
                }
            }
            if self.targets.has_changed().unwrap_or(false)
                && self.targets.borrow_and_update().as_ref() != Some(target)
            {
                return Err(clickhouse::error::Error::Custom(
                    "the engine was restarted".to_owned(),
                )
                .into());
            }
        }
    }

    /// Prepares the database and takes up where the plan left off.
    async fn connect(&self, target: &Target) -> Result<Session, ProjectionError> {
        let instance = schema::prepare(target, self.log.id()).await?;
        let client = target.client();
        // Batches are sent in order and each arrives whole, so the last row tells how far the
        // database is. A plan that knows less is lost, or of an older backup than the database;
        // one that knows more may have a batch on its way.
        let arrived = last_offset(&client).await?;
        let plan = self.plan_file.read(instance)?.filter(|plan| plan.planned() >= arrived);
        let plan = plan.unwrap_or(Plan { instance, applied: arrived, sending: None });
        let planned = plan.planned();
        if planned > self.log.end() {
            return Err(ProjectionError::Ahead { planned, end: self.log.end() });
        }
        self.status.applied.store(plan.applied, Ordering::Release);
        let cutter = Cutter::new(self.log.read_from(plan.applied + 1)?);
        let mut session = Session { client, plan, cutter };
        if let Some(batch) = session.plan.sending {
            self.send_again(&mut session, batch).await?;
        }
        Ok(session)
    }

    /// A batch that may or may not have arrived: the same bounds, the same tokens.
    async fn send_again(&self, session: &mut Session, batch: Batch) -> Result<(), ProjectionError> {
        tracing::info!(
            first = batch.first,
            last = batch.last,
            "a batch that was on its way is sent again"
        );
        let again = session.cutter.next_batch(batch.last)?;
        let (again, records) = again.ok_or(ProjectionError::Unreadable(batch.first))?;
        if again != batch {
            return Err(ProjectionError::Unreadable(again.last));
        }
        self.send(session, batch, &records).await
    }

    /// Sends the next batch, if the log has one. Returns how many records went.
    async fn send_next(&self, session: &mut Session) -> Result<usize, ProjectionError> {
        let Some((batch, records)) = session.cutter.next_batch(self.log.synced())? else {
            return Ok(0);
        };
        session.plan.sending = Some(batch);
        self.plan_file.write(&session.plan)?;
        self.send(session, batch, &records).await?;
        Ok(records.len())
    }

    async fn send(
        &self,
        session: &mut Session,
        batch: Batch,
        records: &Records,
    ) -> Result<(), ProjectionError> {
        let started = Instant::now();
        let token = |table| batch.token(self.log.id(), table);
        // Agents first: a click that can be read must find its agent.
        insert(&session.client, "agents", &token("agents"), records.agents()).await?;
        let clicks = records.clicks();
        let count = clicks.len() as u64;
        insert(&session.client, "clicks", &token("clicks"), clicks).await?;
        // What the plan says of a batch that arrived is written with the next one: until then
        // it would be sent again, and dropped.
        session.plan.applied = batch.last;
        session.plan.sending = None;
        self.status.applied.store(batch.last, Ordering::Release);
        metrics::histogram!("slugline_projection_batch_seconds").record(started.elapsed());
        metrics::counter!("slugline_projection_clicks_total").increment(count);
        Ok(())
    }
}

/// Sends rows as one insert, and so as one block that ClickHouse takes whole or not at all.
async fn insert<T: RowOwned + RowWrite>(
    client: &Client,
    table: &str,
    token: &str,
    rows: impl ExactSizeIterator<Item = Result<T, ProjectionError>>,
) -> Result<(), ProjectionError> {
    if rows.len() == 0 {
        return Ok(());
    }
    let insert = client.insert::<T>(table).await?;
    let mut insert = insert
        .with_setting("insert_deduplication_token", token)
        .with_setting("insert_deduplicate", "1")
        .with_setting("deduplicate_blocks_in_dependent_materialized_views", "1")
        .with_setting("async_insert", "0")
        .with_timeouts(Some(SEND_TIMEOUT), Some(SEND_TIMEOUT));
    for row in rows {
        insert.write(&row?).await?;
    }
    Ok(insert.end().await?)
}

async fn last_offset(client: &Client) -> Result<u64, ProjectionError> {
    Ok(client.query("SELECT max(log_offset) FROM clicks").fetch_one::<u64>().await?)
}

fn now_ms() -> u64 {
    jiff::Timestamp::now().as_millisecond().cast_unsigned()
}

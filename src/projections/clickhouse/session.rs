//! A session: sends the log to one generation's tables, batch by batch.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clickhouse::{Client, RowWrite};
use uuid::Uuid;

use super::backup::{self, ExportedRows};
use super::batches::{Batcher, Records};
use super::chunks::ChunkedRows;
use super::copies::{copy_amendments, copy_before};
use super::corrections::Corrections;
use super::generation::Generation;
use super::late::ForgottenLinks;
use super::native::Block;
use super::pending_amendments::PendingAmendments;
use super::plan::{Batch, Plan, PlanFile};
use super::removal::Removal;
use super::rows::{AgentRow, BlockedRow, ClickRow, ForgottenRow, ReclassifiedRow};
use super::status::Status;
use super::{ProjectionError, Reading, Target, schema};
use crate::log::{Log, Subscription};
use crate::metrics::{PROJECTION_BATCH_SECONDS, PROJECTION_CLICKS};

/// The timeout of one batch before it is sent again.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);
/// The name of the subscription that fills the tables in use.
const NAME: &str = "clickhouse";

/// Prepared tables and their progress.
pub struct Session {
    /// The client.
    pub client: Client,
    /// The database instance.
    instance: Uuid,
    /// The generation of the tables.
    pub generation: Generation,
    /// The records up to its cursor are in the tables.
    subscription: Subscription,
    /// The file of the plan. `None` for tables of a rebuild, which start over after any error.
    plan_file: Option<PlanFile>,
    batcher: Batcher,
    /// The batch that is being sent.
    records: Records,
    /// Amendments to apply while sending.
    corrections: Corrections,
    pending: PendingAmendments,
    /// Links that may have late clicks.
    forgotten: ForgottenLinks,
    /// Rollup rows with the chunk 0 have no click beyond this offset.
    unnumbered_through: u64,
    /// Records each batch before it is sent.
    status: Arc<Status>,
}

impl Session {
    /// Prepares the database and resumes from the plan; or starts with the rows in the folder
    /// `restored`, if there are any and the tables lack them.
    pub async fn resume(
        target: &Target,
        log: &Arc<dyn Log>,
        plan_file: PlanFile,
        restored: &Path,
        status: Arc<Status>,
    ) -> Result<Self, ProjectionError> {
        let prepared = schema::prepare(target, log.id(), log.first() <= 1).await?;
        let (instance, generation) = (prepared.instance, prepared.generation);
        let client = target.client();
        // Batches are sent in order and arrive atomically, so the last row is the progress of the
        // database. A plan that is behind it is lost, or from an older backup; one that is ahead
        // may have a batch in flight.
        let arrived = last_offset(&client, generation).await?;
        if has_rows(restored, log, arrived)? {
            let scratch = Subscription::unlisted(Arc::clone(log), log.first() - 1);
            schema::recreate_tables(&client, generation.next()).await?;
            let rows = Self::new(client, instance, generation.next(), scratch, status).await?;
            return rows.restore(restored, plan_file).await?.measured().await;
        }
        let plan = plan_file.read(instance, generation)?;
        let plan = plan.filter(|plan| plan.planned() >= arrived);
        let mut plan = plan.unwrap_or_else(|| new_plan(instance, generation, arrived));
        let first = log.first();
        if plan.planned() + 1 < first {
            // The tables were lost after the log dropped their clicks: these are lost.
            tracing::error!(
                from = plan.applied + 1,
                to = first - 1,
                "ClickHouse lacks clicks that the log has dropped: restore a backup of either one"
            );
            plan = new_plan(instance, generation, first - 1);
        } else if plan.applied + 1 < first {
            // Only projected clicks are dropped, so the batch that contained them has arrived.
            plan = new_plan(instance, generation, plan.planned());
        }
        let planned = plan.planned();
        if planned > log.end() {
            return Err(ProjectionError::Ahead { planned, end: log.end() });
        }
        let subscription = log.subscribe(NAME, plan.applied);
        let mut session = Self::new(client, instance, generation, subscription, status).await?;
        session.plan_file = Some(plan_file);
        session.read_pending().await?;
        session.publish_reclassified();
        if let Some(batch) = plan.sending {
            session.send_again(batch).await?;
        }
        session.measured().await
    }

    /// A session of these tables, which continues where the subscription is.
    async fn new(
        client: Client,
        instance: Uuid,
        generation: Generation,
        subscription: Subscription,
        status: Arc<Status>,
    ) -> Result<Self, ProjectionError> {
        Ok(Self {
            forgotten: ForgottenLinks::read(&client, generation).await?,
            client,
            instance,
            generation,
            batcher: Batcher::new(subscription.reader()?),
            subscription,
            plan_file: None,
            records: Records::default(),
            corrections: Corrections::default(),
            pending: PendingAmendments::default(),
            unnumbered_through: 0,
            status,
        })
    }

    /// Reads which rows of the rollups have which chunks.
    async fn measured(mut self) -> Result<Self, ProjectionError> {
        let rows = ChunkedRows::read(&self.client, self.generation, self.applied()).await?;
        self.unnumbered_through = rows.unnumbered_through;
        self.status.set_newest(rows.newest);
        Ok(self)
    }

    /// Fills these empty tables from the files in a folder, the next generation from them and from
    /// the log, and switches to that. Then the folder is removed.
    async fn restore(self, folder: &Path, plan_file: PlanFile) -> Result<Self, ProjectionError> {
        tracing::info!("restoring the clicks that the log has dropped");
        backup::import(&self.client, self.generation, folder).await?;
        let mut restored = self.next_generation().await?;
        // Completely, since what is removed is removed from all clicks.
        while restored.send_next(restored.subscription.log.synced()).await? > 0 {}
        restored.put_in_use(plan_file).await?;
        restored.publish_reclassified();
        ExportedRows::remove(folder)?;
        restored.generation.drop_others(&restored.client).await?;
        tracing::info!("restored the clicks that the log has dropped");
        Ok(restored)
    }

    /// The next generation's tables, to be filled beside these. They start empty, except for the
    /// clicks that the log has dropped, which are copied.
    pub async fn next_generation(&self) -> Result<Self, ProjectionError> {
        let generation = self.generation.next();
        schema::recreate_tables(&self.client, generation).await?;
        let corrections = Corrections::read(&self.client, self.generation).await?;
        copy_amendments(&self.client, self.generation, generation).await?;
        let log = &self.subscription.log;
        let first = log.first();
        if first > 1 {
            copy_before(&self.client, self.generation, generation, first).await?;
        }
        let subscription = Subscription::unlisted(Arc::clone(log), first - 1);
        let (client, status) = (self.client.clone(), Arc::clone(&self.status));
        let next = Self::new(client, self.instance, generation, subscription, status).await?;
        Ok(Self { corrections, ..next })
    }

    /// Switches to these tables after a rebuild.
    pub async fn put_in_use(&mut self, plan_file: PlanFile) -> Result<(), ProjectionError> {
        self.read_pending().await?;
        self.generation.use_from_now(&self.client).await?;
        self.subscription = self.subscription.log.subscribe(NAME, self.applied());
        self.plan_file = Some(plan_file);
        // If this is interrupted, the progress is read from the tables.
        self.checkpoint(None)
    }

    /// Writes the plan: the progress, and the batch that is about to be sent.
    fn checkpoint(&self, sending: Option<Batch>) -> Result<(), ProjectionError> {
        let Some(plan_file) = &self.plan_file else { return Ok(()) };
        plan_file
            .write(&Plan { sending, ..new_plan(self.instance, self.generation, self.applied()) })
    }

    /// Reads the pending amendments from the tables.
    async fn read_pending(&mut self) -> Result<(), ProjectionError> {
        self.pending = PendingAmendments::read(&self.client, self.generation).await?;
        let workspaces = PendingAmendments::workspaces(&self.client, self.generation).await?;
        self.status.removing.set(workspaces);
        Ok(())
    }

    /// Publishes how far reclassifications are applied. Only for tables that reports read.
    pub fn publish_reclassified(&self) {
        let through = self.pending.reclassified_through();
        self.status.set_reclassified(through, !self.pending.needs_rebuild());
    }

    /// Starts to remove the clicks of deleted links, if due.
    pub async fn begin_removal(&self, now_ms: u64) -> Result<Option<Removal>, ProjectionError> {
        // For a batch in flight, `forgotten` may have rows whose clicks are missing.
        let due = self.pending.removal_due(now_ms);
        let Some(through) = due.filter(|due| *due <= self.applied()) else { return Ok(None) };
        // ClickHouse forgets the tokens of parts whose rows are all deleted, so the last batch must
        // not be sent again.
        self.checkpoint(None)?;
        let log_id = self.subscription.log.id();
        Removal::begin(&self.client, self.generation, through, log_id).await.map(Some)
    }

    /// Runs the next step of a removal. Returns whether it is done.
    pub async fn step_removal(&mut self, removal: &mut Removal) -> Result<bool, ProjectionError> {
        let is_done = removal.step(&self.client, self.generation).await?;
        if is_done {
            self.read_pending().await?;
        }
        Ok(is_done)
    }

    /// Whether a rebuild is needed to apply reclassifications.
    pub const fn needs_rebuild(&self) -> bool {
        self.pending.needs_rebuild()
    }

    /// The tables, for reads.
    pub fn reading(&self) -> Reading {
        Reading {
            client: self.client.clone(),
            generation: self.generation,
            unnumbered_through: self.unnumbered_through,
        }
    }

    /// All records up to and including this offset are in the tables.
    pub fn applied(&self) -> u64 {
        self.subscription.cursor()
    }

    /// Sends a batch that may have arrived, with the same bounds and tokens.
    async fn send_again(&mut self, batch: Batch) -> Result<(), ProjectionError> {
        tracing::info!(
            first = batch.first,
            last = batch.last,
            "resending a batch that was in flight"
        );
        let again = self.batcher.next_batch(batch.last, &mut self.records)?;
        let again = again.ok_or(ProjectionError::Unreadable(batch.first))?;
        if again != batch {
            return Err(ProjectionError::Unreadable(again.last));
        }
        self.send(batch).await
    }

    /// Sends the next batch of records up to and including `through`, if any. Returns the number of
    /// records.
    pub async fn send_next(&mut self, through: u64) -> Result<usize, ProjectionError> {
        let Some(batch) = self.batcher.next_batch(through, &mut self.records)? else {
            return Ok(0);
        };
        self.checkpoint(Some(batch))?;
        self.send(batch).await?;
        Ok(self.records.len())
    }

    async fn send(&mut self, batch: Batch) -> Result<(), ProjectionError> {
        let started = Instant::now();
        self.status.sending(batch.last, self.records.times_ms);
        let (agents, clicks) = (self.generation.table("agents"), self.generation.table("clicks"));
        let log_id = self.subscription.log.id();
        let token = |table: &str| batch.token(log_id, table);
        // Agents first: a visible click must find its agent.
        let rows = self.records.agents();
        insert::<AgentRow>(&self.client, &agents, &token(&agents), rows).await?;
        self.send_amendments(batch).await?;
        let blocked = self.generation.table("blocked");
        let rows = self.records.blocked(&self.corrections);
        insert::<BlockedRow<'_>>(&self.client, &blocked, &token(&blocked), rows).await?;
        let rows = self.records.clicks(&self.corrections);
        let count = insert_clicks(&self.client, &clicks, &token(&clicks), rows).await?;
        // The plan is updated with the next batch. Until then, this one would be sent again, and
        // dropped.
        self.subscription.advance(batch.last);
        metrics::histogram!(PROJECTION_BATCH_SECONDS).record(started.elapsed());
        metrics::counter!(PROJECTION_CLICKS).increment(count);
        Ok(())
    }
}

impl Session {
    /// Sends amendments, and makes reports exclude deleted links.
    async fn send_amendments(&mut self, batch: Batch) -> Result<(), ProjectionError> {
        let (forgotten, reclassified) =
            (self.generation.table("forgotten"), self.generation.table("reclassified"));
        let log_id = self.subscription.log.id();
        let token = |table: &str| batch.token(log_id, table);
        let rows = self.records.forgotten();
        insert::<ForgottenRow>(&self.client, &forgotten, &token(&forgotten), rows).await?;
        let rows = self.records.reclassified();
        let token = token(&reclassified);
        insert::<ReclassifiedRow>(&self.client, &reclassified, &token, rows).await?;
        for row in self.records.reclassified() {
            self.pending.reclassified(row?.log_offset);
            if self.plan_file.is_some() {
                self.publish_reclassified();
            }
        }
        let rows = self.records.forgotten().collect::<Result<Vec<_>, _>>()?;
        for row in &rows {
            if row.through_version > 0 {
                self.forgotten.add(row.link_id);
            }
            self.note_forgotten(row);
        }
        let again = self.forgotten.again(&self.client, self.generation, &self.records).await?;
        for row in &again {
            self.note_forgotten(row);
        }
        let token = batch.token(log_id, &format!("{forgotten}-again"));
        let again = again.into_iter().map(Ok);
        insert::<ForgottenRow>(&self.client, &forgotten, &token, again).await?;
        Ok(())
    }

    /// Records a pending removal; reports exclude the link until it is applied.
    fn note_forgotten(&mut self, row: &ForgottenRow) {
        self.pending.add_deletion(row.log_offset, row.at_ms());
        if self.plan_file.is_some() {
            self.status.removing.begin(row.workspace_id);
        }
    }
}

const fn new_plan(instance: Uuid, generation: Generation, applied: u64) -> Plan {
    Plan { instance, generation: generation.number(), applied, sending: None }
}

/// Whether a folder has restored rows of this log that the tables, which end at `arrived`, lack. If
/// they do not lack them, the folder is removed.
fn has_rows(folder: &Path, log: &Arc<dyn Log>, arrived: u64) -> Result<bool, ProjectionError> {
    let Some(rows) = ExportedRows::read(folder)? else { return Ok(false) };
    if rows != ExportedRows::of_log(log.id(), log.first()) {
        tracing::error!(folder = %folder.display(), "these rows belong to another log: ignoring them");
        return Ok(false);
    }
    let is_lacking = arrived + 1 < rows.first;
    if !is_lacking {
        ExportedRows::remove(folder)?;
    }
    Ok(is_lacking)
}

/// Inserts rows as one block, which is atomic. Returns the number of rows.
async fn insert<'rows, R: RowWrite>(
    client: &Client,
    table: &str,
    token: &str,
    rows: impl Iterator<Item = Result<R::Value<'rows>, ProjectionError>>,
) -> Result<u64, ProjectionError> {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return Ok(0);
    }
    let insert = deduplicating(client, token).insert::<R>(table).await?;
    let mut insert = insert.with_timeouts(Some(SEND_TIMEOUT), Some(SEND_TIMEOUT));
    let mut count = 0;
    for row in rows {
        insert.write(&row?).await?;
        count += 1;
    }
    insert.end().await?;
    Ok(count)
}

/// Inserts clicks like [`insert`], column by column.
async fn insert_clicks<'rows>(
    client: &Client,
    table: &str,
    token: &str,
    rows: impl Iterator<Item = Result<ClickRow<'rows>, ProjectionError>>,
) -> Result<u64, ProjectionError> {
    let mut block = Block::default();
    for row in rows {
        block.push(row?.values());
    }
    let count = block.rows;
    if count > 0 {
        let sql = format!("INSERT INTO {table} FORMAT Native");
        let insert = deduplicating(client, token).insert_formatted_with(sql);
        let mut insert = insert.with_timeouts(Some(SEND_TIMEOUT), Some(SEND_TIMEOUT));
        for part in block.into_parts() {
            insert.send(part).await?;
        }
        insert.end().await?;
    }
    Ok(count)
}

/// A client that deduplicates inserts by this token.
fn deduplicating(client: &Client, token: &str) -> Client {
    client
        .clone()
        .with_setting("insert_deduplication_token", token)
        .with_setting("insert_deduplicate", "1")
        .with_setting("deduplicate_blocks_in_dependent_materialized_views", "1")
        .with_setting("async_insert", "0")
}

/// The last offset known to have arrived: of a click, or of removed clicks.
async fn last_offset(client: &Client, generation: Generation) -> Result<u64, ProjectionError> {
    let last = "SELECT max(log_offset) FROM (SELECT max(log_offset) AS log_offset \
         FROM {clicks:Identifier} UNION ALL \
         SELECT max(forgotten_through) FROM {removed:Identifier})";
    Ok(generation.query(client, last).fetch_one::<u64>().await?)
}

//! Runs an import: reads rows, submits them in batches, and records the results.

use std::collections::{BTreeMap, HashSet};

use sha2::{Digest, Sha256};

use super::formats::{FileError, Row, Rows};
use super::import::{Counts, FILE, Job, MAX_LISTED_WARNINGS, MAX_UNKNOWN_DOMAINS, Plan};
use super::seen_keys::SeenKeys;
use super::{Imports, Reject, report};
use crate::commands::{CommandRequest, CommandResult, IDEMPOTENCY_MS, Mode};
use crate::domain::command::{Command, Fate, Import, OnConflict, Outcome, Payment};
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::event::Idempotency;
use crate::domain::hostname::Hostname;
use crate::domain::ids::WorkspaceId;
use crate::domain::link::{Field, Link, LinkInput, folded};
use crate::domain::plan::command::BillingCommand;
use crate::domain::token::Actor;
use crate::jobs::{Failed, RETRY_DELAY, State};

/// Maximum number of rows per batch.
const BATCH_LEN: usize = 500;
/// A batch also ends after so many bytes of the file: a row in memory may be a hundred times as
/// large.
const BATCH_BYTES: u64 = 256 << 10;
/// Maximum number of rejected links before an import fails.
const MAX_REJECTED: u64 = 100_000;
/// Safety margin of the retention of idempotency keys.
const MARGIN_MS: u64 = 3_600_000;

impl From<FileError> for Failed {
    fn from(error: FileError) -> Self {
        Self::Error(error.to_string())
    }
}

/// The results of a batch.
#[derive(Default)]
struct BatchResult {
    rejects: Vec<Reject>,
    /// Rows that were imported with changes.
    warned: Vec<Reject>,
    /// Domains in the file that the workspace lacks.
    unknown_domains: Vec<String>,
    /// The offset that reflects the imported links.
    offset: u64,
    /// Why the import can't continue; the results remain valid.
    failed: Option<Failed>,
}

impl BatchResult {
    /// Records the warnings of an imported row.
    fn add_warnings(&mut self, mut row: Row, outcome: &Outcome, plan: &Plan, counts: &mut Counts) {
        if let (Some(host), Outcome::Imported(link, _) | Outcome::Link(link)) = (&row.host, outcome)
            && plan.domain.is_none()
            && Hostname::parse(host).map_or(true, |host| host.as_str() != link.fields.domain)
        {
            add_domains(&mut self.unknown_domains, [host.clone()]);
        }
        let warnings = std::mem::take(&mut row.warnings);
        // Only rejected rows are corrected and imported again.
        row.cells = Vec::new();
        if warnings.is_empty() {
            return;
        }
        counts.warnings += 1;
        if counts.warnings <= MAX_LISTED_WARNINGS {
            self.warned
                .push(Reject { warnings: by_field(warnings), ..reject(row, BTreeMap::new()) });
        }
    }
}

impl Imports {
    /// Runs an import from its saved position.
    pub(super) async fn work(self, mut job: Job) -> Result<(), Failed> {
        let age_ms = self.jobs.now_ms().saturating_sub(job.noted_at_ms);
        let (id, is_interrupted) = (job.id, job.state == State::Running);
        let import = &mut job.details;
        if import.plan.dry_run {
            // A dry run starts over: its seen keys are lost.
            (import.counts, import.bytes_read, import.report_bytes) = (Counts::default(), 0, 0);
            import.unknown_domains.clear();
        } else if is_interrupted && age_ms > IDEMPOTENCY_MS - MARGIN_MS {
            let text = "the import was interrupted for too long: its last rows could be imported twice. \
            Import the file again, with on_conflict=skip";
            return Err(Failed::Error(text.to_owned()));
        }
        let (path, format) = (self.jobs.path(id, FILE), import.plan.format);
        let done = import.counts.rows;
        let (rows, total) = blocking(move || {
            // Check the whole file before the first row.
            if done == 0 {
                return Ok(Rows::open_checked(format, &path)?);
            }
            let mut rows = Rows::open(format, &path)?;
            for _ in 0..done {
                rows.next().transpose()?;
            }
            Ok((rows, 0))
        })
        .await?;
        import.columns = rows.columns().to_vec();
        import.ignored_columns = rows.ignored_columns().to_vec();
        let started = import.clone();
        if self.jobs.update(id, |job| job.details = started).await?.is_none() {
            return Err(Failed::Stopped);
        }
        report::truncate(self.report(&job), job.details.report_bytes).await?;
        // Before its first row: afterwards, it has what it needs.
        if done == 0 {
            self.reserve(&job, total).await?;
        }
        let ended = self.import_rows(&job, rows).await;
        if !job.details.plan.dry_run && !matches!(ended, Err(Failed::Stopped)) {
            self.release(&job).await;
        }
        ended
    }

    /// Reserves what a number of rows may need; of an import that may need less, what there is. A dry
    /// run is only refused as the import would be.
    async fn reserve(&self, job: &Job, links: u64) -> Result<(), Failed> {
        let actor = Actor::operator(WorkspaceId::new(job.workspace));
        let is_partial = job.details.plan.on_conflict != OnConflict::Reject;
        loop {
            let Some(commands) = self.commands() else { return Err(Failed::Stopped) };
            let reserve = BillingCommand::Reserve { import: job.id(), links, is_partial };
            let request = CommandRequest { command: Command::Billing(reserve), idempotency: None };
            let reserved = commands.run_all(actor, vec![request], mode(job)).await;
            drop(commands);
            match reserved.and_then(|results| results.into_iter().collect::<Result<Vec<_>>>()) {
                Ok(_) => return Ok(()),
                Err(error) if is_transient(&error) => self.wait(job, &error).await?,
                Err(error) => return Err(Failed::Error(error.message.into_owned())),
            }
        }
    }

    /// Waits until changes may be accepted again.
    async fn wait(&self, job: &Job, reason: &ServiceError) -> Result<(), Failed> {
        let reason = format!("waiting: {}", reason.message);
        self.jobs.update(job.id, |job| job.error = Some(reason)).await?;
        tokio::time::sleep(RETRY_DELAY).await;
        Ok(())
    }

    async fn import_rows(&self, job: &Job, mut rows: Rows) -> Result<(), Failed> {
        let (mut counts, mut report_bytes) = (job.details.counts, job.details.report_bytes);
        let mut seen = SeenKeys::default();
        loop {
            let read = blocking(move || Ok((read_batch(&mut rows), rows))).await?;
            let ((batch, unread), back) = read;
            rows = back;
            let bytes_read = rows.bytes_read();
            if batch.is_empty() {
                return unread.map_or(Ok(()), |error| Err(error.into()));
            }
            let BatchResult { rejects, warned, unknown_domains, offset, failed } =
                self.take(job, batch, &mut counts, &mut seen).await?;
            let mut lines = [rejects, warned].concat();
            lines.sort_by_key(|line| line.row);
            report_bytes += report::append(self.report(job), lines).await?;
            let saved = self.jobs.update(job.id, |job| {
                job.error = None;
                let import = &mut job.details;
                (import.counts, import.bytes_read) = (counts, bytes_read);
                (import.report_bytes, import.offset) = (report_bytes, import.offset.max(offset));
                add_domains(&mut import.unknown_domains, unknown_domains);
            });
            if saved.await?.is_none() {
                return Err(Failed::Stopped);
            }
            if let Some(failed) = failed.or(unread.map(Failed::from)) {
                return Err(failed);
            }
            if counts.rejected > MAX_REJECTED {
                let text = format!("more than {MAX_REJECTED} links were rejected: see the report");
                return Err(Failed::Error(text));
            }
        }
    }

    /// Imports rows and counts the results.
    async fn take(
        &self,
        job: &Job,
        rows: Vec<Row>,
        counts: &mut Counts,
        seen: &mut SeenKeys,
    ) -> Result<BatchResult, Failed> {
        let (mut accepted, mut batch) = (Vec::new(), BatchResult::default());
        let read = rows.len() as u64;
        for mut row in rows {
            match std::mem::replace(&mut row.link, Err(Vec::new())) {
                Ok(input) => accepted.push((row, with_plan(input, &job.details.plan))),
                Err(errors) => batch.rejects.push(reject(row, by_field(errors))),
            }
        }
        let results = self.submit(job, &accepted, counts.created).await?;
        counts.rows += read;
        for ((row, input), result) in accepted.into_iter().zip(results) {
            match result {
                Ok(CommandResult { outcome, offset, .. }) => {
                    let before = if job.details.plan.dry_run {
                        duplicate_field(&outcome, seen)
                    } else {
                        None
                    };
                    let fate = match (before, job.details.plan.on_conflict) {
                        (None, _) => fate(&outcome),
                        (Some(field), OnConflict::Reject) => {
                            batch.rejects.push(reject(row, is_taken(field)));
                            continue;
                        }
                        (Some(_), OnConflict::Skip) => Fate::Skipped,
                        (Some(_), OnConflict::Replace) => Fate::Replaced,
                    };
                    count(counts, fate);
                    if fate == Fate::Created && !matches!(input.slug, Field::Value(_)) {
                        counts.generated_slugs += 1;
                    }
                    if fate != Fate::Skipped {
                        batch.add_warnings(row, &outcome, &job.details.plan, counts);
                    }
                    if !job.details.plan.dry_run {
                        batch.offset = batch.offset.max(offset);
                    }
                }
                Err(error) => match error.code {
                    ErrorCode::Forbidden => {
                        batch.failed = Some(Failed::Error(error.message.into_owned()));
                    }
                    ErrorCode::Internal => {
                        tracing::error!(%error, import = %job.id(), "a row failed");
                        let text = format!("row {} failed: see the server log", row.number);
                        batch.failed = Some(Failed::Error(text));
                    }
                    _ => batch.rejects.push(reject(row, error_fields(error))),
                },
            }
        }
        counts.rejected += batch.rejects.len() as u64;
        Ok(batch)
    }

    /// Submits the commands, and retries while changes are not accepted. `created` is the number of
    /// links that the import has made before.
    async fn submit(
        &self,
        job: &Job,
        accepted: &[(Row, LinkInput)],
        created: u64,
    ) -> Result<Vec<Result<CommandResult>>, Failed> {
        if accepted.is_empty() {
            return Ok(Vec::new());
        }
        let mode = mode(job);
        let is_real = mode == Mode::Commit;
        let payment = if is_real { Payment::Reserved(job.id()) } else { Payment::DryRun(created) };
        loop {
            let requests = accepted.iter().map(|(row, input)| CommandRequest {
                command: Command::ImportLink(Box::new(Import {
                    input: input.clone(),
                    from_host: row.host.clone(),
                    on_conflict: job.details.plan.on_conflict,
                    payment,
                })),
                idempotency: is_real.then(|| key(job, row)),
            });
            let Some(commands) = self.commands() else { return Err(Failed::Stopped) };
            let results = commands.run_all(job.actor(), requests.collect(), mode).await;
            drop(commands);
            // A batch is logged as a whole: if it is not accepted, every row has the same error.
            let blocker = match &results {
                Ok(results) => results.first().and_then(|first| first.as_ref().err()),
                Err(error) => Some(error),
            };
            let Some(reason) = blocker.filter(|error| is_transient(error)) else {
                return results.map_err(|error| Failed::Error(error.message.into_owned()));
            };
            // Completed commands are replayed by their idempotency keys.
            self.wait(job, reason).await?;
        }
    }
}

/// Reads a batch, and the error that ended reading.
fn read_batch(rows: &mut Rows) -> (Vec<Row>, Option<FileError>) {
    let (began_at, mut batch) = (rows.bytes_read(), Vec::new());
    while batch.len() < BATCH_LEN && rows.bytes_read() - began_at < BATCH_BYTES {
        match rows.next() {
            Some(Ok(row)) => batch.push(row),
            Some(Err(error)) => return (batch, Some(error)),
            None => break,
        }
    }
    (batch, None)
}

const fn mode(job: &Job) -> Mode {
    if job.details.plan.dry_run { Mode::DryRun } else { Mode::Commit }
}

/// Whether a retry may succeed.
const fn is_transient(error: &ServiceError) -> bool {
    matches!(
        error.code,
        ErrorCode::Overloaded | ErrorCode::DiskFull | ErrorCode::ChangesUnavailable
    )
}

/// Applies the plan to a link.
fn with_plan(mut input: LinkInput, plan: &Plan) -> LinkInput {
    if let Some(domain) = &plan.domain {
        input.domain = Field::Value(domain.clone());
    }
    if let (Some(folder), Field::Absent) = (&plan.folder, &input.folder) {
        input.folder = Field::Value(folder.clone());
    }
    if !plan.tags.is_empty() {
        let mut tags = std::mem::take(&mut input.tags).apply_to(None).unwrap_or_default();
        tags.extend(plan.tags.iter().cloned());
        input.tags = Field::Value(tags);
    }
    if let Field::Value(tags) = &mut input.tags {
        let mut seen = HashSet::new();
        tags.retain(|tag| seen.insert(folded(tag.trim())));
    }
    input
}

fn add_domains(to: &mut Vec<String>, domains: impl IntoIterator<Item = String>) {
    for domain in domains {
        if to.len() < MAX_UNKNOWN_DOMAINS && !to.contains(&domain) {
            to.push(domain);
        }
    }
}

/// The idempotency key of a row.
fn key(job: &Job, row: &Row) -> Idempotency {
    let id = job.id();
    let request = format!("{id} {}", row.number);
    // Keys of clients have no control characters, so they can't collide with this one.
    let key = format!("{id}\u{1}{}", row.number);
    Idempotency { key, request_sha256: Sha256::digest(request).to_vec() }
}

/// The field by which a link of a dry run duplicates an earlier one; records other links.
fn duplicate_field(outcome: &Outcome, seen: &mut SeenKeys) -> Option<&'static str> {
    let link: &Link = match outcome {
        Outcome::Imported(link, Fate::Created) => link,
        _ => return None,
    };
    let field = seen.find(link);
    if field.is_none() {
        seen.insert(link);
    }
    field
}

const fn fate(outcome: &Outcome) -> Fate {
    match outcome {
        Outcome::Imported(_, fate) => *fate,
        // A replayed row: a link that it created is at its first version.
        Outcome::Link(link) if link.version > 1 => Fate::Replaced,
        _ => Fate::Created,
    }
}

const fn count(counts: &mut Counts, fate: Fate) {
    *match fate {
        Fate::Created => &mut counts.created,
        Fate::Replaced => &mut counts.replaced,
        Fate::Unchanged => &mut counts.unchanged,
        Fate::Skipped => &mut counts.skipped,
    } += 1;
}

fn reject(row: Row, errors: BTreeMap<String, Vec<String>>) -> Reject {
    let Row { number, line, slug, destination, cells, .. } = row;
    Reject { row: number, line, slug, destination, cells, errors, warnings: BTreeMap::new() }
}

fn by_field(errors: Vec<(String, String)>) -> BTreeMap<String, Vec<String>> {
    let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (field, reason) in errors {
        fields.entry(field).or_default().push(reason);
    }
    fields
}

fn single_error(field: &str, reason: String) -> BTreeMap<String, Vec<String>> {
    BTreeMap::from([(field.to_owned(), vec![reason])])
}

fn is_taken(field: &str) -> BTreeMap<String, Vec<String>> {
    single_error(field, "is taken".to_owned())
}

/// The errors of a link, by field.
fn error_fields(error: ServiceError) -> BTreeMap<String, Vec<String>> {
    if error.fields.is_empty() {
        single_error("row", error.message.into_owned())
    } else {
        error.fields
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failed> + Send + 'static,
) -> Result<T, Failed> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| {
        Err(Failed::Error("the file could not be read: its reader panicked".to_owned()))
    })
}

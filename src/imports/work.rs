//! Runs an import: reads rows, submits them in batches, and records the results.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::time::Duration;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Imports;
use super::formats::{FileError, Row, Rows};
use super::job::{Counts, Job, MAX_LISTED_WARNINGS, MAX_UNKNOWN_DOMAINS, Plan, Reject, State};
use super::seen_keys::SeenKeys;
use crate::commands::{CommandRequest, CommandResult, IDEMPOTENCY_MS, Mode, now_ms};
use crate::domain::command::{Command, Fate, Import, OnConflict, Outcome};
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::event::Idempotency;
use crate::domain::hostname::Hostname;
use crate::domain::link::{Field, Link, LinkInput, folded};

/// Maximum number of rows per batch.
const BATCH_LEN: usize = 500;
/// A batch also ends after so many bytes of the file: a row in memory may be a hundred times as
/// large.
const BATCH_BYTES: u64 = 256 << 10;
/// Maximum number of rejected links before an import fails.
const MAX_REJECTED: u64 = 100_000;
/// Delay before a retry when changes are not accepted.
const RETRY_DELAY: Duration = Duration::from_secs(2);
/// Safety margin of the retention of idempotency keys.
const MARGIN_MS: u64 = 3_600_000;

/// Why an import ends early.
enum Failed {
    /// An error, in words for the user.
    Error(String),
    /// The service stops; the import resumes after the next start.
    Stopped,
}

impl From<FileError> for Failed {
    fn from(error: FileError) -> Self {
        Self::Error(error.to_string())
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Error(format!("the import's files can't be accessed: {error}"))
    }
}

/// A batch of rows.
struct Batch {
    rows: Vec<Row>,
    /// The error that ended reading.
    failed: Option<FileError>,
    bytes_read: u64,
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
    /// Runs an import when it is its turn, from its saved position.
    pub(super) async fn work(self, id: Uuid) {
        let Some(workspace) = self.lock().get(&id).map(|known| known.job.workspace) else { return };
        let workspace_permits = self.permits_of(workspace);
        let (Ok(_workspace_permit), Ok(_permit)) =
            (workspace_permits.acquire().await, self.workers.acquire().await)
        else {
            return;
        };
        let ended = match self.start(id).await {
            Ok(Some(job)) => self.read_all(&job).await,
            Ok(None) => return,
            Err(failed) => Err(failed),
        };
        let (state, error) = match ended {
            Ok(()) => (State::Done, None),
            Err(Failed::Error(error)) => (State::Failed, Some(error)),
            Err(Failed::Stopped) => return,
        };
        let saved = self.update(id, |job| {
            if let Some(error) = &error {
                tracing::warn!(error, import = %job.id(), "an import failed");
            }
            (job.state, job.error) = (state, error);
        });
        if let Err(error) = saved.await {
            tracing::warn!(%error, %id, "saving the result of an import failed");
        }
        self.store.remove_file(id).await;
    }

    /// Starts or resumes the job. `None` if it was removed.
    async fn start(&self, id: Uuid) -> Result<Option<Job>, Failed> {
        let mut is_too_old = false;
        let job = self.update(id, |job| {
            let age_ms = now_ms().saturating_sub(job.noted_at_ms);
            let is_running = job.state == State::Running;
            is_too_old = is_running && !job.plan.dry_run && age_ms > IDEMPOTENCY_MS - MARGIN_MS;
            job.state = State::Running;
            if job.plan.dry_run {
                // A dry run starts over: its seen keys are lost.
                (job.counts, job.bytes_read, job.report_bytes) = (Counts::default(), 0, 0);
                job.unknown_domains.clear();
            }
        });
        let job = job.await?;
        if is_too_old {
            let text = "the import was interrupted for too long: its last rows could be imported twice. \
            Import the file again, with on_conflict=skip";
            return Err(Failed::Error(text.to_owned()));
        }
        Ok(job)
    }

    async fn read_all(&self, job: &Job) -> Result<(), Failed> {
        let (path, format, done) = (self.store.file(job.id), job.plan.format, job.counts.rows);
        let mut rows = blocking(move || {
            // Check the whole file before the first row.
            let open = if done == 0 { Rows::open_checked } else { Rows::open };
            let mut rows = open(format, &path)?;
            for _ in 0..done {
                rows.next().transpose()?;
            }
            Ok(rows)
        })
        .await?;
        let ignored = rows.ignored_columns().to_vec();
        self.update(job.id, |job| job.ignored_columns = ignored).await?;
        self.store.truncate_report(job.id, job.report_bytes).await?;
        let (mut counts, mut report_bytes) = (job.counts, job.report_bytes);
        let mut seen = SeenKeys::default();
        loop {
            let (batch, back) = blocking(move || {
                let batch = read_batch(&mut rows);
                Ok((batch, rows))
            })
            .await?;
            rows = back;
            if batch.rows.is_empty() {
                return batch.failed.map_or(Ok(()), |error| Err(error.into()));
            }
            let BatchResult { rejects, warned, unknown_domains, offset, failed } =
                self.take(job, batch.rows, &mut counts, &mut seen).await?;
            let mut lines = [rejects, warned].concat();
            lines.sort_by_key(|line| line.row);
            report_bytes += self.store.append_report(job.id, lines).await?;
            let saved = self.update(job.id, |job| {
                (job.counts, job.bytes_read, job.report_bytes) =
                    (counts, batch.bytes_read, report_bytes);
                (job.offset, job.error) = (job.offset.max(offset), None);
                add_domains(&mut job.unknown_domains, unknown_domains);
            });
            if saved.await?.is_none() {
                return Err(Failed::Stopped);
            }
            if let Some(failed) = failed.or(batch.failed.map(Failed::from)) {
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
                Ok(input) => accepted.push((row, with_plan(input, &job.plan))),
                Err(errors) => batch.rejects.push(reject(row, by_field(errors))),
            }
        }
        let results = self.submit(job, &accepted).await?;
        counts.rows += read;
        for ((row, input), result) in accepted.into_iter().zip(results) {
            match result {
                Ok(CommandResult { outcome, offset, .. }) => {
                    let before =
                        if job.plan.dry_run { duplicate_field(&outcome, seen) } else { None };
                    let fate = match (before, job.plan.on_conflict) {
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
                        batch.add_warnings(row, &outcome, &job.plan, counts);
                    }
                    if !job.plan.dry_run {
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

    /// Submits the commands, and retries while changes are not accepted.
    async fn submit(
        &self,
        job: &Job,
        accepted: &[(Row, LinkInput)],
    ) -> Result<Vec<Result<CommandResult>>, Failed> {
        if accepted.is_empty() {
            return Ok(Vec::new());
        }
        let mode = if job.plan.dry_run { Mode::DryRun } else { Mode::Commit };
        loop {
            let requests = accepted.iter().map(|(row, input)| CommandRequest {
                command: Command::ImportLink(Box::new(Import {
                    input: input.clone(),
                    from_host: row.host.clone(),
                    on_conflict: job.plan.on_conflict,
                })),
                idempotency: (mode == Mode::Commit).then(|| key(job, row)),
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
            let reason = format!("waiting: {}", reason.message);
            self.update(job.id, |job| job.error = Some(reason)).await?;
            // Completed commands are replayed by their idempotency keys.
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }
}

fn read_batch(rows: &mut Rows) -> Batch {
    let began_at = rows.bytes_read();
    let mut batch = Batch { rows: Vec::new(), failed: None, bytes_read: began_at };
    while batch.rows.len() < BATCH_LEN && batch.bytes_read - began_at < BATCH_BYTES {
        match rows.next() {
            Some(Ok(row)) => batch.rows.push(row),
            Some(Err(error)) => {
                batch.failed = Some(error);
                break;
            }
            None => break,
        }
        batch.bytes_read = rows.bytes_read();
    }
    batch.bytes_read = rows.bytes_read();
    batch
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
        let mut tags = std::mem::take(&mut input.tags).over(None).unwrap_or_default();
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
    let Row { number, line, slug, destination, .. } = row;
    Reject { row: number, line, slug, destination, errors, warnings: BTreeMap::new() }
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

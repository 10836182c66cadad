//! An import at work: rows are read, become commands by the batch, and what came of them is noted.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::time::Duration;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Imports;
use super::formats::{FileError, Row, Rows};
use super::job::{Counts, Job, MAX_LISTED_WARNINGS, MAX_UNKNOWN_DOMAINS, Plan, Reject, State};
use super::seen_keys::SeenKeys;
use crate::commands::{CommandError, Done, IDEMPOTENCY_MS, Mode, Wish, now_ms};
use crate::domain::command::{Command, Fate, Import, OnConflict, Outcome};
use crate::domain::error::DomainError;
use crate::domain::event::Idempotency;
use crate::domain::hostname::Hostname;
use crate::domain::link::{Field, Link, LinkInput, folded};

/// How many rows are decided and made durable at once.
const BATCH: usize = 500;
/// A batch ends, too, once so many bytes were read for it: what a row becomes in memory may be a
/// hundred times as large.
const BATCH_BYTES: u64 = 256 << 10;
/// How many links may be rejected before an import is given up.
const MAX_REJECTED: u64 = 100_000;
/// How long an import waits where changes can't be taken at the moment, before it tries again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
/// Keys are trusted for a little less than they are known.
const MARGIN_MS: u64 = 3_600_000;

/// Why an import ends before its file does.
enum Failed {
    /// In words for whoever began it.
    For(String),
    /// The service stops: it goes on after the next start.
    Stopped,
}

impl From<FileError> for Failed {
    fn from(error: FileError) -> Self {
        Self::For(error.to_string())
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::For(format!("the import's files can't be used: {error}"))
    }
}

/// Rows that were read at once.
struct Batch {
    rows: Vec<Row>,
    /// What came in place of a further row.
    failed: Option<FileError>,
    bytes_read: u64,
}

/// What came of rows.
#[derive(Default)]
struct Taken {
    rejects: Vec<Reject>,
    /// What was taken otherwise than the file has it.
    warned: Vec<Reject>,
    /// Domains that links had and are not on here.
    unknown_domains: Vec<String>,
    /// The offset that reflects what was done.
    offset: u64,
    /// Why it can't go on, though what was done stands.
    failed: Option<Failed>,
}

impl Taken {
    /// Notes what of a row was taken otherwise than its file has it.
    fn note(&mut self, mut row: Row, outcome: &Outcome, plan: &Plan, counts: &mut Counts) {
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
    /// Works on an import in its turn, from where its note says that it is.
    pub(super) async fn work(self, id: Uuid) {
        let Some(workspace) = self.lock().get(&id).map(|known| known.job.workspace) else { return };
        let own_turns = self.turns_of(workspace);
        let (Ok(_own), Ok(_turn)) = (own_turns.acquire().await, self.working.acquire().await)
        else {
            return;
        };
        let ended = match self.take_up(id).await {
            Ok(Some(job)) => self.read_all(&job).await,
            Ok(None) => return,
            Err(failed) => Err(failed),
        };
        let (state, error) = match ended {
            Ok(()) => (State::Done, None),
            Err(Failed::For(error)) => (State::Failed, Some(error)),
            Err(Failed::Stopped) => return,
        };
        let noted = self.update(id, |job| {
            if let Some(error) = &error {
                tracing::warn!(error, import = %job.id(), "an import failed");
            }
            (job.state, job.error) = (state, error);
        });
        if let Err(error) = noted.await {
            tracing::warn!(%error, %id, "how an import ended can't be noted");
        }
        self.notes.drop_file(id).await;
    }

    /// The job as it is gone on with. `None` where it is gone.
    async fn take_up(&self, id: Uuid) -> Result<Option<Job>, Failed> {
        let mut is_too_old = false;
        let job = self.update(id, |job| {
            let age_ms = now_ms().saturating_sub(job.noted_at_ms);
            let is_under_way = job.state == State::Running;
            is_too_old = is_under_way && !job.plan.dry_run && age_ms > IDEMPOTENCY_MS - MARGIN_MS;
            job.state = State::Running;
            if job.plan.dry_run {
                // What it has met is forgotten.
                (job.counts, job.bytes_read, job.report_bytes) = (Counts::default(), 0, 0);
                job.unknown_domains.clear();
            }
        });
        let job = job.await?;
        if is_too_old {
            let text = "it was cut off for so long that rows which were taken last could be taken \
                        twice: import the file again, with on_conflict=skip";
            return Err(Failed::For(text.to_owned()));
        }
        Ok(job)
    }

    async fn read_all(&self, job: &Job) -> Result<(), Failed> {
        let (path, format, done) = (self.notes.file(job.id), job.plan.format, job.counts.rows);
        let mut rows = blocking(move || {
            // What was begun was checked.
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
        self.notes.cut_report(job.id, job.report_bytes).await?;
        let (mut counts, mut report_bytes) = (job.counts, job.report_bytes);
        let mut met = SeenKeys::default();
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
            let Taken { rejects, warned, unknown_domains, offset, failed } =
                self.take(job, batch.rows, &mut counts, &mut met).await?;
            let mut lines = [rejects, warned].concat();
            lines.sort_by_key(|line| line.row);
            report_bytes += self.notes.report_rejects(job.id, lines).await?;
            let noted = self.update(job.id, |job| {
                (job.counts, job.bytes_read, job.report_bytes) =
                    (counts, batch.bytes_read, report_bytes);
                (job.offset, job.error) = (job.offset.max(offset), None);
                add_domains(&mut job.unknown_domains, unknown_domains);
            });
            if noted.await?.is_none() {
                return Err(Failed::Stopped);
            }
            if let Some(failed) = failed.or(batch.failed.map(Failed::from)) {
                return Err(failed);
            }
            if counts.rejected > MAX_REJECTED {
                let text = format!("more than {MAX_REJECTED} links can't be taken: see the report");
                return Err(Failed::For(text));
            }
        }
    }

    /// Has rows decided, and counts what came of them.
    async fn take(
        &self,
        job: &Job,
        rows: Vec<Row>,
        counts: &mut Counts,
        met: &mut SeenKeys,
    ) -> Result<Taken, Failed> {
        let (mut wished, mut taken) = (Vec::new(), Taken::default());
        let read = rows.len() as u64;
        for mut row in rows {
            match std::mem::replace(&mut row.link, Err(Vec::new())) {
                Ok(input) => wished.push((row, prepared(input, &job.plan))),
                Err(errors) => taken.rejects.push(reject(row, by_field(errors))),
            }
        }
        let results = self.decided(job, &wished).await?;
        counts.rows += read;
        for ((row, input), result) in wished.into_iter().zip(results) {
            match result {
                Ok(Done { outcome, offset, .. }) => {
                    let before = if job.plan.dry_run { again(&outcome, met) } else { None };
                    let fate = match (before, job.plan.on_conflict) {
                        (None, _) => fate(&outcome),
                        (Some(field), OnConflict::Reject) => {
                            taken.rejects.push(reject(row, is_taken(field)));
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
                        taken.note(row, &outcome, &job.plan, counts);
                    }
                    if !job.plan.dry_run {
                        taken.offset = taken.offset.max(offset);
                    }
                }
                Err(CommandError::Refused(DomainError::Forbidden(reason))) => {
                    taken.failed = Some(Failed::For(reason));
                }
                Err(CommandError::Refused(error)) => taken.rejects.push(reject(row, words(error))),
                Err(other) => {
                    tracing::error!(error = %other, import = %job.id(), "a row failed");
                    let text = format!("row {} could not be decided", row.number);
                    taken.failed = Some(Failed::For(text));
                }
            }
        }
        counts.rejected += taken.rejects.len() as u64;
        Ok(taken)
    }

    /// The results of commands that could be decided: while changes can't be taken, it waits.
    async fn decided(
        &self,
        job: &Job,
        wished: &[(Row, LinkInput)],
    ) -> Result<Vec<Result<Done, CommandError>>, Failed> {
        if wished.is_empty() {
            return Ok(Vec::new());
        }
        let mode = if job.plan.dry_run { Mode::Rehearse } else { Mode::Commit };
        loop {
            let asked = wished.iter().map(|(row, input)| Wish {
                command: Command::ImportLink(Box::new(Import {
                    input: input.clone(),
                    from_host: row.host.clone(),
                    on_conflict: job.plan.on_conflict,
                })),
                idempotency: (mode == Mode::Commit).then(|| key(job, row)),
            });
            let Some(commands) = self.commands() else { return Err(Failed::Stopped) };
            let results = commands.run_all(job.actor(), asked.collect(), mode).await;
            drop(commands);
            // A batch is logged as a whole: that it can't be taken is said of each row alike.
            let waits_for = match &results {
                Ok(results) => results.first().and_then(|first| first.as_ref().err()),
                Err(error) => Some(error),
            };
            let Some(reason) = waits_for.filter(|error| is_away(error)) else {
                return results.map_err(|error| Failed::For(error.to_string()));
            };
            let reason = format!("it waits: {reason}");
            self.update(job.id, |job| job.error = Some(reason)).await?;
            // What was done of them is known again by its key.
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }
}

fn read_batch(rows: &mut Rows) -> Batch {
    let began_at = rows.bytes_read();
    let mut batch = Batch { rows: Vec::new(), failed: None, bytes_read: began_at };
    while batch.rows.len() < BATCH && batch.bytes_read - began_at < BATCH_BYTES {
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

/// Whether it may work later.
const fn is_away(error: &CommandError) -> bool {
    matches!(
        error,
        CommandError::Overloaded | CommandError::DiskFull | CommandError::Unavailable(_)
    )
}

/// What all links of a plan have.
fn prepared(mut input: LinkInput, plan: &Plan) -> LinkInput {
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

/// The key under which a row is known, should it be asked for again.
fn key(job: &Job, row: &Row) -> Idempotency {
    let id = job.id();
    let request = format!("{id} {}", row.number);
    // A client's key holds no control character: none is like this one.
    let key = format!("{id}\u{1}{}", row.number);
    Idempotency { key, request_sha256: Sha256::digest(request).to_vec() }
}

/// The field by which a link that a dry run would make is one that it would have made before;
/// notes the others.
fn again(outcome: &Outcome, met: &mut SeenKeys) -> Option<&'static str> {
    let link: &Link = match outcome {
        Outcome::Imported(link, Fate::Created) => link,
        _ => return None,
    };
    let field = met.knows(link);
    if field.is_none() {
        met.note(link);
    }
    field
}

const fn fate(outcome: &Outcome) -> Fate {
    match outcome {
        Outcome::Imported(_, fate) => *fate,
        // A row that came before, and was logged: what it made is at its first version.
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

fn one(field: &str, reason: String) -> BTreeMap<String, Vec<String>> {
    BTreeMap::from([(field.to_owned(), vec![reason])])
}

fn is_taken(field: &str) -> BTreeMap<String, Vec<String>> {
    one(field, "is taken".to_owned())
}

/// What is wrong with a link, by its fields.
fn words(error: DomainError) -> BTreeMap<String, Vec<String>> {
    match error {
        DomainError::Invalid(invalid) => invalid.fields().clone(),
        DomainError::SlugTaken(_) => is_taken("slug"),
        DomainError::Taken { field, .. } => is_taken(field),
        other => one("row", other.to_string()),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failed> + Send + 'static,
) -> Result<T, Failed> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| {
        Err(Failed::For("the file could not be read: its reader panicked".to_owned()))
    })
}

//! An import at work: rows are read, become commands by the batch, and what came of them is noted.

use std::collections::{BTreeMap, HashSet};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::formats::{FileError, Row, Rows};
use super::job::{Counts, Job, Plan, Reject, State};
use super::{Imports, ROOM_LEFT};
use crate::commands::{CommandError, Done, Mode, Wish};
use crate::domain::command::{Command, Fate, Import, OnConflict, Outcome};
use crate::domain::error::DomainError;
use crate::domain::event::Idempotency;
use crate::domain::link::{Field, LinkInput};

/// How many rows are decided and made durable at once.
const BATCH: usize = 500;
/// How long an import waits where changes can't be taken at the moment, before it tries again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

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

/// Rows that were read at once, and how far that came.
struct Batch {
    rows: Vec<Row>,
    bytes_read: u64,
}

/// What a dry run has taken in batches before: a real one would find it there.
#[derive(Default)]
struct Met {
    /// Hashes of slugs with their domains, and of external ids.
    names: HashSet<u128>,
}

impl Imports {
    /// Works on an import in its turn, from where its note says that it is.
    pub(super) async fn work(self, id: Uuid) {
        let Ok(_turn) = self.working.acquire().await else { return };
        let Some(job) = self.update(id, |job| job.state = State::Running) else { return };
        let worked = self.read_all(&job).await;
        let is_stopped = matches!(worked, Err(Failed::Stopped));
        self.update(id, |job| match worked {
            Ok(()) => job.state = State::Done,
            Err(Failed::For(error)) => {
                tracing::warn!(error, import = %job.id(), "an import failed");
                (job.state, job.error) = (State::Failed, Some(error));
            }
            Err(Failed::Stopped) => {}
        });
        if is_stopped {
            return;
        }
        // The report alone is of use from now on.
        let _absent = std::fs::remove_file(self.file(id));
    }

    async fn read_all(&self, job: &Job) -> Result<(), Failed> {
        let (path, format) = (self.file(job.id), job.plan.format);
        let done = job.counts.rows;
        let mut rows = blocking(move || {
            let mut rows = Rows::open(format, &path)?;
            for _ in 0..done {
                if let Some(row) = rows.next() {
                    row?;
                }
            }
            Ok::<_, Failed>(rows)
        })
        .await?;
        let ignored = rows.ignored_columns().to_vec();
        self.update(job.id, |job| job.ignored_columns = ignored);
        truncate(&self.report_of(job.id), job.report_bytes)?;
        let (mut counts, mut report_bytes) = (job.counts, job.report_bytes);
        let mut met = Met::default();
        loop {
            let (read, back) = blocking(move || {
                let batch = rows.by_ref().take(BATCH).collect::<Result<Vec<_>, _>>()?;
                Ok::<_, Failed>((Batch { rows: batch, bytes_read: rows.bytes_read() }, rows))
            })
            .await?;
            rows = back;
            if read.rows.is_empty() {
                return Ok(());
            }
            let (rejects, offset) = self.take(job, read.rows, &mut counts, &mut met).await?;
            report_bytes += self.report_rejects(job.id, &rejects)?;
            let noted = self.update(job.id, |job| {
                (job.counts, job.bytes_read, job.report_bytes) =
                    (counts, read.bytes_read, report_bytes);
                job.offset = job.offset.max(offset);
            });
            if noted.is_none() {
                return Err(Failed::For("it was deleted".to_owned()));
            }
        }
    }

    /// Has rows decided; returns those that were refused, and the offset that reflects the others.
    async fn take(
        &self,
        job: &Job,
        rows: Vec<Row>,
        counts: &mut Counts,
        met: &mut Met,
    ) -> Result<(Vec<Reject>, u64), Failed> {
        counts.rows += rows.len() as u64;
        let (mut wished, mut rejects) = (Vec::new(), Vec::new());
        for mut row in rows {
            let link = std::mem::replace(&mut row.link, Err(Vec::new()));
            match link.map(|input| prepared(input, &job.plan)) {
                Ok(input) if job.plan.dry_run && met.knows(&input, row.host.as_deref()) => {
                    match job.plan.on_conflict {
                        OnConflict::Reject => {
                            rejects.push(reject(row, [("slug".into(), vec!["is taken".into()])]));
                        }
                        OnConflict::Skip => counts.skipped += 1,
                        OnConflict::Replace => counts.replaced += 1,
                    }
                }
                Ok(input) => wished.push((row, input)),
                Err(errors) => rejects.push(reject(row, by_field(errors))),
            }
        }
        let (mut offset, mode) = (0, if job.plan.dry_run { Mode::Rehearse } else { Mode::Commit });
        let results = self.decided(job, &wished, mode).await?;
        for ((row, input), result) in wished.into_iter().zip(results) {
            match result {
                Ok(Done { outcome, offset: at, .. }) => {
                    offset = offset.max(at);
                    count(counts, &outcome);
                    if job.plan.dry_run {
                        met.note(&input, row.host.as_deref());
                    }
                }
                Err(CommandError::Refused(error)) => rejects.push(reject(row, words(error)?)),
                Err(other) => return Err(Failed::For(other.to_string())),
            }
        }
        rejects.sort_by_key(|reject| reject.row);
        counts.rejected += rejects.len() as u64;
        Ok((rejects, offset))
    }

    /// The results of commands that could be decided: while changes can't be taken, it waits.
    async fn decided(
        &self,
        job: &Job,
        wished: &[(Row, LinkInput)],
        mode: Mode,
    ) -> Result<Vec<Result<Done, CommandError>>, Failed> {
        if wished.is_empty() {
            return Ok(Vec::new());
        }
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
            let is_away = match &results {
                Ok(results) => results.iter().any(|result| result.as_ref().is_err_and(is_away)),
                Err(error) => is_away(error),
            };
            match results {
                // What was done of them is known again by its key.
                _ if is_away => tokio::time::sleep(AGAIN_AFTER).await,
                Ok(results) => return Ok(results),
                Err(error) => return Err(Failed::For(error.to_string())),
            }
        }
    }

    /// Adds lines to the report; returns how long they are.
    fn report_rejects(&self, id: Uuid, rejects: &[Reject]) -> Result<u64, Failed> {
        if rejects.is_empty() {
            return Ok(0);
        }
        let mut lines = Vec::new();
        for reject in rejects {
            serde_json::to_writer(&mut lines, reject).map_err(io::Error::from)?;
            lines.push(b'\n');
        }
        let disk = rustix::fs::statvfs(&*self.folder).map_err(io::Error::from)?;
        if disk.f_bavail.saturating_mul(disk.f_frsize) < ROOM_LEFT {
            return Err(Failed::For("the disk is nearly full".to_owned()));
        }
        let mut report = OpenOptions::new().append(true).open(self.report_of(id))?;
        report.write_all(&lines)?;
        // The note that counts on these lines comes after them.
        report.sync_data()?;
        Ok(lines.len() as u64)
    }
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
    input
}

/// The key under which a row is known, should it be asked for again.
fn key(job: &Job, row: &Row) -> Idempotency {
    let id = job.id();
    let request = format!("{id} {}", row.number);
    // A client's key holds no control character: none is like this one.
    let key = format!("{id}\u{1}{}", row.number);
    Idempotency { key, request_sha256: Sha256::digest(request).to_vec() }
}

fn count(counts: &mut Counts, outcome: &Outcome) {
    *match outcome {
        Outcome::Imported(_, Fate::Skipped) => &mut counts.skipped,
        Outcome::Imported(_, Fate::Unchanged) => &mut counts.unchanged,
        Outcome::Imported(_, Fate::Replaced) => &mut counts.replaced,
        // A row that came before, and was logged: what it made is at its first version.
        Outcome::Link(link) if link.version > 1 => &mut counts.replaced,
        _ => &mut counts.created,
    } += 1;
}

fn reject(row: Row, errors: impl IntoIterator<Item = (String, Vec<String>)>) -> Reject {
    let Row { number, line, slug, destination, .. } = row;
    Reject { row: number, line, slug, destination, errors: errors.into_iter().collect() }
}

fn by_field(errors: Vec<(String, String)>) -> BTreeMap<String, Vec<String>> {
    let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (field, reason) in errors {
        fields.entry(field).or_default().push(reason);
    }
    fields
}

/// What is wrong with a link, by its fields; a failure where it is wrong with all of them.
fn words(error: DomainError) -> Result<BTreeMap<String, Vec<String>>, Failed> {
    let one = |field: &str, reason: String| BTreeMap::from([(field.to_owned(), vec![reason])]);
    Ok(match error {
        DomainError::Invalid(invalid) => invalid.fields().clone(),
        DomainError::SlugTaken(_) => one("slug", "is taken".to_owned()),
        DomainError::Taken { field, .. } => one(field, "is taken".to_owned()),
        DomainError::Forbidden(reason) => return Err(Failed::For(reason)),
        other => one("link", other.to_string()),
    })
}

impl Met {
    /// Whether a link of the same name was taken before.
    fn knows(&self, input: &LinkInput, host: Option<&str>) -> bool {
        names(input, host).any(|name| self.names.contains(&name))
    }

    fn note(&mut self, input: &LinkInput, host: Option<&str>) {
        self.names.extend(names(input, host));
    }
}

/// What a link is found by: its slug on its domain, and its external id.
fn names(input: &LinkInput, host: Option<&str>) -> impl Iterator<Item = u128> {
    fn value(field: &Field<String>) -> Option<&str> {
        match field {
            Field::Value(text) => Some(text.as_str()),
            Field::Absent | Field::Null => None,
        }
    }
    let domain = value(&input.domain).or(host).unwrap_or_default();
    let slug = value(&input.slug).map(|slug| siphash(&format!("slug {domain}/{slug}")));
    let external_id = value(&input.external_id).map(|id| siphash(&format!("external {id}")));
    slug.into_iter().chain(external_id)
}

/// Of 128 bits: no two of a file's names share one by chance.
fn siphash(name: &str) -> u128 {
    use siphasher::sip128::{Hasher128, SipHasher13};
    use std::hash::Hasher;

    let mut hasher = SipHasher13::new();
    hasher.write(name.as_bytes());
    hasher.finish128().as_u128()
}

/// A report is as long as its job's note says: lines beyond that are of rows that come again.
fn truncate(path: &Path, bytes: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    file.set_len(bytes)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failed> + Send + 'static,
) -> Result<T, Failed> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| {
        Err(Failed::For("the file could not be read: its reader panicked".into()))
    })
}

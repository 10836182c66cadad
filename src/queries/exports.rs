//! Exports as jobs: a file of clicks is written beside other work, and fetched when it is done.
//!
//! Each job has a file of clicks and a small one that says what it is; both go a day after. One job
//! works at a time, the others wait. What a restart cut off has failed, and says so.
//!
//! Files are written and removed on threads that may block, never while the jobs are locked. A note
//! is replaced as a whole: after a crash it is the one before or the one after.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use uuid::Uuid;

use super::analytics::{
    Analytics, AnalyticsError, AnalyticsQuery, AsOf, Export, Format, Metric, Number,
};
use crate::domain::ids::{ExportId, WorkspaceId};
use crate::log::replace_file;

/// How long a file is kept.
pub const KEPT: Duration = Duration::from_secs(24 * 3_600);
/// How many exports a workspace may have.
pub const MAX_OF_WORKSPACE: usize = 10;
/// How much room on the disk an export leaves for the log, in bytes.
const ROOM_LEFT: u64 = 1 << 30;
/// How often it is looked whether there is as much, in bytes written.
const LOOK_EVERY: u64 = 16 << 20;

/// How an export stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Others go before.
    Queued,
    /// Its file is being written.
    Running,
    /// Its file can be fetched.
    Done,
    /// There is no file.
    Failed,
}

/// An export.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its id, without the prefix.
    pub id: Uuid,
    /// Whose clicks.
    pub workspace: Uuid,
    /// The kind of file.
    pub format: Format,
    /// How it stands.
    pub state: State,
    /// Each click up to this offset of the log, and no other.
    pub as_of_offset: u64,
    /// How many clicks there are.
    pub clicks: u64,
    /// How much of them is read, from 0 to 1.
    pub progress: f64,
    /// How long the file is so far, in bytes.
    pub bytes: u64,
    /// When it was asked for, in milliseconds since the Unix epoch.
    pub created_at_ms: i64,
    /// Why it failed.
    pub error: Option<String>,
}

impl Job {
    /// The id as the API has it.
    pub fn id(&self) -> ExportId {
        ExportId::new(self.id)
    }

    /// When the file goes, in milliseconds since the Unix epoch.
    pub fn expires_at_ms(&self) -> i64 {
        self.created_at_ms + i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX)
    }
}

/// Why an export can't be begun.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The workspace has as many as it may have.
    #[error("there are {MAX_OF_WORKSPACE} exports already: delete one, or wait until one expires")]
    TooMany,
    /// As with any question.
    #[error(transparent)]
    Analytics(#[from] AnalyticsError),
    /// The folder can't be written to.
    #[error("the export can't be written: {0}")]
    Io(#[from] io::Error),
}

/// A job, and what works on it.
struct Known {
    job: Job,
    worker: Option<AbortHandle>,
}

/// The exports of all workspaces. Cheap to clone.
#[derive(Clone)]
pub struct Exports {
    analytics: Analytics,
    folder: Arc<Path>,
    known: Arc<Mutex<BTreeMap<Uuid, Known>>>,
    working: Arc<Semaphore>,
}

impl Exports {
    /// Takes up what is in a folder, which is made if absent.
    pub fn open(folder: &Path, analytics: Analytics) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut known = BTreeMap::new();
        let mut files = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            match read_job(&path) {
                Some(job) => {
                    known.insert(job.id, Known { job, worker: None });
                }
                None => files.push(path),
            }
        }
        let exports = Self {
            analytics,
            folder: folder.into(),
            known: Arc::new(Mutex::new(known)),
            working: Arc::new(Semaphore::new(1)),
        };
        for known in exports.lock().values_mut() {
            let job = &mut known.job;
            if matches!(job.state, State::Queued | State::Running) {
                job.state = State::Failed;
                job.error = Some("the service was restarted; begin again".to_owned());
                if let Err(error) = write_note(&exports.note(job.id), job) {
                    warn_unwritten(job, &error);
                }
            }
        }
        // What no job knows of was cut off.
        let known: Vec<_> = exports.lock().values().map(|known| exports.path(&known.job)).collect();
        for file in files.into_iter().filter(|file| !known.contains(file)) {
            match fs::remove_file(file) {
                // What was left of a note has just been replaced.
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(exports)
    }

    /// Removes what is expired, again and again, for as long as it is polled.
    pub async fn keep_clean(self) {
        loop {
            self.remove_expired().await;
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
    }

    /// Begins an export of the clicks that a question is about.
    pub async fn begin(
        &self,
        query: AnalyticsQuery,
        format: Format,
        as_of: AsOf,
    ) -> Result<Job, ExportError> {
        self.remove_expired().await;
        let clicks = AnalyticsQuery { dimensions: Vec::new(), limit: 1, ..query.clone() };
        let clicks = AnalyticsQuery { metrics: vec![Metric::Clicks], compare: None, ..clicks };
        let report = self.analytics.run(&clicks, as_of).await?;
        let clicks = match report.rows.first().map(|row| row.metrics.as_slice()) {
            Some([Number::Count(clicks)]) => *clicks,
            _ => 0,
        };
        let job = Job {
            id: Uuid::now_v7(),
            workspace: query.workspace.uuid(),
            format,
            state: State::Queued,
            as_of_offset: as_of.offset,
            clicks,
            progress: 0.0,
            bytes: 0,
            created_at_ms: Timestamp::now().as_millisecond(),
            error: None,
        };
        {
            let mut known = self.lock();
            let of_workspace = known.values().filter(|known| known.job.workspace == job.workspace);
            if of_workspace.count() >= MAX_OF_WORKSPACE {
                return Err(ExportError::TooMany);
            }
            known.insert(job.id, Known { job: job.clone(), worker: None });
        }
        // On a task of its own: it goes on where the client has hung up.
        let begun = tokio::spawn(self.clone().start(job.clone(), query, as_of));
        begun.await.unwrap_or_else(|error| Err(io::Error::other(error)))?;
        Ok(job)
    }

    /// Notes a known job and begins its work.
    async fn start(self, job: Job, query: AnalyticsQuery, as_of: AsOf) -> io::Result<()> {
        let id = job.id;
        if let Err(error) = self.write_job(&job).await {
            self.lock().remove(&id);
            return Err(error);
        }
        // Where it is not known any more, it was removed meanwhile.
        if let Some(known) = self.lock().get_mut(&id) {
            let work = self.clone().work(job, query, as_of);
            known.worker = Some(tokio::spawn(work).abort_handle());
        }
        Ok(())
    }

    /// A workspace's exports, the newest first.
    pub async fn list(&self, workspace: WorkspaceId) -> Vec<Job> {
        self.remove_expired().await;
        let known = self.lock();
        let jobs = known.values().rev().map(|known| &known.job);
        jobs.filter(|job| job.workspace == workspace.uuid()).cloned().collect()
    }

    /// An export of a workspace.
    pub fn find(&self, workspace: WorkspaceId, id: ExportId) -> Option<Job> {
        let known = self.lock();
        let job = &known.get(&id.uuid())?.job;
        (job.workspace == workspace.uuid()).then(|| job.clone())
    }

    /// Where the file of an export is that is done.
    pub fn file(&self, job: &Job) -> Option<PathBuf> {
        (job.state == State::Done).then(|| self.path(job))
    }

    /// Ends an export, if it is under way, and removes its file.
    pub async fn remove(&self, job: &Job) {
        let Some(Known { worker, .. }) = self.lock().remove(&job.id) else { return };
        if let Some(worker) = worker {
            worker.abort();
        }
        let paths = [self.note(job.id), self.path(job), self.unfinished(job)];
        let removed = blocking(move || {
            for path in paths {
                let _absent = fs::remove_file(path);
            }
            Ok(())
        });
        let _done = removed.await;
    }

    async fn work(self, job: Job, query: AnalyticsQuery, as_of: AsOf) {
        let Ok(_place) = self.working.acquire().await else { return };
        self.update(job.id, |job| job.state = State::Running).await;
        let written = self.write(&job, &query, as_of).await;
        if written.is_err() {
            let _absent = tokio::fs::remove_file(self.unfinished(&job)).await;
        }
        let ended = self.update(job.id, |job| match written {
            Ok(()) => (job.state, job.progress) = (State::Done, 1.0),
            Err(error) => {
                tracing::warn!(error, export = %job.id(), "an export failed");
                (job.state, job.error) = (State::Failed, Some(error));
            }
        });
        ended.await;
    }

    /// Begins to read the clicks. A job has time: it waits for as long as others keep it waiting.
    async fn read_clicks(
        &self,
        job: &Job,
        query: &AnalyticsQuery,
        as_of: AsOf,
    ) -> Result<Export, AnalyticsError> {
        loop {
            match self.analytics.export(query, job.format, None, as_of).await {
                Err(AnalyticsError::Overloaded) => {}
                begun => return begun,
            }
        }
    }

    /// Writes the file; an error is a text for the one who asked.
    async fn write(&self, job: &Job, query: &AnalyticsQuery, as_of: AsOf) -> Result<(), String> {
        let failed = |error: AnalyticsError| error.to_string();
        let in_the_way = |error: io::Error| format!("the file can't be written: {error}");
        let mut export = self.read_clicks(job, query, as_of).await.map_err(failed)?;
        let path = self.unfinished(job);
        let mut file = File::create(&path).await.map_err(in_the_way)?;
        let (mut bytes, mut looked) = (0, None);
        let id = export.id().to_owned();
        while let Some(piece) = export.next().await.map_err(failed)? {
            if looked.is_none_or(|looked| bytes - looked >= LOOK_EVERY) {
                looked = Some(bytes);
                has_room(&self.folder).map_err(in_the_way)?;
                let share = self.analytics.progress(&id).await;
                self.note_progress(job.id, bytes, share);
            }
            file.write_all(&piece).await.map_err(in_the_way)?;
            bytes += piece.len() as u64;
        }
        file.sync_all().await.map_err(in_the_way)?;
        self.note_progress(job.id, bytes, None);
        // Its name is durable before a note says that it is done, which syncs the folder.
        tokio::fs::rename(path, self.path(job)).await.map_err(in_the_way)
    }

    fn note_progress(&self, id: Uuid, bytes: u64, share: Option<f64>) {
        if let Some(Known { job, .. }) = self.lock().get_mut(&id) {
            job.bytes = bytes;
            job.progress = share.unwrap_or(job.progress).clamp(0.0, 1.0);
        }
    }

    /// Changes how a job stands, in its note and here: who sees it done finds it done after a
    /// crash, too.
    async fn update(&self, id: Uuid, change: impl FnOnce(&mut Job)) {
        let Some(mut job) = self.lock().get(&id).map(|known| known.job.clone()) else { return };
        change(&mut job);
        if let Err(error) = self.write_job(&job).await {
            warn_unwritten(&job, &error);
        }
        if let Some(known) = self.lock().get_mut(&id) {
            known.job = job;
        }
    }

    async fn remove_expired(&self) {
        for job in self.expired() {
            self.remove(&job).await;
        }
    }

    fn expired(&self) -> Vec<Job> {
        let now_ms = Timestamp::now().as_millisecond();
        let known = self.lock();
        let expired = known.values().filter(|known| known.job.expires_at_ms() <= now_ms);
        expired.map(|known| known.job.clone()).collect()
    }

    /// Writes a job's note. It is removed again where the job was removed meanwhile: a note
    /// written after the removal would bring the job back at the next start.
    async fn write_job(&self, job: &Job) -> io::Result<()> {
        let (exports, job) = (self.clone(), job.clone());
        blocking(move || {
            let note = exports.note(job.id);
            write_note(&note, &job)?;
            let is_known = exports.lock().contains_key(&job.id);
            if is_known { Ok(()) } else { fs::remove_file(note) }
        })
        .await
    }

    fn path(&self, job: &Job) -> PathBuf {
        self.folder.join(format!("{}.{}", job.id, job.format.as_str()))
    }

    fn unfinished(&self, job: &Job) -> PathBuf {
        self.folder.join(format!("{}.part", job.id))
    }

    fn note(&self, id: Uuid) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Uuid, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The log must never want for room because of an export.
fn has_room(folder: &Path) -> io::Result<()> {
    let disk = rustix::fs::statvfs(folder)?;
    if disk.f_bavail.saturating_mul(disk.f_frsize) < ROOM_LEFT {
        return Err(io::Error::new(io::ErrorKind::StorageFull, "the disk is nearly full"));
    }
    Ok(())
}

fn warn_unwritten(job: &Job, error: &io::Error) {
    tracing::warn!(%error, export = %job.id(), "how an export stands can't be noted");
}

fn write_note(path: &Path, job: &Job) -> io::Result<()> {
    replace_file(path, &serde_json::to_vec(job)?)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// What a job's note says; `None` for any other file.
fn read_job(path: &Path) -> Option<Job> {
    let is_note = path.extension().is_some_and(|extension| extension == "json");
    is_note.then(|| serde_json::from_slice(&fs::read(path).ok()?).ok())?
}

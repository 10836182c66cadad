//! Export jobs: a background job writes a file of clicks, which is downloaded when it is done.
//!
//! Each job has a file of clicks and a metadata file; both are deleted after a day. One job runs at
//! a time; the others are queued. A job interrupted by a restart is marked as failed.
//!
//! Files are written and removed on blocking threads, never while the jobs are locked. A metadata
//! file is replaced atomically.

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

use super::analytics::{Analytics, AnalyticsQuery, AsOf, Export, Format, Metric, Number};
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::ids::{ExportId, WorkspaceId};
use crate::log::replace_file;

/// How long a file is kept.
pub const KEPT: Duration = Duration::from_secs(24 * 3_600);
/// The maximum number of exports per workspace.
pub const MAX_OF_WORKSPACE: usize = 10;
/// The disk space that an export leaves free for the log, in bytes.
const MIN_FREE_BYTES: u64 = 1 << 30;
/// How often the free disk space is checked, in bytes written.
const CHECK_SPACE_EVERY: u64 = 16 << 20;

/// The state of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waiting for others.
    Queued,
    /// Its file is being written.
    Running,
    /// Its file can be downloaded.
    Done,
    /// There is no file.
    Failed,
}

/// An export.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its id, without the prefix.
    pub id: Uuid,
    /// The workspace.
    pub workspace: Uuid,
    /// The file format.
    pub format: Format,
    /// The state.
    pub state: State,
    /// The export contains each click up to this offset of the log, and no other.
    pub as_of_offset: u64,
    /// The number of clicks.
    pub clicks: u64,
    /// The fraction of them that has been read.
    pub progress: f64,
    /// The size of the file so far, in bytes.
    pub bytes: u64,
    /// When it was requested, in milliseconds since the Unix epoch.
    pub created_at_ms: i64,
    /// Why it failed.
    pub error: Option<String>,
}

impl Job {
    /// The ID in the API.
    pub fn id(&self) -> ExportId {
        ExportId::new(self.id)
    }

    /// When the file is deleted, in milliseconds since the Unix epoch.
    pub fn expires_at_ms(&self) -> i64 {
        self.created_at_ms + i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX)
    }
}

/// A job and its worker task.
struct JobEntry {
    job: Job,
    worker: Option<AbortHandle>,
}

/// The exports of all workspaces. Cheap to clone.
#[derive(Clone)]
pub struct Exports {
    analytics: Analytics,
    folder: Arc<Path>,
    jobs: Arc<Mutex<BTreeMap<Uuid, JobEntry>>>,
    running: Arc<Semaphore>,
}

impl Exports {
    /// Loads the jobs in a folder, which is created if missing.
    pub fn open(folder: &Path, analytics: Analytics) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut jobs = BTreeMap::new();
        let mut files = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            match read_job(&path) {
                Some(job) => {
                    jobs.insert(job.id, JobEntry { job, worker: None });
                }
                None => files.push(path),
            }
        }
        let exports = Self {
            analytics,
            folder: folder.into(),
            jobs: Arc::new(Mutex::new(jobs)),
            running: Arc::new(Semaphore::new(1)),
        };
        for entry in exports.lock().values_mut() {
            let job = &mut entry.job;
            if matches!(job.state, State::Queued | State::Running) {
                job.state = State::Failed;
                job.error = Some("the service was restarted; begin again".to_owned());
                if let Err(error) = write_metadata(&exports.metadata_path(job.id), job) {
                    warn_metadata_unwritten(job, &error);
                }
            }
        }
        // Remove files without a job: an interruption left them.
        let kept: Vec<_> = exports.lock().values().map(|entry| exports.path(&entry.job)).collect();
        for file in files.into_iter().filter(|file| !kept.contains(file)) {
            match fs::remove_file(file) {
                // The temporary file of a metadata file that was just replaced.
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(exports)
    }

    /// Removes expired exports periodically, for as long as it is polled.
    pub async fn keep_clean(self) {
        loop {
            self.remove_expired().await;
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
    }

    /// Starts an export of the clicks that match a query.
    pub async fn begin(&self, query: AnalyticsQuery, format: Format, as_of: AsOf) -> Result<Job> {
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
            let mut jobs = self.lock();
            let of_workspace = jobs.values().filter(|entry| entry.job.workspace == job.workspace);
            if of_workspace.count() >= MAX_OF_WORKSPACE {
                let message = format!(
                    "There are {MAX_OF_WORKSPACE} exports already: delete one, or wait until one expires."
                );
                return Err(ServiceError::new(ErrorCode::Conflict, message));
            }
            jobs.insert(job.id, JobEntry { job: job.clone(), worker: None });
        }
        // A task of its own, so that it continues if the client disconnects.
        let begun = tokio::spawn(self.clone().start(job.clone(), query, as_of));
        begun.await.unwrap_or_else(|error| Err(io::Error::other(error)))?;
        Ok(job)
    }

    /// Writes the metadata of a job and starts its worker.
    async fn start(self, job: Job, query: AnalyticsQuery, as_of: AsOf) -> io::Result<()> {
        let id = job.id;
        if let Err(error) = self.write_job(&job).await {
            self.lock().remove(&id);
            return Err(error);
        }
        // If the job is gone, it was removed meanwhile.
        if let Some(entry) = self.lock().get_mut(&id) {
            let work = self.clone().work(job, query, as_of);
            entry.worker = Some(tokio::spawn(work).abort_handle());
        }
        Ok(())
    }

    /// A workspace's exports, newest first.
    pub async fn list(&self, workspace: WorkspaceId) -> Vec<Job> {
        self.remove_expired().await;
        let jobs = self.lock();
        let jobs = jobs.values().rev().map(|entry| &entry.job);
        jobs.filter(|job| job.workspace == workspace.uuid()).cloned().collect()
    }

    /// An export of a workspace.
    pub fn find(&self, workspace: WorkspaceId, id: ExportId) -> Option<Job> {
        let jobs = self.lock();
        let job = &jobs.get(&id.uuid())?.job;
        (job.workspace == workspace.uuid()).then(|| job.clone())
    }

    /// The path of a finished export's file.
    pub fn file(&self, job: &Job) -> Option<PathBuf> {
        (job.state == State::Done).then(|| self.path(job))
    }

    /// Aborts an export, if it is running, and removes its file.
    pub async fn remove(&self, job: &Job) {
        let Some(JobEntry { worker, .. }) = self.lock().remove(&job.id) else { return };
        if let Some(worker) = worker {
            worker.abort();
        }
        let paths = [self.metadata_path(job.id), self.path(job), self.unfinished(job)];
        let removed = blocking(move || {
            for path in paths {
                let _absent = fs::remove_file(path);
            }
            Ok(())
        });
        let _done = removed.await;
    }

    async fn work(self, job: Job, query: AnalyticsQuery, as_of: AsOf) {
        let Ok(_permit) = self.running.acquire().await else { return };
        self.update(job.id, |job| job.state = State::Running).await;
        let written = self.write(&job, &query, as_of).await;
        if written.is_err() {
            let _absent = tokio::fs::remove_file(self.unfinished(&job)).await;
        }
        let ended = self.update(job.id, |job| match written {
            Ok(()) => (job.state, job.progress) = (State::Done, 1.0),
            Err(error) => {
                tracing::warn!(error, export = %job.id(), "export failed");
                (job.state, job.error) = (State::Failed, Some(error));
            }
        });
        ended.await;
    }

    /// Starts to read the clicks. A job retries for as long as ClickHouse is overloaded.
    async fn read_clicks(&self, job: &Job, query: &AnalyticsQuery, as_of: AsOf) -> Result<Export> {
        loop {
            match self.analytics.export(query, job.format, None, as_of).await {
                Err(error) if error.code == ErrorCode::Overloaded => {}
                begun => return begun,
            }
        }
    }

    /// Writes the file. The error is a message for the client.
    async fn write(&self, job: &Job, query: &AnalyticsQuery, as_of: AsOf) -> Result<(), String> {
        let failed = |error: ServiceError| {
            tracing::warn!(%error, export = %job.id(), "reading clicks failed");
            error.message.into_owned()
        };
        let io_error = |error: io::Error| format!("the file cannot be written: {error}");
        let mut export = self.read_clicks(job, query, as_of).await.map_err(failed)?;
        let path = self.unfinished(job);
        let mut file = File::create(&path).await.map_err(io_error)?;
        let (mut bytes, mut checked_at) = (0, None);
        let id = export.id().to_owned();
        while let Some(piece) = export.next().await.map_err(failed)? {
            if checked_at.is_none_or(|checked_at| bytes - checked_at >= CHECK_SPACE_EVERY) {
                checked_at = Some(bytes);
                check_disk_space(&self.folder).map_err(io_error)?;
                let share = self.analytics.progress(&id).await;
                self.record_progress(job.id, bytes, share);
            }
            file.write_all(&piece).await.map_err(io_error)?;
            bytes += piece.len() as u64;
        }
        file.sync_all().await.map_err(io_error)?;
        self.record_progress(job.id, bytes, None);
        // The rename is durable before the metadata says "done": writing the metadata syncs the
        // folder.
        tokio::fs::rename(path, self.path(job)).await.map_err(io_error)
    }

    fn record_progress(&self, id: Uuid, bytes: u64, share: Option<f64>) {
        if let Some(JobEntry { job, .. }) = self.lock().get_mut(&id) {
            job.bytes = bytes;
            job.progress = share.unwrap_or(job.progress).clamp(0.0, 1.0);
        }
    }

    /// Changes a job on disk first, then in memory: a job that was seen as done is done after a
    /// crash, too.
    async fn update(&self, id: Uuid, change: impl FnOnce(&mut Job)) {
        let Some(mut job) = self.lock().get(&id).map(|entry| entry.job.clone()) else { return };
        change(&mut job);
        if let Err(error) = self.write_job(&job).await {
            warn_metadata_unwritten(&job, &error);
        }
        if let Some(entry) = self.lock().get_mut(&id) {
            entry.job = job;
        }
    }

    async fn remove_expired(&self) {
        for job in self.expired() {
            self.remove(&job).await;
        }
    }

    fn expired(&self) -> Vec<Job> {
        let now_ms = Timestamp::now().as_millisecond();
        let jobs = self.lock();
        let expired = jobs.values().filter(|entry| entry.job.expires_at_ms() <= now_ms);
        expired.map(|entry| entry.job.clone()).collect()
    }

    /// Writes a job's metadata. Removes it again if the job was removed meanwhile; otherwise the
    /// job would reappear at the next start.
    async fn write_job(&self, job: &Job) -> io::Result<()> {
        let (exports, job) = (self.clone(), job.clone());
        blocking(move || {
            let path = exports.metadata_path(job.id);
            write_metadata(&path, &job)?;
            let is_known = exports.lock().contains_key(&job.id);
            if is_known { Ok(()) } else { fs::remove_file(path) }
        })
        .await
    }

    fn path(&self, job: &Job) -> PathBuf {
        self.folder.join(format!("{}.{}", job.id, job.format.as_str()))
    }

    fn unfinished(&self, job: &Job) -> PathBuf {
        self.folder.join(format!("{}.part", job.id))
    }

    fn metadata_path(&self, id: Uuid) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Uuid, JobEntry>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fails if the disk is nearly full: an export must never take the space that the log needs.
fn check_disk_space(folder: &Path) -> io::Result<()> {
    let disk = rustix::fs::statvfs(folder)?;
    if disk.f_bavail.saturating_mul(disk.f_frsize) < MIN_FREE_BYTES {
        return Err(io::Error::new(io::ErrorKind::StorageFull, "the disk is nearly full"));
    }
    Ok(())
}

fn warn_metadata_unwritten(job: &Job, error: &io::Error) {
    tracing::warn!(%error, export = %job.id(), "cannot write the export's metadata");
}

fn write_metadata(path: &Path, job: &Job) -> io::Result<()> {
    replace_file(path, &serde_json::to_vec(job)?)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Reads a job's metadata; `None` for any other file.
fn read_job(path: &Path) -> Option<Job> {
    let is_note = path.extension().is_some_and(|extension| extension == "json");
    is_note.then(|| serde_json::from_slice(&fs::read(path).ok()?).ok())?
}

//! Imports: files of links are read row by row and become commands.
//!
//! An import is a job. Its file and its progress are stored, so it resumes after a restart. No row is
//! imported twice: each has an idempotency key of its own, which is logged with its event. These keys
//! are retained for a day; an import that was interrupted for longer is not resumed.
//!
//! Two imports run at a time, one per workspace; the others are queued.

pub mod formats;
mod job;
mod job_store;
mod seen_keys;
mod upload;
mod work;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::Digest;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use uuid::Uuid;

pub use job::{Counts, Idempotency, Job, Plan, Reject, State};
pub use upload::Upload;

use crate::commands::{Commands, now_ms};
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::ids::{ImportId, WorkspaceId};
use crate::domain::token::Actor;
use job_store::JobStore;
use upload::Uploading;

/// Maximum number of imports per workspace, including uploads.
pub const MAX_OF_WORKSPACE: usize = 10;
/// Maximum size of a file, in bytes.
pub const MAX_FILE_BYTES: u64 = 128 << 20;
/// Maximum number of concurrent uploads.
const UPLOAD_CONCURRENCY: usize = 8;
/// Number of imports that run at once.
const CONCURRENCY: usize = 2;
/// Free disk space that imports reserve for the log, in bytes.
const RESERVED_BYTES: u64 = 1 << 30;

/// A job and its worker.
struct Entry {
    job: Job,
    worker: Option<AbortHandle>,
}

/// The imports of all workspaces. Cheap to clone.
#[derive(Clone)]
pub struct Imports {
    /// `None` once the service stops; the imports resume after the next start.
    commands: Arc<Mutex<Option<Commands>>>,
    store: JobStore,
    known: Arc<Mutex<BTreeMap<Uuid, Entry>>>,
    uploading: Uploading,
    permits: Arc<Mutex<BTreeMap<Uuid, Arc<Semaphore>>>>,
    workers: Arc<Semaphore>,
}

impl Imports {
    /// Opens the folder, creating it if absent. [`Self::resume`] continues its imports.
    pub fn open(folder: &Path, commands: Commands) -> io::Result<Self> {
        let store = JobStore::open(folder)?;
        let known = store.read()?.into_iter().map(|job| (job.id, Entry { job, worker: None }));
        Ok(Self {
            commands: Arc::new(Mutex::new(Some(commands))),
            known: Arc::new(Mutex::new(known.collect())),
            store,
            uploading: Uploading::default(),
            permits: Arc::default(),
            workers: Arc::new(Semaphore::new(CONCURRENCY)),
        })
    }

    /// Resumes unfinished imports. Needs a Tokio runtime.
    pub fn resume(&self) {
        for Entry { job, worker } in self.lock().values_mut().filter(|known| !known.job.is_over()) {
            *worker = Some(tokio::spawn(self.clone().work(job.id)).abort_handle());
        }
    }

    /// Stops all imports, to resume after the next start, and drops the handle to the writer, which
    /// ends with its last handle.
    pub fn stop(&self) {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).take();
        for Entry { worker, .. } in self.lock().values_mut() {
            worker.take().inspect(AbortHandle::abort);
        }
    }

    fn commands(&self) -> Option<Commands> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Periodically removes expired imports.
    pub async fn keep_clean(self) {
        loop {
            let now_ms = now_ms();
            let expired: Vec<_> = {
                let known = self.lock();
                let jobs = known.values().map(|known| &known.job);
                jobs.filter(|job| is_expired(job, now_ms)).map(|job| job.id).collect()
            };
            for id in expired {
                self.remove(id).await;
            }
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
    }

    /// Starts an upload.
    pub async fn upload(&self, workspace: WorkspaceId) -> Result<Upload> {
        let of_workspace = self.list(workspace).len();
        let workspace = workspace.uuid();
        {
            let mut uploading = self.uploading.lock().unwrap_or_else(PoisonError::into_inner);
            let own = uploading.iter().filter(|one| **one == workspace).count();
            if of_workspace + own >= MAX_OF_WORKSPACE {
                let message = format!(
                    "The workspace already has {MAX_OF_WORKSPACE} imports: delete one, or wait until one expires."
                );
                return Err(ServiceError::new(ErrorCode::Conflict, message));
            }
            if uploading.len() >= UPLOAD_CONCURRENCY {
                let message = "Too many uploads are in progress; please try again.";
                return Err(ServiceError::unavailable(ErrorCode::Overloaded, message));
            }
            uploading.push(workspace);
        }
        Upload::begin(self.store.folder(), workspace, Arc::clone(&self.uploading)).await
    }

    /// Starts an import of an uploaded file. `true`: this is a replay of the request that started it.
    pub async fn begin(
        &self,
        actor: &Actor,
        plan: Plan,
        upload: Upload,
        key: Option<String>,
    ) -> Result<(Job, bool)> {
        let idempotency = key.map(|key| {
            let mut request = upload.sha256.clone();
            request.update(format!("{plan:?}"));
            Idempotency { key, request_sha256: request.finalize().to_vec() }
        });
        let job = Job {
            id: upload.id,
            workspace: upload.workspace(),
            token: actor.token.uuid(),
            plan,
            state: State::Queued,
            counts: Counts::default(),
            bytes_total: upload.bytes,
            bytes_read: 0,
            report_bytes: 0,
            ignored_columns: Vec::new(),
            unknown_domains: Vec::new(),
            offset: 0,
            created_at_ms: now_ms(),
            noted_at_ms: now_ms(),
            error: None,
            idempotency,
        };
        {
            let mut known = self.lock();
            let same = job.idempotency.as_ref().and_then(|sent| {
                let mut own = known.values().filter(|known| known.job.workspace == job.workspace);
                let is_same = |one: &&Entry| {
                    one.job.idempotency.as_ref().is_some_and(|first| first.key == sent.key)
                };
                own.find(is_same)
            });
            match same {
                Some(Entry { job: first, .. }) if first.idempotency == job.idempotency => {
                    return Ok((first.clone(), true));
                }
                Some(_) => return Err(ServiceError::idempotency_key_reused()),
                None => drop(known.insert(job.id, Entry { job: job.clone(), worker: None })),
            }
        }
        let created = async {
            upload.sync().await?;
            self.store.create(&upload.path, &job).await
        };
        if let Err(error) = created.await {
            self.remove(job.id).await;
            return Err(error.into());
        }
        let is_started = match self.lock().get_mut(&job.id) {
            Some(known) => {
                known.worker = Some(tokio::spawn(self.clone().work(job.id)).abort_handle());
                true
            }
            None => false,
        };
        if !is_started {
            // Deleted while it was being stored.
            self.store.remove(job.id).await;
        }
        Ok((job, false))
    }

    /// A workspace's imports, newest first.
    pub fn list(&self, workspace: WorkspaceId) -> Vec<Job> {
        let (known, now_ms) = (self.lock(), now_ms());
        let jobs = known.values().rev().map(|known| &known.job);
        let own = jobs.filter(|job| job.workspace == workspace.uuid() && !is_expired(job, now_ms));
        own.cloned().collect()
    }

    /// An import of a workspace.
    pub fn find(&self, workspace: WorkspaceId, id: ImportId) -> Option<Job> {
        let known = self.lock();
        let job = &known.get(&id.uuid())?.job;
        (job.workspace == workspace.uuid()).then(|| job.clone())
    }

    /// The path of an import's report: [`Reject`]s, one JSON line each. It may have more than
    /// [`Job::report_bytes`].
    pub fn report(&self, job: &Job) -> PathBuf {
        self.store.report(job.id)
    }

    /// Cancels an import if it is running, and removes its report. The imported links stay.
    pub async fn remove(&self, id: Uuid) {
        let removed = self.lock().remove(&id);
        if let Some(worker) = removed.and_then(|known| known.worker) {
            worker.abort();
        }
        self.store.remove(id).await;
    }

    /// Updates a job in memory and on disk. `None` if it was removed.
    async fn update(&self, id: Uuid, change: impl FnOnce(&mut Job)) -> io::Result<Option<Job>> {
        let changed = {
            let mut known = self.lock();
            let Some(Entry { job, .. }) = known.get_mut(&id) else { return Ok(None) };
            change(job);
            job.noted_at_ms = now_ms();
            job.clone()
        };
        // Only its worker changes a job, so the writes are in order.
        let known = Arc::clone(&self.known);
        let is_known =
            move || known.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&id);
        self.store.write(&changed, is_known).await?;
        Ok(Some(changed))
    }

    /// The permits of a workspace.
    fn permits_of(&self, workspace: Uuid) -> Arc<Semaphore> {
        let mut permits = self.permits.lock().unwrap_or_else(PoisonError::into_inner);
        permits.retain(|_, permits| Arc::strong_count(permits) > 1);
        Arc::clone(permits.entry(workspace).or_insert_with(|| Arc::new(Semaphore::new(1))))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Uuid, Entry>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_expired(job: &Job, now_ms: u64) -> bool {
    job.expires_at_ms().is_some_and(|at_ms| at_ms <= now_ms)
}

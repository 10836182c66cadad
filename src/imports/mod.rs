//! Links come in from elsewhere: files are read row by row, and become commands.
//!
//! An import is a job. Its file is kept beside a note of how far it has come; it goes on after a
//! restart, and whatever cut it off, no row is taken twice: each has an idempotency key of its
//! own, which stands in the log with what came of it. Such keys are known for a day; an import that
//! was cut off for longer is not gone on with.
//!
//! Two imports work at a time, one of a workspace; the others wait.

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
use crate::domain::ids::{ImportId, WorkspaceId};
use crate::domain::token::Actor;
use job_store::JobStore;
use upload::Uploading;

/// How many imports a workspace may have, uploads among them.
pub const MAX_OF_WORKSPACE: usize = 10;
/// The largest file, in bytes.
pub const MAX_FILE_BYTES: u64 = 128 << 20;
/// How many files come in at once.
const UPLOADS_AT_ONCE: usize = 8;
/// How many imports work at once.
const AT_ONCE: usize = 2;
/// How much room on the disk an import leaves for the log, in bytes.
const ROOM_LEFT: u64 = 1 << 30;

/// Why an import can't be begun.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The workspace has as many as it may have.
    #[error("there are {MAX_OF_WORKSPACE} imports already: delete one, or wait until one expires")]
    TooMany,
    /// Too many files are on their way in.
    #[error("too many files come in at the moment")]
    Busy,
    /// The file is larger than [`MAX_FILE_BYTES`].
    #[error("the file is larger than {} MiB", MAX_FILE_BYTES >> 20)]
    TooLarge,
    /// The idempotency key came with another file or plan.
    #[error("the idempotency key was used with another import")]
    KeyReused,
    /// The folder can't be written to.
    #[error("the import can't be kept: {0}")]
    Io(#[from] io::Error),
}

/// A job, and what works on it.
struct Known {
    job: Job,
    worker: Option<AbortHandle>,
}

/// The imports of all workspaces. Cheap to clone.
#[derive(Clone)]
pub struct Imports {
    /// `None` once the service stops: the imports go on after it is started again.
    commands: Arc<Mutex<Option<Commands>>>,
    notes: JobStore,
    known: Arc<Mutex<BTreeMap<Uuid, Known>>>,
    uploading: Uploading,
    turns: Arc<Mutex<BTreeMap<Uuid, Arc<Semaphore>>>>,
    working: Arc<Semaphore>,
}

impl Imports {
    /// Takes up what is in a folder, which is made if absent. [`Self::resume`] goes on with it.
    pub fn open(folder: &Path, commands: Commands) -> io::Result<Self> {
        let notes = JobStore::open(folder)?;
        let known = notes.read()?.into_iter().map(|job| (job.id, Known { job, worker: None }));
        Ok(Self {
            commands: Arc::new(Mutex::new(Some(commands))),
            known: Arc::new(Mutex::new(known.collect())),
            notes,
            uploading: Uploading::default(),
            turns: Arc::default(),
            working: Arc::new(Semaphore::new(AT_ONCE)),
        })
    }

    /// Goes on with the imports that are not over. Needs a runtime.
    pub fn resume(&self) {
        for Known { job, worker } in self.lock().values_mut().filter(|known| !known.job.is_over()) {
            *worker = Some(tokio::spawn(self.clone().work(job.id)).abort_handle());
        }
    }

    /// Ends the work, to go on after the next start, and lets go of the writer, which ends when
    /// nobody has it any more.
    pub fn stop(&self) {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).take();
        for Known { worker, .. } in self.lock().values_mut() {
            worker.take().inspect(AbortHandle::abort);
        }
    }

    fn commands(&self) -> Option<Commands> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Removes what is expired, again and again, for as long as it is polled.
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

    /// Begins to take a file in.
    pub async fn upload(&self, workspace: WorkspaceId) -> Result<Upload, ImportError> {
        let of_workspace = self.list(workspace).len();
        let workspace = workspace.uuid();
        {
            let mut uploading = self.uploading.lock().unwrap_or_else(PoisonError::into_inner);
            let own = uploading.iter().filter(|one| **one == workspace).count();
            if of_workspace + own >= MAX_OF_WORKSPACE {
                return Err(ImportError::TooMany);
            }
            if uploading.len() >= UPLOADS_AT_ONCE {
                return Err(ImportError::Busy);
            }
            uploading.push(workspace);
        }
        Upload::begin(self.notes.folder(), workspace, Arc::clone(&self.uploading)).await
    }

    /// Begins an import of a file that has come in whole. `true`: the same request came before,
    /// with the same key, and began this one.
    pub async fn begin(
        &self,
        actor: &Actor,
        plan: Plan,
        upload: Upload,
        key: Option<String>,
    ) -> Result<(Job, bool), ImportError> {
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
                let is_same = |one: &&Known| {
                    one.job.idempotency.as_ref().is_some_and(|first| first.key == sent.key)
                };
                own.find(is_same)
            });
            match same {
                Some(Known { job: first, .. }) if first.idempotency == job.idempotency => {
                    return Ok((first.clone(), true));
                }
                Some(_) => return Err(ImportError::KeyReused),
                None => drop(known.insert(job.id, Known { job: job.clone(), worker: None })),
            }
        }
        let kept = async {
            upload.sync().await?;
            self.notes.keep(&upload.path, &job).await
        };
        if let Err(error) = kept.await {
            self.remove(job.id).await;
            return Err(error.into());
        }
        let is_begun = match self.lock().get_mut(&job.id) {
            Some(known) => {
                known.worker = Some(tokio::spawn(self.clone().work(job.id)).abort_handle());
                true
            }
            None => false,
        };
        if !is_begun {
            // Deleted while it was written down.
            self.notes.remove(job.id).await;
        }
        Ok((job, false))
    }

    /// A workspace's imports, the newest first.
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

    /// Where the report of an import is: [`Reject`]s, a line of JSON each. Beyond
    /// [`Job::report_bytes`] it may hold more.
    pub fn report(&self, job: &Job) -> PathBuf {
        self.notes.report(job.id)
    }

    /// Ends an import, if it is under way, and removes its report. The links that it made stay.
    pub async fn remove(&self, id: Uuid) {
        let removed = self.lock().remove(&id);
        if let Some(worker) = removed.and_then(|known| known.worker) {
            worker.abort();
        }
        self.notes.remove(id).await;
    }

    /// Changes how a job stands, here and in its note. `None` where it is gone.
    async fn update(&self, id: Uuid, change: impl FnOnce(&mut Job)) -> io::Result<Option<Job>> {
        let changed = {
            let mut known = self.lock();
            let Some(Known { job, .. }) = known.get_mut(&id) else { return Ok(None) };
            change(job);
            job.noted_at_ms = now_ms();
            job.clone()
        };
        // Only the one who works on a job changes it: notes are written in order.
        let known = Arc::clone(&self.known);
        let is_known =
            move || known.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&id);
        self.notes.write(&changed, is_known).await?;
        Ok(Some(changed))
    }

    /// The turns of a workspace.
    fn turns_of(&self, workspace: Uuid) -> Arc<Semaphore> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turns| Arc::strong_count(turns) > 1);
        Arc::clone(turns.entry(workspace).or_insert_with(|| Arc::new(Semaphore::new(1))))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Uuid, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_expired(job: &Job, now_ms: u64) -> bool {
    job.expires_at_ms().is_some_and(|at_ms| at_ms <= now_ms)
}

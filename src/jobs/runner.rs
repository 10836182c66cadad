//! Runs the jobs of one kind.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use uuid::Uuid;

use super::store::{JobStore, blocking};
use super::{Clock, Failed, Job, Kind, MAX_OF_WORKSPACE, Scheduler, State};
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::ids::WorkspaceId;
use crate::queries::WorkspaceLimiter;

/// How often expired jobs are removed.
const CLEAN_EVERY: Duration = Duration::from_secs(600);

/// The jobs of one kind, of all workspaces. Cheap to clone.
pub struct JobRunner<K>(Arc<Shared<K>>);

struct Shared<K> {
    store: JobStore<K>,
    clock: Clock,
    entries: Mutex<BTreeMap<Uuid, Entry<K>>>,
    reserved: Reserved,
    workspaces: WorkspaceLimiter,
    workers: Semaphore,
}

/// A job and its worker.
struct Entry<K> {
    job: Job<K>,
    worker: Option<AbortHandle>,
}

/// The workspaces of the reserved slots.
type Reserved = Arc<Mutex<Vec<WorkspaceId>>>;

/// A reserved place among the jobs of a workspace, released on drop.
#[must_use]
pub(super) struct Slot {
    pub(super) workspace: WorkspaceId,
    reserved: Reserved,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = reserved.iter().position(|one| *one == self.workspace) {
            reserved.swap_remove(at);
        }
    }
}

impl<K> Clone for JobRunner<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Kind> JobRunner<K> {
    /// Opens the folder of the jobs, creating it if absent. [`Self::resume`] continues unfinished
    /// ones.
    pub(super) fn open(folder: &Path, clock: Clock) -> io::Result<Self> {
        let store = JobStore::open(folder)?;
        let jobs = store.read()?.into_iter();
        let entries = jobs.map(|job| (job.id, Entry { job, worker: None })).collect();
        Ok(Self(Arc::new(Shared {
            store,
            clock,
            entries: Mutex::new(entries),
            reserved: Reserved::default(),
            workspaces: WorkspaceLimiter::new(1),
            workers: Semaphore::new(K::CONCURRENCY),
        })))
    }

    /// A workspace's jobs, newest first.
    pub fn list(&self, workspace: WorkspaceId) -> Vec<Job<K>> {
        let (entries, now_ms) = (self.lock(), self.now_ms());
        let jobs = entries.values().rev().map(|entry| &entry.job);
        let is_own = |job: &&Job<K>| job.workspace == workspace.uuid() && !job.is_expired(now_ms);
        jobs.filter(is_own).cloned().collect()
    }

    /// A job of a workspace.
    pub fn find(&self, workspace: WorkspaceId, id: Uuid) -> Option<Job<K>> {
        self.get(id).filter(|job| job.workspace == workspace.uuid())
    }

    /// Cancels a job if it is running, and removes it with its files.
    pub async fn remove(&self, job: &Job<K>) {
        if let Some(Entry { worker: Some(worker), .. }) = self.lock().remove(&job.id) {
            worker.abort();
        }
        let job = job.clone();
        self.on_disk(move |store| store.remove(&job)).await;
    }

    /// Removes expired jobs periodically.
    pub fn keep_clean(&self, scheduler: &mut Scheduler) {
        let periods = [Duration::ZERO, CLEAN_EVERY];
        scheduler.every("expired-jobs", periods, self.clone(), |runner| async move {
            runner.remove_expired().await;
        });
    }

    async fn remove_expired(&self) {
        let now_ms = self.now_ms();
        let jobs: Vec<_> = self.lock().values().map(|entry| entry.job.clone()).collect();
        for job in jobs.iter().filter(|job| job.is_expired(now_ms)) {
            self.remove(job).await;
        }
    }

    /// Resumes unfinished jobs. Needs a Tokio runtime.
    pub(super) fn resume<F>(&self, work: impl Fn(Job<K>) -> F)
    where
        F: Future<Output = Result<(), Failed>> + Send + 'static,
    {
        for Entry { job, worker } in self.lock().values_mut().filter(|entry| !entry.job.is_over()) {
            let run = self.clone().run(job.id, work(job.clone()));
            *worker = Some(tokio::spawn(run).abort_handle());
        }
    }

    /// Stops all jobs; those of some kinds resume after the next start.
    pub(super) fn stop(&self) {
        for Entry { worker, .. } in self.lock().values_mut() {
            worker.take().inspect(AbortHandle::abort);
        }
    }

    /// Removes the oldest replaceable jobs of a workspace that has more than the maximum.
    pub(super) async fn remove_replaceable(&self, workspace: Uuid) {
        let jobs = self.list(WorkspaceId::new(workspace));
        let excess = jobs.len().saturating_sub(MAX_OF_WORKSPACE);
        for job in jobs.iter().rev().filter(|job| K::is_replaceable(job)).take(excess) {
            self.remove(job).await;
        }
    }

    /// Reserves a place among a workspace's jobs; `None` if it has the maximum, besides those that
    /// are replaceable.
    pub(super) fn reserve(&self, workspace: WorkspaceId) -> Option<Slot> {
        // Locked first: a job is added before its slot is released.
        let mut reserved = self.0.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        let jobs = self.list(workspace);
        let jobs = jobs.iter().filter(|job| !K::is_replaceable(job)).count();
        let own = reserved.iter().filter(|one| **one == workspace).count();
        (jobs + own < MAX_OF_WORKSPACE).then(|| {
            reserved.push(workspace);
            Slot { workspace, reserved: Arc::clone(&self.0.reserved) }
        })
    }

    /// Adds a job to its workspace's.
    ///
    /// # Errors
    /// `Conflict` if the workspace has the maximum.
    pub(super) fn add(&self, workspace: WorkspaceId, details: K) -> Result<Job<K>> {
        let too_many = || {
            let message = format!(
                "There are {MAX_OF_WORKSPACE} exports already: delete one, or wait until one expires."
            );
            ServiceError::new(ErrorCode::Conflict, message)
        };
        let _slot = self.reserve(workspace).ok_or_else(too_many)?;
        let job = Job::new(Uuid::now_v7(), workspace, self.now_ms(), details);
        self.insert(&job, |_| false);
        Ok(job)
    }

    /// Adds a job, unless the workspace has one that is the same; then returns that.
    pub(super) fn insert(&self, job: &Job<K>, is_same: impl Fn(&Job<K>) -> bool) -> Option<Job<K>> {
        let mut entries = self.lock();
        let mut own = entries.values().filter(|entry| entry.job.workspace == job.workspace);
        let same = own.find(|entry| is_same(&entry.job)).map(|entry| entry.job.clone());
        if same.is_none() {
            entries.insert(job.id, Entry { job: job.clone(), worker: None });
        }
        same
    }

    /// Stores an added job after its files, which `prepare` makes, and starts it.
    pub(super) async fn start(
        &self,
        job: Job<K>,
        prepare: impl FnOnce() -> io::Result<()> + Send + 'static,
        work: impl Future<Output = Result<(), Failed>> + Send + 'static,
    ) -> io::Result<()> {
        let runner = self.clone();
        // A task of its own, so that it continues if the client disconnects.
        let started = tokio::spawn(async move {
            let stored = match blocking(prepare).await {
                Ok(()) => runner.write(&job).await,
                Err(error) => Err(error),
            };
            let run = runner.clone().run(job.id, work);
            let is_started = stored.is_ok()
                && runner.lock().get_mut(&job.id).is_some_and(|entry| {
                    entry.worker = Some(tokio::spawn(run).abort_handle());
                    true
                });
            if !is_started {
                // It could not be stored, or it was removed meanwhile.
                runner.remove(&job).await;
            }
            stored
        });
        started.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// Does the work of a job when it is its turn.
    async fn run(self, id: Uuid, work: impl Future<Output = Result<(), Failed>> + Send + 'static) {
        let Some(job) = self.get(id) else { return };
        let workspace = WorkspaceId::new(job.workspace);
        let Some(_turn) = self.0.workspaces.acquire(workspace).await else { return };
        let Ok(_permit) = self.0.workers.acquire().await else { return };
        let ended = match self.update(id, |job| job.state = State::Running).await {
            Ok(None) => return,
            Ok(Some(_)) => {
                // Aborted with this task.
                let mut worker = JoinSet::new();
                worker.spawn(work);
                let joined = worker.join_next().await.and_then(Result::ok);
                let panicked = || Failed::Error("an internal error: see the server log".to_owned());
                joined.unwrap_or_else(|| Err(panicked()))
            }
            Err(error) => Err(Failed::Io(error)),
        };
        let (state, error) = match ended {
            Ok(()) => (State::Done, None),
            Err(Failed::Stopped) => return,
            Err(Failed::Error(error)) => (State::Failed, Some(error)),
            Err(Failed::Io(error)) => {
                let error = format!("the {}'s files can't be accessed: {error}", K::NAME);
                (State::Failed, Some(error))
            }
        };
        if let Some(error) = &error {
            tracing::warn!(error, %id, kind = K::NAME, "a job failed");
        }
        match self.update(id, |job| (job.state, job.error) = (state, error)).await {
            Ok(None) => {}
            Ok(Some(job)) => self.on_disk(move |store| store.remove_unneeded(&job)).await,
            Err(error) => {
                tracing::warn!(%error, %id, kind = K::NAME, "saving the result of a job failed");
            }
        }
    }

    /// Changes a job on disk first, then in memory: a job that was seen as done is done after a
    /// crash, too. `None` if it was removed. Only its worker changes a job, so changes are in order.
    pub(super) async fn update(
        &self,
        id: Uuid,
        change: impl FnOnce(&mut Job<K>),
    ) -> io::Result<Option<Job<K>>> {
        let Some(mut job) = self.get(id) else { return Ok(None) };
        change(&mut job);
        job.noted_at_ms = self.now_ms();
        let written = self.write(&job).await;
        let entry = self.lock().get_mut(&id).map(|entry| entry.job = job.clone());
        written.map(|()| entry.map(|()| job))
    }

    /// Writes a job's state, unless the job was removed meanwhile: it would reappear at the next
    /// start.
    async fn write(&self, job: &Job<K>) -> io::Result<()> {
        let (runner, job) = (self.clone(), job.clone());
        blocking(move || {
            runner.0.store.write(&job)?;
            if !runner.lock().contains_key(&job.id) {
                runner.0.store.remove(&job);
            }
            Ok(())
        })
        .await
    }

    /// Removes files on a blocking thread.
    async fn on_disk(&self, remove: impl FnOnce(&JobStore<K>) + Send + 'static) {
        let runner = self.clone();
        let removed = blocking(move || {
            remove(&runner.0.store);
            Ok(())
        });
        let _done = removed.await;
    }

    /// The path of a job's file.
    pub(super) fn path(&self, id: Uuid, extension: &str) -> PathBuf {
        self.0.store.path(id, extension)
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.0.clock.now_ms()
    }

    fn get(&self, id: Uuid) -> Option<Job<K>> {
        self.lock().get(&id).map(|entry| entry.job.clone())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Uuid, Entry<K>>> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

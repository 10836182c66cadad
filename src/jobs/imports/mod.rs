//! Imports: files of links are read row by row and become commands.
//!
//! Its file and its progress are stored, so an import resumes after a restart. No row is imported
//! twice: each has an idempotency key of its own, which is logged with its event. These keys
//! are retained for a day; an import that was interrupted for longer is not resumed.
//!
//! An import reserves the credits that it may need before its first row, so that it can finish or
//! is refused, and releases the others when it ends: see [`credit`](crate::domain::plan::credit). A
//! reservation that a crash leaves behind is released by the hourly task on credits.
//!
//! Its report is removed a day after it has ended. Two imports run at a time.

pub mod formats;
mod import;
mod report;
mod seen_keys;
mod upload;
mod work;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::Digest;
use tokio::sync::Semaphore;

pub use import::{Counts, Idempotency, Import, Job, Plan};
pub use report::Reject;
pub use upload::Upload;

use super::{Clock, JobRunner, MAX_OF_WORKSPACE};
use crate::commands::Commands;
use crate::domain::command::Command;
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::ids::{ImportId, WorkspaceId};
use crate::domain::plan::command::BillingCommand;
use crate::domain::token::Actor;
use import::{FILE, REPORT};

/// Maximum size of a file, in bytes.
pub const MAX_FILE_BYTES: u64 = 128 << 20;
/// Maximum number of concurrent uploads.
const UPLOAD_CONCURRENCY: usize = 8;

/// The imports of all workspaces. Cheap to clone.
#[derive(Clone)]
pub struct Imports {
    /// `None` once the service stops; the imports resume after the next start.
    commands: Arc<Mutex<Option<Commands>>>,
    /// The jobs.
    pub jobs: JobRunner<Import>,
    uploads: Arc<Semaphore>,
}

impl Imports {
    /// Opens the folder, creating it if absent. [`Self::resume`] continues its imports.
    pub fn open(folder: &Path, commands: Commands) -> io::Result<Self> {
        Ok(Self {
            commands: Arc::new(Mutex::new(Some(commands))),
            jobs: JobRunner::open(folder, Clock::System)?,
            uploads: Arc::new(Semaphore::new(UPLOAD_CONCURRENCY)),
        })
    }

    /// Resumes unfinished imports. Needs a Tokio runtime.
    pub fn resume(&self) {
        self.jobs.resume(|job| self.clone().work(job));
    }

    /// Stops all imports, to resume after the next start, and drops the handle to the writer, which
    /// ends with its last handle.
    pub fn stop(&self) {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.jobs.stop();
    }

    /// Whether a workspace's import has not ended.
    pub fn is_open(&self, workspace: WorkspaceId, import: ImportId) -> bool {
        self.jobs.find(workspace, import.uuid()).is_some_and(|job| !job.is_over())
    }

    /// Cancels an import if it is running, and removes it with its files.
    pub async fn remove(&self, job: &Job) {
        self.jobs.remove(job).await;
        if !job.is_over() {
            self.release(job).await;
        }
    }

    /// Releases what is left of an import's reserved credits.
    async fn release(&self, job: &Job) {
        let (Some(commands), id) = (self.commands(), job.id()) else { return };
        let actor = Actor::operator(WorkspaceId::new(job.workspace));
        let command = Command::Billing(BillingCommand::Release(id));
        if let Err(error) = commands.run(actor, command, None).await {
            tracing::warn!(%error, import = %id, "releasing credits failed; retrying in an hour");
        }
    }

    fn commands(&self) -> Option<Commands> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts an upload.
    pub async fn upload(&self, workspace: WorkspaceId) -> Result<Upload> {
        let too_many = || {
            let message = format!(
                "The workspace already has {MAX_OF_WORKSPACE} imports: delete one, or wait until one expires."
            );
            ServiceError::new(ErrorCode::Conflict, message)
        };
        let slot = self.jobs.reserve(workspace).ok_or_else(too_many)?;
        let permit = Arc::clone(&self.uploads).try_acquire_owned();
        let permit = permit.map_err(|_| {
            let message = "Too many uploads are in progress; please try again.";
            ServiceError::unavailable(ErrorCode::Overloaded, message)
        })?;
        Upload::begin(|id| self.jobs.path(id, "part"), slot, permit).await
    }

    /// Starts an import of an uploaded file. `true`: this is a replay of the request that started it.
    pub async fn begin(
        &self,
        actor: &Actor,
        plan: Plan,
        upload: Upload,
        key: Option<String>,
    ) -> Result<(Job, bool)> {
        upload.sync().await?;
        let idempotency = key.map(|key| {
            let mut request = upload.sha256.clone();
            request.update(format!("{plan:?}"));
            Idempotency { key, request_sha256: request.finalize().to_vec() }
        });
        let import = Import {
            token: actor.token.uuid(),
            user: actor.user.map(|(user, _)| user.uuid()),
            plan,
            counts: Counts::default(),
            bytes_total: upload.bytes,
            bytes_read: 0,
            report_bytes: 0,
            columns: Vec::new(),
            ignored_columns: Vec::new(),
            unknown_domains: Vec::new(),
            offset: 0,
            idempotency,
        };
        let job = Job::new(upload.id, upload.workspace(), self.jobs.now_ms(), import);
        let sent = job.details.idempotency.as_ref();
        let is_same = |known: &Job| {
            let known = known.details.idempotency.as_ref();
            known.zip(sent).is_some_and(|(known, sent)| known.key == sent.key)
        };
        match self.jobs.insert(&job, is_same) {
            Some(first) if first.details.idempotency.as_ref() == sent => return Ok((first, true)),
            Some(_) => return Err(ServiceError::idempotency_key_reused()),
            None => self.jobs.remove_replaceable(job.workspace).await,
        }
        let file = self.jobs.path(job.id, FILE);
        let rename = move || std::fs::rename(&upload.path, file);
        self.jobs.start(job.clone(), rename, self.clone().work(job.clone())).await?;
        Ok((job, false))
    }

    /// The path of an import's report: [`Reject`]s, one JSON line each. It may have more than
    /// [`Import::report_bytes`].
    pub fn report(&self, job: &Job) -> PathBuf {
        self.jobs.path(job.id, REPORT)
    }
}

//! Links come in from elsewhere: files are read row by row, and become commands.
//!
//! An import is a job. Its file is kept beside a note of how far it has come; it goes on after a
//! restart, and whatever cut it off, no row is taken twice: each has an idempotency key of its
//! own, which stands in the log with what came of it. One import works at a time, the others wait.

pub mod formats;
mod job;
mod work;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use uuid::Uuid;

pub use job::{Counts, Job, Plan, Reject, State};

use crate::commands::{Commands, now_ms};
use crate::domain::ids::{ImportId, WorkspaceId};
use crate::domain::token::Actor;

/// How many imports a workspace may have.
pub const MAX_OF_WORKSPACE: usize = 10;
/// The largest file, in bytes.
pub const MAX_FILE_BYTES: u64 = 128 << 20;
/// How much room on the disk an import leaves for the log, in bytes.
const ROOM_LEFT: u64 = 1 << 30;

/// Why an import can't be begun.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The workspace has as many as it may have.
    #[error("there are {MAX_OF_WORKSPACE} imports already: delete one, or wait until one expires")]
    TooMany,
    /// The file is larger than [`MAX_FILE_BYTES`].
    #[error("the file is larger than {} MiB", MAX_FILE_BYTES >> 20)]
    TooLarge,
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
    folder: Arc<Path>,
    known: Arc<Mutex<BTreeMap<Uuid, Known>>>,
    working: Arc<Semaphore>,
}

/// A file on its way in; what is left of one that was given up goes with it.
#[must_use]
pub struct Upload {
    id: Uuid,
    path: PathBuf,
    file: tokio::fs::File,
    bytes: u64,
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Of one that was begun the file has another name by now.
        let _absent = fs::remove_file(&self.path);
    }
}

impl Upload {
    /// Takes a piece of the file.
    ///
    /// # Errors
    /// [`ImportError::TooLarge`], or the disk's.
    pub async fn write(&mut self, piece: &[u8]) -> Result<(), ImportError> {
        use tokio::io::AsyncWriteExt;

        self.bytes += piece.len() as u64;
        if self.bytes > MAX_FILE_BYTES {
            return Err(ImportError::TooLarge);
        }
        Ok(self.file.write_all(piece).await?)
    }

    /// The first bytes of the file, to see what it is.
    pub async fn head(&mut self) -> Result<Vec<u8>, ImportError> {
        use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

        self.file.flush().await?;
        self.file.seek(io::SeekFrom::Start(0)).await?;
        let mut head = Vec::new();
        (&mut self.file).take(64 << 10).read_to_end(&mut head).await?;
        Ok(head)
    }
}

impl Imports {
    /// Takes up what is in a folder, which is made if absent. [`Self::resume`] goes on with it.
    pub fn open(folder: &Path, commands: Commands) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut known = BTreeMap::new();
        let mut others = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            match read_note(&path) {
                Some(job) => drop(known.insert(job.id, Known { job, worker: None })),
                None => others.push(path),
            }
        }
        let imports = Self {
            commands: Arc::new(Mutex::new(Some(commands))),
            folder: folder.into(),
            known: Arc::new(Mutex::new(known)),
            working: Arc::new(Semaphore::new(1)),
        };
        // What no job knows of was cut off.
        let kept: Vec<_> = imports
            .lock()
            .keys()
            .flat_map(|id| [imports.file(*id), imports.report_of(*id)])
            .collect();
        for path in others.into_iter().filter(|path| !kept.contains(path)) {
            fs::remove_file(path)?;
        }
        imports.remove_expired();
        Ok(imports)
    }

    /// Goes on with the imports that are not over. Needs a runtime.
    pub fn resume(&self) {
        for Known { job, worker } in self.lock().values_mut().filter(|known| !known.job.is_over()) {
            *worker = Some(tokio::spawn(self.clone().work(job.id)).abort_handle());
        }
    }

    /// Lets go of the writer, which ends when nobody has it any more.
    pub fn stop(&self) {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn commands(&self) -> Option<Commands> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Removes what is expired, again and again, for as long as it is polled.
    pub async fn keep_clean(self) {
        loop {
            tokio::time::sleep(Duration::from_secs(600)).await;
            self.remove_expired();
        }
    }

    /// Begins to take a file in.
    pub async fn upload(&self) -> Result<Upload, ImportError> {
        self.has_room()?;
        let id = Uuid::now_v7();
        let path = self.folder.join(format!("{id}.part"));
        let mut options = tokio::fs::OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path).await?;
        Ok(Upload { id, path, file, bytes: 0 })
    }

    /// Begins an import of a file that has come in whole.
    pub async fn begin(
        &self,
        actor: &Actor,
        plan: Plan,
        upload: Upload,
    ) -> Result<Job, ImportError> {
        upload.file.sync_all().await?;
        self.remove_expired();
        let job = Job {
            id: upload.id,
            workspace: actor.workspace.uuid(),
            token: actor.token.uuid(),
            plan,
            state: State::Queued,
            counts: Counts::default(),
            bytes_total: upload.bytes,
            bytes_read: 0,
            report_bytes: 0,
            ignored_columns: Vec::new(),
            offset: 0,
            created_at_ms: now_ms(),
            error: None,
        };
        let mut known = self.lock();
        let of_workspace = known.values().filter(|known| known.job.workspace == job.workspace);
        if of_workspace.count() >= MAX_OF_WORKSPACE {
            return Err(ImportError::TooMany);
        }
        fs::rename(&upload.path, self.file(job.id))?;
        self.write_note(&job)?;
        let worker = Some(tokio::spawn(self.clone().work(job.id)).abort_handle());
        known.insert(job.id, Known { job: job.clone(), worker });
        Ok(job)
    }

    /// A workspace's imports, the newest first.
    pub fn list(&self, workspace: WorkspaceId) -> Vec<Job> {
        self.remove_expired();
        let known = self.lock();
        let jobs = known.values().rev().map(|known| &known.job);
        jobs.filter(|job| job.workspace == workspace.uuid()).cloned().collect()
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
        self.report_of(job.id)
    }

    /// Ends an import, if it is under way, and removes its report. The links that it made stay.
    pub fn remove(&self, id: Uuid) {
        let Some(Known { worker, .. }) = self.lock().remove(&id) else { return };
        if let Some(worker) = worker {
            worker.abort();
        }
        for path in [self.file(id), self.report_of(id), self.note(id)] {
            let _absent = fs::remove_file(path);
        }
    }

    fn remove_expired(&self) {
        let now_ms = now_ms();
        let known = self.lock();
        let is_expired = |job: &Job| job.is_over() && job.expires_at_ms() <= now_ms;
        let expired = known.values().filter(|known| is_expired(&known.job));
        let expired: Vec<_> = expired.map(|known| known.job.id).collect();
        drop(known);
        for id in expired {
            self.remove(id);
        }
    }

    /// The log must never want for room because of an import.
    fn has_room(&self) -> io::Result<()> {
        let disk = rustix::fs::statvfs(&*self.folder)?;
        if disk.f_bavail.saturating_mul(disk.f_frsize) < ROOM_LEFT + MAX_FILE_BYTES {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "the disk is nearly full"));
        }
        Ok(())
    }

    /// Changes how a job stands, here and in its note. `None` where it is gone.
    fn update(&self, id: Uuid, change: impl FnOnce(&mut Job)) -> Option<Job> {
        let mut known = self.lock();
        let Known { job, .. } = known.get_mut(&id)?;
        change(job);
        if let Err(error) = self.write_note(job) {
            tracing::warn!(%error, import = %job.id(), "how an import stands can't be noted");
        }
        Some(job.clone())
    }

    /// A note is whole, or it is the one before.
    fn write_note(&self, job: &Job) -> io::Result<()> {
        let (new, note) = (self.folder.join(format!("{}.new", job.id)), self.note(job.id));
        fs::write(&new, serde_json::to_vec(job)?)?;
        fs::File::open(&new)?.sync_all()?;
        fs::rename(new, note)
    }

    fn note(&self, id: Uuid) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    fn file(&self, id: Uuid) -> PathBuf {
        self.folder.join(format!("{id}.file"))
    }

    fn report_of(&self, id: Uuid) -> PathBuf {
        self.folder.join(format!("{id}.rejects"))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Uuid, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a job's note says; `None` for any other file.
fn read_note(path: &Path) -> Option<Job> {
    let is_note = path.extension().is_some_and(|extension| extension == "json");
    is_note.then(|| serde_json::from_slice(&fs::read(path).ok()?).ok())?
}

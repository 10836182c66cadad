//! The folder of the jobs of one kind: `{id}.json` is the state of a job, `{id}.{extension}` one of
//! its files.

use std::fs::{self, DirBuilder};
use std::io;
use std::marker::PhantomData;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::{Job, Kind, State};
use crate::log::replace_file;

/// Disk space that jobs leave free for the log, in bytes.
const RESERVED_BYTES: u64 = 1 << 30;
/// How often a job that writes a file checks the free disk space, in bytes written.
pub(super) const SPACE_CHECK_BYTES: u64 = 16 << 20;

/// Stores jobs.
pub(super) struct JobStore<K> {
    folder: PathBuf,
    kind: PhantomData<fn() -> K>,
}

impl<K: Kind> JobStore<K> {
    /// Opens the folder, creating it if absent. It is private, since files may contain passwords.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        Ok(Self { folder: folder.to_owned(), kind: PhantomData })
    }

    /// Reads all jobs, marks those that the restart has interrupted, and removes files that no job
    /// needs. An unreadable state is kept, with all files of its job.
    pub(super) fn read(&self) -> io::Result<Vec<Job<K>>> {
        let (mut jobs, mut unreadable, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                others.push(path);
                continue;
            }
            let read =
                fs::read(&path).and_then(|text| Ok(serde_json::from_slice::<Job<K>>(&text)?));
            match read {
                Ok(job) => jobs.push(job),
                Err(error) => {
                    let (file, kind) = (path.display(), K::NAME);
                    tracing::error!(%error, %file, kind, "reading the state of a job failed");
                    unreadable.extend(path.file_stem().map(ToOwned::to_owned));
                }
            }
        }
        let is_needed = |path: &PathBuf| {
            let mut files = jobs.iter().flat_map(|job| K::files(job).map(|file| (job.id, file)));
            files.any(|(id, (extension, is_needed))| is_needed && *path == self.path(id, extension))
                || path.file_stem().is_some_and(|stem| unreadable.iter().any(|one| one == stem))
        };
        for path in others.iter().filter(|path| !is_needed(path)) {
            fs::remove_file(path)?;
        }
        if let Some(error) = K::INTERRUPTED {
            for job in jobs.iter_mut().filter(|job| !job.is_over()) {
                (job.state, job.error) = (State::Failed, Some(error.to_owned()));
                if let Err(error) = self.write(job) {
                    let (id, kind) = (job.id, K::NAME);
                    tracing::warn!(%error, %id, kind, "saving the state of a job failed");
                }
            }
        }
        Ok(jobs)
    }

    /// Writes the state of a job.
    pub(super) fn write(&self, job: &Job<K>) -> io::Result<()> {
        replace_file(&self.path(job.id, "json"), &serde_json::to_vec(job)?)
    }

    /// Removes a job's state and files.
    pub(super) fn remove(&self, job: &Job<K>) {
        for extension in ["json"].into_iter().chain(K::files(job).map(|(extension, _)| extension)) {
            let _absent = fs::remove_file(self.path(job.id, extension));
        }
    }

    /// Removes the files that a job no longer needs.
    pub(super) fn remove_unneeded(&self, job: &Job<K>) {
        for (extension, _) in K::files(job).into_iter().filter(|(_, is_needed)| !is_needed) {
            let _absent = fs::remove_file(self.path(job.id, extension));
        }
    }

    /// The path of a job's file.
    pub(super) fn path(&self, id: Uuid, extension: &str) -> PathBuf {
        self.folder.join(format!("{id}.{extension}"))
    }
}

/// Checks that writing `wanted` bytes to this file leaves enough disk space for the log.
pub(super) fn check_free_space(file: &Path, wanted: u64) -> io::Result<()> {
    let disk = rustix::fs::statvfs(file.parent().unwrap_or(file))?;
    if disk.f_bavail.saturating_mul(disk.f_frsize) < RESERVED_BYTES + wanted {
        return Err(io::Error::new(io::ErrorKind::StorageFull, "the disk is nearly full"));
    }
    Ok(())
}

/// Runs I/O on a blocking thread.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

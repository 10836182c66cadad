//! The folder of imports: state, file and report of each.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::job::{Job, Reject};
use super::upload::check_free_space;

/// Stores imports. Cheap to clone. All I/O runs on blocking threads.
#[derive(Clone)]
pub(super) struct JobStore {
    folder: Arc<Path>,
}

impl JobStore {
    /// Opens the folder, creating it if absent. It is private, since files may contain passwords.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        Ok(Self { folder: folder.into() })
    }

    /// Reads all jobs and removes files that no job needs. Unreadable state files are kept, with all
    /// files of their import.
    pub(super) fn read(&self) -> io::Result<Vec<Job>> {
        let (mut jobs, mut unreadable, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                others.push(path);
                continue;
            }
            match read_state(&path) {
                Ok(job) => jobs.push(job),
                Err(error) => {
                    let file = path.display();
                    tracing::error!(%error, %file, "reading the state of an import failed");
                    unreadable.extend(path.file_stem().map(ToOwned::to_owned));
                }
            }
        }
        let is_needed = |path: &PathBuf| {
            let of_job = jobs.iter().any(|job| {
                *path == self.report(job.id) || (*path == self.file(job.id) && !job.is_over())
            });
            of_job || path.file_stem().is_some_and(|stem| unreadable.iter().any(|one| one == stem))
        };
        for path in others.iter().filter(|path| !is_needed(path)) {
            fs::remove_file(path)?;
        }
        Ok(jobs)
    }

    /// Stores a job with its uploaded file.
    pub(super) async fn create(&self, upload: &Path, job: &Job) -> io::Result<()> {
        let (store, upload, job) = (self.clone(), upload.to_owned(), job.clone());
        blocking(move || {
            fs::rename(upload, store.file(job.id))?;
            store.write_now(&job)?;
            // Makes both directory entries durable.
            File::open(&store.folder)?.sync_all()
        })
        .await
    }

    /// Writes a job's state, unless the job was removed in the meantime: it would reappear at the next
    /// start.
    pub(super) async fn write(
        &self,
        job: &Job,
        is_known: impl FnOnce() -> bool + Send + 'static,
    ) -> io::Result<()> {
        let (store, job) = (self.clone(), job.clone());
        blocking(move || {
            store.write_now(&job)?;
            if is_known() { Ok(()) } else { fs::remove_file(store.state_path(job.id)) }
        })
        .await
    }

    /// Replaces the state file atomically.
    fn write_now(&self, job: &Job) -> io::Result<()> {
        let new = self.folder.join(format!("{}.new", job.id));
        let mut file = private().truncate(true).open(&new)?;
        file.write_all(&serde_json::to_vec(job)?)?;
        file.sync_all()?;
        fs::rename(new, self.state_path(job.id))
    }

    /// Truncates a report to the length in the job's state: the rows beyond it are imported again.
    pub(super) async fn truncate_report(&self, id: Uuid, bytes: u64) -> io::Result<()> {
        let path = self.report(id);
        blocking(move || private().open(path)?.set_len(bytes)).await
    }

    /// Appends lines to a report; returns their length.
    pub(super) async fn append_report(&self, id: Uuid, rejects: Vec<Reject>) -> io::Result<u64> {
        if rejects.is_empty() {
            return Ok(0);
        }
        let store = self.clone();
        blocking(move || {
            let mut lines = Vec::new();
            for reject in &rejects {
                serde_json::to_writer(&mut lines, reject)?;
                lines.push(b'\n');
            }
            check_free_space(&store.folder, 0)?;
            let mut report = OpenOptions::new().append(true).open(store.report(id))?;
            report.write_all(&lines)?;
            // The state that refers to these lines is written after them.
            report.sync_data()?;
            Ok(lines.len() as u64)
        })
        .await
    }

    /// Removes a job's file; only its report is needed after it has finished.
    pub(super) async fn remove_file(&self, id: Uuid) {
        let path = self.file(id);
        let _absent = blocking(move || fs::remove_file(path)).await;
    }

    /// Removes all files of a job.
    pub(super) async fn remove(&self, id: Uuid) {
        let paths = [self.state_path(id), self.file(id), self.report(id)];
        let removed = blocking(move || {
            for path in paths {
                let _absent = fs::remove_file(path);
            }
            Ok(())
        });
        let _done = removed.await;
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn state_path(&self, id: Uuid) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    pub(super) fn file(&self, id: Uuid) -> PathBuf {
        self.folder.join(format!("{id}.file"))
    }

    pub(super) fn report(&self, id: Uuid) -> PathBuf {
        self.folder.join(format!("{id}.rejects"))
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}

fn read_state(path: &Path) -> io::Result<Job> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

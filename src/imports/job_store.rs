//! The folder of imports: a note, a file and a report of each.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::job::{Job, Reject};
use super::upload::has_room;

/// See the module. Cheap to clone. All work on the disk is done on threads on which no request
/// waits.
#[derive(Clone)]
pub(super) struct JobStore {
    folder: Arc<Path>,
}

impl JobStore {
    /// Over a folder, which is made if absent: it may hold passwords.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        Ok(Self { folder: folder.into() })
    }

    /// The jobs that there are notes of. What no job needs any more is removed; a note that can't
    /// be read stays, with all that belongs to it.
    pub(super) fn read(&self) -> io::Result<Vec<Job>> {
        let (mut jobs, mut unread, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                others.push(path);
                continue;
            }
            match read_note(&path) {
                Ok(job) => jobs.push(job),
                Err(error) => {
                    let note = path.display();
                    tracing::error!(%error, %note, "the note of an import can't be read");
                    unread.extend(path.file_stem().map(ToOwned::to_owned));
                }
            }
        }
        let is_needed = |path: &PathBuf| {
            let of_job = jobs.iter().any(|job| {
                *path == self.report(job.id) || (*path == self.file(job.id) && !job.is_over())
            });
            of_job || path.file_stem().is_some_and(|stem| unread.iter().any(|one| one == stem))
        };
        for path in others.iter().filter(|path| !is_needed(path)) {
            fs::remove_file(path)?;
        }
        Ok(jobs)
    }

    /// Keeps an upload as a job's file, and its note.
    pub(super) async fn keep(&self, upload: &Path, job: &Job) -> io::Result<()> {
        let (notes, upload, job) = (self.clone(), upload.to_owned(), job.clone());
        blocking(move || {
            fs::rename(upload, notes.file(job.id))?;
            notes.write_now(&job)?;
            // Both names are there after a power loss too.
            File::open(&notes.folder)?.sync_all()
        })
        .await
    }

    /// Writes a job's note. It goes again where the job was removed meanwhile: a note that comes
    /// after its removal would bring the job back at the next start.
    pub(super) async fn write(
        &self,
        job: &Job,
        is_known: impl FnOnce() -> bool + Send + 'static,
    ) -> io::Result<()> {
        let (notes, job) = (self.clone(), job.clone());
        blocking(move || {
            notes.write_now(&job)?;
            if is_known() { Ok(()) } else { fs::remove_file(notes.note(job.id)) }
        })
        .await
    }

    /// A note is whole, or it is the one before.
    fn write_now(&self, job: &Job) -> io::Result<()> {
        let new = self.folder.join(format!("{}.new", job.id));
        let mut file = private().truncate(true).open(&new)?;
        file.write_all(&serde_json::to_vec(job)?)?;
        file.sync_all()?;
        fs::rename(new, self.note(job.id))
    }

    /// Cuts a report to what its job's note says: what is beyond is of rows that come again.
    pub(super) async fn cut_report(&self, id: Uuid, bytes: u64) -> io::Result<()> {
        let path = self.report(id);
        blocking(move || private().open(path)?.set_len(bytes)).await
    }

    /// Adds lines to a report; returns how long they are.
    pub(super) async fn report_rejects(&self, id: Uuid, rejects: Vec<Reject>) -> io::Result<u64> {
        if rejects.is_empty() {
            return Ok(0);
        }
        let notes = self.clone();
        blocking(move || {
            let mut lines = Vec::new();
            for reject in &rejects {
                serde_json::to_writer(&mut lines, reject)?;
                lines.push(b'\n');
            }
            has_room(&notes.folder, 0)?;
            let mut report = OpenOptions::new().append(true).open(notes.report(id))?;
            report.write_all(&lines)?;
            // The note that counts on these lines comes after them.
            report.sync_data()?;
            Ok(lines.len() as u64)
        })
        .await
    }

    /// Removes a job's file: its report alone is of use once it is over.
    pub(super) async fn drop_file(&self, id: Uuid) {
        let path = self.file(id);
        let _absent = blocking(move || fs::remove_file(path)).await;
    }

    /// Removes all of a job.
    pub(super) async fn remove(&self, id: Uuid) {
        let paths = [self.note(id), self.file(id), self.report(id)];
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

    fn note(&self, id: Uuid) -> PathBuf {
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

fn read_note(path: &Path) -> io::Result<Job> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

//! Exports of QR codes: a ZIP file with an image of each code and a list of them.
//!
//! An export is removed a day after it was requested. One runs at a time. A restart begins it again.
//! A queued export has only the ids of its codes. Each code is read when it is drawn, one after the
//! other, so an export needs little memory and leaves the threads that draw to others in between.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::store::{blocking, check_free_space};
use super::{Clock, Failed, JobRunner, Kind, RETENTION_MS, RETRY_DELAY, State};
use crate::domain::csv_cell;
use crate::domain::error::Result;
use crate::domain::ids::{LogoId, QrCodeId, QrExportId, WorkspaceId};
use crate::domain::qr::style::{ImageFormat, QrStyle};
use crate::qr::{
    self, CancellationToken, Illegible, Logo, RenderPool, RenderPoolError, RenderTask, Spec,
};

/// The maximum number of codes in an export.
pub const MAX_CODES: usize = 1_000;
/// The file in the archive that lists the codes.
pub const INDEX: &str = "index.csv";
/// The columns of the list.
const COLUMNS: [&str; 6] = ["file", "qr_code", "link", "short_url", "name", "error"];
/// How many codes are drawn between two saves of the progress.
const SAVE_EVERY: u64 = 20;
/// How often an image is tried while the pool is busy: for five minutes.
const MAX_TRIES: u32 = 150;

/// The extensions of a finished file and of one that is being written.
const FINISHED: &str = "zip";
const UNFINISHED: &str = "part";

/// What an export has beside the fields of each job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QrExport {
    /// The number of codes.
    pub codes: u64,
    /// The number of codes so far, those without an image included.
    pub done: u64,
    /// The number of codes without an image: [`INDEX`] has the reason of each.
    pub failed: u64,
    /// The size of the finished file, in bytes.
    pub bytes: u64,
    /// What is exported.
    #[serde(default)]
    pub selection: Selection,
}

/// What is exported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// The ids of the codes.
    pub codes: Vec<Uuid>,
    /// The name of the format; `None` for that of each code.
    pub format: Option<String>,
    /// The width in pixels; `None` for that of each code.
    pub size: Option<u32>,
}

/// An export.
pub type Job = super::Job<QrExport>;

impl Kind for QrExport {
    const NAME: &'static str = "QR code export";
    const CONCURRENCY: usize = 1;
    const INTERRUPTED: Option<&'static str> = None;

    fn files(job: &Job) -> [(&'static str, bool); 2] {
        [(FINISHED, job.state == State::Done), (UNFINISHED, false)]
    }

    fn expires_at_ms(job: &Job) -> Option<u64> {
        Some(job.created_at_ms + RETENTION_MS)
    }
}

impl Job {
    /// The id in the API.
    pub const fn id(&self) -> QrExportId {
        QrExportId::new(self.id)
    }
}

/// An image to draw.
#[derive(Debug, Clone)]
pub struct Image {
    /// The code's id.
    pub code: String,
    /// The link's id.
    pub link: String,
    /// The short URL, without the marker.
    pub short_url: String,
    /// The code's name; may be empty.
    pub name: String,
    /// The name of the file without the extension; made unique in the archive.
    pub file: String,
    /// The format.
    pub format: ImageFormat,
    /// The width in pixels.
    pub size: u32,
    /// What to draw, or why it can't be drawn.
    pub spec: Result<StoredSpec, String>,
}

/// What to draw, with the logo as it is stored.
#[derive(Debug, Clone)]
pub struct StoredSpec {
    /// The text.
    pub content: String,
    /// The look.
    pub style: QrStyle,
    /// The logo and its bytes.
    pub logo: Option<(LogoId, Vec<u8>)>,
}

impl Image {
    /// The row of a code that was deleted after it was selected.
    pub fn of_deleted(code: QrCodeId) -> Self {
        let (link, short_url, name, file) = Default::default();
        let (format, spec) = (ImageFormat::Png, Err("the code was deleted".to_owned()));
        Self { code: code.to_string(), link, short_url, name, file, format, size: 0, spec }
    }
}

impl StoredSpec {
    fn parse(self) -> Result<Spec, String> {
        let parse = |(id, bytes): (LogoId, Vec<u8>)| {
            Logo::from_stored(&bytes).ok_or_else(|| {
                tracing::error!(%id, "a stored logo is damaged");
                "the logo is damaged".to_owned()
            })
        };
        let logo = self.logo.map(parse).transpose()?;
        Ok(Spec { content: self.content, style: self.style, logo })
    }
}

/// Reads what to draw.
pub trait ImageSource: Send + Sync + 'static {
    /// Reads a code of a selection.
    ///
    /// # Errors
    /// Fail the export.
    fn image(
        &self,
        workspace: WorkspaceId,
        code: QrCodeId,
        selection: &Selection,
    ) -> impl Future<Output = Result<Image>> + Send;
}

/// The exports of all workspaces. Cheap to clone.
#[derive(Clone)]
pub struct QrExports {
    /// Draws the images.
    pub pool: RenderPool,
    /// The jobs.
    pub jobs: JobRunner<QrExport>,
    /// The pause while the pool is busy.
    retry_delay: Duration,
}

impl QrExports {
    /// Opens the folder of the jobs, creating it if absent.
    pub fn open(folder: &Path, pool: RenderPool) -> io::Result<Self> {
        let jobs = JobRunner::open(folder, Clock::System)?;
        Ok(Self { pool, jobs, retry_delay: RETRY_DELAY })
    }

    /// Begins the exports again that a restart interrupted. Needs a Tokio runtime.
    pub fn resume<S: ImageSource + Clone>(&self, source: &S) {
        self.jobs.resume(|job| Box::pin(self.clone().write(job, source.clone())));
    }

    /// Starts an export of a selection.
    pub async fn begin(
        &self,
        workspace: WorkspaceId,
        selection: Selection,
        source: impl ImageSource,
    ) -> Result<Job> {
        let codes = selection.codes.len() as u64;
        let export = QrExport { codes, done: 0, failed: 0, bytes: 0, selection };
        let job = self.jobs.add(workspace, export)?;
        let work = Box::pin(self.clone().write(job.clone(), source));
        self.jobs.start(job.clone(), || Ok(()), work).await?;
        Ok(job)
    }

    /// The path of a finished export's file.
    pub fn file(&self, job: &Job) -> Option<PathBuf> {
        (job.state == State::Done).then(|| self.jobs.path(job.id, FINISHED))
    }

    /// Writes the file.
    async fn write(self, job: Job, source: impl ImageSource) -> Result<(), Failed> {
        let (id, workspace) = (job.id, WorkspaceId::new(job.workspace));
        let selection = job.details.selection;
        if selection.codes.is_empty() {
            // Of an earlier version.
            return Err(Failed::Error("the service was restarted; begin again".to_owned()));
        }
        let path = self.jobs.path(id, UNFINISHED);
        let part = path.clone();
        let mut archive = blocking(move || Archive::create(&part, check_free_space)).await?;
        for code in selection.codes.iter().copied().map(QrCodeId::new) {
            let read = source.image(workspace, code, &selection).await;
            let image = read.map_err(|error| {
                tracing::warn!(?error, %id, "reading a QR code failed");
                Failed::Error(error.message.into_owned())
            })?;
            let drawn = match &image.spec {
                Ok(spec) => self.draw(spec, image.format, image.size).await?,
                Err(reason) => Err(reason.clone()),
            };
            archive = blocking(move || archive.add(&image, drawn)).await?;
            if archive.done.is_multiple_of(SAVE_EVERY) {
                let (done, failed) = (archive.done, archive.failed);
                let save = |job: &mut Job| (job.details.done, job.details.failed) = (done, failed);
                self.jobs.update(id, save).await?.ok_or(Failed::Stopped)?;
            }
        }
        let (done, failed) = (archive.done, archive.failed);
        let finished = self.jobs.path(id, FINISHED);
        let bytes = blocking(move || {
            let bytes = archive.finish()?;
            // The rename is durable before the state says "done": writing the state syncs the
            // folder.
            std::fs::rename(path, finished)?;
            Ok(bytes)
        })
        .await?;
        let codes = done;
        let ended = |Job { details, .. }: &mut Job| {
            *details = QrExport { codes, done, failed, bytes, selection: Selection::default() };
        };
        self.jobs.update(id, ended).await?;
        Ok(())
    }

    /// Draws a code, when the pool has room: `Err` is why the code can't be drawn.
    async fn draw(
        &self,
        spec: &StoredSpec,
        format: ImageFormat,
        size: u32,
    ) -> Result<Result<Vec<u8>, String>, Failed> {
        for _ in 0..MAX_TRIES {
            let spec = spec.clone();
            let draw = move |token: &CancellationToken| {
                let spec = spec.parse()?;
                qr::check(&spec, size).map_err(|illegible| reasons(&illegible))?;
                qr::render_cancellable(token, &spec, format, size)
                    .map_err(|error| error.to_string())
            };
            match self.pool.run(draw).await {
                Err(RenderPoolError::Busy) => tokio::time::sleep(self.retry_delay).await,
                Err(RenderPoolError::TooSlow) => {
                    return Ok(Err("drawing takes too long".to_owned()));
                }
                Err(RenderPoolError::Failed(error)) => {
                    tracing::warn!(?error, "drawing a QR code failed");
                    return Err(Failed::Error(error.message.into_owned()));
                }
                Ok(drawn) => return Ok(drawn),
            }
        }
        Err(Failed::Error(RenderPoolError::Busy.into_error(RenderTask::Draw).message.into_owned()))
    }
}

/// Why scanners would not read a code, in a line.
fn reasons(illegible: &Illegible) -> String {
    let reasons = illegible.reasons.iter().map(|(field, reason)| format!("{field} {reason}"));
    reasons.collect::<Vec<_>>().join("; ")
}

/// Checks that writing some bytes to a file leaves enough disk space for the log.
type CheckSpace = fn(&Path, u64) -> io::Result<()>;

/// A ZIP file that is being written.
struct Archive {
    path: PathBuf,
    check_space: CheckSpace,
    zip: ZipWriter<File>,
    index: csv::Writer<Vec<u8>>,
    names: std::collections::HashSet<String>,
    done: u64,
    failed: u64,
}

impl Archive {
    fn create(path: &Path, check_space: CheckSpace) -> io::Result<Self> {
        check_space(path, 0)?;
        let mut index = csv::WriterBuilder::new();
        let mut index = index.terminator(csv::Terminator::CRLF).from_writer(Vec::new());
        index.write_record(COLUMNS)?;
        let names = [INDEX.to_owned()].into();
        let (path, zip) = (path.to_owned(), ZipWriter::new(File::create(path)?));
        Ok(Self { path, check_space, zip, index, names, done: 0, failed: 0 })
    }

    /// Adds an image, or why there is none.
    fn add(mut self, image: &Image, drawn: Result<Vec<u8>, String>) -> io::Result<Self> {
        let (mut file, mut error) = (String::new(), String::new());
        match drawn {
            Ok(bytes) => {
                (self.check_space)(&self.path, bytes.len() as u64)?;
                file = self.unique_name(&image.file, image.format);
                // Only a PNG is compressed already.
                let method = match image.format {
                    ImageFormat::Png => CompressionMethod::Stored,
                    _ => CompressionMethod::Deflated,
                };
                let options = SimpleFileOptions::default().compression_method(method);
                self.zip.start_file(file.as_str(), options)?;
                self.zip.write_all(&bytes)?;
            }
            Err(reason) => {
                self.failed += 1;
                error = reason;
            }
        }
        self.done += 1;
        let Image { code, link, short_url, name, .. } = image;
        let row = [&file, code, link, short_url, name, &error];
        self.index.write_record(row.map(|cell| csv_cell::escape(cell).into_owned()))?;
        Ok(self)
    }

    /// A name that no file of the archive has, regardless of case, of letters that every system
    /// accepts.
    fn unique_name(&mut self, wanted: &str, format: ImageFormat) -> String {
        let safe = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.');
        let stem: String = wanted
            .chars()
            .take(100)
            .map(|letter| if safe(letter) { letter } else { '-' })
            .collect();
        let stem = stem.trim_matches('.');
        let stem = if stem.is_empty() { "qr" } else { stem };
        let mut name = format!("{stem}.{}", format.as_str());
        for number in 2.. {
            if self.names.insert(name.to_lowercase()) {
                break;
            }
            name = format!("{stem}-{number}.{}", format.as_str());
        }
        name
    }

    /// Adds the list and syncs the file; returns its size.
    fn finish(mut self) -> io::Result<u64> {
        let index = self.index.into_inner().map_err(csv::IntoInnerError::into_error)?;
        (self.check_space)(&self.path, index.len() as u64)?;
        self.zip.start_file(INDEX, SimpleFileOptions::default())?;
        self.zip.write_all(&index)?;
        let file = self.zip.finish()?;
        file.sync_all()?;
        Ok(file.metadata()?.len())
    }
}

#[cfg(test)]
#[path = "qr_exports_tests.rs"]
mod tests;

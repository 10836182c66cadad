//! Exports of QR codes: a ZIP file with an image of each code and a list of them.
//!
//! An export is removed a day after it was requested. One runs at a time. A restart begins it again.
//! Its images are drawn one after the other, so it needs little memory and leaves the threads that
//! draw to others in between.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::store::{blocking, check_free_space};
use super::{Clock, Failed, JobRunner, Kind, RETENTION_MS, State};
use crate::domain::csv_cell;
use crate::domain::error::Result;
use crate::domain::ids::{QrExportId, WorkspaceId};
use crate::domain::qr::style::ImageFormat;
use crate::qr::{self, Illegible, NotRendered, RenderPool, Spec, Wanted};

/// The maximum number of codes in an export.
pub const MAX_CODES: usize = 1_000;
/// The file in the archive that lists the codes.
pub const INDEX: &str = "index.csv";
/// The columns of the list.
const COLUMNS: [&str; 6] = ["file", "qr_code", "link", "short_url", "name", "error"];
/// How many codes are drawn between two saves of the progress.
const SAVE_EVERY: u64 = 20;

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
#[derive(Debug)]
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
    pub spec: Result<Spec, String>,
}

/// The exports of all workspaces. Cheap to clone.
#[derive(Clone)]
pub struct QrExports {
    /// Draws the images.
    pub pool: RenderPool,
    /// The jobs.
    pub jobs: JobRunner<QrExport>,
}

impl QrExports {
    /// Opens the folder of the jobs, creating it if absent.
    pub fn open(folder: &Path, pool: RenderPool) -> io::Result<Self> {
        Ok(Self { pool, jobs: JobRunner::open(folder, Clock::System)? })
    }

    /// Begins the exports again that a restart interrupted. Needs a Tokio runtime.
    pub fn resume<F>(&self, images: impl Fn(Job) -> F)
    where
        F: Future<Output = Vec<Image>> + Send + 'static,
    {
        self.jobs.resume(|job| {
            let (exports, id) = (self.clone(), job.id);
            // Of an earlier version.
            let is_unknown = job.details.selection.codes.is_empty();
            let images = images(job);
            async move {
                if is_unknown {
                    let text = "the service was restarted; begin again";
                    return Err(Failed::Error(text.to_owned()));
                }
                Box::pin(exports.write(id, images.await)).await
            }
        });
    }

    /// Starts an export of images of a selection.
    pub async fn begin(
        &self,
        workspace: WorkspaceId,
        selection: Selection,
        images: Vec<Image>,
    ) -> Result<Job> {
        let codes = images.len() as u64;
        let export = QrExport { codes, done: 0, failed: 0, bytes: 0, selection };
        let job = self.jobs.add(workspace, export)?;
        let work = Box::pin(self.clone().write(job.id, images));
        self.jobs.start(job.clone(), || Ok(()), work).await?;
        Ok(job)
    }

    /// The path of a finished export's file.
    pub fn file(&self, job: &Job) -> Option<PathBuf> {
        (job.state == State::Done).then(|| self.jobs.path(job.id, FINISHED))
    }

    /// Writes the file.
    async fn write(self, id: Uuid, images: Vec<Image>) -> Result<(), Failed> {
        let path = self.jobs.path(id, UNFINISHED);
        let part = path.clone();
        let mut archive = blocking(move || {
            check_free_space(&part, 0)?;
            Archive::create(&part)
        })
        .await?;
        for image in images {
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
        spec: &Spec,
        format: ImageFormat,
        size: u32,
    ) -> Result<Result<Vec<u8>, String>, Failed> {
        loop {
            let spec = spec.clone();
            let draw = move |wanted: &Wanted| {
                qr::check(&spec, size).map_err(|illegible| reasons(&illegible))?;
                qr::render_while(wanted, &spec, format, size).map_err(|error| error.to_string())
            };
            match self.pool.run(draw).await {
                Err(NotRendered::Busy) => tokio::time::sleep(super::RETRY_DELAY).await,
                Err(NotRendered::TooSlow) => return Ok(Err("drawing takes too long".to_owned())),
                Err(NotRendered::Failed(error)) => {
                    return Err(Failed::Error(error.message.into_owned()));
                }
                Ok(drawn) => return Ok(drawn),
            }
        }
    }
}

/// Why scanners would not read a code, in a line.
fn reasons(illegible: &Illegible) -> String {
    let reasons = illegible.reasons.iter().map(|(field, reason)| format!("{field} {reason}"));
    reasons.collect::<Vec<_>>().join("; ")
}

/// A ZIP file that is being written.
struct Archive {
    zip: ZipWriter<File>,
    index: csv::Writer<Vec<u8>>,
    names: std::collections::HashSet<String>,
    done: u64,
    failed: u64,
}

impl Archive {
    fn create(path: &Path) -> io::Result<Self> {
        let mut index = csv::WriterBuilder::new();
        let mut index = index.terminator(csv::Terminator::CRLF).from_writer(Vec::new());
        index.write_record(COLUMNS)?;
        let names = [INDEX.to_owned()].into();
        Ok(Self { zip: ZipWriter::new(File::create(path)?), index, names, done: 0, failed: 0 })
    }

    /// Adds an image, or why there is none.
    fn add(mut self, image: &Image, drawn: Result<Vec<u8>, String>) -> io::Result<Self> {
        let (mut file, mut error) = (String::new(), String::new());
        match drawn {
            Ok(bytes) => {
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
        self.zip.start_file(INDEX, SimpleFileOptions::default())?;
        self.zip.write_all(&index)?;
        let file = self.zip.finish()?;
        file.sync_all()?;
        Ok(file.metadata()?.len())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn image(file: &str, name: &str) -> Image {
        let (code, link) = ("qr_1".to_owned(), "link_1".to_owned());
        let short_url = "https://sho.rt/a".to_owned();
        let (format, size, spec) = (ImageFormat::Svg, 300, Err("unused".to_owned()));
        Image { code, link, short_url, name: name.into(), file: file.into(), format, size, spec }
    }

    #[test]
    fn an_archive_has_safe_unique_names_and_a_list() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zip");
        let mut archive = Archive::create(&path).unwrap();
        for (file, name) in [("../../etc/passwd", ""), ("A", "=1+1"), ("a", "é"), ("index", "")] {
            archive = archive.add(&image(file, name), Ok(file.as_bytes().to_vec())).unwrap();
        }
        archive = archive.add(&image("a", ""), Err("low contrast".to_owned())).unwrap();
        assert_eq!((archive.done, archive.failed), (5, 1));
        assert_eq!(archive.finish().unwrap(), path.metadata().unwrap().len());
        let mut zip = zip::ZipArchive::new(File::open(&path).unwrap()).unwrap();
        let names: Vec<_> = zip.file_names().map(|name| name.unwrap().into_owned()).collect();
        assert_eq!(names, ["-..-etc-passwd.svg", "A.svg", "a-2.svg", "index.svg", INDEX]);
        let mut index = String::new();
        zip.by_name(INDEX).unwrap().read_to_string(&mut index).unwrap();
        let lines: Vec<_> = index.lines().collect();
        assert_eq!(lines[0], "file,qr_code,link,short_url,name,error");
        assert_eq!(lines[2], "A.svg,qr_1,link_1,https://sho.rt/a,'=1+1,");
        assert_eq!(lines[5], ",qr_1,link_1,https://sho.rt/a,,low contrast");
    }
}

//! Exports of clicks: the file can be downloaded when the export is done.
//!
//! An export is removed a day after it was requested. One runs at a time. A restart interrupts it.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use super::store::{SPACE_CHECK_BYTES, check_free_space};
use super::{Clock, Failed, JobRunner, Kind, RETENTION_MS, State};
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::ids::ExportId;
use crate::queries::analytics::{
    Analytics, AnalyticsQuery, AsOf, Export as Clicks, Format, Metric, Number,
};

/// What an export has beside the fields of each job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Export {
    /// The file format.
    pub format: Format,
    /// The export contains each click up to this offset of the log, and no other.
    pub as_of_offset: u64,
    /// The number of clicks.
    pub clicks: u64,
    /// The fraction of them that has been read.
    pub progress: f64,
    /// The size of the file so far, in bytes.
    pub bytes: u64,
}

/// An export.
pub type Job = super::Job<Export>;

impl Kind for Export {
    const NAME: &'static str = "export";
    const CONCURRENCY: usize = 1;
    const INTERRUPTED: Option<&'static str> = Some("the service was restarted; begin again");

    fn files(job: &Job) -> [(&'static str, bool); 2] {
        [(job.details.format.as_str(), true), (UNFINISHED, false)]
    }

    fn expires_at_ms(job: &Job) -> Option<u64> {
        Some(job.created_at_ms + RETENTION_MS)
    }
}

/// The extension of a file that is being written.
const UNFINISHED: &str = "part";

/// The exports of all workspaces. Cheap to clone.
#[derive(Clone)]
pub struct Exports {
    analytics: Analytics,
    /// The jobs.
    pub jobs: JobRunner<Export>,
}

impl Exports {
    /// Opens the folder of the jobs, creating it if absent.
    pub fn open(folder: &Path, analytics: Analytics) -> io::Result<Self> {
        Ok(Self { analytics, jobs: JobRunner::open(folder, Clock::System)? })
    }

    /// Starts an export of the clicks that match a query.
    pub async fn begin(&self, query: AnalyticsQuery, format: Format, as_of: AsOf) -> Result<Job> {
        let clicks = AnalyticsQuery { dimensions: Vec::new(), limit: 1, ..query.clone() };
        let clicks = AnalyticsQuery { metrics: vec![Metric::Clicks], compare: None, ..clicks };
        let report = self.analytics.run(&clicks, as_of).await?;
        let clicks = match report.rows.first().map(|row| row.metrics.as_slice()) {
            Some([Number::Count(clicks)]) => *clicks,
            _ => 0,
        };
        let export = Export { format, as_of_offset: as_of.offset, clicks, progress: 0.0, bytes: 0 };
        let job = self.jobs.add(query.workspace, export)?;
        let work = self.clone().write(job.id, query, format, as_of);
        self.jobs.start(job.clone(), || Ok(()), work).await?;
        Ok(job)
    }

    /// The path of a finished export's file.
    pub fn file(&self, job: &Job) -> Option<PathBuf> {
        (job.state == State::Done).then(|| self.jobs.path(job.id, job.details.format.as_str()))
    }

    /// Starts to read the clicks. Retries for as long as ClickHouse is overloaded.
    async fn read_clicks(
        &self,
        query: &AnalyticsQuery,
        format: Format,
        as_of: AsOf,
    ) -> Result<Clicks> {
        loop {
            match self.analytics.export(query, format, None, as_of).await {
                Err(error) if error.code == ErrorCode::Overloaded => {}
                begun => return begun,
            }
        }
    }

    /// Writes the file.
    async fn write(
        self,
        id: Uuid,
        query: AnalyticsQuery,
        format: Format,
        as_of: AsOf,
    ) -> Result<(), Failed> {
        let failed = |error: ServiceError| {
            tracing::warn!(%error, %id, "reading clicks failed");
            Failed::Error(error.message.into_owned())
        };
        let io_error =
            |error: io::Error| Failed::Error(format!("the file cannot be written: {error}"));
        let mut clicks = self.read_clicks(&query, format, as_of).await.map_err(failed)?;
        let path = self.jobs.path(id, UNFINISHED);
        let mut file = File::create(&path).await.map_err(io_error)?;
        let (mut bytes, mut checked_at) = (0, None);
        let query_id = clicks.id.clone();
        while let Some(piece) = clicks.next().await.map_err(failed)? {
            if checked_at.is_none_or(|checked_at| bytes - checked_at >= SPACE_CHECK_BYTES) {
                checked_at = Some(bytes);
                check_free_space(&path, 0).map_err(io_error)?;
                let share = self.analytics.progress(&query_id).await;
                let progress = self.jobs.update(id, |Job { details: export, .. }| {
                    export.bytes = bytes;
                    export.progress = share.unwrap_or(export.progress).clamp(0.0, 1.0);
                });
                progress.await?;
            }
            file.write_all(&piece).await.map_err(io_error)?;
            bytes += piece.len() as u64;
        }
        file.sync_all().await.map_err(io_error)?;
        // The rename is durable before the state says "done": writing the state syncs the folder.
        tokio::fs::rename(path, self.jobs.path(id, format.as_str())).await.map_err(io_error)?;
        let done = |Job { details: export, .. }: &mut Job| {
            (export.bytes, export.progress) = (bytes, 1.0);
        };
        self.jobs.update(id, done).await?;
        Ok(())
    }
}

impl Job {
    /// The ID in the API.
    pub const fn id(&self) -> ExportId {
        ExportId::new(self.id)
    }
}

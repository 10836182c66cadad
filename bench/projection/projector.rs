//! Measures slugline's projector.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use slugline::log::{DiskStorage, LocalLog, Log, LogOptions};
use slugline::projections::DeletionWatch;
use slugline::projections::clickhouse::{ClickHouse as Reading, Projector};
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};

use crate::engine::{ClickHouse, join, like_the_projector, poll};

const CONNECT_LIMIT: Duration = Duration::from_secs(60);
const PROJECT_LIMIT: Duration = Duration::from_secs(3_600);

/// A projector that follows a log.
pub struct Following {
    pub reading: Reading,
    /// Stops the projector when dropped.
    done: oneshot::Sender<()>,
    thread: JoinHandle<anyhow::Result<()>>,
    _folder: TempDir,
    _stop: watch::Sender<bool>,
}

impl Following {
    /// Has a log followed, and returns once the tables are there.
    pub fn start(clickhouse: &ClickHouse, log: Arc<dyn Log>) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(&clickhouse.folder)?;
        let (stop, stopped) = watch::channel(false);
        let (done, is_done) = oneshot::channel::<()>();
        let targets = watch::Sender::new(Some(clickhouse.target.clone()));
        let projector = Projector::new(
            log,
            folder.path(),
            DeletionWatch::nothing(),
            targets.subscribe(),
            stopped,
        );
        let reading = projector.clickhouse();
        let thread = like_the_projector(move || async move {
            let _kept = targets;
            tokio::select! {
                () = projector.run() => anyhow::bail!("the projector stopped"),
                _ = is_done => Ok(()),
            }
        })?;
        poll(CONNECT_LIMIT, || Ok(reading.status.is_connected().then_some(())))?;
        Ok(Self { reading, done, thread, _folder: folder, _stop: stop })
    }

    /// The same with an empty log.
    pub fn start_empty(clickhouse: &ClickHouse) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(&clickhouse.folder)?;
        let log = LocalLog::open(Arc::new(DiskStorage), folder.path(), LogOptions::default())?;
        Self::start(clickhouse, Arc::new(log))
    }

    /// Waits until an offset is in ClickHouse.
    pub fn wait_for(&self, offset: u64) -> anyhow::Result<()> {
        poll(PROJECT_LIMIT, || {
            anyhow::ensure!(!self.thread.is_finished(), "the projector is gone");
            Ok((self.reading.status.applied() >= offset).then_some(()))
        })
    }

    pub fn stop(self) -> anyhow::Result<()> {
        drop(self.done);
        join(self.thread)
    }
}

/// Projects a whole log into fresh tables, and returns how long that took.
pub fn measure(clickhouse: &ClickHouse, log: &Arc<dyn Log>) -> anyhow::Result<Duration> {
    let following = Following::start(clickhouse, Arc::clone(log))?;
    let started = Instant::now();
    following.wait_for(log.end())?;
    let took = started.elapsed();
    following.stop()?;
    Ok(took)
}

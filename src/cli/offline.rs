//! Work on a data folder without a running service.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::bail;

use super::progress::{POLL_INTERVAL, events_bar};
use crate::app::analytics::{AnalyticsSide, EmbeddedEngine};
use crate::app::open_log;
use crate::config::Settings;
use crate::log::{DataLock, Log};
use crate::projections::DeletionWatch;
use crate::projections::clickhouse::Operator;

/// Opens the analytics without serving, waits until ClickHouse has all of the click log, and runs
/// `work`.
pub fn with_analytics<T>(
    settings: &Settings,
    work: impl FnOnce(&Operator, &tokio::runtime::Runtime) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let folder = log_folder(&settings.data_dir, "clicks")?;
    let _lock = DataLock::acquire(&settings.data_dir)?;
    let engine = EmbeddedEngine::open_or_fetch(settings)?;
    let clicks: Arc<dyn Log> = Arc::new(open_log(&folder)?);
    let side = AnalyticsSide::open(settings, &clicks, DeletionWatch::nothing(), engine)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let bar = events_bar();
    let is_complete =
        || side.clickhouse.reading().is_some() && side.clickhouse.as_of().offset >= clicks.end();
    while !is_complete() {
        bar.set_length(clicks.end());
        bar.set_position(side.clickhouse.as_of().offset);
        std::thread::sleep(POLL_INTERVAL);
    }
    bar.finish_and_clear();
    let worked = work(&side.operator, &runtime);
    side.close();
    worked
}

/// The folder of a log. It must exist, so that nothing is created in a wrong data folder.
pub fn log_folder(data: &Path, log: &str) -> anyhow::Result<PathBuf> {
    let folder = data.join("log").join(log);
    match folder.metadata() {
        Ok(found) if found.is_dir() => Ok(folder),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            bail!("cannot read {}: {error}; run this as the service's user", folder.display())
        }
        _ => bail!("{} contains no log; check --data-dir", folder.display()),
    }
}

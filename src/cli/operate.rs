//! `slugline verify` and `slugline rebuild`: over the service that runs, or over the data folder
//! when none does.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use super::service::Service;
use crate::app::analytics::{AnalyticsSide, start_engine};
use crate::app::open_log;
use crate::config::{ServeArgs, Settings};
use crate::log::DataLock;
use crate::projections::clickhouse::{Extent, Operator};
use crate::projections::index::Index;
use crate::projections::{Forgotten, RebuildState};

/// How often progress is looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(200);

/// `slugline verify`
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    serve: ServeArgs,
}

/// `slugline rebuild`
#[derive(Debug, Args)]
pub struct RebuildArgs {
    /// Which projection
    #[arg(value_enum)]
    projection: Projection,
    #[command(flatten)]
    serve: ServeArgs,
}

/// A fold of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Projection {
    /// The links and tokens, from the changes.
    Index,
    /// The tables of ClickHouse, from the clicks.
    Analytics,
}

impl Projection {
    const fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Analytics => "analytics",
        }
    }
}

/// Compares the log with ClickHouse, writing to `out`; fails where they differ.
pub fn verify(args: VerifyArgs, mut out: impl Write) -> anyhow::Result<()> {
    let settings = args.serve.settings()?;
    let report = match Service::find(&settings.data_dir)? {
        Some(service) => service.get("/api/v1/admin/reconcile")?,
        None => offline(&settings, |operator, runtime| {
            let found = runtime.block_on(operator.reconcile(Extent::Whole))?;
            Ok(crate::http::reconciliation_json(found))
        })?,
    };
    if args.json {
        writeln!(out, "{report}")?;
    } else {
        write_report(&report, &mut out)?;
    }
    if report["equal"] != true {
        bail!("ClickHouse differs from the log: `slugline rebuild analytics` makes it anew");
    }
    Ok(())
}

fn write_report(report: &Value, out: &mut impl Write) -> std::io::Result<()> {
    writeln!(
        out,
        "{:<8} {:<30} {:>14} {:>14} {:>14} {:>14}",
        "month", "workspace", "log", "clickhouse", "removed", "rollups"
    )?;
    for row in report["months"].as_array().into_iter().flatten() {
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let number = |name: &str| row[name].as_u64().unwrap_or_default();
        writeln!(
            out,
            "{:<8} {:<30} {:>14} {:>14} {:>14} {:>14}  {}",
            text("month"),
            text("workspace"),
            number("log"),
            number("clickhouse"),
            number("removed"),
            number("rollups"),
            row["difference"].as_str().unwrap_or("equal")
        )?;
    }
    writeln!(out, "compared up to offset {} of the click log", report["through"])
}

/// Makes a projection anew, with progress; the present one serves meanwhile.
pub fn rebuild(args: RebuildArgs, mut out: impl Write) -> anyhow::Result<()> {
    let settings = args.serve.settings()?;
    let events = match Service::find(&settings.data_dir)? {
        Some(service) => rebuild_at(&service, args.projection)?,
        None => match args.projection {
            Projection::Index => rebuild_index(&settings)?,
            Projection::Analytics => offline(&settings, |operator, runtime| {
                runtime.block_on(operator.rebuild())?;
                watch(|| Ok(operator.rebuild_state()))
            })?,
        },
    };
    Ok(writeln!(out, "{} rebuilt from {events} events", args.projection.name())?)
}

fn rebuild_index(settings: &Settings) -> anyhow::Result<u64> {
    let folder = log_folder(&settings.data_dir, "mutations")?;
    let _lock = DataLock::acquire(&settings.data_dir)?;
    let (log, bar) = (open_log(&folder)?, progress_bar());
    let index = Index::rebuild_folder(&settings.data_dir.join("index"), &log, &|done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    index.flush()?;
    Ok(index.applied())
}

fn rebuild_at(service: &Service, projection: Projection) -> anyhow::Result<u64> {
    let path = format!("/api/v1/admin/rebuild/{}", projection.name());
    service.post(&path)?;
    watch(|| match state_at(service, projection)? {
        RebuildState::Idle => bail!("the service was restarted meanwhile"),
        state => Ok(state),
    })
}

/// How a rebuild goes at a service.
pub(super) fn state_at(service: &Service, projection: Projection) -> anyhow::Result<RebuildState> {
    let state = service.get(&format!("/api/v1/admin/rebuild/{}", projection.name()))?;
    let number = |name: &str| state[name].as_u64().unwrap_or_default();
    Ok(match state["state"].as_str() {
        Some("running") => RebuildState::Running { done: number("done"), total: number("total") },
        Some("done") => {
            let took = Duration::from_secs_f64(state["seconds"].as_f64().unwrap_or_default());
            RebuildState::Done { events: number("done"), took }
        }
        Some("failed") => {
            RebuildState::Failed(state["error"].as_str().unwrap_or_default().to_owned())
        }
        _ => RebuildState::Idle,
    })
}

/// Shows how a rebuild goes until it is done; returns how many events it took.
fn watch(look: impl Fn() -> anyhow::Result<RebuildState>) -> anyhow::Result<u64> {
    let bar = progress_bar();
    loop {
        match look()? {
            RebuildState::Running { done, total } => {
                bar.set_length(total);
                bar.set_position(done);
            }
            RebuildState::Done { events, .. } => {
                bar.finish_and_clear();
                return Ok(events);
            }
            RebuildState::Failed(reason) => bail!("the rebuild failed: {reason}"),
            RebuildState::Idle => bail!("the rebuild was not begun"),
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

pub(super) fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {human_pos}/{human_len} events, {eta} left");
    let bar =
        ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar
}

/// Opens the analytics' side of the house without serving, waits until ClickHouse has all of the
/// log, and does something with it.
pub(super) fn offline<T>(
    settings: &Settings,
    work: impl FnOnce(&Operator, &tokio::runtime::Runtime) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let folder = log_folder(&settings.data_dir, "clicks")?;
    let _lock = DataLock::acquire(&settings.data_dir)?;
    let engine = start_engine(settings)?;
    let clicks = Arc::new(open_log(&folder)?);
    let side = AnalyticsSide::open(settings, &clicks, Forgotten::nothing(), engine)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let bar = progress_bar();
    let is_complete =
        || side.clickhouse.reading().is_some() && side.clickhouse.as_of().offset >= clicks.end();
    while !is_complete() {
        bar.set_length(clicks.end());
        bar.set_position(side.clickhouse.as_of().offset);
        std::thread::sleep(LOOK_EVERY);
    }
    bar.finish_and_clear();
    let worked = work(&side.operator, &runtime);
    side.close();
    worked
}

/// The folder of a log; an error where there is none, lest a wrong folder is filled.
pub(super) fn log_folder(data: &Path, log: &str) -> anyhow::Result<PathBuf> {
    let folder = data.join("log").join(log);
    if !folder.is_dir() {
        bail!("there is no log in {}: is --data-dir right?", folder.display());
    }
    Ok(folder)
}

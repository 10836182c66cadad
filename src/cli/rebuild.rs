//! `slugline rebuild`: through the running service, or on the data folder if none runs.

use std::io::Write;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, ValueEnum};

use super::client::ApiClient;
use super::offline::{log_folder, with_analytics};
use super::progress::{POLL_INTERVAL, events_bar};
use crate::app::open_log;
use crate::config::{ServeArgs, Settings};
use crate::domain::named_enum;
use crate::log::DataLock;
use crate::projections::RebuildState;
use crate::projections::index::Index;

/// `slugline rebuild`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  slugline rebuild index
  slugline rebuild analytics --data-dir /var/lib/slugline")]
pub struct RebuildArgs {
    /// The projection
    #[arg(value_enum)]
    projection: Projection,
    #[command(flatten)]
    serve: ServeArgs,
}

named_enum! {
    /// A projection of the log.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
    pub enum Projection {
        /// The links and tokens, from the mutations.
        Index => "index",
        /// The tables in ClickHouse, from the clicks.
        Analytics => "analytics",
    }
}

/// Rebuilds a projection, with progress; the current one serves meanwhile.
pub fn rebuild(args: RebuildArgs, mut out: impl Write) -> anyhow::Result<()> {
    let settings = args.serve.settings()?;
    let events = match ApiClient::local(&settings.data_dir)? {
        Some(client) => rebuild_through(&client, args.projection)?,
        None => match args.projection {
            Projection::Index => rebuild_index(&settings)?,
            Projection::Analytics => with_analytics(&settings, |operator, runtime| {
                runtime.block_on(operator.rebuild())?;
                watch(|| Ok(operator.rebuild_state()))
            })?,
        },
    };
    Ok(writeln!(out, "{} rebuilt from {events} events", args.projection.as_str())?)
}

fn rebuild_index(settings: &Settings) -> anyhow::Result<u64> {
    let folder = log_folder(&settings.data_dir, "mutations")?;
    let _lock = DataLock::acquire(&settings.data_dir)?;
    let (log, bar) = (open_log(&folder)?, events_bar());
    let index = Index::rebuild_folder(&settings.data_dir.join("index"), &log, &|done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    index.flush()?;
    Ok(index.applied())
}

fn rebuild_through(client: &ApiClient, projection: Projection) -> anyhow::Result<u64> {
    client.post(&format!("/admin/rebuild/{}", projection.as_str()))?;
    watch(|| match rebuild_state(client, projection)? {
        RebuildState::Idle => bail!("the service was restarted during the rebuild"),
        state => Ok(state),
    })
}

/// The state of a rebuild at a service.
pub(super) fn rebuild_state(
    client: &ApiClient,
    projection: Projection,
) -> anyhow::Result<RebuildState> {
    let state = client.get(&format!("/admin/rebuild/{}", projection.as_str()))?;
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

/// Shows the progress of a rebuild until it is done; returns the number of its events.
fn watch(state: impl Fn() -> anyhow::Result<RebuildState>) -> anyhow::Result<u64> {
    let bar = events_bar();
    loop {
        match state()? {
            RebuildState::Running { done, total } => {
                bar.set_length(total);
                bar.set_position(done);
            }
            RebuildState::Done { events, .. } => {
                bar.finish_and_clear();
                return Ok(events);
            }
            RebuildState::Failed(reason) => bail!("the rebuild failed: {reason}"),
            RebuildState::Idle => bail!("the rebuild was not started"),
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

//! `slugline reclassify`: through the running service, or on the data folder if none runs.

use std::io::Write;
use std::sync::Arc;

use anyhow::bail;
use clap::{Args, ValueEnum};

use super::client::ApiClient;
use super::offline::with_analytics;
use super::progress::{POLL_INTERVAL, events_bar};
use super::rebuild::{Projection, rebuild_state};
use crate::app::crawlers::CrawlerClassifier;
use crate::clicks::{BotList, UserAgentCache};
use crate::config::ServeArgs;
use crate::projections::RebuildState;
use crate::projections::clickhouse::Reclassification;

/// `slugline reclassify`
#[derive(Debug, Args)]
#[command(after_help = "Example:
  slugline reclassify bots --since 2026-01-01")]
pub struct ReclassifyArgs {
    /// What to reclassify
    #[arg(value_enum)]
    what: Reclassified,
    /// Reclassify clicks since this day (UTC) or time, or `all`
    #[arg(long, value_name = "TIME")]
    since: String,
    #[command(flatten)]
    serve: ServeArgs,
}

/// What can be reclassified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Reclassified {
    /// Which user agents are bots, by the current crawler list.
    Bots,
}

/// Reloads the crawler list and reclassifies past clicks.
pub fn reclassify(args: ReclassifyArgs, mut out: impl Write) -> anyhow::Result<()> {
    let Reclassified::Bots = args.what;
    let settings = args.serve.settings()?;
    let Some(since_ms) = crate::http::timestamp_ms(&args.since) else {
        bail!(
            "--since: `{}` is neither a day such as 2026-11-21, nor a time, nor `all`",
            args.since
        );
    };
    let found = match ApiClient::local(&settings.data_dir)? {
        Some(client) => {
            let since = jiff::Timestamp::from_millisecond(since_ms.cast_signed())?;
            let found = client.post(&format!("/admin/reclassify?since={since}"))?;
            let number = |name: &str| found[name].as_u64().unwrap_or_default();
            let found = Reclassification {
                agents: number("agents"),
                reclassified: number("reclassified"),
                offset: number("offset"),
            };
            await_amended(found.offset, || {
                let through = client.get("/admin/reclassify")?["through"].as_u64();
                Ok((through.unwrap_or_default(), rebuild_state(&client, Projection::Analytics)?))
            })?;
            found
        }
        None => with_analytics(&settings, |operator, runtime| {
            // The list is read before it is used.
            let agents = UserAgentCache::new(BotList::default());
            let classifier =
                CrawlerClassifier::new(settings.crawler_list.clone(), Arc::new(agents));
            let found = runtime.block_on(operator.reclassify(since_ms, Arc::new(classifier)))?;
            await_amended(found.offset, || {
                Ok((operator.reclassified_through(), operator.rebuild_state()))
            })?;
            Ok(found)
        })?,
    };
    let Reclassification { agents, reclassified, .. } = found;
    Ok(writeln!(out, "{reclassified} of {agents} user agents reclassified")?)
}

/// Waits until the amendments up to an offset are applied, and shows the progress.
fn await_amended(
    offset: u64,
    look: impl Fn() -> anyhow::Result<(u64, RebuildState)>,
) -> anyhow::Result<()> {
    let (bar, mut has_begun) = (events_bar(), false);
    loop {
        let (through, state) = look()?;
        match state {
            _ if through >= offset => break,
            RebuildState::Running { done, total } => {
                has_begun = true;
                bar.set_length(total);
                bar.set_position(done);
            }
            // A failure before the start is that of an earlier rebuild.
            RebuildState::Failed(reason) if has_begun => {
                bail!("rebuilding the analytics failed: {reason}")
            }
            RebuildState::Idle | RebuildState::Done { .. } | RebuildState::Failed(_) => {}
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    bar.finish_and_clear();
    Ok(())
}

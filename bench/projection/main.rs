//! The projection benchmark: clicks from the log into ClickHouse.
//!
//! `cargo bench --bench projection` starts the embedded engine, logs clicks of two months, and
//! then measures by turns, in one run: the `clickhouse` crate inserting the same rows from memory
//! into the same tables with the same settings, and slugline's projector on its way from the log.
//! The clock runs while rows go, not while tables are made; the rows are counted afterwards.
//! Then clicks are appended at a steady rate, and it is seen how long each takes to be readable.
//!
//! The measurement reads `/proc`, hence runs on Linux only.

#[path = "../redirect/agents.rs"]
mod agents;
mod clicks;
mod engine;
mod lag;
#[path = "../redirect/machine.rs"]
#[allow(dead_code, reason = "another benchmark reads more of it")]
mod machine;
mod memory;
mod options;
mod projector;
mod report;
#[path = "../log/rounds.rs"]
mod rounds;
#[path = "../redirect/traffic.rs"]
#[allow(dead_code, reason = "the redirect benchmark sends the requests")]
mod traffic;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use slugline::log::Log;

use crate::clicks::Visitors;
use crate::engine::ClickHouse;
use crate::machine::Machine;
use crate::options::Options;
use crate::report::{Report, Round};

/// As slugline's own.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The clicks are of the 30 days around the turn of this year: 2025-12-17 to 2026-01-16.
const FROM_MS: u64 = 1_767_225_600_000 - SPAN_MS / 2;
const SPAN_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

/// Where the clicks come from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Memory,
    Projector,
    /// From memory, with nothing that adds up.
    NoRollups,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if !options.bench {
        println!("projection bench: measures under `cargo bench --bench projection` only");
        return Ok(());
    }
    let folder =
        tempfile::Builder::new().prefix("projection-bench-").tempdir_in(&options.folder)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let clickhouse = ClickHouse::start(folder.path())?;
    let visitors = Visitors::load()?;
    let log = fill(folder.path(), &visitors, options.clicks)?;
    let batches = Arc::new(memory::batches(&*log)?);
    anyhow::ensure!(memory::clicks(&batches) == options.clicks, "not all clicks are logged");

    let measure = |source: Source| {
        runtime.block_on(clickhouse.clear())?;
        let worked = clickhouse.processor_times()?;
        let took = match source {
            Source::Projector => projector::measure(&clickhouse, &log),
            Source::Memory => memory::measure(&clickhouse, &batches, true),
            Source::NoRollups => memory::measure(&clickhouse, &batches, false),
        }?;
        let round = Round::new(options.clicks, took, worked, clickhouse.processor_times()?);
        runtime.block_on(clickhouse.check(options.clicks, source != Source::NoRollups))?;
        anyhow::Ok(round)
    };
    let mut rounds = Vec::new();
    for round in 0..options.rounds {
        // Whoever comes second finds a warmer machine: they take turns at that too.
        let (memory, projector) = if round % 2 == 0 {
            let memory = measure(Source::Memory)?;
            (memory, measure(Source::Projector)?)
        } else {
            let projector = measure(Source::Projector)?;
            (measure(Source::Memory)?, projector)
        };
        let without = measure(Source::NoRollups)?;
        eprintln!(
            "round {}: memory {memory}, without rollups {without}; log {projector}",
            round + 1
        );
        rounds.push([memory, projector, without]);
    }
    drop(batches);
    runtime.block_on(clickhouse.clear())?;
    let span = Duration::from_secs(options.lag_seconds);
    let lag = (!span.is_zero())
        .then(|| lag::measure(&clickhouse, &visitors, options.lag_rate, span))
        .transpose()?;
    clickhouse.stop();
    let json = options.json.clone();
    Report::new(Machine::read()?, options, &rounds, lag).show(json.as_deref())
}

/// Logs so many clicks, one after the other through two months.
fn fill(folder: &Path, visitors: &Visitors, clicks: u64) -> anyhow::Result<Arc<dyn Log>> {
    eprintln!("{clicks} clicks are logged");
    let (log, recorder) = clicks::open_log(folder)?;
    for number in 0..clicks {
        visitors.click(&recorder, number, FROM_MS + SPAN_MS * number / clicks);
    }
    log.sync()?;
    Ok(log)
}

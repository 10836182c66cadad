//! The analytics benchmark: questions about many clicks.
//!
//! `cargo bench --bench analytics` starts the embedded engine, fills the tables, and asks twenty
//! questions as the service does, each several times; beside that, in the same run, the same of
//! single clicks, each read with its offset: what an answer of one moment takes without rollups.
//! `-- --clicks 100000000` is the size that the aims are meant for.

mod clicks;
#[path = "../projection/engine.rs"]
#[allow(dead_code, reason = "another benchmark uses more of it")]
mod engine;
#[path = "../redirect/machine.rs"]
#[allow(dead_code, reason = "another benchmark reads more of it")]
mod machine;
mod measure;
mod options;
#[path = "../projection/projector.rs"]
#[allow(dead_code, reason = "another benchmark uses more of it")]
mod projector;
mod questions;
mod report;
#[path = "../log/rounds.rs"]
#[allow(dead_code, reason = "another benchmark uses more of it")]
mod rounds;

use anyhow::Context as _;
use clap::Parser as _;

use crate::engine::ClickHouse;
use crate::machine::Machine;
use crate::measure::Asker;
use crate::options::Options;
use crate::report::{Disk, Report};

/// As slugline's own.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if !options.bench {
        println!("analytics bench: measures under `cargo bench --bench analytics` only");
        return Ok(());
    }
    let folder = tempfile::Builder::new().prefix("analytics-bench-").tempdir_in(&options.folder)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let clickhouse = ClickHouse::start(folder.path())?;
    // Its log is empty: it makes the tables, and lends its way to read.
    let following = projector::Following::start_empty(&clickhouse)?;
    let client = clickhouse.target.client();
    let now = jiff::Timestamp::now().as_millisecond().cast_unsigned();
    runtime.block_on(clicks::make(&client, options.clicks, now))?;
    runtime.block_on(clicks::settle(&client))?;
    let asker = Asker::new(following.reading.clone(), options.clicks, now);
    let mut lines = Vec::new();
    for question in questions::all()? {
        let line = runtime.block_on(asker.measure(&question, &options))?;
        eprintln!("{line}");
        lines.push(line);
    }
    let batch = runtime.block_on(asker.batch(questions::batch()?))?;
    let totals = questions::all()?.into_iter().next().context("there is no question")?;
    let export = runtime.block_on(asker.export(&totals))?;
    let disk = runtime.block_on(Disk::of(&client))?;
    drop(following);
    clickhouse.stop();
    let json = options.json.clone();
    Report::new(Machine::read()?, options, lines, batch, export, disk).show(json.as_deref())
}

//! The index benchmark: the time to rebuild the index from its log and to start with and without an
//! index on disk, and the memory used.
//!
//! `cargo bench --bench index -- --links 10000000` writes a mutation log of so many links, a part
//! of which are changed and deleted later, and then measures each case in a process of its own,
//! whose highest resident memory Linux tells (`VmHWM`). The files are in the system's cache, as
//! they are after they were written; the table says how large they are. At the end links are looked
//! for in what was opened.

mod case;
mod history;
mod row;
mod search;

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Context as _;
use clap::Parser as _;

use case::Case;
use row::Row;

/// As slugline's own.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Measures rebuilding and opening the index.
#[derive(clap::Parser)]
#[command(bin_name = "cargo bench --bench index --")]
struct Options {
    /// The number of links in the log
    #[arg(long, default_value_t = 10_000_000)]
    links: u64,
    /// How many more the overlay holds when a start is measured.
    #[arg(long, default_value_t = 100_000)]
    overlay_links: u64,
    /// Where to work; a folder of the system's temporary ones, taken away at the end, if not given.
    #[arg(long)]
    folder: Option<std::path::PathBuf>,
    /// Also starts by folding all of the log into sled, which takes minutes.
    #[arg(long)]
    with_sled: bool,
    /// Measures one case in this process.
    #[arg(long, hide = true)]
    case: Option<Case>,
    /// Passed by cargo to each benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match (&options.case, &options.folder) {
        (Some(case), Some(folder)) => case.run(folder),
        _ => measure(&options),
    };
    if let Err(error) = done {
        eprintln!("index bench: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn measure(options: &Options) -> anyhow::Result<()> {
    let temporary = tempfile::tempdir()?;
    let folder = options.folder.as_deref().unwrap_or(temporary.path());
    let events = history::write(folder, options.links)?;
    Row::print_head();
    let mut cases = vec![Case::Rebuild];
    if options.with_sled {
        cases.push(Case::Replay);
    }
    for case in cases {
        run(case, folder, events)?;
    }
    // Now the log goes on: so much is beyond the base.
    run(Case::Rebuild, folder, events)?;
    let beyond = history::write_more(folder, options.links, options.overlay_links)?;
    run(Case::LostOverlay, folder, beyond)?;
    run(Case::Start, folder, beyond)?;
    search::measure(folder, options.links)?;
    Ok(())
}

/// Runs a case in a separate process.
fn run(case: Case, folder: &Path, events: u64) -> anyhow::Result<()> {
    let output = Command::new(std::env::current_exe()?)
        .args(["--case", case.name(), "--folder"])
        .arg(folder)
        .stderr(std::process::Stdio::inherit())
        .output()?;
    anyhow::ensure!(output.status.success(), "the case {} failed", case.name());
    let text = String::from_utf8_lossy(&output.stdout);
    let measured = text.lines().last().context("a case said nothing")?;
    Row::parse(case, events, measured)?.print();
    Ok(())
}

//! The redirect benchmark: slugline and a bare axum server under the same load, in one run.
//!
//! `cargo bench --bench redirect` starts both servers on this machine, fills slugline with links
//! and drives the two in turn. The bare server answers 302 to any path and does nothing else: it
//! is what hyper and axum cost. What slugline takes beyond that is its own.
//!
//! The clicks are also counted: each 302 that the generator received must be in slugline's log
//! and in its analytics. A run whose counts differ ends with exit code 1.
//!
//! The measurement reads `/proc`, hence runs on Linux only.

mod agents;
mod bare;
mod companion;
mod connection;
mod contender;
mod contestant;
mod counts;
mod generator;
mod http_head;
mod machine;
mod options;
mod process;
mod report;
mod run;
mod scenario;
mod schedule;
mod slugline;
mod statistics;
mod steps;
mod sustained;
mod table;
mod traffic;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::options::{Arguments, Options};

/// The bare server runs in this executable too: the same allocator as slugline's, so that the
/// ratio compares the servers and not their allocators.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match dispatch() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("redirect bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Takes the role that the first argument names: one of the two hidden ones, or the benchmark.
fn dispatch() -> anyhow::Result<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    let role = words.next();
    match role.as_deref().and_then(|word| word.to_str()) {
        Some(process::GUARDED) => process::become_guarded(words),
        Some(bare::SERVE_BARE) => {
            let address = words.next().context("the bare server needs an address")?;
            bare::serve(&address.to_string_lossy()).map(|()| ExitCode::SUCCESS)
        }
        _ => benchmark(),
    }
}

/// Runs the benchmark until it ends or is interrupted; the servers stop with it in both cases.
fn benchmark() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if !arguments.bench {
        println!("redirect bench: measures under `cargo bench --bench redirect` only");
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.steps {
        return steps::measure(arguments.step, arguments.times).map(|()| ExitCode::SUCCESS);
    }
    let options = Options::from(arguments);
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the control runtime")?
        .block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            tokio::select! {
                outcome = run::run(&options) => outcome,
                _ = terminate.recv() => anyhow::bail!("terminated"),
                _ = interrupt.recv() => anyhow::bail!("interrupted"),
            }
        })
}

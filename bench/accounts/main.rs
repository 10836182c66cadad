//! The accounts benchmark: the index with many workspaces and tokens, the cost of authentication
//! per request, what the time of a failed sign-in reveals, and what rate limits add to a request.
//!
//! `cargo bench --bench accounts` writes a mutation log of users, workspaces, tokens and sessions,
//! then runs each case in a process of its own, so that each has its own memory. The files are in
//! the system's cache, as they are after they were written.

mod authentication;
mod enumeration;
mod history;
mod limits;
#[path = "../redirect/machine.rs"]
#[allow(dead_code, reason = "the other benchmark reads more of it")]
mod machine;
mod open;
mod service;
#[path = "../redirect/statistics.rs"]
mod statistics;

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Parser, ValueEnum};

/// As slugline's own.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Measures the index of many workspaces, authentication, failed sign-ins, and rate limits.
#[derive(Debug, Parser)]
#[command(name = "cargo bench --bench accounts --")]
pub struct Options {
    /// Users, each with a personal and a shared workspace, and two sessions
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(100..))]
    workspaces: u64,
    /// Tokens of each shared workspace: a machine token, and the owner's
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(2..=1_000))]
    tokens_per_workspace: u64,
    /// Rounds of each kind of authentication
    #[arg(long, default_value_t = 11, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Failed sign-ins
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(10..))]
    sign_ins: u32,
    /// Where to work; an existing log there is used. By default, a temporary folder
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Measures this alone, in this process; the folder must have a log
    #[arg(long, requires = "folder")]
    case: Option<Case>,
    /// What `cargo bench` adds, and `cargo test` doesn't
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Case {
    /// Builds the index from the log
    Build,
    /// Opens the index that is there
    Start,
    /// Authenticates requests
    Authentication,
    /// Signs in with wrong passwords
    Enumeration,
    /// Counts requests against rate limits
    Limits,
}

impl Case {
    fn run(self, folder: &Path, options: &Options) -> anyhow::Result<()> {
        match self {
            Self::Build => open::measure(folder, true),
            Self::Start => open::measure(folder, false),
            Self::Authentication => authentication::measure(folder, options),
            Self::Enumeration => enumeration::measure(folder, options),
            Self::Limits => limits::measure(options),
        }
    }
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if !options.bench {
        println!("accounts bench: measures under `cargo bench --bench accounts` only");
        return Ok(());
    }
    if let (Some(case), Some(folder)) = (options.case, &options.folder) {
        return case.run(folder, &options);
    }
    let temporary = tempfile::Builder::new().prefix("accounts-bench-").tempdir()?;
    let folder = options.folder.as_deref().unwrap_or(temporary.path());
    println!("{} events in the log", history::write(folder, &options)?);
    for case in Case::value_variants() {
        let name = case.to_possible_value().map(|value| value.get_name().to_owned());
        let mut command = Command::new(std::env::current_exe()?);
        command.args(std::env::args_os().skip(1)).arg("--case").args(name);
        if options.folder.is_none() {
            command.arg("--folder").arg(folder);
        }
        let status = command.status()?;
        anyhow::ensure!(status.success(), "{case:?} failed");
    }
    Ok(())
}

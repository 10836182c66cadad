//! Command-line options.

use std::path::PathBuf;

use clap::Parser;
use serde::Serialize;

/// Measures questions about many clicks.
#[derive(Debug, Parser, Serialize)]
#[command(name = "cargo bench --bench analytics --")]
pub struct Options {
    /// Clicks, over 90 days
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(100_000..=1_000_000_000))]
    pub clicks: u64,
    /// How often each question is asked
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(3..=1_000))]
    pub runs: u32,
    /// How often it is asked of single clicks
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub naive_runs: u32,
    /// Where the engine keeps its files
    #[arg(long, value_name = "FOLDER", default_value = env!("CARGO_TARGET_TMPDIR"))]
    pub folder: PathBuf,
    /// Prints all results as JSON, or writes them to this file beside the table
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    #[serde(skip)]
    pub json: Option<PathBuf>,
    /// What `cargo bench` adds, and `cargo test` doesn't
    #[arg(long, hide = true)]
    #[serde(skip)]
    pub bench: bool,
}

//! Command-line options.

use std::path::PathBuf;

use clap::Parser;
use serde::Serialize;

/// Measures the way of clicks from the log to ClickHouse.
#[derive(Debug, Parser, Serialize)]
#[command(name = "cargo bench --bench projection --")]
pub struct Options {
    /// Clicks in the log
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1_000..=50_000_000))]
    pub clicks: u64,
    /// Rounds: each inserts all clicks from memory, and projects them from the log
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// Clicks appended in a second while the lag is measured
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub lag_rate: u32,
    /// For how many seconds the lag is measured; 0 leaves it out
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    pub lag_seconds: u64,
    /// Where log and engine keep their files
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

//! Command-line options.

use std::path::PathBuf;

use clap::Parser;
use serde::Serialize;

/// Measures durable creates compared with a bare loop of append and fdatasync.
#[derive(Debug, Parser, Serialize)]
#[command(name = "cargo bench --bench log --")]
pub struct Options {
    /// Seconds of the whole measurement
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub seconds: u64,
    /// Where the files are written; the disk to measure
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

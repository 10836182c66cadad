//! `slugline log`: verifies, dumps and quarantines the logs.

mod accounts;
mod billing;
mod dump;
mod qr_codes;
mod quarantine;

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::offline::log_folder;
use crate::domain::named_enum;
use crate::log::{DiskStorage, VerifyReport, verify};
use dump::{dump, kind_name};

/// `slugline log`
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Read both logs from end to end and report damage; fails if there is any
    Verify(VerifyArgs),
    /// Write a log's records as JSON lines
    Dump(DumpArgs),
    /// Discard a damaged record and all that follow; their files are kept
    Quarantine(quarantine::QuarantineArgs),
}

/// `slugline log verify`
#[derive(Debug, Args)]
#[command(after_help = "Example:
  slugline log verify --data-dir /var/lib/slugline")]
pub struct VerifyArgs {
    /// The data folder
    #[arg(long, env = "SLUGLINE_DATA_DIR", value_name = "FOLDER", default_value = "data")]
    data_dir: PathBuf,
    /// Report as JSON
    #[arg(long)]
    json: bool,
}

/// `slugline log dump`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  slugline log dump mutations | tail -n 1
  slugline log dump clicks --from 1000000 | head")]
pub struct DumpArgs {
    /// The log
    #[arg(value_enum)]
    log: WhichLog,
    /// The data folder
    #[arg(long, env = "SLUGLINE_DATA_DIR", value_name = "FOLDER", default_value = "data")]
    data_dir: PathBuf,
    /// The first offset to write [default: the first in the log]
    #[arg(long, default_value_t = 0)]
    from: u64,
}

named_enum! {
    /// One of the two logs.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
    pub enum WhichLog {
        /// Mutations of links and tokens.
        Mutations => "mutations",
        /// Clicks and user agents.
        Clicks => "clicks",
    }
}

/// Runs a `log` command, writing to `out`.
pub fn run(command: &LogCommand, out: impl Write) -> anyhow::Result<()> {
    let mut out = BufWriter::new(out);
    match command {
        LogCommand::Verify(args) => verify_logs(args, &mut out)?,
        LogCommand::Dump(args) => dump(args, &mut out)?,
        LogCommand::Quarantine(args) => quarantine::quarantine(args, &mut out)?,
    }
    Ok(out.flush()?)
}

fn verify_logs(args: &VerifyArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let mut reports = Vec::new();
    for log in [WhichLog::Mutations, WhichLog::Clicks] {
        reports.push((log, verify(&DiskStorage, &log_folder(&args.data_dir, log.as_str())?)?));
    }
    if args.json {
        let each =
            reports.iter().map(|(log, report)| (log.as_str().to_owned(), report_json(report)));
        writeln!(out, "{}", Value::Object(each.collect()))?;
    } else {
        for (log, report) in &reports {
            write_report(*log, report, out)?;
        }
    }
    out.flush()?;
    if reports.iter().any(|(_, report)| !report.is_sound()) {
        bail!("the log is damaged");
    }
    Ok(())
}

fn write_report(log: WhichLog, report: &VerifyReport, out: &mut impl Write) -> std::io::Result<()> {
    let state = if report.is_sound() { "sound" } else { "DAMAGED" };
    let (first, last) = (report.first_offset.unwrap_or(0), report.last_offset.unwrap_or(0));
    writeln!(
        out,
        "{}: {state}, {} records (offsets {first} to {last}) in {} segments, {} bytes",
        log.as_str(),
        report.records,
        report.segments,
        report.bytes
    )?;
    for (kind, count) in &report.kinds {
        writeln!(out, "  {:<18}{count:>12}", kind_name(*kind))?;
    }
    if report.torn_tail_bytes > 0 {
        writeln!(
            out,
            "  {} bytes of an incomplete write at the end, truncated at the next start",
            report.torn_tail_bytes
        )?;
    }
    for problem in &report.problems {
        writeln!(
            out,
            "  {} at byte {}, offset {}: {}",
            problem.file.display(),
            problem.position,
            problem.offset,
            problem.what
        )?;
    }
    Ok(())
}

fn report_json(report: &VerifyReport) -> Value {
    let kinds = report.kinds.iter().map(|(kind, count)| (kind_name(*kind), json!(count)));
    let problems = report.problems.iter().map(|problem| {
        json!({
            "file": problem.file, "position": problem.position,
            "offset": problem.offset, "what": problem.what,
        })
    });
    json!({
        "sound": report.is_sound(),
        "segments": report.segments,
        "bytes": report.bytes,
        "records": report.records,
        "first_offset": report.first_offset,
        "last_offset": report.last_offset,
        "kinds": kinds.collect::<serde_json::Map<_, _>>(),
        "torn_tail_bytes": report.torn_tail_bytes,
        "problems": problems.collect::<Vec<_>>(),
    })
}

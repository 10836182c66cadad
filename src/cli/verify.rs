//! `slugline verify`: through the running service, or on the data folder if none runs.

use std::io::Write;

use anyhow::bail;
use clap::Args;
use serde_json::Value;

use super::client::ApiClient;
use super::offline::with_analytics;
use crate::config::ServeArgs;
use crate::projections::clickhouse::Extent;

/// `slugline verify`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  slugline verify --data-dir /var/lib/slugline
  slugline verify --json")]
pub struct VerifyArgs {
    /// Report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    serve: ServeArgs,
}

/// Compares the log with ClickHouse, writing to `out`; fails if they differ.
pub fn verify(args: VerifyArgs, mut out: impl Write) -> anyhow::Result<()> {
    let settings = args.serve.settings()?;
    let report = match ApiClient::local(&settings.data_dir)? {
        Some(client) => client.get("/admin/reconcile")?,
        None => with_analytics(&settings, |operator, runtime| {
            let found = runtime.block_on(operator.reconcile(Extent::Whole))?;
            Ok(crate::http::reconciliation_json(found))
        })?,
    };
    if args.json {
        writeln!(out, "{report}")?;
    } else {
        write_report(&report, &mut out)?;
    }
    if report["equal"] != true {
        bail!("ClickHouse differs from the log; `slugline rebuild analytics` repairs it");
    }
    Ok(())
}

fn write_report(report: &Value, out: &mut impl Write) -> std::io::Result<()> {
    writeln!(
        out,
        "{:<8} {:<30} {:>14} {:>14} {:>14} {:>14}",
        "month", "workspace", "log", "clickhouse", "removed", "rollups"
    )?;
    for row in report["months"].as_array().into_iter().flatten() {
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let number = |name: &str| row[name].as_u64().unwrap_or_default();
        writeln!(
            out,
            "{:<8} {:<30} {:>14} {:>14} {:>14} {:>14}  {}",
            text("month"),
            text("workspace"),
            number("log"),
            number("clickhouse"),
            number("removed"),
            number("rollups"),
            row["difference"].as_str().unwrap_or("equal")
        )?;
    }
    writeln!(out, "compared up to offset {} of the click log", report["through"])
}

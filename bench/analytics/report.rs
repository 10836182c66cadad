//! The results, as text and as JSON.

use std::fs;
use std::path::Path;

use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::measure::{Batch, Export, Line};
use crate::options::Options;
use crate::questions::Class;
use crate::rounds::Aim;

/// The size of the tables on disk.
#[derive(Debug, Clone, Serialize)]
pub struct Disk {
    /// Bytes for each click, in the table of single clicks.
    pub click_bytes: f64,
    /// All rollups by all single clicks.
    pub rollups: f64,
    pub tables: Vec<Table>,
}

/// A table on the disk.
#[derive(Debug, Clone, Serialize, Deserialize, Row)]
pub struct Table {
    pub name: String,
    pub rows: u64,
    pub bytes: u64,
}

impl Disk {
    /// Once merges have come to rest, more or less.
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2⁵²")]
    pub async fn of(client: &Client) -> anyhow::Result<Self> {
        let sql = "SELECT table AS name, sum(rows) AS rows, sum(bytes_on_disk) AS bytes \
            FROM system.parts WHERE active AND database = currentDatabase() AND table LIKE 'clicks%' \
            GROUP BY table ORDER BY bytes DESC";
        let tables = client.query(sql).fetch_all::<Table>().await?;
        let single = tables.iter().find(|table| table.name == "clicks");
        let (rows, bytes) = single.map_or((1, 0), |table| (table.rows, table.bytes));
        let all: u64 = tables.iter().map(|table| table.bytes).sum();
        Ok(Self {
            click_bytes: bytes as f64 / rows as f64,
            rollups: (all - bytes) as f64 / bytes as f64,
            tables,
        })
    }
}

/// All of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    pub machine: Machine,
    pub options: Options,
    pub lines: Vec<Line>,
    pub batch: Batch,
    pub export: Export,
    pub disk: Disk,
    pub aims: Vec<Aim>,
}

impl Report {
    /// Sums up.
    pub fn new(
        machine: Machine,
        options: Options,
        lines: Vec<Line>,
        batch: Batch,
        export: Export,
        disk: Disk,
    ) -> Self {
        let of = |class| lines.iter().filter(move |line| line.class == class);
        let slowest = |class| of(class).map(|line| line.p95_ms).fold(0.0, f64::max);
        let least = of(Class::Workspace).map(Line::gain).fold(f64::INFINITY, f64::min);
        let aims = vec![
            Aim::at_most("one link: the slowest p95, in ms", slowest(Class::Link), 25.0),
            Aim::at_most("a workspace: the slowest p95, in ms", slowest(Class::Workspace), 50.0),
            Aim::at_least("a workspace: the least gain over single clicks", least, 20.0),
            Aim::at_most("any other: the slowest p95, in ms", slowest(Class::Any), 500.0),
            Aim::at_most("100 questions by one", batch.batch_ms / batch.one_ms, 20.0),
            Aim::at_least("clicks/s to Parquet", export.clicks_per_second, 500_000.0),
            Aim::at_most("bytes on disk for a click", disk.click_bytes, 30.0),
            Aim::at_most("rollups by single clicks on disk", disk.rollups, 0.3),
        ];
        Self { machine, options, lines, batch, export, disk, aims }
    }

    /// Prints the table, or JSON if requested.
    pub fn show(&self, json: Option<&Path>) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        match json {
            Some(path) if path == Path::new("-") => println!("{text}"),
            path => {
                self.print();
                if let Some(path) = path {
                    fs::write(path, text)?;
                }
            }
        }
        Ok(())
    }

    fn print(&self) {
        let Machine { cpu, cores, memory_mib, kernel } = &self.machine;
        println!("{cpu}, {cores} cores, {memory_mib} MiB, {kernel}");
        println!("{} clicks over 90 days; questions about the last 30\n", self.options.clicks);
        println!("{:<43} {:>8} {:>8} {:>9} {:>6}", "", "p50 ms", "p95 ms", "naive ms", "gain");
        for line in &self.lines {
            println!("{line}");
        }
        let Batch { batch_ms, one_ms } = self.batch;
        println!("\n100 questions at once: {batch_ms:.0} ms; one of them alone: {one_ms:.1} ms");
        let Export { clicks, bytes, clicks_per_second } = self.export;
        println!("{clicks} clicks to Parquet, {} MiB: {clicks_per_second:.0}/s", bytes >> 20);
        for Table { name, rows, bytes } in &self.disk.tables {
            println!("{name}: {rows} rows, {} MiB", bytes >> 20);
        }
        println!();
        for aim in &self.aims {
            println!("{aim}");
        }
    }
}

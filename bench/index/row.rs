//! A row of the table.

use anyhow::Context as _;

use crate::case::Case;

/// The result of a case.
pub struct Row {
    case: Case,
    events: u64,
    seconds: f64,
    memory_mib: u64,
    disk_mib: u64,
}

impl Row {
    /// Parses the last line of a case's process: seconds, and two numbers of KiB.
    pub fn parse(case: Case, events: u64, text: &str) -> anyhow::Result<Self> {
        let mut words = text.split_whitespace();
        let mut word = || words.next().with_context(|| format!("a case said {text:?}"));
        let seconds = word()?.parse()?;
        let (memory_kib, disk_kib): (u64, u64) = (word()?.parse()?, word()?.parse()?);
        Ok(Self { case, events, seconds, memory_mib: memory_kib >> 10, disk_mib: disk_kib >> 10 })
    }

    /// The column headers.
    pub fn print_head() {
        println!(
            "{:<34} {:>10} {:>9} {:>10} {:>10} {:>10}",
            "case", "events", "seconds", "events/s", "RSS, MiB", "disk, MiB"
        );
    }

    /// The columns.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        clippy::cast_possible_truncation,
        reason = "for a table"
    )]
    pub fn print(&self) {
        println!(
            "{:<34} {:>10} {:>9.2} {:>10} {:>10} {:>10}",
            self.case.words(),
            self.events,
            self.seconds,
            (self.events as f64 / self.seconds) as u64,
            self.memory_mib,
            self.disk_mib
        );
    }
}

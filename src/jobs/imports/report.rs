//! The report of an import: a file with a [`Reject`] as JSON on each line.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::jobs::store::{blocking, check_free_space};

/// A line of the report: a link that was refused, or imported with changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// The number of the link in the file, from 1.
    pub row: u64,
    /// The line at which it starts, if the format has lines.
    pub line: Option<u64>,
    /// The slug in the file.
    pub slug: Option<String>,
    /// The destination in the file.
    pub destination: Option<String>,
    /// The cells of a CSV file, in the order of its columns, if the link was refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cells: Vec<String>,
    /// Errors by field; empty if the link was imported.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, Vec<String>>,
    /// Changes by field.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub warnings: BTreeMap<String, Vec<String>>,
}

/// Truncates a report to the length in the job's state: the rows beyond it are imported again.
pub(super) async fn truncate(path: PathBuf, bytes: u64) -> io::Result<()> {
    blocking(move || {
        let mut options = OpenOptions::new();
        let report = options.write(true).create(true).truncate(false).mode(0o600).open(path)?;
        report.set_len(bytes)
    })
    .await
}

/// Appends lines to a report; returns their length.
pub(super) async fn append(path: PathBuf, rejects: Vec<Reject>) -> io::Result<u64> {
    if rejects.is_empty() {
        return Ok(0);
    }
    blocking(move || {
        let mut lines = Vec::new();
        for reject in &rejects {
            serde_json::to_writer(&mut lines, reject)?;
            lines.push(b'\n');
        }
        check_free_space(&path, 0)?;
        let mut report = OpenOptions::new().append(true).open(path)?;
        report.write_all(&lines)?;
        // The state that refers to these lines is written after them.
        report.sync_data()?;
        Ok(lines.len() as u64)
    })
    .await
}

//! The tally: the log's clicks counted by month and workspace, for reconciliation with ClickHouse.
//!
//! Besides the number of clicks it has the sums of their offsets and of the offsets' squares
//! (modulo 2⁶⁴): if one click is missing and another duplicate, the number matches but the sums do
//! not.

use std::collections::BTreeMap;
use std::path::Path;

use prost::Message;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ProjectionError;
use super::batches::month;
use crate::domain::click::kind;
use crate::log::{Log, replace_file};

/// A number of clicks and the sums of their offsets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// The number of clicks.
    pub clicks: u64,
    /// The sum of the offsets, modulo 2⁶⁴.
    pub offsets: u64,
    /// The sum of the squares of the offsets, modulo 2⁶⁴.
    pub squares: u64,
}

impl Sums {
    /// The union of two disjoint sets of clicks.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            clicks: self.clicks + other.clicks,
            offsets: self.offsets.wrapping_add(other.offsets),
            squares: self.squares.wrapping_add(other.squares),
        }
    }

    /// Counts the click at an offset.
    fn add(&mut self, offset: u64) {
        self.clicks += 1;
        self.offsets = self.offsets.wrapping_add(offset);
        self.squares = self.squares.wrapping_add(offset.wrapping_mul(offset));
    }
}

/// A month (`202611`) and a workspace.
pub type Cell = (u32, Uuid);

/// The clicks of a log up to an offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    log_id: [u8; 16],
    /// The last offset counted.
    pub through: u64,
    /// By month and workspace.
    pub cells: BTreeMap<Cell, Sums>,
}

/// The fields of a click that are needed for counting.
#[derive(Clone, PartialEq, prost::Message)]
struct CountedClick {
    #[prost(uint64, tag = "1")]
    at_ms: u64,
    #[prost(bytes = "vec", tag = "2")]
    workspace: Vec<u8>,
}

/// The format of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    log_id: Uuid,
    through: u64,
    cells: Vec<(u32, Uuid, Sums)>,
}

impl Tally {
    /// An empty tally.
    pub const fn empty(log_id: [u8; 16]) -> Self {
        Self { log_id, through: 0, cells: BTreeMap::new() }
    }

    /// Counts the records up to and including an offset.
    pub fn extend(&mut self, log: &dyn Log, through: u64) -> Result<(), ProjectionError> {
        if through <= self.through {
            return Ok(());
        }
        let mut reader = log.read_from(self.through + 1)?;
        while let Some(record) = reader.next_through(through)? {
            self.through = record.offset;
            if record.kind != kind::CLICK {
                continue;
            }
            let unreadable = || ProjectionError::Unreadable(record.offset);
            let click = CountedClick::decode(record.payload.as_ref()).map_err(|_| unreadable())?;
            let month = month(click.at_ms).ok_or_else(unreadable)?;
            let workspace = Uuid::from_slice(&click.workspace).map_err(|_| unreadable())?;
            self.cells.entry((month, workspace)).or_default().add(record.offset);
        }
        Ok(())
    }

    /// Reads a tally of this log; `None` if it is missing or unreadable, in which case the log is
    /// counted again.
    pub fn read(path: &Path, log_id: [u8; 16]) -> Option<Self> {
        let stored: Stored = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        let cells = stored.cells.into_iter();
        (stored.log_id == Uuid::from_bytes(log_id)).then(|| Self {
            log_id,
            through: stored.through,
            cells: cells.map(|(month, workspace, sums)| ((month, workspace), sums)).collect(),
        })
    }

    /// Durably replaces the file.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        let cells = self.cells.iter();
        let stored = Stored {
            log_id: Uuid::from_bytes(self.log_id),
            through: self.through,
            cells: cells.map(|((month, workspace), sums)| (*month, *workspace, *sums)).collect(),
        };
        replace_file(path, &serde_json::to_vec(&stored)?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::click::{Click, VERSION};
    use crate::log::{DiskStorage, LocalLog, LogOptions};

    const NOVEMBER: u64 = 1_764_547_199_999;

    fn append(log: &dyn Log, at_ms: u64, workspace: u128) {
        let workspace = Uuid::from_u128(workspace).as_bytes().to_vec();
        let click = Click { at_ms, workspace, browser: "x".to_owned(), ..Click::default() };
        log.append_payloads(kind::CLICK, VERSION, &[click.encode_to_vec()]).unwrap();
    }

    #[test]
    fn clicks_are_counted_by_month_and_workspace_and_on_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let log =
            LocalLog::open(Arc::new(DiskStorage), folder.path(), LogOptions::default()).unwrap();
        for (at_ms, workspace) in [(NOVEMBER, 1), (NOVEMBER, 2), (NOVEMBER + 1, 1), (NOVEMBER, 1)] {
            append(&log, at_ms, workspace);
        }
        let mut tally = Tally::empty(log.id());
        tally.extend(&log, 2).unwrap();
        let path = folder.path().join("clicks.tally");
        tally.write(&path).unwrap();
        assert_eq!(Tally::read(&path, [0; 16]), None, "of another log");
        let mut tally = Tally::read(&path, log.id()).unwrap();
        tally.extend(&log, 4).unwrap();
        let cell = |month, workspace| tally.cells[&(month, Uuid::from_u128(workspace))];
        assert_eq!(cell(202_511, 1), Sums { clicks: 2, offsets: 1 + 4, squares: 1 + 16 });
        assert_eq!(cell(202_511, 2), Sums { clicks: 1, offsets: 2, squares: 4 });
        assert_eq!(cell(202_512, 1), Sums { clicks: 1, offsets: 3, squares: 9 });
        assert_eq!(tally.cells.len(), 3);
    }
}

//! Reconciliation: checks that each click of the log is in ClickHouse exactly once, and in each
//! rollup.
//!
//! The projector counts the rows in ClickHouse between two batches, so at a known offset; the log
//! is counted up to the same offset, concurrently with the projector. A match is saved as a tally,
//! so that the check at the next start only reads later records. A requested check reads the whole
//! log.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clickhouse::{Client, Row};
use serde::Deserialize;
use uuid::Uuid;

use super::ProjectionError;
use super::generation::Generation;
use super::tally::{Cell, Sums, Tally};
use crate::log::Log;

/// The part of the log to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The records since the last check without differences.
    SinceLast,
    /// The whole log.
    Whole,
}

/// One month of one workspace, counted three ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compared {
    /// `202611`, in UTC.
    pub month: u32,
    /// The workspace.
    pub workspace: Uuid,
    /// In the log.
    pub logged: Sums,
    /// In ClickHouse.
    pub stored: Sums,
    /// Removed from ClickHouse, because the links were deleted.
    pub removed: Sums,
    /// The minimum and maximum of the rollups' sums.
    pub added_up: (u64, u64),
}

impl Compared {
    /// The sum of the rollups; if they differ, a wrong one.
    pub const fn sum(&self) -> u64 {
        let (least, most) = self.added_up;
        if least == self.stored.clicks { most } else { least }
    }

    /// The difference, if any.
    pub fn difference(&self) -> Option<String> {
        let (logged, known) = (self.logged, self.stored.and(self.removed));
        if logged.clicks > known.clicks {
            Some(format!("{} clicks are missing", logged.clicks - known.clicks))
        } else if logged.clicks < known.clicks {
            Some(format!("{} clicks are too many", known.clicks - logged.clicks))
        } else if logged != known {
            Some("as many clicks, but not the same ones".to_owned())
        } else if self.sum() != self.stored.clicks {
            Some(format!("the clicks of a rollup add up to {}", self.sum()))
        } else {
            None
        }
    }
}

/// The result of a reconciliation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconciliation {
    /// The offset of the click log up to which both were compared.
    pub through: u64,
    /// By month and workspace.
    pub compared: Vec<Compared>,
}

impl Reconciliation {
    /// The number of months of workspaces that differ.
    pub fn differences(&self) -> usize {
        self.compared.iter().filter(|compared| compared.difference().is_some()).count()
    }
}

/// The content of ClickHouse, counted between two batches.
#[derive(Debug, Default)]
pub struct Stored {
    clicks: BTreeMap<Cell, Sums>,
    removed: BTreeMap<Cell, Sums>,
    /// The minimum and maximum of the rollups' sums.
    added_up: BTreeMap<Cell, (u64, u64)>,
}

#[derive(Row, Deserialize)]
struct StoredClicks {
    month: u32,
    #[serde(with = "clickhouse::serde::uuid")]
    workspace_id: Uuid,
    clicks: u64,
    offsets: u64,
    squares: u64,
}

#[derive(Row, Deserialize)]
struct StoredSums {
    month: u32,
    #[serde(with = "clickhouse::serde::uuid")]
    workspace_id: Uuid,
    least: u64,
    most: u64,
    sums: u64,
}

/// The number of sums of a month's clicks: by hour, by link, and by each dimension's values. Clicks
/// without a code have no row by code, and are counted themselves.
const SUMS: u64 = 2 + 19;

impl Stored {
    /// Counts the tables of a generation.
    pub async fn count(client: &Client, generation: Generation) -> Result<Self, ProjectionError> {
        let clicks = "SELECT toYYYYMM(ts) AS month, workspace_id, count() AS clicks, \
             sum(log_offset) AS offsets, sum(log_offset * log_offset) AS squares \
             FROM {clicks:Identifier} GROUP BY month, workspace_id";
        let clicks = generation.query(client, clicks);
        let added_up = "SELECT month, workspace_id, min(sum) AS least, max(sum) AS most, count() AS sums FROM ( \
                 SELECT toYYYYMM(hour) AS month, workspace_id, sum(clicks) AS sum \
                 FROM {hourly:Identifier} GROUP BY month, workspace_id \
             UNION ALL \
                 SELECT toYYYYMM(day) AS month, workspace_id, sum(clicks) AS sum \
                 FROM {links:Identifier} GROUP BY month, workspace_id \
             UNION ALL \
                 SELECT month, workspace_id, sum(part) AS sum FROM ( \
                     SELECT toYYYYMM(day) AS month, workspace_id, toString(dimension) AS name, \
                            sum(clicks) AS part \
                     FROM {values:Identifier} GROUP BY month, workspace_id, name \
                 UNION ALL \
                     SELECT toYYYYMM(ts) AS month, workspace_id, 'qr_code' AS name, count() AS part \
                     FROM {clicks:Identifier} WHERE qr_code = '' GROUP BY month, workspace_id \
                 ) GROUP BY month, workspace_id, name \
             ) GROUP BY month, workspace_id";
        let added_up = generation.query(client, added_up);
        let mut stored = Self::default();
        let removed = "SELECT toYYYYMM(day) AS month, workspace_id, sum(removed.clicks) AS clicks, \
             sum(removed.offsets) AS offsets, sum(removed.squares) AS squares \
             FROM {removed:Identifier} AS removed WHERE removed.clicks > 0 GROUP BY month, workspace_id";
        let removed = generation.query(client, removed);
        for (query, cells) in [(clicks, &mut stored.clicks), (removed, &mut stored.removed)] {
            for row in query.fetch_all::<StoredClicks>().await? {
                let StoredClicks { clicks, offsets, squares, .. } = row;
                let sums = Sums { clicks, offsets, squares };
                cells.insert((row.month, row.workspace_id), sums);
            }
        }
        for row in added_up.fetch_all::<StoredSums>().await? {
            let least = if row.sums < SUMS { 0 } else { row.least };
            stored.added_up.insert((row.month, row.workspace_id), (least, row.most));
        }
        Ok(stored)
    }

    fn compare(&self, logged: &Tally) -> Reconciliation {
        let mut cells: Vec<_> = logged.cells.keys().chain(self.clicks.keys()).collect();
        cells.extend(self.added_up.keys().chain(self.removed.keys()));
        cells.sort_unstable();
        cells.dedup();
        let compared = cells.into_iter().map(|cell| Compared {
            month: cell.0,
            workspace: cell.1,
            logged: logged.cells.get(cell).copied().unwrap_or_default(),
            stored: self.clicks.get(cell).copied().unwrap_or_default(),
            removed: self.removed.get(cell).copied().unwrap_or_default(),
            added_up: self.added_up.get(cell).copied().unwrap_or_default(),
        });
        Reconciliation { through: logged.through, compared: compared.collect() }
    }
}

/// The files of the tallies.
#[derive(Debug, Clone)]
pub struct TallyFiles {
    /// The tally at the last check without differences.
    checked: PathBuf,
    /// The tally of the clicks that the log no longer has.
    dropped: PathBuf,
}

impl TallyFiles {
    /// The files in a data folder.
    pub fn new(data: &Path) -> Self {
        Self { checked: data.join("clicks.tally"), dropped: data.join("clicks.dropped") }
    }

    /// Counts the log up to an offset and compares.
    pub fn reconcile(
        &self,
        log: &dyn Log,
        stored: &Stored,
        through: u64,
        extent: Extent,
    ) -> Result<Reconciliation, ProjectionError> {
        let known = match extent {
            Extent::SinceLast => Tally::read(&self.checked, log.id()),
            Extent::Whole => None,
        };
        let known = known.filter(|tally| tally.through <= through);
        let mut tally = known.unwrap_or_else(|| self.dropped(log));
        tally.extend(log, through)?;
        let found = stored.compare(&tally);
        if found.differences() == 0
            && let Err(error) = tally.write(&self.checked)
        {
            tracing::warn!(%error, "cannot save the tally; the next check counts more");
        }
        Ok(found)
    }

    /// The clicks that were dropped from the log, or are about to be.
    pub fn dropped(&self, log: &dyn Log) -> Tally {
        Tally::read(&self.dropped, log.id()).unwrap_or_else(|| Tally::empty(log.id()))
    }

    /// Durably replaces the tally of dropped clicks; called before they are dropped.
    pub fn write_dropped(&self, tally: &Tally) -> std::io::Result<()> {
        tally.write(&self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(logged: Sums, stored: Sums, added_up: u64) -> Compared {
        let added_up = (added_up, added_up);
        let (workspace, removed) = (Uuid::from_u128(1), Sums::default());
        Compared { month: 202_611, workspace, logged, stored, removed, added_up }
    }

    #[test]
    fn differences_are_described() {
        let sums = |clicks, offsets, squares| Sums { clicks, offsets, squares };
        let logged = sums(2, 3, 5);
        assert_eq!(compared(logged, logged, 2).difference(), None);
        for (stored, added_up, named) in [
            (sums(1, 1, 1), 1, "1 clicks are missing"),
            (sums(3, 5, 9), 3, "1 clicks are too many"),
            (sums(2, 2, 2), 2, "not the same ones"),
            (sums(2, 3, 6), 2, "not the same ones"),
            (logged, 1, "add up to 1"),
        ] {
            let difference = compared(logged, stored, added_up).difference().unwrap_or_default();
            assert!(difference.contains(named), "{difference}");
        }
    }

    #[test]
    fn removed_clicks_are_not_missing() {
        let sums = |clicks, offsets, squares| Sums { clicks, offsets, squares };
        let of = |stored, removed| {
            let found = compared(sums(3, 6, 14), stored, stored.clicks);
            Compared { removed, ..found }.difference()
        };
        assert_eq!(of(sums(1, 1, 1), sums(2, 5, 13)), None);
        assert_eq!(of(Sums::default(), sums(3, 6, 14)), None);
        assert!(of(sums(1, 1, 1), sums(2, 4, 10)).is_some());
    }

    #[test]
    fn months_on_one_side_only_are_compared() {
        let cell = |month| (month, Uuid::from_u128(1));
        let sums = Sums { clicks: 1, offsets: 1, squares: 1 };
        let mut logged = Tally::empty([0; 16]);
        logged.cells.insert(cell(1), sums);
        let stored = Stored {
            clicks: BTreeMap::from([(cell(2), sums)]),
            removed: BTreeMap::new(),
            added_up: BTreeMap::from([(cell(3), (1, 1))]),
        };
        let found = stored.compare(&logged);
        let months: Vec<_> = found.compared.iter().map(|compared| compared.month).collect();
        assert_eq!(months, [1, 2, 3]);
        assert_eq!(found.differences(), 3);
    }
}

//! Amendments in the tables that are not applied yet.
//!
//! Reports exclude the clicks of a deleted link as soon as the tables know of the deletion; the
//! clicks are removed some time later, together with those of other links.

use std::time::Duration;

use clickhouse::{Client, Row};
use serde::Deserialize;
use uuid::Uuid;

use super::ProjectionError;
use super::generation::Generation;

/// The delay before the clicks of a deleted link are removed: by then most visits that were in
/// flight are in the log, and several deletions can be handled together.
const REMOVED_AFTER: Duration = Duration::from_secs(5);

/// The pending amendments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PendingAmendments {
    /// The offset of the last deletion, and the time of the first one.
    removal: Option<(u64, u64)>,
    /// The offsets of the last reclassification in the tables, and of the last one applied.
    reclassified: (u64, u64),
}

#[derive(Row, Deserialize)]
struct Found {
    last_forgotten: u64,
    forgotten_at: i64,
    reclassified: u64,
    carried_out: u64,
}

#[derive(Row, Deserialize)]
struct Workspace {
    #[serde(with = "clickhouse::serde::uuid")]
    workspace_id: Uuid,
}

impl PendingAmendments {
    /// Reads the pending amendments of these tables.
    pub async fn read(client: &Client, generation: Generation) -> Result<Self, ProjectionError> {
        let sql = "WITH \
             (SELECT max(through) FROM {amended:Identifier} WHERE what = 'removal') AS removed \
             SELECT max(log_offset) AS last_forgotten, \
                 toUnixTimestamp64Milli(min(at)) AS forgotten_at, \
                 ifNull((SELECT max(log_offset) FROM {reclassified:Identifier}), 0) \
                     AS reclassified, \
                 ifNull((SELECT max(through) FROM {amended:Identifier} \
                         WHERE what = 'reclassification'), 0) AS carried_out \
             FROM {forgotten:Identifier} WHERE log_offset > removed";
        let Found { last_forgotten, forgotten_at, reclassified, carried_out } =
            generation.query(client, sql).fetch_one().await?;
        let at_ms = u64::try_from(forgotten_at).unwrap_or(0);
        let removal = (last_forgotten > 0).then_some((last_forgotten, at_ms));
        Ok(Self { removal, reclassified: (reclassified, carried_out) })
    }

    /// The workspaces with pending removals.
    pub async fn workspaces(
        client: &Client,
        generation: Generation,
    ) -> Result<Vec<Uuid>, ProjectionError> {
        let sql = "SELECT DISTINCT workspace_id FROM {forgotten:Identifier} WHERE log_offset > \
             (SELECT max(through) FROM {amended:Identifier} WHERE what = 'removal')";
        let rows = generation.query(client, sql).fetch_all::<Workspace>().await?;
        Ok(rows.into_iter().map(|row| row.workspace_id).collect())
    }

    /// Records a deletion that was added to the tables.
    pub fn add_deletion(&mut self, offset: u64, at_ms: u64) {
        let (last, first_ms) = self.removal.unwrap_or((offset, at_ms));
        self.removal = Some((last.max(offset), first_ms.min(at_ms)));
    }

    /// Records a reclassification that was added to the tables.
    pub fn reclassified(&mut self, offset: u64) {
        self.reclassified.0 = self.reclassified.0.max(offset);
    }

    /// The offset up to which reclassifications are applied.
    pub const fn reclassified_through(&self) -> u64 {
        self.reclassified.1
    }

    /// The offset up to which deletions are to be applied now; `None` if nothing is due.
    pub fn removal_due(&self, now_ms: u64) -> Option<u64> {
        let (last, first_ms) = self.removal?;
        let age = Duration::from_millis(now_ms.saturating_sub(first_ms));
        (age >= REMOVED_AFTER).then_some(last)
    }

    /// Whether a rebuild is needed to apply reclassifications.
    pub const fn needs_rebuild(&self) -> bool {
        self.reclassified.0 > self.reclassified.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deletions_are_applied_together_after_a_delay() {
        let mut pending = PendingAmendments::default();
        assert_eq!(pending.removal_due(u64::MAX), None);
        pending.add_deletion(7, 10_000);
        pending.add_deletion(9, 11_000);
        assert_eq!(pending.removal_due(14_999), None);
        assert_eq!(pending.removal_due(15_000), Some(9));
    }
}

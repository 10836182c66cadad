//! Amendments that the tables know of and that are not carried out in them yet.
//!
//! A forgotten link's clicks are left out of answers from the moment at which the tables know of
//! it; they are removed some time later, together with those of other links.

use std::time::Duration;

use clickhouse::{Client, Row};
use serde::Deserialize;
use uuid::Uuid;

use super::ProjectionError;
use super::generation::Generation;

/// How long a forgotten link is known before its clicks are removed. Most visits that were under way
/// when it was deleted are in the log by then, and many links may be deleted one after the other.
const REMOVED_AFTER: Duration = Duration::from_secs(5);

/// What is left to be done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PendingAmendments {
    /// The offset of the last forgotten link, and when the first one was noted.
    removal: Option<(u64, u64)>,
    /// Offsets: of the last reclassified agent that the tables know of, and of the last one whose
    /// clicks have the new class.
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
    /// What these tables await.
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
        let Found { last_forgotten, forgotten_at, reclassified, carried_out } = client
            .query(sql)
            .param("amended", generation.amended())
            .param("forgotten", generation.forgotten())
            .param("reclassified", generation.reclassified())
            .fetch_one()
            .await?;
        let at_ms = u64::try_from(forgotten_at).unwrap_or(0);
        let removal = (last_forgotten > 0).then_some((last_forgotten, at_ms));
        Ok(Self { removal, reclassified: (reclassified, carried_out) })
    }

    /// Whose clicks await removal.
    pub async fn workspaces(
        client: &Client,
        generation: Generation,
    ) -> Result<Vec<Uuid>, ProjectionError> {
        let sql = "SELECT DISTINCT workspace_id FROM {forgotten:Identifier} WHERE log_offset > \
             (SELECT max(through) FROM {amended:Identifier} WHERE what = 'removal')";
        let query = client
            .query(sql)
            .param("amended", generation.amended())
            .param("forgotten", generation.forgotten());
        let rows = query.fetch_all::<Workspace>().await?;
        Ok(rows.into_iter().map(|row| row.workspace_id).collect())
    }

    /// Notes a forgotten link that came into the tables.
    pub fn forgot(&mut self, offset: u64, at_ms: u64) {
        let (last, first_ms) = self.removal.unwrap_or((offset, at_ms));
        self.removal = Some((last.max(offset), first_ms.min(at_ms)));
    }

    /// Notes a reclassified agent that came into the tables.
    pub fn reclassified(&mut self, offset: u64) {
        self.reclassified.0 = self.reclassified.0.max(offset);
    }

    /// Up to which offset reclassifications are carried out.
    pub const fn reclassified_through(&self) -> u64 {
        self.reclassified.1
    }

    /// Up to which offset what was forgotten is to be removed now; `None` when nothing is.
    pub fn removal_due(&self, now_ms: u64) -> Option<u64> {
        let (last, first_ms) = self.removal?;
        let age = Duration::from_millis(now_ms.saturating_sub(first_ms));
        (age >= REMOVED_AFTER).then_some(last)
    }

    /// Whether clicks are to get another class, by a rebuild.
    pub const fn needs_rebuild(&self) -> bool {
        self.reclassified.0 > self.reclassified.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_forgotten_is_removed_together_and_not_at_once() {
        let mut outstanding = PendingAmendments::default();
        assert_eq!(outstanding.removal_due(u64::MAX), None);
        outstanding.forgot(7, 10_000);
        outstanding.forgot(9, 11_000);
        assert_eq!(outstanding.removal_due(14_999), None);
        assert_eq!(outstanding.removal_due(15_000), Some(9));
    }
}

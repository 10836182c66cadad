//! Late clicks: clicks in the log after the record that deleted their link.
//!
//! A visit in flight when its link was deleted may be logged much later: if the log's disk was
//! full, or the machine was suspended. Such a click has a deleted version. The deletion is repeated
//! at the offset of the click, before the click is sent, so that no report counts it, and a removal
//! handles it like the clicks before the deletion.

use std::collections::HashMap;

use clickhouse::{Client, Row};
use serde::Deserialize;
use uuid::Uuid;

use super::ProjectionError;
use super::batches::Records;
use super::generation::Generation;
use super::rows::{ForgottenRow, Visit};
use super::status::now_ms;
use crate::projections::index::Filter;

/// The capacity of the filter; with more deleted links, more lookups in ClickHouse find nothing.
const FILTERED_LINKS: u64 = 1 << 20;
/// The number of links per lookup in ClickHouse.
const LINKS_AT_ONCE: usize = 1_000;

/// A filter, of fixed size, of the links that may have late clicks.
pub struct ForgottenLinks {
    filter: Filter,
    is_empty: bool,
}

#[derive(Row, Deserialize)]
struct Link {
    #[serde(with = "clickhouse::serde::uuid")]
    link_id: Uuid,
}

#[derive(Row, Deserialize)]
struct Known {
    #[serde(with = "clickhouse::serde::uuid")]
    link_id: Uuid,
    first_offset: u64,
    last_version: u32,
}

impl ForgottenLinks {
    /// Reads the deleted links in these tables.
    pub async fn read(client: &Client, generation: Generation) -> Result<Self, ProjectionError> {
        let sql = "SELECT link_id FROM {forgotten:Identifier} WHERE through_version > 0";
        let query = generation.query(client, sql);
        let filter = Filter::with_capacity(FILTERED_LINKS);
        let mut links = Self { filter, is_empty: true };
        let mut rows = query.fetch::<Link>()?;
        while let Some(Link { link_id }) = rows.next().await? {
            links.add(link_id);
        }
        Ok(links)
    }

    /// Adds a deleted link.
    pub fn add(&mut self, link: Uuid) {
        self.filter.add(link.as_bytes());
        self.is_empty = false;
    }

    /// The rows that repeat deletions: for each link with late clicks among these records, at the
    /// last of them. The deletions in the records themselves must already be in the tables.
    pub async fn again(
        &self,
        client: &Client,
        generation: Generation,
        records: &Records,
    ) -> Result<Vec<ForgottenRow>, ProjectionError> {
        if self.is_empty {
            return Ok(Vec::new());
        }
        let mut suspects: HashMap<Uuid, Vec<Visit>> = HashMap::new();
        for visit in records.visits() {
            let visit = visit?;
            if self.filter.may_hold(visit.link.as_bytes()) {
                suspects.entry(visit.link).or_default().push(visit);
            }
        }
        let links: Vec<_> = suspects.keys().map(Uuid::to_string).collect();
        let mut again = Vec::new();
        for some in links.chunks(LINKS_AT_ONCE) {
            let sql = "SELECT link_id, min(log_offset) AS first_offset, \
                 max(through_version) AS last_version \
                 FROM {forgotten:Identifier} \
                 WHERE link_id IN {links:Array(UUID)} AND through_version > 0 GROUP BY link_id";
            let query = generation.query(client, sql);
            for known in query.param("links", some).fetch_all::<Known>().await? {
                let visits = suspects.remove(&known.link_id).unwrap_or_default();
                again.extend(last_late(&visits, &known));
            }
        }
        Ok(again)
    }
}

/// The row for the last late click of a link, if any.
fn last_late(visits: &[Visit], known: &Known) -> Option<ForgottenRow> {
    let is_late = |visit: &&Visit| {
        visit.offset > known.first_offset && visit.link_version <= known.last_version
    };
    let last = visits.iter().filter(is_late).max_by_key(|visit| visit.offset)?;
    Some(ForgottenRow::again(last, now_ms(), known.last_version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_click_is_late_after_the_deletion_of_its_version() {
        let link = Uuid::from_u128(7);
        let visit = |offset, link_version| Visit { workspace: link, link, offset, link_version };
        let known = Known { link_id: link, first_offset: 10, last_version: 3 };
        let found = |visits: &[Visit]| last_late(visits, &known).map(|row| row.log_offset);
        assert_eq!(found(&[visit(9, 3)]), None, "before it was deleted");
        assert_eq!(found(&[visit(11, 4)]), None, "after it was restored");
        assert_eq!(found(&[visit(13, 2), visit(12, 3), visit(14, 4)]), Some(13));
    }
}

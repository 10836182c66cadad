//! Workspaces of which clicks are being removed.
//!
//! While that is so, a workspace's rollups still have the clicks of forgotten links, or lack others;
//! answers then read single clicks and days of links, without those of the forgotten ones.
//!
//! A link is forgotten at an offset of the log and up to a version of the link: earlier clicks of
//! these versions no longer count. A link that was restored since has clicks of later versions,
//! which do.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

/// The condition that a row of clicks or of blocked visits is forgotten: up to an offset and up to a
/// version of its link, or before an offset where a row of `forgotten` states no version. Only rows
/// of `forgotten` with `condition` are used.
pub fn is_forgotten(condition: &str) -> String {
    // One subquery for all lists, which so are of the same moment. None of them may be empty.
    let forgotten = format!(
        "(SELECT arrayPushBack(groupArray((link_id, before, through, version)), \
              (toUUID('00000000-0000-0000-0000-000000000000'), \
               toUInt64(0), toUInt64(0), toUInt32(0))) \
          FROM (SELECT link_id, maxIf(log_offset, through_version = 0) AS before, \
                    maxIf(log_offset, through_version > 0) AS through, \
                    max(through_version) AS version \
                FROM {{forgotten:Identifier}} WHERE {condition} GROUP BY link_id))"
    );
    let of_link = |element: u8, none: &str| {
        format!(
            "transform(link_id, tupleElement({forgotten}, 1), \
             tupleElement({forgotten}, {element}), {none})"
        )
    };
    let (before, through) = (of_link(2, "toUInt64(0)"), of_link(3, "toUInt64(0)"));
    let version = of_link(4, "toUInt32(0)");
    format!("(log_offset < {before} OR (log_offset <= {through} AND link_version <= {version}))")
}

/// How it stands with one workspace. An answer that was begun under one standing and ended under
/// another may have read rollups that were being changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeletionEpoch {
    /// Clicks are being removed.
    pub is_removing: bool,
    /// How often that has begun or ended.
    turns: u64,
}

/// The standings of all workspaces. Of those that never forgot a link nothing is kept.
#[derive(Debug, Default)]
pub struct Removing(Mutex<HashMap<Uuid, DeletionEpoch>>);

impl Removing {
    /// How it stands with a workspace.
    pub fn of(&self, workspace: Uuid) -> DeletionEpoch {
        let standings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        standings.get(&workspace).copied().unwrap_or_default()
    }

    /// From now on clicks of this workspace are being removed.
    pub(super) fn begin(&self, workspace: Uuid) {
        let mut standings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turn(standings.entry(workspace).or_default(), true);
    }

    /// From now on clicks of these workspaces are being removed, and of no other.
    pub(super) fn set(&self, workspaces: Vec<Uuid>) {
        let workspaces: HashSet<_> = workspaces.into_iter().collect();
        let mut standings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (workspace, standing) in standings.iter_mut() {
            turn(standing, workspaces.contains(workspace));
        }
        for workspace in workspaces {
            turn(standings.entry(workspace).or_default(), true);
        }
    }
}

fn turn(standing: &mut DeletionEpoch, is_removing: bool) {
    if standing.is_removing != is_removing {
        *standing = DeletionEpoch { is_removing, turns: standing.turns + 1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_that_came_and_went_is_noticed() {
        let (removing, one, other) = (Removing::default(), Uuid::from_u128(1), Uuid::from_u128(2));
        let before = removing.of(one);
        removing.begin(one);
        let during = removing.of(one);
        removing.begin(one);
        assert_eq!(removing.of(one), during);
        assert!(during.is_removing && !removing.of(other).is_removing);
        removing.set(vec![other]);
        assert!(!removing.of(one).is_removing && removing.of(other).is_removing);
        assert_ne!(removing.of(one), before);
    }
}

//! Workspaces of which clicks are being removed.
//!
//! While that is so, a workspace's rollups still have the clicks of forgotten links, or lack others;
//! answers then read single clicks and days of links, without those of the forgotten ones.
//!
//! A link is forgotten at an offset of the log: its clicks before that no longer count. One that was
//! restored since has clicks behind it, which do.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

/// The offset before which the clicks of a row's link are forgotten; 0 where none are. Of what was
/// forgotten, only rows with this condition are looked at.
pub fn forgotten_before(condition: &str) -> String {
    let of_links = |what: &str| {
        format!(
            "SELECT {what} FROM {{forgotten:Identifier}} WHERE {condition} \
             GROUP BY link_id ORDER BY link_id"
        )
    };
    let (links, offsets) = (of_links("link_id"), of_links("max(log_offset) AS before"));
    // Neither list may be empty.
    format!(
        "transform(link_id, \
         (SELECT arrayPushBack(groupArray(link_id), toUUID('00000000-0000-0000-0000-000000000000')) \
          FROM ({links})), \
         (SELECT arrayPushBack(groupArray(before), toUInt64(0)) FROM ({offsets})), toUInt64(0))"
    )
}

/// How it stands with one workspace. An answer that was begun under one standing and ended under
/// another may have read rollups that were being changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Clicks are being removed.
    pub is_removing: bool,
    /// How often that has begun or ended.
    turns: u64,
}

/// The standings of all workspaces. Of those that never forgot a link nothing is kept.
#[derive(Debug, Default)]
pub struct Removing(Mutex<HashMap<Uuid, Standing>>);

impl Removing {
    /// How it stands with a workspace.
    pub fn of(&self, workspace: Uuid) -> Standing {
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

fn turn(standing: &mut Standing, is_removing: bool) {
    if standing.is_removing != is_removing {
        *standing = Standing { is_removing, turns: standing.turns + 1 };
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

//! Workspaces whose clicks are being removed.
//!
//! During a removal, a workspace's rollups may still have the clicks of deleted links, or lack
//! others; reports then read single clicks and the days of links, without those of deleted links.
//!
//! A link is deleted at an offset of the log and up to a version of the link: earlier clicks of
//! these versions no longer count. A link restored since has clicks of later versions, which do.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

/// The condition that a row of clicks or blocked visits belongs to a deleted link: up to an offset
/// and a version of the link, or before an offset if the row of `forgotten` has no version. Only
/// rows of `forgotten` that match `condition` are used.
pub fn is_forgotten(condition: &str) -> String {
    // One subquery for all lists, so that they are consistent. None of them may be empty.
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

/// The state of removals in a workspace. A report whose epoch differs before and after the reads
/// may have read rollups that were being changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeletionEpoch {
    /// Whether clicks are being removed.
    pub is_removing: bool,
    /// How often that has started or ended.
    changes: u64,
}

/// The epochs of all workspaces that ever deleted a link.
#[derive(Debug, Default)]
pub struct DeletionEpochs(Mutex<HashMap<Uuid, DeletionEpoch>>);

impl DeletionEpochs {
    /// The epoch of a workspace.
    pub fn of(&self, workspace: Uuid) -> DeletionEpoch {
        let epochs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        epochs.get(&workspace).copied().unwrap_or_default()
    }

    /// Marks a removal in a workspace as started.
    pub(super) fn begin(&self, workspace: Uuid) {
        let mut epochs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        set_removing(epochs.entry(workspace).or_default(), true);
    }

    /// Sets the workspaces with removals.
    pub(super) fn set(&self, workspaces: Vec<Uuid>) {
        let workspaces: HashSet<_> = workspaces.into_iter().collect();
        let mut epochs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (workspace, epoch) in epochs.iter_mut() {
            set_removing(epoch, workspaces.contains(workspace));
        }
        for workspace in workspaces {
            set_removing(epochs.entry(workspace).or_default(), true);
        }
    }
}

fn set_removing(epoch: &mut DeletionEpoch, is_removing: bool) {
    if epoch.is_removing != is_removing {
        *epoch = DeletionEpoch { is_removing, changes: epoch.changes + 1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completed_removal_changes_the_epoch() {
        let (removing, one, other) =
            (DeletionEpochs::default(), Uuid::from_u128(1), Uuid::from_u128(2));
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

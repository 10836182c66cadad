//! Turns: a workspace that asks much waits for itself, and not others for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::ids::WorkspaceId;

/// How many workspaces may be known before those are forgotten that ask nothing.
const SWEEP_AT: usize = 1_024;

/// So many questions of each workspace at once. Cheap to clone.
#[derive(Clone)]
pub struct WorkspaceLimiter {
    each: usize,
    workspaces: Arc<Mutex<HashMap<WorkspaceId, Weak<Semaphore>>>>,
}

impl WorkspaceLimiter {
    /// So many at once.
    pub fn of(each: usize) -> Self {
        Self { each, workspaces: Arc::default() }
    }

    /// Waits for a turn, which lasts until what is returned is dropped.
    pub async fn take(&self, workspace: WorkspaceId) -> Option<OwnedSemaphorePermit> {
        // Nobody closes them.
        self.places(workspace).acquire_owned().await.ok()
    }

    /// A workspace's places, there for as long as somebody has one or waits.
    fn places(&self, workspace: WorkspaceId) -> Arc<Semaphore> {
        let mut workspaces = self.workspaces.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = workspaces.get(&workspace).and_then(Weak::upgrade) {
            return places;
        }
        if workspaces.len() >= SWEEP_AT {
            workspaces.retain(|_, places| places.strong_count() > 0);
        }
        let places = Arc::new(Semaphore::new(self.each));
        workspaces.insert(workspace, Arc::downgrade(&places));
        places
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures_util::FutureExt;
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn a_workspace_waits_for_itself_alone() {
        let turns = WorkspaceLimiter::of(2);
        let [one, other] = [1, 2].map(|number| WorkspaceId::new(Uuid::from_u128(number)));
        let first = turns.take(one).await.unwrap();
        let _second = turns.take(one).await.unwrap();
        assert!(turns.take(one).now_or_never().is_none());
        assert!(turns.take(other).now_or_never().is_some());
        drop(first);
        assert!(turns.take(one).now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_asks_nothing_is_forgotten() {
        let turns = WorkspaceLimiter::of(1);
        let workspace = |number| WorkspaceId::new(Uuid::from_u128(number));
        let _kept = turns.take(workspace(0)).await;
        for number in 1..5_000 {
            turns.take(workspace(number)).await;
        }
        assert!(turns.workspaces.lock().unwrap().len() <= SWEEP_AT);
        assert!(turns.take(workspace(0)).now_or_never().is_none());
    }
}

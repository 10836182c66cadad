//! Limits the concurrent queries of each workspace, so that a busy one does not delay the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::ids::WorkspaceId;

/// The number of workspaces above which idle ones are dropped.
const SWEEP_AT: usize = 1_024;

/// A concurrency limit per workspace. Cheap to clone.
#[derive(Clone)]
pub struct WorkspaceLimiter {
    limit: usize,
    workspaces: Arc<Mutex<HashMap<WorkspaceId, Weak<Semaphore>>>>,
}

impl WorkspaceLimiter {
    /// Creates a limiter with this limit per workspace.
    pub fn new(limit: usize) -> Self {
        Self { limit, workspaces: Arc::default() }
    }

    /// Waits for a permit, which is held until it is dropped.
    pub async fn acquire(&self, workspace: WorkspaceId) -> Option<OwnedSemaphorePermit> {
        // The semaphores are never closed.
        self.semaphore(workspace).acquire_owned().await.ok()
    }

    /// A workspace's semaphore, kept for as long as a permit or a waiter exists.
    fn semaphore(&self, workspace: WorkspaceId) -> Arc<Semaphore> {
        let mut workspaces = self.workspaces.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(semaphore) = workspaces.get(&workspace).and_then(Weak::upgrade) {
            return semaphore;
        }
        if workspaces.len() >= SWEEP_AT {
            workspaces.retain(|_, semaphore| semaphore.strong_count() > 0);
        }
        let semaphore = Arc::new(Semaphore::new(self.limit));
        workspaces.insert(workspace, Arc::downgrade(&semaphore));
        semaphore
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn a_workspace_waits_only_for_itself() {
        let limiter = WorkspaceLimiter::new(2);
        let [one, other] = [1, 2].map(|number| WorkspaceId::new(Uuid::from_u128(number)));
        let first = limiter.acquire(one).await.unwrap();
        let _second = limiter.acquire(one).await.unwrap();
        assert!(limiter.acquire(one).now_or_never().is_none());
        assert!(limiter.acquire(other).now_or_never().is_some());
        drop(first);
        assert!(limiter.acquire(one).now_or_never().is_some());
    }

    #[tokio::test]
    async fn idle_workspaces_are_dropped() {
        let limiter = WorkspaceLimiter::new(1);
        let workspace = |number| WorkspaceId::new(Uuid::from_u128(number));
        let _kept = limiter.acquire(workspace(0)).await;
        for number in 1..5_000 {
            limiter.acquire(workspace(number)).await;
        }
        assert!(limiter.workspaces.lock().unwrap().len() <= SWEEP_AT);
        assert!(limiter.acquire(workspace(0)).now_or_never().is_none());
    }
}

//! Counts calls to the API per workspace.
//!
//! Calls are counted in memory and periodically written to the log, several as one event. The calls
//! of a month are those in the index, and those that are not there yet.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::error::Result;
use crate::domain::ids::WorkspaceId;
use crate::domain::plan::Month;

/// The maximum number of workspaces with calls that are not written yet. While the log is
/// unavailable for so long that there are more, calls of further workspaces are not counted.
const CAPACITY: usize = 1_000_000;

/// The calls of a workspace that are not in the index yet.
#[derive(Debug, Clone, Copy, Default)]
struct Calls {
    /// Not being written yet.
    pending: u64,
    /// Being written: they may or may not be in the index.
    in_flight: u64,
    /// All calls of a month, with those in the index. Read from the index when it is needed, and
    /// counted from there on, because the index alone does not tell which calls in flight it has.
    total: Option<(Month, u64)>,
}

/// Counts calls to the API.
#[derive(Default)]
pub struct ApiMeter(Mutex<HashMap<WorkspaceId, Calls>>);

impl ApiMeter {
    /// Counts a call of a workspace, unless it has reached its cap. `used` reads the calls of the
    /// month from the index; needed only if there is a cap. Returns whether the call was counted.
    pub fn count(
        &self,
        workspace: WorkspaceId,
        month: Month,
        cap: Option<u64>,
        used: impl FnOnce() -> Result<u64>,
    ) -> Result<bool> {
        let mut workspaces = self.lock();
        let mut calls = workspaces.get(&workspace).copied().unwrap_or_default();
        if let Some(cap) = cap {
            let total = match calls.total {
                Some((of, total)) if of == month => total,
                // Those that are not written yet will be of this month.
                _ => used()? + calls.pending + calls.in_flight,
            };
            if total >= cap {
                return Ok(false);
            }
            calls.total = Some((month, total + 1));
        } else {
            calls.total = None;
        }
        calls.pending += 1;
        if workspaces.len() < CAPACITY || workspaces.contains_key(&workspace) {
            workspaces.insert(workspace, calls);
        }
        Ok(true)
    }

    /// The number of calls of a workspace that are not known to be in the index yet.
    pub fn pending(&self, workspace: WorkspaceId) -> u64 {
        self.lock().get(&workspace).map_or(0, |calls| calls.pending + calls.in_flight)
    }

    /// Takes all pending calls, to write them. [`settle`](Self::settle) must follow for each
    /// workspace.
    pub fn take_all(&self) -> Vec<(WorkspaceId, u64)> {
        let mut workspaces = self.lock();
        let pending = workspaces.iter_mut().filter(|(_, calls)| calls.pending > 0);
        let taken = pending.map(|(workspace, calls)| {
            let count = std::mem::take(&mut calls.pending);
            calls.in_flight += count;
            (*workspace, count)
        });
        taken.collect()
    }

    /// The calls that were taken are in the index, or, if they were not written, pending again.
    pub fn settle(&self, workspace: WorkspaceId, is_written: bool) {
        let mut workspaces = self.lock();
        let Some(calls) = workspaces.get_mut(&workspace) else { return };
        let in_flight = std::mem::take(&mut calls.in_flight);
        if !is_written {
            calls.pending += in_flight;
        }
        calls.total = None;
        if calls.pending == 0 {
            workspaces.remove(&workspace);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WorkspaceId, Calls>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

    use uuid::Uuid;

    use super::*;

    /// In 1970.
    fn month(number: u64) -> Month {
        Month::of(number * 31 * 24 * 3_600_000)
    }

    fn workspace(number: u128) -> WorkspaceId {
        WorkspaceId::new(Uuid::from_u128(number))
    }

    /// Threads that reach the cap while their calls are written.
    #[test]
    fn a_cap_is_exact_while_calls_are_written() {
        const CAP: u64 = 20_000;
        let (meter, index) = (ApiMeter::default(), AtomicU64::new(100));
        let (allowed, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
        let flush = |fails: bool| {
            for (workspace, calls) in meter.take_all() {
                if !fails {
                    index.fetch_add(calls, Ordering::SeqCst);
                }
                std::thread::yield_now();
                meter.settle(workspace, !fails);
            }
        };
        std::thread::scope(|scope| {
            let callers: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..CAP / 4 {
                            let used = || Ok(index.load(Ordering::SeqCst));
                            let is_allowed = meter.count(workspace(1), month(0), Some(CAP), used);
                            allowed.fetch_add(u64::from(is_allowed.unwrap()), Ordering::SeqCst);
                        }
                    })
                })
                .collect();
            scope.spawn(|| {
                for round in 0.. {
                    flush(round % 3 == 0);
                    if is_over.load(Ordering::SeqCst) {
                        break;
                    }
                }
            });
            for caller in callers {
                caller.join().unwrap();
            }
            is_over.store(true, Ordering::SeqCst);
        });
        flush(false);
        assert_eq!(allowed.load(Ordering::SeqCst), CAP - 100);
        assert_eq!((index.load(Ordering::SeqCst), meter.pending(workspace(1))), (CAP, 0));
        assert!(meter.take_all().is_empty() && meter.lock().is_empty());
    }

    #[test]
    fn calls_are_pending_until_they_are_written() {
        let meter = ApiMeter::default();
        let count = |number, cap| meter.count(workspace(number), month(0), cap, || Ok(7)).unwrap();
        assert!(count(1, None) && count(1, None) && count(2, Some(8)));
        // Caps that come and go.
        assert!(!count(2, Some(8)) && count(2, None) && count(2, Some(10)) && !count(2, Some(10)));
        let mut taken = meter.take_all();
        taken.sort();
        assert_eq!(taken, [(workspace(1), 2), (workspace(2), 3)]);
        assert!(count(1, None));
        assert_eq!([meter.pending(workspace(1)), meter.pending(workspace(2))], [3, 3]);
        meter.settle(workspace(1), false);
        meter.settle(workspace(2), true);
        assert_eq!(meter.take_all(), [(workspace(1), 3)]);
        meter.settle(workspace(1), true);
        assert_eq!(meter.pending(workspace(1)), 0);
        let error = crate::domain::error::ServiceError::not_found("workspace");
        assert!(meter.count(workspace(1), month(0), Some(8), || Err(error)).is_err());
    }

    #[test]
    fn a_new_month_starts_with_the_calls_that_are_not_written_yet() {
        let meter = ApiMeter::default();
        let count = |month, used| meter.count(workspace(1), month, Some(10), || Ok(used)).unwrap();
        assert!(count(month(0), 8) && count(month(0), 9) && !count(month(0), 9));
        assert_eq!((0..20).filter(|_| count(month(1), 0)).count(), 8);
    }
}

//! How far the projection is, for whoever wants to know or to wait.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::deletion_epoch::Removing;
use super::reconcile::Reconciliation;

/// How far the projection is.
#[derive(Debug)]
pub struct Status {
    applied: watch::Sender<u64>,
    is_connected: AtomicBool,
    /// Up to which offset reclassifications are carried out, and whether that is all.
    reclassified: watch::Sender<(u64, bool)>,
    /// When the projection last had all of the log, in milliseconds since the Unix epoch.
    complete_at_ms: AtomicU64,
    reconciled: Mutex<Option<Reconciled>>,
    sent: Mutex<Sent>,
    /// Workspaces of which clicks are being removed.
    pub removing: Removing,
}

/// How many watermarks wait at most; one batch falls between two of them.
const WATERMARKS_KEPT: usize = 1_024;

/// Where the log ended at earlier moments. Once the projection has reached one of these ends, all
/// clicks up to its moment are counted, however many have come since.
#[derive(Debug, Default)]
pub(super) struct Watermarks(VecDeque<(u64, u64)>);

impl Watermarks {
    /// Notes where the log ends now. With too many waiting the moment is skipped, which makes the
    /// next answer coarser, never wrong.
    pub(super) fn note(&mut self, end: u64, at_ms: u64) {
        if self.0.len() < WATERMARKS_KEPT {
            self.0.push_back((end, at_ms));
        }
    }

    /// The last moment whose end was reached by `applied`, if any was since the last call.
    pub(super) fn reached(&mut self, applied: u64) -> Option<u64> {
        let count = self.0.partition_point(|(end, _)| *end <= applied);
        self.0.drain(..count).next_back().map(|(_, at_ms)| at_ms)
    }
}

/// How many batches are remembered.
const SENT_KEPT: usize = 64;

/// The batches that were sent lately, whether they have arrived or not.
#[derive(Debug, Default)]
struct Sent {
    /// The last offset of each, and when its oldest click was, in milliseconds since the epoch.
    batches: VecDeque<(u64, u64)>,
    /// The last offset of those that are no longer among them.
    forgotten: u64,
}

/// When ClickHouse was last compared with the log, and how it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconciled {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Up to which offset.
    pub through: u64,
    /// How many months of workspaces differed.
    pub differences: usize,
}

/// What an answer reflects: each click up to an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsOf {
    /// The offset in the click log.
    pub offset: u64,
    /// Each click up to this moment is counted, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// How long ago that was, in milliseconds; 0 when nothing waits to be counted.
    pub lag_ms: u64,
}

impl Status {
    /// Nothing is projected yet.
    pub(super) fn new() -> Self {
        Self {
            applied: watch::Sender::new(0),
            is_connected: AtomicBool::new(false),
            reclassified: watch::Sender::new((0, true)),
            complete_at_ms: AtomicU64::new(now_ms()),
            reconciled: Mutex::new(None),
            sent: Mutex::default(),
            removing: Removing::default(),
        }
    }

    /// All up to and with this offset of the click log is in ClickHouse.
    pub fn applied(&self) -> u64 {
        *self.applied.borrow()
    }

    /// Whether ClickHouse answered last time.
    pub fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Acquire)
    }

    /// What an answer reflects that is asked for now, of a log that ends at `end`.
    pub fn as_of(&self, end: u64) -> AsOf {
        let (offset, now_ms) = (self.applied(), now_ms());
        let complete_at_ms = self.complete_at_ms.load(Ordering::Acquire);
        let at_ms = if offset >= end { now_ms } else { complete_at_ms.min(now_ms) };
        AsOf { offset, at_ms, lag_ms: now_ms - at_ms }
    }

    /// How long ago the projection last had all of the log that ends at `end`, in milliseconds;
    /// 0 when it has it now.
    pub fn lag_ms(&self, end: u64) -> u64 {
        self.as_of(end).lag_ms
    }

    /// Waits until an offset is projected; `false` when that takes longer than `limit`.
    pub async fn reached(&self, offset: u64, limit: Duration) -> bool {
        let mut applied = self.applied.subscribe();
        let reached = applied.wait_for(|applied| *applied >= offset);
        matches!(tokio::time::timeout(limit, reached).await, Ok(Ok(_)))
    }

    /// Up to which offset of the log reclassifications are carried out in the tables in use.
    pub fn reclassified_through(&self) -> u64 {
        self.reclassified.borrow().0
    }

    /// Waits until all reclassifications are carried out that the tables know of.
    pub async fn all_reclassified(&self) {
        let mut reclassified = self.reclassified.subscribe();
        let _gone = reclassified.wait_for(|(_, is_all)| *is_all).await;
    }

    pub(super) fn set_reclassified(&self, through: u64, is_all: bool) {
        self.reclassified.send_replace((through, is_all));
    }

    /// What the last comparison with the log found; `None` before the first.
    pub fn reconciled(&self) -> Option<Reconciled> {
        *self.reconciled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what a comparison found, and tells the operator of each difference.
    pub(super) fn set_reconciled(&self, found: &Reconciliation) {
        for compared in &found.compared {
            if let Some(difference) = compared.difference() {
                tracing::error!(
                    month = compared.month,
                    workspace = %compared.workspace,
                    difference,
                    "ClickHouse differs from the log; `slugline rebuild analytics` makes it anew"
                );
            }
        }
        let (through, differences) = (found.through, found.differences());
        tracing::info!(through, differences, "ClickHouse was compared with the log");
        let reconciled = Reconciled { at_ms: now_ms(), through, differences };
        *self.reconciled.lock().unwrap_or_else(PoisonError::into_inner) = Some(reconciled);
    }

    /// Notes a batch, before it is sent.
    pub(super) fn sending(&self, last: u64, oldest_ms: u64) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if sent.batches.len() == SENT_KEPT
            && let Some((last, _)) = sent.batches.pop_front()
        {
            sent.forgotten = sent.forgotten.max(last);
        }
        sent.batches.push_back((last, oldest_ms));
    }

    /// Whether ClickHouse has, of the time before `sealed_ms`, the clicks up to the offset
    /// `through` and no others: no click of that time was sent since. To be asked after a read.
    ///
    /// This process alone sends clicks, so what it didn't send isn't there.
    pub fn is_sealed(&self, through: u64, sealed_ms: u64) -> bool {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let is_older = |(last, oldest_ms): &(u64, u64)| *last > through && *oldest_ms < sealed_ms;
        sent.forgotten <= through && !sent.batches.iter().any(is_older)
    }

    pub(super) fn set_applied(&self, offset: u64) {
        self.applied.send_replace(offset);
    }

    /// Says whether ClickHouse answers, and returns what was said before.
    pub(super) fn set_connected(&self, is_connected: bool) -> bool {
        self.is_connected.swap(is_connected, Ordering::AcqRel)
    }

    /// All clicks that were logged up to this moment are counted.
    pub(super) fn set_complete(&self, at_ms: u64) {
        self.complete_at_ms.store(at_ms, Ordering::Release);
    }
}

/// Milliseconds since the Unix epoch.
pub(super) fn now_ms() -> u64 {
    jiff::Timestamp::now().as_millisecond().cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_complete_has_no_lag() {
        let status = Status::new();
        status.set_applied(7);
        status.set_complete(now_ms() - 5_000);
        assert_eq!(status.as_of(7).lag_ms, 0);
        let behind = status.as_of(8);
        assert_eq!(behind.offset, 7);
        assert!(behind.lag_ms >= 5_000, "{behind:?}");
    }

    #[test]
    fn what_came_before_a_reached_end_is_complete() {
        let mut watermarks = Watermarks::default();
        for (end, at_ms) in [(10, 1_000), (20, 2_000), (30, 3_000)] {
            watermarks.note(end, at_ms);
        }
        assert_eq!(watermarks.reached(9), None);
        assert_eq!(watermarks.reached(29), Some(2_000));
        assert_eq!(watermarks.reached(29), None);
        for end in 0..2 * WATERMARKS_KEPT as u64 {
            watermarks.note(31 + end, 4_000);
        }
        assert_eq!(watermarks.0.len(), WATERMARKS_KEPT);
        assert_eq!(watermarks.reached(u64::MAX), Some(4_000));
    }

    #[test]
    fn a_time_is_sealed_until_a_click_of_it_is_sent() {
        let status = Status::new();
        assert!(status.is_sealed(0, 1_000));
        status.sending(10, 900);
        assert!(status.is_sealed(10, 1_000), "it was there when the read began");
        assert!(status.is_sealed(9, 900), "it is of a later time");
        assert!(!status.is_sealed(9, 901));
        for last in 11..=74 {
            status.sending(last, 5_000);
        }
        assert!(status.is_sealed(10, 5_000));
        assert!(!status.is_sealed(9, 901), "what is no longer known counts as sent");
    }

    #[tokio::test]
    async fn an_offset_is_waited_for_and_not_for_ever() {
        let status = Status::new();
        assert!(!status.reached(1, Duration::from_millis(1)).await);
        let waiting = status.reached(3, Duration::from_secs(20));
        let (reached, ()) = tokio::join!(waiting, async { status.set_applied(3) });
        assert!(reached);
    }
}

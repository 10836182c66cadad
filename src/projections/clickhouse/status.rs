//! The progress of the projection.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::chunks::{Chunks, Newest};
use super::deletion_epoch::DeletionEpochs;
use super::reconcile::Reconciliation;

/// The progress of the projection.
#[derive(Debug)]
pub struct Status {
    applied: watch::Sender<u64>,
    is_connected: AtomicBool,
    /// Why it cannot be connected yet, as a sentence for users.
    absence: Mutex<Option<String>>,
    /// The offset up to which reclassifications are applied, and whether these are all.
    reclassified: watch::Sender<(u64, bool)>,
    /// When the projection was last up to date, in milliseconds since the Unix epoch.
    complete_at_ms: AtomicU64,
    reconciled: Mutex<Option<Reconciled>>,
    sent: Mutex<Sent>,
    newest: Mutex<Newest>,
    /// Workspaces whose clicks are being removed.
    pub removing: DeletionEpochs,
}

/// The maximum number of watermarks; one batch falls between two of them.
const WATERMARKS_KEPT: usize = 1_024;

/// The ends of the log at earlier times. Once the projection reaches one of these, all clicks up to
/// its time are counted, however many have arrived since.
#[derive(Debug, Default)]
pub(super) struct Watermarks(VecDeque<(u64, u64)>);

impl Watermarks {
    /// Records the current end of the log. With too many watermarks it is skipped, which makes the
    /// lag less precise, never too small.
    pub(super) fn note(&mut self, end: u64, at_ms: u64) {
        if self.0.len() < WATERMARKS_KEPT {
            self.0.push_back((end, at_ms));
        }
    }

    /// The last time whose end is reached by `applied`, if any since the last call.
    pub(super) fn reached(&mut self, applied: u64) -> Option<u64> {
        let count = self.0.partition_point(|(end, _)| *end <= applied);
        self.0.drain(..count).next_back().map(|(_, at_ms)| at_ms)
    }
}

/// The number of batches remembered.
const SENT_KEPT: usize = 64;

/// The batches sent recently, whether they have arrived or not.
#[derive(Debug, Default)]
struct Sent {
    /// The last offset of each, and the time of its oldest click, in milliseconds since the epoch.
    batches: VecDeque<(u64, u64)>,
    /// The last offset of the batches no longer remembered.
    forgotten: u64,
}

/// The last reconciliation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconciled {
    /// The time, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The offset up to which both were compared.
    pub through: u64,
    /// The number of months of workspaces that differed.
    pub differences: usize,
}

/// The snapshot of a report: each click up to an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsOf {
    /// The offset in the click log.
    pub offset: u64,
    /// All clicks up to this time are counted, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// How long ago that was, in milliseconds; 0 if up to date.
    pub lag_ms: u64,
}

impl Status {
    /// Nothing is projected yet.
    pub(super) fn new() -> Self {
        Self {
            applied: watch::Sender::new(0),
            is_connected: AtomicBool::new(false),
            absence: Mutex::default(),
            reclassified: watch::Sender::new((0, true)),
            complete_at_ms: AtomicU64::new(now_ms()),
            reconciled: Mutex::new(None),
            sent: Mutex::default(),
            newest: Mutex::default(),
            removing: DeletionEpochs::default(),
        }
    }

    /// All records up to and including this offset of the click log are in ClickHouse.
    pub fn applied(&self) -> u64 {
        *self.applied.borrow()
    }

    /// Whether ClickHouse is connected.
    pub fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Acquire)
    }

    /// Why ClickHouse cannot be connected yet, as a sentence for users; `None` if nothing is known to
    /// be missing.
    pub fn absence(&self) -> Option<String> {
        self.absence.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets why ClickHouse cannot be connected yet.
    pub fn set_absence(&self, sentence: Option<String>) {
        *self.absence.lock().unwrap_or_else(PoisonError::into_inner) = sentence;
    }

    /// The snapshot of a query that starts now, for a log that ends at `end`.
    pub fn as_of(&self, end: u64) -> AsOf {
        let (offset, now_ms) = (self.applied(), now_ms());
        let complete_at_ms = self.complete_at_ms.load(Ordering::Acquire);
        let at_ms = if offset >= end { now_ms } else { complete_at_ms.min(now_ms) };
        AsOf { offset, at_ms, lag_ms: now_ms - at_ms }
    }

    /// Waits until an offset is projected; `false` after `limit`.
    pub async fn reached(&self, offset: u64, limit: Duration) -> bool {
        let mut applied = self.applied.subscribe();
        let reached = applied.wait_for(|applied| *applied >= offset);
        matches!(tokio::time::timeout(limit, reached).await, Ok(Ok(_)))
    }

    /// The offset of the log up to which reclassifications are applied in the tables in use.
    pub fn reclassified_through(&self) -> u64 {
        self.reclassified.borrow().0
    }

    /// Waits until all reclassifications in the tables are applied.
    pub async fn all_reclassified(&self) {
        let mut reclassified = self.reclassified.subscribe();
        let _gone = reclassified.wait_for(|(_, is_all)| *is_all).await;
    }

    pub(super) fn set_reclassified(&self, through: u64, is_all: bool) {
        self.reclassified.send_replace((through, is_all));
    }

    /// The last reconciliation; `None` before the first.
    pub fn reconciled(&self) -> Option<Reconciled> {
        *self.reconciled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a reconciliation, and logs each difference.
    pub(super) fn set_reconciled(&self, found: &Reconciliation) {
        for compared in &found.compared {
            if let Some(difference) = compared.difference() {
                tracing::error!(
                    month = compared.month,
                    workspace = %compared.workspace,
                    difference,
                    "ClickHouse differs from the log; rebuild it with `slugline rebuild analytics`"
                );
            }
        }
        let (through, differences) = (found.through, found.differences());
        tracing::info!(through, differences, "reconciled ClickHouse with the log");
        let reconciled = Reconciled { at_ms: now_ms(), through, differences };
        *self.reconciled.lock().unwrap_or_else(PoisonError::into_inner) = Some(reconciled);
    }

    /// Records a batch, before it is sent: its last offset, and the times of its oldest and its
    /// newest record.
    pub(super) fn sending(&self, last: u64, (oldest_ms, newest_ms): (u64, u64)) {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).add(last, newest_ms);
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if sent.batches.len() == SENT_KEPT
            && let Some((last, _)) = sent.batches.pop_front()
        {
            sent.forgotten = sent.forgotten.max(last);
        }
        sent.batches.push_back((last, oldest_ms));
    }

    /// Whether ClickHouse has, before the time `sealed_ms`, exactly the clicks up to the offset
    /// `through`: no click of that time was sent since. To be called after a read.
    ///
    /// Only this process sends clicks, so ClickHouse has only what it has sent.
    pub fn is_sealed(&self, through: u64, sealed_ms: u64) -> bool {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let is_older = |(last, oldest_ms): &(u64, u64)| *last > through && *oldest_ms < sealed_ms;
        sent.forgotten <= through && !sent.batches.iter().any(is_older)
    }

    /// Sets the times of the newest clicks in ClickHouse.
    pub(super) fn set_newest(&self, newest: Newest) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = newest;
    }

    /// What can be read by chunk, of the clicks up to and including an offset.
    pub(super) fn chunks_through(&self, offset: u64, unnumbered_through: u64) -> Chunks {
        let through = offset.min(self.applied());
        let newest = *self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        Chunks { through, unnumbered_through, newest_ms: newest.of_chunks(through) }
    }

    pub(super) fn set_applied(&self, offset: u64) {
        self.applied.send_replace(offset);
    }

    /// Sets whether ClickHouse is connected, and returns the previous state.
    pub(super) fn set_connected(&self, is_connected: bool) -> bool {
        self.is_connected.swap(is_connected, Ordering::AcqRel)
    }

    /// All clicks logged up to this time are counted.
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
    fn clicks_before_a_reached_watermark_are_complete() {
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
        status.sending(10, (900, 900));
        assert!(status.is_sealed(10, 1_000), "it was there when the read began");
        assert!(status.is_sealed(9, 900), "it is of a later time");
        assert!(!status.is_sealed(9, 901));
        for last in 11..=74 {
            status.sending(last, (5_000, 5_000));
        }
        assert!(status.is_sealed(10, 5_000));
        assert!(!status.is_sealed(9, 901), "forgotten batches count as sent");
    }

    #[tokio::test]
    async fn waiting_for_an_offset_times_out() {
        let status = Status::new();
        assert!(!status.reached(1, Duration::from_millis(1)).await);
        let waiting = status.reached(3, Duration::from_secs(20));
        let (reached, ()) = tokio::join!(waiting, async { status.set_applied(3) });
        assert!(reached);
    }
}

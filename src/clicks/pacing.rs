//! Pacing: while the analytics lag, redirects yield CPU time to them.
//!
//! The projector and the embedded ClickHouse run at a low priority, so bursts of redirects go
//! first. Under sustained load they would starve, and the lag would grow without bound. So each
//! redirect thread sleeps after a batch of visits, for a time that depends on the lag: zero up to
//! [`LAG_MS_TOLERATED`], [`PAUSE_MAX`] from [`LAG_MS_MAX`] on. Visits that arrive in the meantime
//! form a larger, more efficient batch. No visitor waits longer than the maximum, whatever the
//! state of ClickHouse.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Up to this lag there is no pause: a batch takes a second or two from its first click on.
const LAG_MS_TOLERATED: u64 = 3_000;
/// From this lag on the pause is [`PAUSE_MAX`].
const LAG_MS_MAX: u64 = 6_000;
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_millis(8);

/// The current pause of all threads, in microseconds.
#[derive(Debug, Default)]
pub struct Pacing(AtomicU64);

impl Pacing {
    /// Adapts the pause to the lag of the analytics in milliseconds; pass 0 if waiting does not help,
    /// as when ClickHouse is unavailable.
    pub fn follow(&self, lag_ms: u64) {
        let over = lag_ms.clamp(LAG_MS_TOLERATED, LAG_MS_MAX) - LAG_MS_TOLERATED;
        let longest = u64::try_from(PAUSE_MAX.as_micros()).unwrap_or_default();
        self.0.store(longest * over / (LAG_MS_MAX - LAG_MS_TOLERATED), Ordering::Relaxed);
    }

    /// How long to sleep after a batch of visits, if at all.
    pub fn pause(&self) -> Option<Duration> {
        let pause = self.0.load(Ordering::Relaxed);
        (pause > 0).then(|| Duration::from_micros(pause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_follows_the_lag_within_its_bounds() {
        let pacing = Pacing::default();
        let micros = |micros| Some(Duration::from_micros(micros));
        for (lag_ms, pause) in [
            (0, None),
            (3_000, None),
            (4_500, micros(4_000)),
            (6_000, Some(PAUSE_MAX)),
            (u64::MAX, Some(PAUSE_MAX)),
            (500, None),
        ] {
            pacing.follow(lag_ms);
            assert_eq!(pacing.pause(), pause, "{lag_ms}");
        }
    }
}

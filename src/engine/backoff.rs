//! Restart backoff for a child that keeps dying.

use std::time::Duration;

/// How long to wait before the next start.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    deaths: u32,
}

impl Backoff {
    /// The delay after a child that lived this long: 200 ms, doubling up to 10 s, reset to 200 ms
    /// after a life of a minute.
    pub(super) fn after(&mut self, life: Duration) -> Duration {
        const FIRST: Duration = Duration::from_millis(200);
        const LONGEST: Duration = Duration::from_secs(10);
        if life >= Duration::from_secs(60) {
            self.deaths = 0;
        }
        let wait = FIRST.saturating_mul(1 << self.deaths.min(6)).min(LONGEST);
        self.deaths += 1;
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_up_to_ten_seconds_and_resets() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..8).map(|_| backoff.after(Duration::ZERO).as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(backoff.after(Duration::from_secs(60)).as_millis(), 200);
        assert_eq!(backoff.after(Duration::ZERO).as_millis(), 400);
    }
}

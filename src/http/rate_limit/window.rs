//! A sliding window: the requests of the last minute, hour and the like.

use std::collections::VecDeque;

/// The number of entries up to which a window is exact.
const ENTRIES: u32 = 64;
/// The bits of an entry that hold the count.
const COUNT_BITS: u32 = 24;
const MAX_COUNT: u32 = (1 << COUNT_BITS) - 1;

/// The maximum number of requests in a window of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// The number of requests.
    pub requests: u32,
    /// The length of the window in milliseconds; at least 1.
    pub window_ms: u32,
}

/// Requests that count as made at the same time, in 8 bytes: the time above the count.
#[derive(Debug, Clone, Copy, Default)]
struct Entry(u64);

impl Entry {
    fn new(at_ms: u64, count: u32) -> Self {
        Self(at_ms << COUNT_BITS | u64::from(count))
    }

    const fn at_ms(self) -> u64 {
        self.0 >> COUNT_BITS
    }

    fn count(self) -> u32 {
        u32::try_from(self.0 & u64::from(MAX_COUNT)).unwrap_or(MAX_COUNT)
    }

    const fn is_none(self) -> bool {
        self.0 & MAX_COUNT as u64 == 0
    }
}

/// The requests within a sliding window, oldest first.
///
/// Quotas of up to 64 requests are exact. For larger ones, the window is divided into 63 slots:
/// the requests of a slot count as made at the time of the last of them. So there are never more
/// requests in a window than the quota allows, but one may be refused up to a slot (a 63rd of the
/// window) longer than necessary. There are at most 64 entries, of 8 bytes each.
///
/// Most requests need the first and the last entry only, so these are kept apart from the others:
/// among many windows, each access to memory takes longer than the rest.
#[derive(Debug, Default)]
pub struct Window {
    /// Without requests if there are fewer than two entries.
    first: Entry,
    between: VecDeque<Entry>,
    /// Without requests if there are no entries.
    last: Entry,
    /// The requests of all entries.
    count: u32,
    length_ms: u32,
}

impl Window {
    /// Counts a request. Times are in milliseconds since the same moment; they may be in a slightly
    /// different order than the calls.
    pub fn add(&mut self, quota: Quota, now_ms: u64) {
        self.length_ms = quota.window_ms;
        self.count = self.count.saturating_add(1);
        let slot_ms = match quota.requests {
            ..=ENTRIES => 1,
            _ => u64::from(quota.window_ms.div_ceil(ENTRIES - 1)),
        };
        let last = self.last;
        if last.is_none() {
            self.last = Entry::new(now_ms, 1);
            return;
        }
        let at_ms = last.at_ms().max(now_ms);
        if last.at_ms() / slot_ms == at_ms / slot_ms && last.count() < MAX_COUNT {
            self.last = Entry::new(at_ms, last.count() + 1);
            return;
        }
        if self.first.is_none() {
            self.first = last;
        } else {
            self.between.push_back(last);
        }
        self.last = Entry::new(at_ms, 1);
    }

    /// Removes the last request, if any.
    pub fn remove_last(&mut self) {
        if self.last.is_none() {
            return;
        }
        self.count -= 1;
        self.last = Entry::new(self.last.at_ms(), self.last.count() - 1);
        if self.last.is_none() {
            self.last = self.between.pop_back().unwrap_or_else(|| std::mem::take(&mut self.first));
        }
    }

    /// Drops the requests that have left the window. Returns whether none is left.
    pub fn expire(&mut self, now_ms: u64) -> bool {
        let window_ms = u64::from(self.length_ms);
        loop {
            let is_single = self.first.is_none();
            let oldest = if is_single { self.last } else { self.first };
            if oldest.is_none() || oldest.at_ms() + window_ms > now_ms {
                return oldest.is_none();
            }
            self.count -= oldest.count();
            if is_single {
                self.last = Entry::default();
            } else {
                self.first = self.between.pop_front().unwrap_or_default();
            }
        }
    }

    /// Whether all requests have left the window.
    pub fn is_idle(&self, now_ms: u64) -> bool {
        let window_ms = u64::from(self.length_ms);
        self.last.is_none() || self.last.at_ms() + window_ms <= now_ms
    }

    /// The number of further requests that the quota allows.
    pub fn remaining(&self, quota: Quota) -> u32 {
        quota.requests.saturating_sub(self.count)
    }

    /// When the quota allows more requests than now: how many milliseconds after `now_ms`. 0 if
    /// the window is empty.
    pub fn more_in_ms(&self, quota: Quota, now_ms: u64) -> u64 {
        // More than one has to leave if the quota was larger before.
        let mut leaving = self.count.saturating_sub(quota.requests.saturating_sub(1)).max(1);
        for entry in self.entries() {
            leaving = leaving.saturating_sub(entry.count());
            if leaving == 0 {
                return (entry.at_ms() + u64::from(quota.window_ms)).saturating_sub(now_ms);
            }
        }
        0
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        let all = [self.first].into_iter().chain(self.between.iter().copied()).chain([self.last]);
        all.filter(|entry| !entry.is_none())
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::Xoshiro256PlusPlus;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    const MINUTE_MS: u32 = 60_000;

    fn take(window: &mut Window, quota: Quota, now_ms: u64) -> bool {
        window.expire(now_ms);
        let is_allowed = window.remaining(quota) > 0;
        if is_allowed {
            window.add(quota, now_ms);
        }
        is_allowed
    }

    #[test]
    fn a_window_is_exact_at_its_end() {
        for requests in [1, 60, 64, 65, 1_000] {
            let (mut window, quota) = (Window::default(), Quota { requests, window_ms: MINUTE_MS });
            let start_ms = 123_456;
            for before in 0..requests {
                assert_eq!(window.remaining(quota), requests - before);
                assert!(take(&mut window, quota, start_ms));
            }
            for later_ms in [0, 1, 30_000, 59_999] {
                assert!(!take(&mut window, quota, start_ms + later_ms), "{requests} {later_ms}");
                assert_eq!(window.more_in_ms(quota, start_ms + later_ms), 60_000 - later_ms);
            }
            assert!(take(&mut window, quota, start_ms + 60_000));
            assert_eq!(window.remaining(quota), requests - 1);
        }
    }

    /// Compared to the list of all times: exact up to 64 requests; above, never more than the
    /// quota, and refused at most a slot longer.
    #[test]
    fn windows_agree_with_a_list_of_times() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(14);
        for _ in 0..300 {
            let requests = [1, 2, 10, 63, 64, 65, 100, 1_000][random.random_range(0..8_usize)];
            let window_ms = [1, 50, 1_000, MINUTE_MS][random.random_range(0..4_usize)];
            let quota = Quota { requests, window_ms };
            let slot_ms = u64::from(if requests <= ENTRIES { 0 } else { window_ms.div_ceil(63) });
            let (mut window, mut times, mut now_ms) = (Window::default(), Vec::new(), 0_u64);
            let pause_ms = u64::from(window_ms / requests * 2 + 1);
            for _ in 0..2_000 {
                now_ms += random.random_range(0..=pause_ms);
                let within = |at_ms: u64, age_ms: u64| at_ms + age_ms > now_ms;
                let count =
                    |age_ms| times.iter().rev().take_while(|at| within(**at, age_ms)).count();
                let is_free = count(u64::from(window_ms)) < requests as usize;
                let is_free_later = count(u64::from(window_ms) + slot_ms) < requests as usize;
                let is_allowed = take(&mut window, quota, now_ms);
                assert!(is_free || !is_allowed, "{quota:?} at {now_ms}: more than the quota");
                assert!(
                    is_allowed || !is_free_later,
                    "{quota:?} at {now_ms}: refused for too long"
                );
                assert!(window.entries().count() <= 64);
                if is_allowed {
                    times.push(now_ms);
                } else {
                    let more_ms = now_ms + window.more_in_ms(quota, now_ms);
                    window.expire(more_ms - 1);
                    assert_eq!(window.remaining(quota), 0, "{quota:?} at {now_ms}");
                    window.expire(more_ms);
                    assert!(window.remaining(quota) > 0, "{quota:?} at {now_ms}");
                    now_ms = more_ms;
                }
            }
        }
    }

    #[test]
    fn a_smaller_quota_waits_until_enough_requests_have_left() {
        let (mut window, quota) = (Window::default(), Quota { requests: 5, window_ms: MINUTE_MS });
        for at_ms in [0, 10, 20, 30, 40] {
            assert!(take(&mut window, quota, at_ms));
        }
        let smaller = Quota { requests: 2, ..quota };
        assert_eq!((window.remaining(smaller), window.more_in_ms(smaller, 50)), (0, 59_980));
        window.expire(60_030);
        assert_eq!(window.remaining(smaller), 1);
    }

    #[test]
    fn the_last_request_can_be_removed() {
        let (mut window, quota) = (Window::default(), Quota { requests: 100, window_ms: 6_300 });
        for at_ms in [10, 20, 6_000] {
            window.add(quota, at_ms);
        }
        window.remove_last();
        window.remove_last();
        assert_eq!((window.remaining(quota), window.more_in_ms(quota, 20)), (99, 6_300));
        window.remove_last();
        window.remove_last();
        assert!(window.is_idle(0));
    }
}

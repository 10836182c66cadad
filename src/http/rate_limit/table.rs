//! A bounded table of sliding windows.
//!
//! Its shards have a lock each. A window leaves the table once it is empty, or when it is
//! [removed](WindowTable::forget), so nobody can evict another's count by making many requests.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::window::{Quota, Window};

/// The number of shards of a large table.
const SHARDS: usize = 64;
/// Smaller tables have a single shard.
const LARGE_CAPACITY: usize = 64 * SHARDS * 8;
/// How often empty windows are dropped from a shard.
const SWEEP_MS: u64 = 60_000;
/// The same when the shard is full: not at each request, because it takes a while.
const FULL_SWEEP_MS: u64 = 1_000;
/// When to retry if the table is full.
const FULL_RETRY_MS: u64 = 60_000;

/// What a full table does with requests that need a new window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// Refuses them: for guesses, of which each may be the right one.
    Refuse,
    /// Allows them without counting them, so that filling the table locks nobody out.
    Allow,
}

/// A window that a request counts in, and the window's state afterwards.
#[derive(Debug, Clone, Copy)]
pub struct WindowUse {
    /// The window: a keyed hash.
    pub key: u64,
    /// How many requests it may contain.
    pub quota: Quota,
    /// How many more requests are allowed.
    pub remaining: u32,
    /// When more are allowed, in milliseconds from now.
    pub more_in_ms: u64,
}

impl WindowUse {
    /// The use of a window, before it is taken.
    pub const fn of(key: u64, quota: Quota) -> Self {
        Self { key, quota, remaining: 0, more_in_ms: 0 }
    }
}

/// Windows by key.
pub struct WindowTable {
    shards: Box<[Mutex<Shard>]>,
    /// The number of windows in all shards: some groups have many.
    len: AtomicUsize,
    capacity: usize,
    when_full: WhenFull,
    /// The shard to sweep next when the table is full.
    next: AtomicUsize,
}

#[derive(Default)]
struct Shard {
    windows: HashMap<u64, Window, BuildHasherDefault<HashedKey>>,
    swept_at_ms: u64,
}

/// The hash of a key: the key, which is a keyed hash already.
#[derive(Default)]
struct HashedKey(u64);

impl Hasher for HashedKey {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl WindowTable {
    /// An empty table for about this many windows. Each takes some 150 bytes, and 8 for each
    /// request up to 64.
    pub fn new(capacity: usize, when_full: WhenFull) -> Self {
        let shards = if capacity < LARGE_CAPACITY { 1 } else { SHARDS };
        let shards = std::iter::repeat_with(Mutex::default).take(shards).collect();
        let (len, next) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { shards, len, capacity, when_full, next }
    }

    /// Counts a request in several windows: in all of them, or in none if one is full. Windows that
    /// are used together are of one group, a hash.
    ///
    /// # Errors
    /// The time until all windows have room, in milliseconds.
    pub fn take(&self, group: u64, uses: &mut [WindowUse], now_ms: u64) -> Result<(), u64> {
        if self.is_full() {
            // Perhaps another shard has the empty windows.
            let next = self.next.fetch_add(1, Ordering::Relaxed) % self.shards.len();
            if let Ok(mut shard) = self.shards[next].try_lock() {
                self.sweep(&mut shard, now_ms);
            }
        }
        let mut shard = self.shard(group);
        self.sweep(&mut shard, now_ms);
        let mut wait_ms = 0;
        for one in &mut *uses {
            wait_ms = wait_ms.max(self.look(&mut shard, one, now_ms));
        }
        if wait_ms > 0 {
            return Err(wait_ms);
        }
        for one in uses {
            self.add(&mut shard, one, now_ms);
        }
        Ok(())
    }

    /// Takes back the last request of a window.
    pub fn give_back(&self, group: u64, key: u64, now_ms: u64) {
        let mut shard = self.shard(group);
        let Some(window) = shard.windows.get_mut(&key) else { return };
        window.remove_last();
        if window.is_idle(now_ms) {
            self.remove(&mut shard, key);
        }
    }

    /// Removes a window.
    pub fn forget(&self, group: u64, key: u64) {
        self.remove(&mut self.shard(group), key);
    }

    /// The number of windows.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether there is no window.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn is_full(&self) -> bool {
        self.len() >= self.capacity
    }

    fn shard(&self, group: u64) -> MutexGuard<'_, Shard> {
        let number = group % self.shards.len() as u64;
        lock(&self.shards[usize::try_from(number).unwrap_or_default()])
    }

    fn remove(&self, shard: &mut Shard, key: u64) {
        if shard.windows.remove(&key).is_some() {
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The state of a window before a request. Returns the time until it has room, in milliseconds.
    fn look(&self, shard: &mut Shard, one: &mut WindowUse, now_ms: u64) -> u64 {
        let Some(window) = shard.windows.get_mut(&one.key) else {
            (one.remaining, one.more_in_ms) = (one.quota.requests, 0);
            let is_refused = self.when_full == WhenFull::Refuse && self.is_full();
            return if is_refused { FULL_RETRY_MS } else { 0 };
        };
        window.expire(now_ms);
        one.remaining = window.remaining(one.quota);
        one.more_in_ms = window.more_in_ms(one.quota, now_ms);
        if one.remaining == 0 { one.more_in_ms.max(1) } else { 0 }
    }

    /// Counts a request, if there is a place for its window.
    fn add(&self, shard: &mut Shard, one: &mut WindowUse, now_ms: u64) {
        let window = match shard.windows.entry(one.key) {
            Entry::Occupied(window) => window.into_mut(),
            Entry::Vacant(_) if self.is_full() => {
                one.remaining = one.quota.requests.saturating_sub(1);
                one.more_in_ms = one.quota.window_ms.into();
                return;
            }
            Entry::Vacant(place) => {
                self.len.fetch_add(1, Ordering::Relaxed);
                place.insert(Window::default())
            }
        };
        window.add(one.quota, now_ms);
        one.remaining = window.remaining(one.quota);
        one.more_in_ms = window.more_in_ms(one.quota, now_ms);
    }

    /// Drops the empty windows of a shard, if it is time to.
    fn sweep(&self, shard: &mut Shard, now_ms: u64) {
        let period_ms = if self.is_full() { FULL_SWEEP_MS } else { SWEEP_MS };
        if shard.swept_at_ms + period_ms > now_ms {
            return;
        }
        shard.swept_at_ms = now_ms;
        let before = shard.windows.len();
        shard.windows.retain(|_, window| !window.is_idle(now_ms));
        let left = shard.windows.len();
        self.len.fetch_sub(before - left, Ordering::Relaxed);
        if left < shard.windows.capacity() / 4 {
            shard.windows.shrink_to(left * 2);
        }
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    const MINUTE: Quota = Quota { requests: 60, window_ms: 60_000 };

    /// Threads that run at the limit, with a clock that moves meanwhile.
    #[test]
    fn threads_share_a_window_exactly() {
        for requests in [60, 1_000] {
            let table = WindowTable::new(1_000_000, WhenFull::Allow);
            let quota = Quota { requests, ..MINUTE };
            let (clock, taken) = (AtomicU64::new(1_000), AtomicU64::new(0));
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        for _ in 0..10_000 {
                            // Within a 63rd of the window.
                            let now_ms = clock.fetch_add(1, Ordering::Relaxed) / 100;
                            let took = table.take(7, &mut [WindowUse::of(7, quota)], now_ms);
                            taken.fetch_add(u64::from(took.is_ok()), Ordering::Relaxed);
                        }
                    });
                }
            });
            assert_eq!(taken.load(Ordering::Relaxed), u64::from(requests));
        }
    }

    #[test]
    fn a_refused_request_counts_in_no_window() {
        let table = WindowTable::new(100, WhenFull::Allow);
        let small = Quota { requests: 2, window_ms: 1_000 };
        let mut uses = [WindowUse::of(1, MINUTE), WindowUse::of(2, small)];
        for remaining in [(59, 1), (58, 0)] {
            table.take(1, &mut uses, 0).unwrap();
            assert_eq!((uses[0].remaining, uses[1].remaining), remaining);
        }
        for now_ms in [0, 999] {
            assert_eq!(table.take(1, &mut uses, now_ms), Err(1_000 - now_ms));
            assert_eq!((uses[0].remaining, uses[1].remaining), (58, 0));
        }
        table.take(1, &mut uses, 1_000).unwrap();
        assert_eq!((uses[0].remaining, uses[1].remaining), (57, 1));
        assert_eq!((uses[0].more_in_ms, uses[1].more_in_ms), (59_000, 1_000));
        // The longest wait counts.
        let mut first = [WindowUse::of(1, Quota { requests: 3, ..MINUTE }), uses[1]];
        table.take(1, &mut uses, 1_000).unwrap();
        assert_eq!(table.take(1, &mut first, 1_500), Err(58_500));
    }

    #[test]
    fn the_table_is_bounded_and_locks_nobody_out() {
        let table = WindowTable::new(LARGE_CAPACITY, WhenFull::Allow);
        let one = Quota { requests: 1, ..MINUTE };
        for key in 0..2 * LARGE_CAPACITY as u64 {
            table.take(key, &mut [WindowUse::of(key, one)], 1).unwrap();
        }
        assert_eq!(table.len(), LARGE_CAPACITY);
        for key in 0..LARGE_CAPACITY as u64 {
            assert!(table.take(key, &mut [WindowUse::of(key, one)], 2).is_err(), "{key}");
        }
        let mut uses = [WindowUse::of(u64::MAX, one)];
        for _ in 0..3 {
            table.take(u64::MAX, &mut uses, 2).unwrap();
        }
        // Empty windows make room, without a request for them.
        for group in 0..SHARDS as u64 {
            let mut uses = [WindowUse::of(u64::MAX - group, one)];
            table.take(group, &mut uses, 60_002).unwrap();
            assert!(table.take(group, &mut uses, 60_002).is_err());
        }
        assert_eq!(table.len(), SHARDS);
        let capacity: usize = table.shards.iter().map(|shard| lock(shard).windows.capacity()).sum();
        assert!(capacity < LARGE_CAPACITY / 4, "{capacity}");
    }

    #[test]
    fn a_group_may_have_all_windows_and_leave_them_to_others() {
        let table = WindowTable::new(LARGE_CAPACITY, WhenFull::Allow);
        let one = Quota { requests: 1, ..MINUTE };
        let take = |group, key, now_ms| table.take(group, &mut [WindowUse::of(key, one)], now_ms);
        for key in 0..LARGE_CAPACITY as u64 {
            take(7, key, 0).unwrap();
            assert!(take(7, key, 0).is_err(), "{key}");
        }
        // A full table counts no more, until the shard with the empty windows has been swept.
        let uncounted = (0..SHARDS).take_while(|_| take(8, u64::MAX, 60_000).is_ok()).count();
        assert!((1..SHARDS).contains(&uncounted), "{uncounted}");
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn windows_in_use_are_kept() {
        let table = WindowTable::new(100, WhenFull::Refuse);
        let hour = Quota { requests: 1, window_ms: 3_600_000 };
        table.take(1, &mut [WindowUse::of(1, hour)], 0).unwrap();
        table.take(2, &mut [WindowUse::of(2, MINUTE)], 0).unwrap();
        table.take(3, &mut [WindowUse::of(3, MINUTE)], SWEEP_MS).unwrap();
        assert_eq!(table.len(), 2);
        assert_eq!(table.take(1, &mut [WindowUse::of(1, hour)], SWEEP_MS), Err(3_540_000));
        table.give_back(3, 3, SWEEP_MS);
        table.forget(1, 1);
        assert!(table.is_empty());
    }
}

//! A rate limiter: a number of attempts per window, address and subject.
//!
//! Each use has a [`Limit`] and a table of its own.
//!
//! The table contains keyed hashes, never an address; the key is random and private to this
//! process. The table is bounded, and an entry leaves it only when it expires or is
//! [removed](AttemptLimiter::forget), so nobody can evict another's count by making many attempts.
//! A full table admits no new entries until one expires. Filling it with password guesses takes
//! more guesses than can be compared within the window.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use siphasher::sip::SipHasher24;

/// The limit on attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The maximum number of attempts within the window.
    pub max: usize,
    pub window_seconds: u32,
    /// The maximum number of entries. Each takes some 50 bytes and 4 for each attempt.
    pub capacity: usize,
}

impl Default for Limit {
    fn default() -> Self {
        Self { max: 10, window_seconds: 15 * 60, capacity: 200_000 }
    }
}

/// The `Retry-After` when the table is full.
const FULL_RETRY_SECONDS: u32 = 60;

/// The limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany {
    /// When the next attempt is allowed, in seconds.
    pub retry_seconds: u32,
}

/// The times of the last attempts, in seconds since the start, oldest first.
type Times = VecDeque<u32>;

struct Table {
    times: HashMap<u64, Times>,
    swept_at: u32,
}

/// Limits attempts by address and subject.
pub struct AttemptLimiter {
    key: [u8; 16],
    started: Instant,
    limit: Limit,
    table: Mutex<Table>,
}

impl Default for AttemptLimiter {
    fn default() -> Self {
        Self::new(Limit::default())
    }
}

impl AttemptLimiter {
    /// Creates a limiter without entries.
    pub fn new(limit: Limit) -> Self {
        let table = Table { times: HashMap::new(), swept_at: 0 };
        Self { key: rand::random(), started: Instant::now(), limit, table: Mutex::new(table) }
    }

    /// Counts an attempt of an address at a subject, if it is allowed.
    pub fn take(&self, address: IpAddr, subject: &[u8; 16]) -> Result<(), TooMany> {
        self.take_at(self.key_hash(address, subject), self.seconds())
    }

    /// Takes back an attempt that was not carried out.
    pub fn give_back(&self, address: IpAddr, subject: &[u8; 16]) {
        let key_hash = self.key_hash(address, subject);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(times) = table.times.get_mut(&key_hash) {
            times.pop_back();
            if times.is_empty() {
                table.times.remove(&key_hash);
            }
        }
    }

    /// Resets the count of an address and a subject.
    pub fn forget(&self, address: IpAddr, subject: &[u8; 16]) {
        let key_hash = self.key_hash(address, subject);
        self.table.lock().unwrap_or_else(PoisonError::into_inner).times.remove(&key_hash);
    }

    fn seconds(&self) -> u32 {
        u32::try_from(self.started.elapsed().as_secs()).unwrap_or(u32::MAX)
    }

    /// The hash of an address and a subject. Of an IPv6 address, the first 64 bits count: the whole
    /// network usually belongs to one client.
    fn key_hash(&self, address: IpAddr, subject: &[u8; 16]) -> u64 {
        let mut hashed = [0; 33];
        hashed[..16].copy_from_slice(subject);
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                hashed[16] = 4;
                hashed[17..21].copy_from_slice(&v4.octets());
            }
            IpAddr::V6(v6) => {
                hashed[16] = 6;
                hashed[17..25].copy_from_slice(&v6.octets()[..8]);
            }
        }
        SipHasher24::new_with_key(&self.key).hash(&hashed)
    }

    fn take_at(&self, key_hash: u64, now: u32) -> Result<(), TooMany> {
        let Limit { max, window_seconds, capacity } = self.limit;
        let is_old = |at: &u32| at.saturating_add(window_seconds) <= now;
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = table.times.len() >= capacity && !table.times.contains_key(&key_hash);
        // Not at each attempt on a full table: the scan takes a while.
        let is_due = table.swept_at.saturating_add(window_seconds) <= now;
        if is_due || (is_full && table.swept_at < now) {
            table.swept_at = now;
            table.times.retain(|_, times| times.back().is_some_and(|at| !is_old(at)));
        }
        if table.times.len() >= capacity && !table.times.contains_key(&key_hash) {
            return Err(TooMany { retry_seconds: FULL_RETRY_SECONDS });
        }
        let times = table.times.entry(key_hash).or_default();
        while times.front().is_some_and(is_old) {
            times.pop_front();
        }
        if let Some(first) = times.front().filter(|_| times.len() >= max) {
            let free_at = first.saturating_add(window_seconds);
            return Err(TooMany { retry_seconds: free_at.saturating_sub(now).max(1) });
        }
        times.push_back(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 10;
    const WINDOW_SECONDS: u32 = 15 * 60;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn no_window_holds_more_than_ten() {
        let attempts = AttemptLimiter::default();
        let mut taken = Vec::new();
        for now in (0..10_000_u32).step_by(7) {
            match attempts.take_at(1, now) {
                Ok(()) => taken.push(now),
                Err(refused) => {
                    let again = now + refused.retry_seconds;
                    let within = |at: &&u32| **at + WINDOW_SECONDS > again - 1;
                    assert_eq!(taken.iter().filter(within).count(), MAX, "{now}");
                }
            }
        }
        for begin in &taken {
            let within = |at: &&u32| (*begin..begin + WINDOW_SECONDS).contains(*at);
            assert!(taken.iter().filter(within).count() <= MAX);
        }
        // The next attempt is allowed as soon as possible.
        assert!(taken.len() > MAX * 10_000 / 1_000, "{}", taken.len());
    }

    #[test]
    fn each_address_and_each_thing_counts_by_itself() {
        let attempts = AttemptLimiter::default();
        let spent = address("192.0.2.1");
        for _ in 0..MAX {
            attempts.take(spent, &[1; 16]).unwrap();
        }
        assert!(attempts.take(spent, &[1; 16]).is_err());
        assert!(attempts.take(address("::ffff:192.0.2.1"), &[1; 16]).is_err(), "the same one");
        attempts.take(address("192.0.2.2"), &[1; 16]).unwrap();
        attempts.take(spent, &[2; 16]).unwrap();
        attempts.forget(spent, &[1; 16]);
        attempts.take(spent, &[1; 16]).unwrap();
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let attempts = AttemptLimiter::default();
        for host in 0..MAX {
            attempts.take(address(&format!("2001:db8:1:2::{host}")), &[1; 16]).unwrap();
        }
        assert!(attempts.take(address("2001:db8:1:2:ffff::1"), &[1; 16]).is_err());
        attempts.take(address("2001:db8:1:3::1"), &[1; 16]).unwrap();
    }

    #[test]
    fn attempts_taken_back_do_not_count() {
        let attempts = AttemptLimiter::default();
        for _ in 0..5 * MAX {
            attempts.take(address("192.0.2.1"), &[1; 16]).unwrap();
            attempts.give_back(address("192.0.2.1"), &[1; 16]);
        }
        assert!(attempts.table.lock().unwrap().times.is_empty());
    }

    #[test]
    fn a_full_table_keeps_its_entries_until_they_expire() {
        let attempts = AttemptLimiter::new(Limit { capacity: 100, ..Limit::default() });
        for _ in 0..MAX {
            attempts.take_at(0, 1).unwrap();
        }
        let taken = (1..10_000).filter(|key_hash| attempts.take_at(*key_hash, 2).is_ok()).count();
        assert_eq!(taken, 99);
        assert!(attempts.take_at(0, 3).is_err(), "its count is unchanged");
        assert!(attempts.take_at(5, 3).is_ok(), "existing entries are still admitted");
        let later = 2 + WINDOW_SECONDS;
        assert!(attempts.take_at(20_000, later).is_ok(), "entries have expired");
        assert!(attempts.table.lock().unwrap().times.len() <= 2);
    }
}

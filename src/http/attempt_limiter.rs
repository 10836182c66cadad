//! How often somebody may try: so many times within a time, per address and thing.
//!
//! Each use has a [`Limit`] and a table of its own.
//!
//! The table holds keyed hashes, under a key that this process has made and nobody else sees;
//! never an address. It has a bound, and an entry leaves it only when its time is over or it is
//! [forgotten](Attempts::forget): so nobody drives out another's count by making many of his own.
//! A table that is full takes on nobody new until an entry's time is over. Filling it with guesses
//! of passwords takes more of them than can be compared within that time.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use siphasher::sip::SipHasher24;

/// How many attempts there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// How many within the window.
    pub max: usize,
    pub window_seconds: u32,
    /// How many entries the table has at most. Each takes some 50 bytes and 4 for each attempt.
    pub capacity: usize,
}

impl Default for Limit {
    fn default() -> Self {
        Self { max: 10, window_seconds: 15 * 60, capacity: 200_000 }
    }
}

/// What one is told whom a full table has not taken on.
const FULL_RETRY_SECONDS: u32 = 60;

/// No further attempt for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany {
    /// In how many seconds there may be another one.
    pub retry_seconds: u32,
}

/// When the last attempts were, in seconds since the start, the oldest first.
type Times = VecDeque<u32>;

struct Table {
    times: HashMap<u64, Times>,
    swept_at: u32,
}

/// See the module.
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
    /// None yet.
    pub fn new(limit: Limit) -> Self {
        let table = Table { times: HashMap::new(), swept_at: 0 };
        Self { key: rand::random(), started: Instant::now(), limit, table: Mutex::new(table) }
    }

    /// Counts an attempt of an address at a thing, if there may be one.
    pub fn take(&self, address: IpAddr, thing: &[u8; 16]) -> Result<(), TooMany> {
        self.take_at(self.name(address, thing), self.seconds())
    }

    /// An attempt that came to nothing was none.
    pub fn give_back(&self, address: IpAddr, thing: &[u8; 16]) {
        let name = self.name(address, thing);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(times) = table.times.get_mut(&name) {
            times.pop_back();
            if times.is_empty() {
                table.times.remove(&name);
            }
        }
    }

    /// What an address has tried at a thing counts no more.
    pub fn forget(&self, address: IpAddr, thing: &[u8; 16]) {
        let name = self.name(address, thing);
        self.table.lock().unwrap_or_else(PoisonError::into_inner).times.remove(&name);
    }

    fn seconds(&self) -> u32 {
        u32::try_from(self.started.elapsed().as_secs()).unwrap_or(u32::MAX)
    }

    /// The hash by which the table knows an address and a thing. Of an IPv6 address the first 64
    /// bits: whoever has one has the rest too.
    fn name(&self, address: IpAddr, thing: &[u8; 16]) -> u64 {
        let mut hashed = [0; 33];
        hashed[..16].copy_from_slice(thing);
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

    fn take_at(&self, name: u64, now: u32) -> Result<(), TooMany> {
        let Limit { max, window_seconds, capacity } = self.limit;
        let is_old = |at: &u32| at.saturating_add(window_seconds) <= now;
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = table.times.len() >= capacity && !table.times.contains_key(&name);
        // Not at each attempt at a full table: to look through it takes a while.
        let is_due = table.swept_at.saturating_add(window_seconds) <= now;
        if is_due || (is_full && table.swept_at < now) {
            table.swept_at = now;
            table.times.retain(|_, times| times.back().is_some_and(|at| !is_old(at)));
        }
        if table.times.len() >= capacity && !table.times.contains_key(&name) {
            return Err(TooMany { retry_seconds: FULL_RETRY_SECONDS });
        }
        let times = table.times.entry(name).or_default();
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
    #![allow(clippy::unwrap_used)]
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
        // As soon as there may be one, there is one.
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
    fn what_is_given_back_was_never_taken() {
        let attempts = AttemptLimiter::default();
        for _ in 0..5 * MAX {
            attempts.take(address("192.0.2.1"), &[1; 16]).unwrap();
            attempts.give_back(address("192.0.2.1"), &[1; 16]);
        }
        assert!(attempts.table.lock().unwrap().times.is_empty());
    }

    #[test]
    fn a_full_table_forgets_nobody_before_his_time() {
        let attempts = AttemptLimiter::new(Limit { capacity: 100, ..Limit::default() });
        for _ in 0..MAX {
            attempts.take_at(0, 1).unwrap();
        }
        let taken = (1..10_000).filter(|name| attempts.take_at(*name, 2).is_ok()).count();
        assert_eq!(taken, 99);
        assert!(attempts.take_at(0, 3).is_err(), "its count stands");
        assert!(attempts.take_at(5, 3).is_ok(), "who is in the table goes on");
        let later = 2 + WINDOW_SECONDS;
        assert!(attempts.take_at(20_000, later).is_ok(), "there is room again");
        assert!(attempts.table.lock().unwrap().times.len() <= 2);
    }
}

//! A limiter of attempts: a number per window of time, address and subject.
//!
//! Each use has a [`Limit`] and a [table](WindowTable) of its own. The table contains keyed hashes,
//! never an address; the key is random and private to this process.
//!
//! If a table of [`WhenFull::Refuse`] is full, no new entries are admitted until one expires.
//! Filling it with password guesses takes more guesses than can be compared within the window.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use siphasher::sip::SipHasher24;

use super::rate_limit::{Quota, WhenFull, WindowTable, WindowUse};
use crate::domain::error::{ErrorCode, ServiceError};

/// The subject where attempts only count by address.
pub const ANY_SUBJECT: [u8; 16] = [0; 16];

/// The limit on attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The maximum number of attempts within the window.
    pub max: u32,
    /// The length of the window.
    pub window_seconds: u32,
    /// The maximum number of entries; see [`WindowTable::new`].
    pub capacity: usize,
    /// What happens to the attempts of others when there are so many.
    pub when_full: WhenFull,
}

impl Limit {
    /// Ten attempts within a quarter of an hour.
    pub const DEFAULT: Self =
        Self { max: 10, window_seconds: 15 * 60, capacity: 200_000, when_full: WhenFull::Refuse };

    /// Requests per minute. If there are too many addresses, further ones are not limited.
    const fn per_minute(max: u32) -> Self {
        Self { max, window_seconds: 60, capacity: 1 << 20, when_full: WhenFull::Allow }
    }
}

/// The limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany {
    /// When the next attempt is allowed, in seconds.
    pub retry_seconds: u32,
}

impl TooMany {
    /// The error, with a message for the user.
    pub fn error(self, message: &'static str) -> ServiceError {
        let error = ServiceError::new(ErrorCode::RateLimited, message);
        ServiceError { retry_after_seconds: Some(self.retry_seconds), ..error }
    }
}

/// Limits on the requests of an address, which are off by default.
#[derive(Clone, Default)]
pub struct AddressLimits {
    /// Requests to the API.
    pub api: Option<Arc<AttemptLimiter>>,
    /// Visits of links.
    pub visits: Option<Arc<AttemptLimiter>>,
}

impl AddressLimits {
    /// Creates the limiters, given requests per minute.
    pub fn new(api: Option<u32>, visits: Option<u32>) -> Self {
        let limiter = |max| Arc::new(AttemptLimiter::new(Limit::per_minute(max)));
        Self { api: api.map(limiter), visits: visits.map(limiter) }
    }
}

/// Limits attempts by address and subject.
pub struct AttemptLimiter {
    key: [u8; 16],
    started: Instant,
    quota: Quota,
    table: WindowTable,
}

impl Default for AttemptLimiter {
    fn default() -> Self {
        Self::new(Limit::DEFAULT)
    }
}

impl AttemptLimiter {
    /// Creates a limiter without entries.
    pub fn new(Limit { max, window_seconds, capacity, when_full }: Limit) -> Self {
        let window_ms = window_seconds.saturating_mul(1_000);
        Self {
            key: rand::random(),
            started: Instant::now(),
            quota: Quota { requests: max, window_ms },
            table: WindowTable::new(capacity, when_full),
        }
    }

    /// Counts an attempt of an address at a subject, if it is allowed.
    pub fn take(&self, address: IpAddr, subject: &[u8; 16]) -> Result<(), TooMany> {
        self.take_at(address, subject, Instant::now())
    }

    /// The same, at a time that was read before.
    pub fn take_at(
        &self,
        address: IpAddr,
        subject: &[u8; 16],
        now: Instant,
    ) -> Result<(), TooMany> {
        self.take_hashed(self.key_hash(address, subject), self.milliseconds(now))
    }

    /// Takes back an attempt that was not carried out.
    pub fn give_back(&self, address: IpAddr, subject: &[u8; 16]) {
        let key_hash = self.key_hash(address, subject);
        self.table.give_back(key_hash, key_hash, self.milliseconds(Instant::now()));
    }

    /// Resets the count of an address and a subject.
    pub fn forget(&self, address: IpAddr, subject: &[u8; 16]) {
        let key_hash = self.key_hash(address, subject);
        self.table.forget(key_hash, key_hash);
    }

    /// Since the start.
    fn milliseconds(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
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

    fn take_hashed(&self, key_hash: u64, now_ms: u64) -> Result<(), TooMany> {
        let mut uses = [WindowUse::of(key_hash, self.quota)];
        self.table.take(key_hash, &mut uses, now_ms).map_err(|wait_ms| {
            let seconds = u32::try_from(wait_ms.div_ceil(1_000)).unwrap_or(u32::MAX);
            TooMany { retry_seconds: seconds }
        })
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
            match attempts.take_hashed(1, u64::from(now) * 1_000) {
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
        assert!(attempts.table.is_empty());
    }

    #[test]
    fn a_full_table_keeps_its_entries_until_they_expire() {
        let attempts = AttemptLimiter::new(Limit { capacity: 100, ..Limit::DEFAULT });
        for _ in 0..MAX {
            attempts.take_hashed(0, 1_000).unwrap();
        }
        let taken =
            (1..10_000).filter(|key_hash| attempts.take_hashed(*key_hash, 2_000).is_ok()).count();
        assert_eq!(taken, 99);
        assert!(attempts.take_hashed(0, 3_000).is_err(), "its count is unchanged");
        assert!(attempts.take_hashed(5, 3_000).is_ok(), "existing entries are still admitted");
        let later = u64::from(2 + WINDOW_SECONDS) * 1_000;
        assert!(attempts.take_hashed(20_000, later).is_ok(), "entries have expired");
        assert!(attempts.table.len() <= 2);
    }
}

//! Failed authentications are counted, logged, and throttled per address.
//!
//! A request with a valid token is always accepted, even from a throttled address: people who share
//! an address do not lock each other out. This does not help somebody who guesses, because a token
//! has more than 100 random bits.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use metrics::{Counter, counter};

use crate::domain::error::{ErrorCode, ServiceError};
use crate::http::attempt_limiter::{ANY_SUBJECT, AttemptLimiter, Limit};
use crate::metrics::AUTHENTICATION_FAILURES;

/// The number of unknown tokens per address that get a 401; further ones get a 429.
const LIMIT: Limit = Limit { max: 30, capacity: 50_000, ..Limit::DEFAULT };
/// The interval between log lines.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Counts, logs and throttles failures.
pub struct AuthFailures {
    attempts: AttemptLimiter,
    missing: Counter,
    unknown: Counter,
    expired: Counter,
    disabled: Counter,
    ended: Counter,
    throttled: Counter,
    unlogged: Mutex<Unlogged>,
}

/// Failures that are not logged yet.
#[derive(Default)]
struct Unlogged {
    failures: u64,
    logged_at: Option<Instant>,
}

impl Unlogged {
    /// Counts a failure. If a log line is due, returns the number of failures for it.
    fn add(&mut self, now: Instant) -> Option<u64> {
        self.failures += 1;
        let is_due = self.logged_at.is_none_or(|at| now.duration_since(at) >= LOG_EVERY);
        is_due.then(|| {
            self.logged_at = Some(now);
            std::mem::take(&mut self.failures)
        })
    }
}

impl Default for AuthFailures {
    fn default() -> Self {
        let failures = |reason| counter!(AUTHENTICATION_FAILURES, "reason" => reason);
        Self {
            attempts: AttemptLimiter::new(LIMIT),
            missing: failures("missing"),
            unknown: failures("unknown"),
            expired: failures("expired"),
            disabled: failures("disabled"),
            ended: failures("session ended"),
            throttled: failures("throttled"),
            unlogged: Mutex::default(),
        }
    }
}

impl AuthFailures {
    /// A request without a token.
    pub fn missing(&self) -> ServiceError {
        self.missing.increment(1);
        let detail = "Send a token as `Authorization: Bearer …` or `X-API-Key: …`.";
        ServiceError::new(ErrorCode::Unauthenticated, detail)
    }

    /// A request with an expired token. It was valid once, so it does not count as a guess.
    pub fn expired(&self, at: &str) -> ServiceError {
        self.expired.increment(1);
        self.log("expired");
        let detail = format!("This token expired at {at}: use another one.");
        ServiceError::new(ErrorCode::InvalidCredential, detail)
    }

    /// A request with a disabled token.
    pub fn disabled(&self) -> ServiceError {
        self.disabled.increment(1);
        self.log("disabled");
        ServiceError::new(ErrorCode::InvalidCredential, "This token is disabled.")
    }

    /// A request with a session that has ended, or an invalid one: neither can be guessed.
    pub fn session_ended(&self) {
        self.ended.increment(1);
        self.log("session ended");
    }

    /// A request with an unknown token.
    pub fn unknown(&self, address: IpAddr) -> ServiceError {
        if let Err(refused) = self.attempts.take(address, &ANY_SUBJECT) {
            self.throttled.increment(1);
            self.log("throttled");
            return refused.error(
                "Too many requests with invalid tokens came from your address. Requests with a \
                 valid token are still answered.",
            );
        }
        self.unknown.increment(1);
        self.log("unknown");
        let detail = "This token is not valid.";
        ServiceError::new(ErrorCode::InvalidCredential, detail)
    }

    /// Logs a failure, without the token or the address.
    fn log(&self, reason: &'static str) {
        let mut unlogged = self.unlogged.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(failures) = unlogged.add(Instant::now()) {
            tracing::warn!(reason, failures, "authentication failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_counts_all_failures_since_the_last_one() {
        let (start, mut unlogged) = (Instant::now(), Unlogged::default());
        assert_eq!(unlogged.add(start), Some(1));
        for _ in 0..1_000 {
            assert_eq!(unlogged.add(start + LOG_EVERY / 2), None);
        }
        assert_eq!(unlogged.add(start + LOG_EVERY), Some(1_001));
        assert_eq!(unlogged.add(start + LOG_EVERY * 3), Some(1));
    }
}

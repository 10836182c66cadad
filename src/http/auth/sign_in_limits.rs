//! Limits on sign-ins, and on mails that anybody can cause: by address, and by account.

use std::net::{IpAddr, Ipv4Addr};

use sha2::{Digest, Sha256};

use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::http::attempt_limiter::{ANY_SUBJECT, AttemptLimiter, Limit, TooMany};

/// The limits of the reference API: 30 attempts per 15 minutes and address, 10 per account.
const BY_ADDRESS: Limit = limit(30, 15 * 60, 50_000);
const BY_ACCOUNT: Limit = limit(10, 15 * 60, 200_000);
const MAILS_BY_ADDRESS: Limit = limit(30, 3_600, 50_000);
const MAILS_BY_ACCOUNT: Limit = limit(5, 3_600, 200_000);
/// Attempts with the right password, which cost as much.
const DONE_BY_ADDRESS: Limit = limit(300, 15 * 60, 50_000);
const DONE_BY_ACCOUNT: Limit = limit(60, 15 * 60, 200_000);

const fn limit(max: u32, window_seconds: u32, capacity: usize) -> Limit {
    Limit { max, window_seconds, capacity, ..Limit::DEFAULT }
}

/// The limiters count by address and subject; one of them is fixed.
const ANY_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Counts attempts by address and by account.
struct Limiters {
    by_address: AttemptLimiter,
    by_account: AttemptLimiter,
}

impl Limiters {
    fn take(&self, address: IpAddr, account: &str) -> Result<()> {
        self.by_address.take(address, &ANY_SUBJECT).map_err(refused)?;
        self.take_account(account)
    }

    fn take_account(&self, account: &str) -> Result<()> {
        self.by_account.take(ANY_ADDRESS, &subject(account)).map_err(refused)
    }
}

fn refused(refused: TooMany) -> ServiceError {
    refused.error("Too many attempts: try again later.")
}

/// The subject of an account: case does not matter, as in addresses.
fn subject(account: &str) -> [u8; 16] {
    let hash = Sha256::digest(account.trim().to_lowercase());
    hash.first_chunk().copied().unwrap_or_default()
}

/// The limits.
pub struct SignInLimits {
    sign_ins: Limiters,
    done: Limiters,
    mails: Limiters,
}

impl Default for SignInLimits {
    fn default() -> Self {
        let limiters = |by_address, by_account| Limiters {
            by_address: AttemptLimiter::new(by_address),
            by_account: AttemptLimiter::new(by_account),
        };
        Self {
            sign_ins: limiters(BY_ADDRESS, BY_ACCOUNT),
            done: limiters(DONE_BY_ADDRESS, DONE_BY_ACCOUNT),
            mails: limiters(MAILS_BY_ADDRESS, MAILS_BY_ACCOUNT),
        }
    }
}

impl SignInLimits {
    /// Counts an attempt to prove a password or a code. An account is an email address or a user's
    /// id.
    ///
    /// # Errors
    /// [`ErrorCode::RateLimited`].
    pub fn attempt(&self, address: IpAddr, account: &str) -> Result<()> {
        self.sign_ins.take(address, account)
    }

    /// Takes back an attempt that was no wrong guess, once its result is known. Attempts with the
    /// right password have a limit of their own; beyond it they count like wrong ones.
    ///
    /// # Errors
    /// [`ErrorCode::RateLimited`].
    pub fn settle(&self, address: IpAddr, account: &str, error: Option<ErrorCode>) -> Result<()> {
        match error {
            None => {
                self.done.take(address, account)?;
                self.sign_ins.by_address.give_back(address, &ANY_SUBJECT);
                self.sign_ins.by_account.forget(ANY_ADDRESS, &subject(account));
            }
            // A code is asked for next: earlier wrong ones still count.
            Some(ErrorCode::SecondFactorRequired) => {
                self.done.take(address, account)?;
                self.give_back(address, account);
            }
            // The password was not looked at.
            Some(ErrorCode::Overloaded) => self.give_back(address, account),
            Some(_) => {}
        }
        Ok(())
    }

    fn give_back(&self, address: IpAddr, account: &str) {
        self.sign_ins.by_address.give_back(address, &ANY_SUBJECT);
        self.sign_ins.by_account.give_back(ANY_ADDRESS, &subject(account));
    }

    /// Counts a mail that a member causes: only by whom it is for.
    ///
    /// # Errors
    /// [`ErrorCode::RateLimited`].
    pub fn mail_to(&self, account: &str) -> Result<()> {
        self.mails.take_account(account)
    }

    /// Counts a mail that anybody can cause.
    ///
    /// # Errors
    /// [`ErrorCode::RateLimited`].
    pub fn mail(&self, address: IpAddr, account: &str) -> Result<()> {
        self.mails.take(address, account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const ACCOUNT: &str = "ada@example.com";

    /// How many attempts with this result are made before they are refused, at most 200.
    fn attempts(limits: &SignInLimits, error: Option<ErrorCode>) -> usize {
        let attempt = |_: &usize| {
            limits.attempt(ADDRESS, ACCOUNT).is_ok()
                && limits.settle(ADDRESS, ACCOUNT, error).is_ok()
        };
        (0..200).take_while(attempt).count()
    }

    #[test]
    fn wrong_guesses_are_limited_by_account_in_any_case_of_its_letters() {
        let limits = SignInLimits::default();
        assert_eq!(attempts(&limits, Some(ErrorCode::InvalidCredential)), 10);
        assert!(limits.attempt(ADDRESS, " ADA@Example.com").is_err());
        assert!(limits.attempt(ADDRESS, "eve@example.com").is_ok());
    }

    #[test]
    fn attempts_that_were_not_looked_at_do_not_count() {
        assert_eq!(attempts(&SignInLimits::default(), Some(ErrorCode::Overloaded)), 200);
    }

    #[test]
    fn right_passwords_have_a_larger_limit_and_count_as_guesses_beyond_it() {
        for error in [None, Some(ErrorCode::SecondFactorRequired)] {
            let limits = SignInLimits::default();
            assert_eq!(attempts(&limits, error), 60, "{error:?}");
            // Each costs a hash and, without a second factor, a session: these end too.
            let more = (0..200).take_while(|_| limits.attempt(ADDRESS, ACCOUNT).is_ok()).count();
            assert_eq!(more, 9, "{error:?}");
        }
    }

    #[test]
    fn a_success_forgives_wrong_guesses_but_the_right_password_alone_does_not() {
        let limits = SignInLimits::default();
        let guess = |error| {
            limits.attempt(ADDRESS, ACCOUNT).unwrap();
            limits.settle(ADDRESS, ACCOUNT, error).unwrap();
        };
        for _ in 0..9 {
            guess(Some(ErrorCode::InvalidCredential));
        }
        guess(None);
        assert_eq!(attempts(&limits, Some(ErrorCode::InvalidCredential)), 10);
        let limits = SignInLimits::default();
        for _ in 0..9 {
            limits.attempt(ADDRESS, ACCOUNT).unwrap();
            limits.attempt(ADDRESS, ACCOUNT).unwrap();
            limits.settle(ADDRESS, ACCOUNT, Some(ErrorCode::SecondFactorRequired)).unwrap();
        }
        assert_eq!(attempts(&limits, Some(ErrorCode::InvalidCredential)), 1);
    }
}

//! Limits on sign-ins, and on mails that anybody can cause: by address, and by account.

use std::net::{IpAddr, Ipv4Addr};

use sha2::{Digest, Sha256};

use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::http::attempt_limiter::{AttemptLimiter, Limit, TooMany};

/// The limits of the reference API: 30 attempts per 15 minutes and address, 10 per account.
const BY_ADDRESS: Limit = Limit { max: 30, window_seconds: 15 * 60, capacity: 50_000 };
const BY_ACCOUNT: Limit = Limit { max: 10, window_seconds: 15 * 60, capacity: 200_000 };
const MAILS_BY_ADDRESS: Limit = Limit { max: 30, window_seconds: 3_600, capacity: 50_000 };
const MAILS_BY_ACCOUNT: Limit = Limit { max: 5, window_seconds: 3_600, capacity: 200_000 };
/// Attempts with the right password, which cost as much.
const DONE_BY_ADDRESS: Limit = Limit { max: 300, window_seconds: 15 * 60, capacity: 50_000 };
const DONE_BY_ACCOUNT: Limit = Limit { max: 60, window_seconds: 15 * 60, capacity: 200_000 };
/// The limiters count by address and subject; one of them is fixed here.
const ANY_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const ANY_SUBJECT: [u8; 16] = [0; 16];

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

fn refused(TooMany { retry_seconds }: TooMany) -> ServiceError {
    let retry_after_seconds = Some(retry_seconds);
    let text = "Too many attempts: try again later.";
    ServiceError { retry_after_seconds, ..ServiceError::new(ErrorCode::RateLimited, text) }
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

    /// Counts an attempt with the right password.
    ///
    /// # Errors
    /// [`ErrorCode::RateLimited`].
    pub fn completed(&self, address: IpAddr, account: &str) -> Result<()> {
        self.done.take(address, account)
    }

    /// Takes back an attempt that was no guess.
    pub fn give_back(&self, address: IpAddr, account: &str) {
        self.sign_ins.by_address.give_back(address, &ANY_SUBJECT);
        self.sign_ins.by_account.give_back(ANY_ADDRESS, &subject(account));
    }

    /// Forgets the attempts at an account after one has succeeded.
    pub fn succeeded(&self, address: IpAddr, account: &str) {
        self.sign_ins.by_address.give_back(address, &ANY_SUBJECT);
        self.sign_ins.by_account.forget(ANY_ADDRESS, &subject(account));
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

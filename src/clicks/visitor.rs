//! The visitor's id: a keyed hash that tells visitors apart for a period, and then no more.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use arc_swap::ArcSwap;
use siphasher::sip::SipHasher24;

use super::salt_file::{SaltFile, SaltFileError, StoredSalt};
use super::salt_period::SaltPeriod;
use crate::domain::ids::WorkspaceId;

/// A key in use and the time for which it may be used, in milliseconds since the Unix epoch.
struct Salt {
    stored: StoredSalt,
    /// Where the period before the key's began.
    tolerated_from_ms: u64,
    /// Where the key's period ends.
    until_ms: u64,
}

impl Salt {
    fn new(stored: StoredSalt) -> Self {
        let span = stored.period.span(stored.from_ms);
        let tolerated_from_ms = stored.period.span(span.start.saturating_sub(1)).start;
        Self { stored, tolerated_from_ms, until_ms: span.end }
    }

    fn made_at(at_ms: u64, period: SaltPeriod) -> Self {
        // The generator is a cryptographic one, seeded by the operating system.
        let key = rand::random();
        Self::new(StoredSalt { key, period, from_ms: period.span(at_ms).start })
    }

    /// Whether the key may be used for a visit of that time.
    ///
    /// A clock that steps back into the period before keeps the key: the one of that period is
    /// gone, and making another would count each visitor again. One that steps back further has
    /// been ahead, and the key would outlive its period by as much.
    fn serves(&self, at_ms: u64) -> bool {
        (self.tolerated_from_ms..self.until_ms).contains(&at_ms)
    }
}

/// The key of the visitors' ids, turned and destroyed when its period ends.
pub struct VisitorSalts {
    period: SaltPeriod,
    current: ArcSwap<Salt>,
    /// Held while a key is made and put in place, so that it is made once.
    turning: Mutex<()>,
    /// Held while the file is written; other visits go on with the new key meanwhile.
    file: Mutex<SaltFile>,
}

impl VisitorSalts {
    /// Takes up the key in the file at `path` if its period is the wanted one and still runs at
    /// `now_ms` (milliseconds since the Unix epoch); otherwise makes a new one.
    ///
    /// A file that can't be read or holds something else is an error. One that can't be written is
    /// only warned of: the key then lives until the process ends.
    pub fn open(path: PathBuf, period: SaltPeriod, now_ms: u64) -> Result<Self, SaltFileError> {
        let file = SaltFile::new(path);
        let stored = file.read()?.filter(|stored| stored.period == period).map(Salt::new);
        let kept = stored.filter(|salt| salt.serves(now_ms));
        let is_new = kept.is_none();
        let salt = kept.unwrap_or_else(|| Salt::made_at(now_ms, period));
        if let Err(error) = file.forget_next() {
            tracing::warn!(%error, "a leftover of the visitors' salt can't be destroyed");
        }
        let salts = Self {
            period,
            current: ArcSwap::from_pointee(salt),
            turning: Mutex::new(()),
            file: Mutex::new(file),
        };
        if is_new {
            salts.store();
        }
        Ok(salts)
    }

    /// The id of a visitor: SipHash-2-4 of the address (16 bytes, IPv4 mapped into IPv6), the
    /// agent's id and the workspace's, with the key of the period that `at_ms` falls into.
    pub fn visitor(&self, at_ms: u64, address: IpAddr, agent: u64, workspace: &WorkspaceId) -> u64 {
        let mut salt = self.current.load();
        if !salt.serves(at_ms) {
            self.turn_if_due(at_ms);
            salt = self.current.load();
        }
        let address = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        let mut hashed = [0; 40];
        hashed[..16].copy_from_slice(&address.octets());
        hashed[16..24].copy_from_slice(&agent.to_be_bytes());
        hashed[24..].copy_from_slice(workspace.as_bytes());
        SipHasher24::new_with_key(&salt.stored.key).hash(&hashed)
    }

    /// Makes a new key and destroys the old one if the old one's period is over at `now_ms`;
    /// says whether it was.
    ///
    /// [`Self::visitor`] does this for the first visit of a period. To be called from time to
    /// time as well, so that a key doesn't outlive its period because nobody comes, and so that
    /// no visit waits for the file.
    pub fn turn_if_due(&self, now_ms: u64) -> bool {
        {
            let _turning = self.turning.lock().unwrap_or_else(PoisonError::into_inner);
            if self.current.load().serves(now_ms) {
                return false;
            }
            self.current.store(Salt::made_at(now_ms, self.period).into());
        }
        self.store();
        true
    }

    /// Writes the current key over the one in the file.
    fn store(&self) {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.replace(&self.current.load().stored) {
            tracing::warn!(%error, "the visitors' salt can't be written: a restart will make a new one");
        }
    }
}

#[cfg(test)]
#[path = "visitor_tests.rs"]
mod tests;

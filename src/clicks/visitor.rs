//! The visitor id: a keyed hash that identifies a visitor within a period only.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use arc_swap::ArcSwap;
use siphasher::sip::SipHasher24;

use super::salt_file::{SaltFile, SaltFileError, StoredSalt};
use super::salt_period::SaltPeriod;
use crate::domain::ids::WorkspaceId;

/// The current key and its validity, in milliseconds since the Unix epoch.
struct Salt {
    stored: StoredSalt,
    /// Start of the previous period.
    tolerated_from_ms: u64,
    /// End of the key's period.
    until_ms: u64,
}

impl Salt {
    fn new(stored: StoredSalt) -> Self {
        let span = stored.period.span(stored.from_ms);
        let tolerated_from_ms = stored.period.span(span.start.saturating_sub(1)).start;
        Self { stored, tolerated_from_ms, until_ms: span.end }
    }

    fn generate(at_ms: u64, period: SaltPeriod) -> Self {
        // A cryptographically secure generator, seeded by the operating system.
        let key = rand::random();
        Self::new(StoredSalt { key, period, from_ms: period.span(at_ms).start })
    }

    /// Whether the key may be used for a visit at this time.
    ///
    /// If the clock steps back into the previous period, the key stays: the previous key is
    /// destroyed, and a new one would count every visitor again. If it steps back further, it was
    /// ahead, and the key would outlive its period by that much.
    fn is_valid_at(&self, at_ms: u64) -> bool {
        (self.tolerated_from_ms..self.until_ms).contains(&at_ms)
    }
}

/// The key of the visitor ids, replaced and destroyed at the end of its period.
pub struct VisitorSalts {
    period: SaltPeriod,
    current: ArcSwap<Salt>,
    /// Held while the key is replaced, so that only one new key is generated.
    rotation: Mutex<()>,
    /// Held while the file is written; visits already use the new key meanwhile.
    file: Mutex<SaltFile>,
}

impl VisitorSalts {
    /// Loads the key from the file at `path` if it has the given period and is valid at `now_ms`
    /// (milliseconds since the Unix epoch); otherwise generates a new one.
    ///
    /// An unreadable or foreign file is an error. A failure to write is only logged: the key then
    /// lives until the process ends.
    pub fn open(path: PathBuf, period: SaltPeriod, now_ms: u64) -> Result<Self, SaltFileError> {
        let file = SaltFile::new(path);
        let stored = file.read()?.filter(|stored| stored.period == period).map(Salt::new);
        let kept = stored.filter(|salt| salt.is_valid_at(now_ms));
        let is_new = kept.is_none();
        let salt = kept.unwrap_or_else(|| Salt::generate(now_ms, period));
        if let Err(error) = file.destroy_next() {
            tracing::warn!(%error, "destroying a leftover salt file failed");
        }
        let salts = Self {
            period,
            current: ArcSwap::from_pointee(salt),
            rotation: Mutex::new(()),
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
        if !salt.is_valid_at(at_ms) {
            self.rotate_if_due(at_ms);
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

    /// Replaces and destroys the key if its period is over at `now_ms`; returns whether it was.
    ///
    /// [`Self::visitor`] does this for the first visit of a period. Call it periodically too, so that
    /// a key does not outlive its period without visits, and no visit waits for the file.
    pub fn rotate_if_due(&self, now_ms: u64) -> bool {
        {
            let _rotation = self.rotation.lock().unwrap_or_else(PoisonError::into_inner);
            if self.current.load().is_valid_at(now_ms) {
                return false;
            }
            self.current.store(Salt::generate(now_ms, self.period).into());
        }
        self.store();
        true
    }

    /// Replaces the key in the file by the current one.
    fn store(&self) {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.replace(&self.current.load().stored) {
            tracing::warn!(%error, "writing the salt file failed: a restart will generate a new salt");
        }
    }
}

#[cfg(test)]
#[path = "visitor_tests.rs"]
mod tests;

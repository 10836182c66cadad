//! API tokens. Secrets are only represented by their hashes.

mod ability;
mod actor;
pub mod state;

use ipnet::IpNet;

pub use ability::{Abilities, Ability};
pub use actor::Actor;

use crate::domain::ids::{TokenId, UserId, WorkspaceId};

/// An API token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The public id.
    pub id: TokenId,
    /// The workspace that it gives access to.
    pub workspace: WorkspaceId,
    /// The member whose token it is; `None` for a machine token of the workspace. A member's token
    /// never has more abilities than the member's role has now.
    pub user: Option<UserId>,
    /// The display name.
    pub name: String,
    /// The abilities.
    pub abilities: Abilities,
    /// SHA-256 of the secret. Generated secrets have more than 100 random bits, so a slow hash adds
    /// nothing.
    pub secret_sha256: [u8; 32],
    /// The secret before the last rotation, while it is still accepted.
    pub previous: Option<PreviousSecret>,
    /// The first characters of the secret, to tell tokens apart; `None` in tokens of old versions.
    pub prefix: Option<String>,
    /// Whether requests with it are refused.
    pub is_disabled: bool,
    /// The networks from which it is accepted; all if empty.
    pub networks: Vec<IpNet>,
    /// In milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// The expiry time, in milliseconds since the Unix epoch; `None` for no expiry.
    pub expires_at_ms: Option<u64>,
}

/// A secret that a rotation has replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreviousSecret {
    /// SHA-256 of the secret.
    pub sha256: [u8; 32],
    /// When it expires, in milliseconds since the Unix epoch.
    pub expires_at_ms: u64,
}

impl Token {
    /// Whether it has expired at this time.
    pub const fn is_expired_at(&self, now_ms: u64) -> bool {
        matches!(self.expires_at_ms, Some(until_ms) if until_ms <= now_ms)
    }

    /// Whether requests with it can be accepted at this time.
    pub const fn is_valid_at(&self, now_ms: u64) -> bool {
        !self.is_disabled && !self.is_expired_at(now_ms)
    }

    /// Whether it is valid at this time and has all abilities, and so can manage all tokens.
    pub const fn is_owner_at(&self, now_ms: u64) -> bool {
        self.abilities.covers(Abilities::ALL) && self.is_valid_at(now_ms)
    }
}

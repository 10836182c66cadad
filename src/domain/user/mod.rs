//! Users: the people who sign in.
//!
//! Personal data (email address, name, password hash, TOTP secret) is sealed with a key of the user
//! before it reaches the domain: destroying that key makes it unreadable everywhere, in the log too.
//! Accounts are found by a keyed hash of the address.

pub mod command;
mod email;
pub mod state;

pub use email::normalized_email;

use crate::domain::named_enum;
use state::UserState;

named_enum! {
    /// A user's role in the whole installation.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub enum UserRole {
        /// Has the roles of their memberships.
        #[default]
        User => "USER",
        /// Also manages all users, and may use the operator's routes.
        Superadmin => "SUPERADMIN",
    }
}

/// How a user proved the second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondFactor {
    /// By the TOTP code of this time step.
    Totp(u64),
    /// By an earlier session, which the new one replaces.
    EarlierSession,
    /// By the recovery code with this SHA-256.
    RecoveryCode([u8; 32]),
}

impl UserState {
    /// Whether signing in needs a second factor.
    pub fn has_two_factor(&self) -> bool {
        self.two_factor.as_ref().is_some_and(|two_factor| two_factor.is_enabled)
    }

    /// Whether a second factor is valid now: a code is accepted once.
    pub fn accepts(&self, factor: SecondFactor) -> bool {
        let Some(two_factor) = &self.two_factor else {
            return factor == SecondFactor::EarlierSession;
        };
        match factor {
            SecondFactor::EarlierSession => true,
            SecondFactor::Totp(step) => two_factor.last_step < step,
            SecondFactor::RecoveryCode(sha256) => {
                two_factor.recovery_sha256.iter().any(|one| one.as_slice() == sha256)
            }
        }
    }

    /// Marks a second factor as used.
    pub fn use_up(&mut self, factor: SecondFactor) {
        let Some(two_factor) = &mut self.two_factor else { return };
        match factor {
            SecondFactor::EarlierSession => {}
            SecondFactor::Totp(step) => two_factor.last_step = step,
            SecondFactor::RecoveryCode(sha256) => {
                two_factor.recovery_sha256.retain(|one| one.as_slice() != sha256);
            }
        }
    }
}

//! Commands on users and their sessions.

use super::state::UserState;
use super::{SecondFactor, UserRole};
use crate::domain::ids::{SessionId, UserId, WorkspaceId};
use crate::domain::session::SessionState;

/// A command on a user, decided in the user's personal workspace.
#[derive(Debug, Clone)]
pub enum UserCommand {
    /// Creates a user.
    Create(Box<UserState>),
    /// Changes a user.
    Change(UserId, UserChange),
    /// Deletes a user, who must own no shared workspace.
    Delete(UserId),
    /// Starts a session after the password was verified.
    StartSession(Box<SessionState>, Option<SecondFactor>),
    /// Ends a session.
    EndSession(UserId, SessionId),
    /// Records that signing in failed.
    RecordFailure(UserId),
}

/// A change of a user. Sealed values were sealed with the user's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserChange {
    /// Another name; `None` to remove it.
    Name(Option<Vec<u8>>),
    /// Sets the email address and the password of a user without a password.
    SetUp {
        /// The keyed hash of the address.
        email_hash: [u8; 32],
        /// The address, sealed.
        email: Vec<u8>,
        /// The hash of the password, sealed.
        password: Vec<u8>,
    },
    /// Another email address, or its verification.
    Email(EmailChange),
    /// Another password; ends all sessions.
    Password {
        /// The hash of the password, sealed.
        password: Vec<u8>,
        /// The `session_epoch` of the user whose identity was proven.
        epoch: u32,
    },
    /// Two-factor authentication.
    TwoFactor(TwoFactorChange),
    /// Blocks the user, which ends all sessions, or unblocks the user.
    Block(bool),
    /// Another role in the whole installation.
    Role(UserRole),
    /// Another workspace for requests that name none.
    DefaultWorkspace(WorkspaceId),
    /// Ends all sessions.
    EndSessions,
}

/// A change of a user's email address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EmailChange {
    /// Asks for another email address, which is used once it is confirmed.
    Request {
        /// The keyed hash of the new address.
        hash: [u8; 32],
        /// The address, sealed.
        sealed: Vec<u8>,
    },
    /// The requested address with this hash was confirmed.
    Confirm([u8; 32]),
    /// The current address with this hash was verified.
    Verify([u8; 32]),
}

/// A change of a user's two-factor authentication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TwoFactorChange {
    /// Begins to set up two-factor authentication with this sealed secret.
    Begin(Vec<u8>),
    /// Turns two-factor authentication on.
    Enable {
        /// The time step of the code that proves the set-up.
        step: u64,
        /// SHA-256 of each recovery code.
        recovery_sha256: Vec<[u8; 32]>,
    },
    /// Turns two-factor authentication off.
    Disable,
}

//! Users as stored in the mutation log. User events belong to the user's personal workspace, whose
//! id has the same UUID.

use uuid::Uuid;

use super::UserRole;
use crate::domain::error::Unreadable;
use crate::domain::ids::{UserId, WorkspaceId};

/// A user as logged, in full. Sealed values are encrypted with the user's key.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct UserState {
    /// The 16 bytes of the id.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// The keyed hash of the email address.
    #[prost(bytes = "vec", tag = "2")]
    pub email_hash: Vec<u8>,
    /// The email address, sealed.
    #[prost(bytes = "vec", tag = "3")]
    pub email: Vec<u8>,
    /// The name, sealed.
    #[prost(bytes = "vec", optional, tag = "4")]
    pub name: Option<Vec<u8>>,
    /// The hash of the password (PHC), sealed; `None` until one is set.
    #[prost(bytes = "vec", optional, tag = "5")]
    pub password: Option<Vec<u8>>,
    /// Whether the email address was verified.
    #[prost(bool, tag = "6")]
    pub is_verified: bool,
    /// Whether the role is [`UserRole::Superadmin`].
    #[prost(bool, tag = "7")]
    pub is_superadmin: bool,
    /// Whether the user can't sign in.
    #[prost(bool, tag = "8")]
    pub is_blocked: bool,
    /// The address that is to replace the email address once it is confirmed.
    #[prost(message, optional, tag = "9")]
    pub requested_email: Option<RequestedEmail>,
    /// Two-factor authentication, being set up or enabled.
    #[prost(message, optional, tag = "10")]
    pub two_factor: Option<TwoFactorState>,
    /// The number of times that all sessions were ended: earlier ones are not valid.
    #[prost(uint32, tag = "11")]
    pub session_epoch: u32,
    /// In milliseconds since the Unix epoch.
    #[prost(uint64, tag = "12")]
    pub created_at_ms: u64,
    /// In milliseconds since the Unix epoch.
    #[prost(uint64, tag = "13")]
    pub updated_at_ms: u64,
    /// The 16 bytes of the workspace of requests that name none; empty for the personal one.
    #[prost(bytes = "vec", tag = "14")]
    pub default_workspace: Vec<u8>,
}

/// An email address that is not confirmed yet.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RequestedEmail {
    /// Its keyed hash.
    #[prost(bytes = "vec", tag = "1")]
    pub hash: Vec<u8>,
    /// The address, sealed.
    #[prost(bytes = "vec", tag = "2")]
    pub sealed: Vec<u8>,
}

/// Two-factor authentication by TOTP (RFC 6238).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TwoFactorState {
    /// The secret, sealed.
    #[prost(bytes = "vec", tag = "1")]
    pub secret: Vec<u8>,
    /// Whether it is enabled; else a code has to confirm it.
    #[prost(bool, tag = "2")]
    pub is_enabled: bool,
    /// The time step of the last code that was used: codes up to it are not accepted again.
    #[prost(uint64, tag = "3")]
    pub last_step: u64,
    /// SHA-256 of each unused recovery code.
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub recovery_sha256: Vec<Vec<u8>>,
}

/// A user was deleted, with the personal workspace.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct UserDeleted {
    /// The user's 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub user: Vec<u8>,
    /// When the data of the personal workspace is removed, in milliseconds since the Unix epoch.
    #[prost(uint64, tag = "2")]
    pub purged_at_ms: u64,
}

/// A sign-in with a wrong password or code.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SignInFailed {
    /// The user's 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub user: Vec<u8>,
}

impl UserState {
    /// The id.
    ///
    /// # Errors
    /// [`Unreadable`] if it is not 16 bytes long.
    pub fn user_id(&self) -> Result<UserId, Unreadable> {
        UserId::from_bytes(&self.id).map_err(|_| Unreadable("user id"))
    }

    /// The workspace of requests that name none: by default the personal one.
    pub fn default_workspace(&self) -> WorkspaceId {
        let chosen = WorkspaceId::from_bytes(&self.default_workspace);
        let personal =
            || Uuid::from_slice(&self.id).map_or(WorkspaceId::new(Uuid::nil()), WorkspaceId::new);
        chosen.unwrap_or_else(|_| personal())
    }

    /// The role in the whole installation.
    pub const fn role(&self) -> UserRole {
        if self.is_superadmin { UserRole::Superadmin } else { UserRole::User }
    }

    /// Whether this is a superadmin who can sign in.
    pub const fn is_active_superadmin(&self) -> bool {
        self.is_superadmin && !self.is_blocked
    }
}

/// The personal workspace of a user.
pub const fn personal_workspace(user: UserId) -> WorkspaceId {
    WorkspaceId::new(user.uuid())
}

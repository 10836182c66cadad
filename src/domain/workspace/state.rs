//! Workspaces, members and invitations as stored in the mutation log. Their workspace is the
//! envelope's.

use super::Role;
use crate::domain::error::Unreadable;
use crate::domain::ids::{InvitationId, UserId, WorkspaceId};
use crate::domain::plan::AssignedPlan;

/// A workspace was created.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct WorkspaceCreated {
    /// The display name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The owner's 16 bytes; empty if only machine tokens use it.
    #[prost(bytes = "vec", tag = "2")]
    pub owner: Vec<u8>,
}

/// A workspace was renamed.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct WorkspaceRenamed {
    /// The display name.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// A workspace was deleted. It can be restored until its data is purged.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct WorkspaceDeleted {
    /// When its data is purged, in milliseconds since the Unix epoch.
    #[prost(uint64, tag = "1")]
    pub purged_at_ms: u64,
}

/// A deleted workspace was restored.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct WorkspaceRestored {}

/// All data of a deleted workspace was purged, and with it the workspace itself.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct WorkspacePurged {}

/// The ownership of a workspace was offered to a member, or the offer withdrawn.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct OwnershipOffered {
    /// The member's 16 bytes; empty if the offer was withdrawn or declined.
    #[prost(bytes = "vec", tag = "1")]
    pub user: Vec<u8>,
    /// When the offer expires, in milliseconds since the Unix epoch.
    #[prost(uint64, tag = "2")]
    pub expires_at_ms: u64,
}

/// The ownership of a workspace was transferred; the former owner is an admin now.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct OwnershipTransferred {
    /// The new owner's 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub user: Vec<u8>,
}

/// A member of a workspace.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MemberState {
    /// The user's 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub user: Vec<u8>,
    /// The number of the [`Role`].
    #[prost(uint32, tag = "2")]
    pub role: u32,
    /// In milliseconds since the Unix epoch.
    #[prost(uint64, tag = "3")]
    pub joined_at_ms: u64,
    /// The 16 bytes of the invitation that was accepted; empty for none.
    #[prost(bytes = "vec", tag = "4")]
    pub invitation: Vec<u8>,
}

/// A member was removed from a workspace, or left it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MemberRemoved {
    /// The user's 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub user: Vec<u8>,
}

/// An invitation to a workspace.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct InvitationState {
    /// The 16 bytes of the id.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// The keyed hash of the email address.
    #[prost(bytes = "vec", tag = "2")]
    pub email_hash: Vec<u8>,
    /// The email address, sealed with a key of the invitation.
    #[prost(bytes = "vec", tag = "3")]
    pub email: Vec<u8>,
    /// The number of the [`Role`].
    #[prost(uint32, tag = "4")]
    pub role: u32,
    /// The 16 bytes of the user who invites; empty for the operator or a machine token.
    #[prost(bytes = "vec", tag = "5")]
    pub invited_by: Vec<u8>,
    /// In milliseconds since the Unix epoch.
    #[prost(uint64, tag = "6")]
    pub created_at_ms: u64,
    /// When it expires, in milliseconds since the Unix epoch.
    #[prost(uint64, tag = "7")]
    pub expires_at_ms: u64,
}

/// An invitation was revoked.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct InvitationRevoked {
    /// The invitation's 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub invitation: Vec<u8>,
}

/// The current state of a workspace, as stored in the index.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct WorkspaceState {
    /// The display name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The owner's 16 bytes; empty if only machine tokens use it.
    #[prost(bytes = "vec", tag = "2")]
    pub owner: Vec<u8>,
    /// In milliseconds since the Unix epoch.
    #[prost(uint64, tag = "3")]
    pub created_at_ms: u64,
    /// When the data is purged, in milliseconds since the Unix epoch; `None` if the workspace is
    /// not deleted.
    #[prost(uint64, optional, tag = "4")]
    pub purged_at_ms: Option<u64>,
    /// The member to whom the ownership is offered.
    #[prost(message, optional, tag = "5")]
    pub offer: Option<OwnershipOffered>,
    /// The number of members.
    #[prost(uint64, tag = "6")]
    pub members: u64,
    /// The plan; `None` for the catalogue's default.
    #[prost(message, optional, tag = "7")]
    pub plan: Option<AssignedPlan>,
}

/// Parses the 16 bytes of a user's id.
///
/// # Errors
/// [`Unreadable`] if there are not 16 bytes.
pub fn user_id(bytes: &[u8]) -> Result<UserId, Unreadable> {
    UserId::from_bytes(bytes).map_err(|_| Unreadable("user id"))
}

/// The role with this number.
///
/// # Errors
/// [`Unreadable`] for an unknown role, which must not be ignored.
pub fn role(number: u32) -> Result<Role, Unreadable> {
    Role::from_number(number).ok_or(Unreadable("role"))
}

impl WorkspaceState {
    /// Whether it is the personal workspace of a user: these have the user's UUID.
    pub fn is_personal(&self, id: WorkspaceId) -> bool {
        self.owner == id.as_bytes()
    }
}

impl MemberState {
    /// Whether the member owns the workspace.
    pub const fn is_owner(&self) -> bool {
        self.role == Role::Owner as u32
    }
}

impl InvitationState {
    /// The id.
    ///
    /// # Errors
    /// [`Unreadable`] if it is not 16 bytes long.
    pub fn invitation_id(&self) -> Result<InvitationId, Unreadable> {
        InvitationId::from_bytes(&self.id).map_err(|_| Unreadable("invitation id"))
    }
}

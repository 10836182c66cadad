//! Commands on workspaces, members and invitations.

use super::Role;
use super::state::InvitationState;
use crate::domain::ids::{InvitationId, UserId};

/// A command on the actor's workspace.
#[derive(Debug, Clone)]
pub enum WorkspaceCommand {
    /// Creates the workspace.
    Create {
        /// The display name.
        name: String,
        /// The owner; `None` if only machine tokens are to use it.
        owner: Option<UserId>,
    },
    /// Renames the workspace.
    Rename(String),
    /// Deletes the workspace; it can be restored for some time.
    Delete,
    /// Restores the deleted workspace.
    Restore,
    /// Removes the deleted workspace, which has no links and domains left.
    Purge,
    /// Adds a member without an invitation.
    AddMember(UserId, Role),
    /// Gives a member another role.
    ChangeMember(UserId, Role),
    /// Removes a member. Members may remove themselves.
    RemoveMember(UserId),
    /// Invites somebody.
    Invite(Box<InvitationState>),
    /// Extends an invitation that is sent again.
    ResendInvitation(InvitationId),
    /// Revokes an invitation.
    RevokeInvitation(InvitationId),
    /// Makes a user a member by an invitation that was sent to the user's address.
    AcceptInvitation(InvitationId, UserId),
    /// Offers the ownership to a member.
    OfferOwnership(UserId),
    /// Withdraws or declines the offer of the ownership.
    WithdrawOffer,
    /// Takes over the ownership that was offered to the actor.
    AcceptOwnership,
}

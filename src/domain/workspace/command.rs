//! Commands on workspaces, members and invitations.

use super::Role;
use super::state::InvitationState;
use crate::domain::ids::{InvitationId, UserId};
use crate::domain::token::Ability;

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

impl WorkspaceCommand {
    /// Whether its actor, if a user, is a member of the workspace.
    pub const fn is_by_member(&self) -> bool {
        !matches!(self, Self::Create { .. } | Self::AcceptInvitation(..))
    }

    /// The ability that the actor needs. Some commands require more, as to be the owner.
    pub const fn ability(&self) -> Ability {
        match self {
            Self::Rename(_) => Ability::WorkspaceWrite,
            Self::AddMember(..)
            | Self::ChangeMember(..)
            | Self::Invite(_)
            | Self::ResendInvitation(_)
            | Self::RevokeInvitation(_) => Ability::MembersWrite,
            Self::Create { .. }
            | Self::Delete
            | Self::Restore
            | Self::Purge
            | Self::RemoveMember(_)
            | Self::AcceptInvitation(..)
            | Self::OfferOwnership(_)
            | Self::WithdrawOffer
            | Self::AcceptOwnership => Ability::UserWrite,
        }
    }
}

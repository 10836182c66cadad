//! Decides commands on workspaces, their members and invitations.

use super::decide::{CommandHandler, Decision};
use super::tokens::check_name;
use crate::domain::command::Outcome;
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::event::{
    Event, InvitationRevoked, InvitationState, MemberRemoved, MemberState, OwnershipOffered,
    OwnershipTransferred, WorkspaceCreated, WorkspaceDeleted, WorkspacePurged, WorkspaceRenamed,
    WorkspaceRestored,
};
use crate::domain::ids::{InvitationId, UserId};
use crate::domain::retention::{INVITATION_MS, OWNERSHIP_OFFER_MS, WORKSPACE_RESTORABLE_MS};
use crate::domain::token::{Abilities, Ability};
use crate::domain::workspace::command::WorkspaceCommand;
use crate::domain::workspace::state::{WorkspaceState, role as role_of, user_id};
use crate::domain::workspace::{MAX_NAME_CHARS, Role};
use crate::projections::index::{ReadRanges, ReadUsers, ReadWorkspaces};

/// The maximum number of workspaces in which a user can be, to create another one.
const MAX_WORKSPACES: usize = 100;
/// The maximum number of open invitations of a workspace.
const MAX_INVITATIONS: usize = 1_000;

fn conflict(text: &'static str) -> ServiceError {
    ServiceError::new(ErrorCode::Conflict, text)
}

fn gone(what: &str) -> ServiceError {
    ServiceError::new(ErrorCode::Gone, format!("The {what} has expired."))
}

impl<R: ReadRanges> CommandHandler<'_, R> {
    pub(super) fn decide_workspace(&self, command: WorkspaceCommand) -> Result<Decision> {
        if let WorkspaceCommand::Create { name, owner } = command {
            return self.create_workspace(name, owner);
        }
        let found = self.state.workspace(self.actor.workspace)?;
        let workspace = found.ok_or_else(|| ServiceError::not_found("workspace"))?;
        let is_of_deleted = matches!(
            command,
            WorkspaceCommand::Restore
                | WorkspaceCommand::Purge
                | WorkspaceCommand::RemoveMember(_)
                | WorkspaceCommand::RevokeInvitation(_)
        );
        if workspace.purged_at_ms.is_some() && !is_of_deleted {
            return Err(conflict("The workspace is deleted: restore it first."));
        }
        match command {
            WorkspaceCommand::Create { .. } => Err(ServiceError::internal("decided before")),
            WorkspaceCommand::Rename(name) => self.rename_workspace(workspace, name),
            WorkspaceCommand::Delete => self.delete_workspace(workspace),
            WorkspaceCommand::Restore => self.restore_workspace(workspace),
            WorkspaceCommand::Purge => self.purge_workspace(&workspace),
            WorkspaceCommand::AddMember(user, role) => self.add_member(&workspace, user, role),
            WorkspaceCommand::ChangeMember(user, role) => self.change_member(user, role),
            WorkspaceCommand::RemoveMember(user) => self.remove_member(user),
            WorkspaceCommand::Invite(invitation) => self.invite(*invitation),
            WorkspaceCommand::ResendInvitation(id) => self.resend_invitation(id),
            WorkspaceCommand::RevokeInvitation(id) => self.revoke_invitation(id),
            WorkspaceCommand::AcceptInvitation(id, user) => self.accept_invitation(id, user),
            WorkspaceCommand::OfferOwnership(user) => self.offer_ownership(workspace, user),
            WorkspaceCommand::WithdrawOffer => self.withdraw_offer(workspace),
            WorkspaceCommand::AcceptOwnership => self.accept_ownership(workspace),
        }
    }

    /// Refuses actors who are neither the workspace's owner nor the operator.
    fn require_owner(&self) -> Result<()> {
        if self.actor.abilities.covers(Abilities::ALL) {
            return Ok(());
        }
        let text = "Only the workspace's owner can do this.";
        Err(ServiceError::new(ErrorCode::Forbidden, text))
    }

    fn is_personal(&self, workspace: &WorkspaceState) -> bool {
        workspace.is_personal(self.actor.workspace)
    }

    fn refuse_personal(&self, workspace: &WorkspaceState, text: &'static str) -> Result<()> {
        if self.is_personal(workspace) { Err(conflict(text)) } else { Ok(()) }
    }

    fn create_workspace(&self, name: String, owner: Option<UserId>) -> Result<Decision> {
        check_name(&name, MAX_NAME_CHARS).map_err(|rule| ServiceError::field("name", rule))?;
        if self.state.workspace(self.actor.workspace)?.is_some() {
            return Err(conflict("There is a workspace with this id already."));
        }
        if let Some(owner) = owner
            && self.state.workspaces_of(owner)?.len() >= MAX_WORKSPACES
        {
            let text = format!("A user can have {MAX_WORKSPACES} workspaces: leave some first.");
            return Err(ServiceError::new(ErrorCode::Conflict, text));
        }
        let owner = owner.map_or_else(Vec::new, |owner| owner.as_bytes().to_vec());
        let workspace = WorkspaceState {
            name: name.clone(),
            owner: owner.clone(),
            created_at_ms: self.now_ms,
            members: u64::from(!owner.is_empty()),
            ..WorkspaceState::default()
        };
        let created = Event::WorkspaceCreated(WorkspaceCreated { name, owner });
        Ok((Some(created), Outcome::Workspace(workspace.into())))
    }

    fn rename_workspace(&self, before: WorkspaceState, name: String) -> Result<Decision> {
        self.require(Ability::WorkspaceWrite)?;
        check_name(&name, MAX_NAME_CHARS).map_err(|rule| ServiceError::field("name", rule))?;
        let renamed = (before.name != name).then(|| WorkspaceRenamed { name: name.clone() });
        let workspace = WorkspaceState { name, ..before };
        Ok((renamed.map(Event::WorkspaceRenamed), Outcome::Workspace(workspace.into())))
    }

    fn delete_workspace(&self, before: WorkspaceState) -> Result<Decision> {
        self.require_owner()?;
        self.refuse_personal(&before, "A personal workspace is deleted with its user.")?;
        let purged_at_ms = self.now_ms + WORKSPACE_RESTORABLE_MS;
        let workspace = WorkspaceState { purged_at_ms: Some(purged_at_ms), ..before };
        let deleted = Event::WorkspaceDeleted(WorkspaceDeleted { purged_at_ms });
        Ok((Some(deleted), Outcome::Workspace(workspace.into())))
    }

    fn restore_workspace(&self, before: WorkspaceState) -> Result<Decision> {
        self.require_owner()?;
        match before.purged_at_ms {
            None => return Ok((None, Outcome::Workspace(before.into()))),
            Some(at_ms) if at_ms <= self.now_ms => return Err(gone("time to restore it")),
            Some(_) => {}
        }
        if self.is_personal(&before) {
            return Err(conflict("The user of this personal workspace is deleted."));
        }
        let workspace = WorkspaceState { purged_at_ms: None, ..before };
        let restored = Event::WorkspaceRestored(WorkspaceRestored {});
        Ok((Some(restored), Outcome::Workspace(workspace.into())))
    }

    fn purge_workspace(&self, workspace: &WorkspaceState) -> Result<Decision> {
        self.require_owner()?;
        if workspace.purged_at_ms.is_none_or(|at_ms| at_ms > self.now_ms) {
            return Err(conflict("The workspace can still be restored."));
        }
        if self.state.link_count(self.actor.workspace)? > 0 {
            return Err(conflict("The workspace still has links."));
        }
        Ok((Some(Event::WorkspacePurged(WorkspacePurged {})), Outcome::Gone))
    }

    fn add_member(&self, workspace: &WorkspaceState, user: UserId, role: Role) -> Result<Decision> {
        self.require(Ability::MembersWrite)?;
        self.refuse_personal(workspace, "A personal workspace has one member.")?;
        self.state.user(user)?.ok_or_else(|| ServiceError::not_found("user"))?;
        if role != Role::Owner {
            return self.join(user, role, Vec::new());
        }
        self.require_owner()?;
        if !workspace.owner.is_empty() {
            return Err(conflict("The workspace has an owner already."));
        }
        let user = user.as_bytes().to_vec();
        let (joined_at_ms, role) = (self.now_ms, role as u32);
        let transferred = OwnershipTransferred { user: user.clone() };
        let owner = MemberState { user, role, joined_at_ms, invitation: Vec::new() };
        Ok((Some(Event::OwnershipTransferred(transferred)), Outcome::Member(owner.into())))
    }

    /// Adds a user who is not a member yet.
    fn join(&self, user: UserId, role: Role, invitation: Vec<u8>) -> Result<Decision> {
        if self.state.member(self.actor.workspace, user)?.is_some() {
            return Err(conflict("The user is a member of the workspace already."));
        }
        let member = MemberState {
            user: user.as_bytes().to_vec(),
            role: role as u32,
            joined_at_ms: self.now_ms,
            invitation,
        };
        Ok((Some(Event::MemberAdded(member.clone())), Outcome::Member(member.into())))
    }

    fn existing_member(&self, user: UserId) -> Result<MemberState> {
        let member = self.state.member(self.actor.workspace, user)?;
        member.ok_or_else(|| ServiceError::not_found("member"))
    }

    /// Refuses to give a role with abilities that the actor lacks.
    fn require_role(&self, role: Role) -> Result<()> {
        self.require(Ability::MembersWrite)?;
        if role == Role::Owner {
            let text = "can't be owner: offer the ownership instead";
            return Err(ServiceError::field("role", text));
        }
        if !self.actor.abilities.covers(role.abilities()) {
            let text = "You cannot give a role that can do more than you.";
            return Err(ServiceError::new(ErrorCode::Forbidden, text));
        }
        Ok(())
    }

    fn change_member(&self, user: UserId, role: Role) -> Result<Decision> {
        let before = self.existing_member(user)?;
        self.require_role(role)?;
        if before.role == Role::Owner as u32 {
            return Err(conflict("The owner's role changes by a transfer of the ownership."));
        }
        self.require_role(role_of(before.role)?)?;
        let member = MemberState { role: role as u32, ..before.clone() };
        let event = (member.role != before.role).then(|| Event::MemberChanged(member.clone()));
        Ok((event, Outcome::Member(member.into())))
    }

    fn remove_member(&self, user: UserId) -> Result<Decision> {
        let member = self.existing_member(user)?;
        let is_self = self.actor.user.is_some_and(|(actor, _)| actor == user);
        if member.role == Role::Owner as u32 {
            return Err(conflict("The owner can't leave: transfer the ownership first."));
        }
        if !is_self {
            self.require_role(role_of(member.role)?)?;
        }
        let removed = MemberRemoved { user: member.user };
        Ok((Some(Event::MemberRemoved(removed)), Outcome::Gone))
    }

    fn invite(&self, invitation: InvitationState) -> Result<Decision> {
        let workspace = self.actor.workspace;
        self.require_role(role_of(invitation.role)?)?;
        let found = self.state.workspace(workspace)?.unwrap_or_default();
        let text = "A personal workspace has one member: create a workspace to share.";
        self.refuse_personal(&found, text)?;
        if let Some(user) = self.state.user_by_email(&invitation.email_hash)?
            && self.state.member(workspace, user)?.is_some()
        {
            return Err(conflict("The user is a member of the workspace already."));
        }
        let others = self.state.invitations(workspace)?;
        let is_open = |other: &&InvitationState| other.expires_at_ms > self.now_ms;
        if others.iter().filter(is_open).any(|other| other.email_hash == invitation.email_hash) {
            return Err(conflict("The address is invited already: send the invitation again."));
        }
        if others.len() >= MAX_INVITATIONS {
            let text =
                format!("The workspace has {MAX_INVITATIONS} invitations: revoke some first.");
            return Err(ServiceError::new(ErrorCode::Conflict, text));
        }
        let invited_by = self.actor.user_in_log();
        Ok(self.send_invitation(InvitationState {
            invited_by,
            created_at_ms: self.now_ms,
            ..invitation
        }))
    }

    fn send_invitation(&self, invitation: InvitationState) -> Decision {
        let expires_at_ms = self.now_ms + INVITATION_MS;
        let invitation = InvitationState { expires_at_ms, ..invitation };
        let sent = Event::InvitationSent(invitation.clone());
        (Some(sent), Outcome::Invitation(invitation.into()))
    }

    fn existing_invitation(&self, id: InvitationId) -> Result<InvitationState> {
        let invitation = self.state.invitation(self.actor.workspace, id)?;
        invitation.ok_or_else(|| ServiceError::not_found("invitation"))
    }

    fn resend_invitation(&self, id: InvitationId) -> Result<Decision> {
        let invitation = self.existing_invitation(id)?;
        self.require_role(role_of(invitation.role)?)?;
        Ok(self.send_invitation(invitation))
    }

    fn revoke_invitation(&self, id: InvitationId) -> Result<Decision> {
        self.require(Ability::MembersWrite)?;
        let invitation = self.existing_invitation(id)?;
        let revoked = InvitationRevoked { invitation: invitation.id };
        Ok((Some(Event::InvitationRevoked(revoked)), Outcome::Gone))
    }

    fn accept_invitation(&self, id: InvitationId, user: UserId) -> Result<Decision> {
        let invitation = self.existing_invitation(id)?;
        if invitation.expires_at_ms <= self.now_ms {
            return Err(gone("invitation"));
        }
        let found = self.state.user(user)?.ok_or_else(|| ServiceError::not_found("user"))?;
        if found.email_hash != invitation.email_hash {
            let text = "The invitation was sent to another email address: sign in with that one.";
            return Err(ServiceError::new(ErrorCode::Forbidden, text));
        }
        self.join(user, role_of(invitation.role)?, invitation.id)
    }

    fn offer_ownership(&self, before: WorkspaceState, user: UserId) -> Result<Decision> {
        self.require_owner()?;
        self.refuse_personal(&before, "A personal workspace can't be transferred.")?;
        let member = self.existing_member(user)?;
        if member.role == Role::Owner as u32 {
            return Err(conflict("The member is the owner already."));
        }
        let expires_at_ms = self.now_ms + OWNERSHIP_OFFER_MS;
        let offered = OwnershipOffered { user: member.user, expires_at_ms };
        let workspace = WorkspaceState { offer: Some(offered.clone()), ..before };
        Ok((Some(Event::OwnershipOffered(offered)), Outcome::Workspace(workspace.into())))
    }

    fn withdraw_offer(&self, before: WorkspaceState) -> Result<Decision> {
        let offer = before.offer.as_ref();
        let offer = offer.ok_or_else(|| ServiceError::not_found("offer of the ownership"))?;
        if offer.user != self.actor.user_in_log() {
            self.require_owner()?;
        }
        let workspace = WorkspaceState { offer: None, ..before };
        let withdrawn = OwnershipOffered::default();
        Ok((Some(Event::OwnershipOffered(withdrawn)), Outcome::Workspace(workspace.into())))
    }

    fn accept_ownership(&self, before: WorkspaceState) -> Result<Decision> {
        let actor = self.actor.user_in_log();
        let offer = before.offer.clone().filter(|offer| offer.user == actor && !actor.is_empty());
        let offer = offer.ok_or_else(|| ServiceError::not_found("offer of the ownership"))?;
        if offer.expires_at_ms <= self.now_ms {
            return Err(gone("offer"));
        }
        self.existing_member(user_id(&actor)?)?;
        let workspace = WorkspaceState { owner: actor.clone(), offer: None, ..before };
        let transferred = OwnershipTransferred { user: actor };
        Ok((Some(Event::OwnershipTransferred(transferred)), Outcome::Workspace(workspace.into())))
    }
}

//! Invitations: their addresses, and the links that are sent there.

use uuid::Uuid;

use super::{AccountLink, Accounts, EMAIL, LinkPurpose};
use crate::commands::now_ms;
use crate::domain::command::{Command, Outcome};
use crate::domain::error::{ErrorCode, Invalid, Result, ServiceError};
use crate::domain::event::{InvitationState, MemberState};
use crate::domain::ids::{InvitationId, UserId, WorkspaceId};
use crate::domain::token::{Abilities, Actor};
use crate::domain::user::normalized_email;
use crate::domain::workspace::Role;
use crate::domain::workspace::command::WorkspaceCommand;
use crate::projections::index::ReadWorkspaces;

/// An invitation with its readable address, and the token of its link.
pub struct Invited {
    /// The invitation.
    pub invitation: InvitationState,
    /// The address.
    pub email: String,
    /// The token of the link that accepts it.
    pub token: String,
}

impl Accounts {
    /// Invites the owner of an address to the actor's workspace.
    ///
    /// # Errors
    /// `Conflict` if the address belongs to a member or is invited already.
    pub async fn invite(&self, actor: Actor, email: &str, role: Role) -> Result<Invited> {
        let email = normalized_email(email).map_err(|rule| ServiceError::field("email", rule))?;
        let id = InvitationId::new(Uuid::now_v7());
        let invitation = InvitationState {
            id: id.as_bytes().to_vec(),
            email_hash: self.personal.email_hash(&email).to_vec(),
            role: role as u32,
            ..InvitationState::default()
        };
        // A key cannot be taken back, so one is only made for what will be accepted.
        let command = WorkspaceCommand::Invite(Box::new(invitation.clone()));
        self.dry_run(actor, Command::Workspace(command)).await?;
        let email = self.seal(id.uuid(), EMAIL, email).await?;
        let invitation = InvitationState { email, ..invitation };
        let command = WorkspaceCommand::Invite(Box::new(invitation));
        match self.run_in_workspace(actor, command).await {
            Ok(done) => self.invited(actor.workspace, done.outcome),
            Err(error) => {
                if error.code != ErrorCode::ChangesUnavailable {
                    self.destroy(id.uuid()).await?;
                }
                Err(error)
            }
        }
    }

    /// Extends an invitation, to send it again.
    pub async fn resend(&self, actor: Actor, id: InvitationId) -> Result<Invited> {
        let command = WorkspaceCommand::ResendInvitation(id);
        let done = self.run_in_workspace(actor, command).await?;
        self.invited(actor.workspace, done.outcome)
    }

    fn invited(&self, workspace: WorkspaceId, outcome: Outcome) -> Result<Invited> {
        let Outcome::Invitation(invitation) = outcome else {
            return Err(ServiceError::internal("an invitation was expected"));
        };
        let id = invitation.invitation_id()?.uuid();
        let email = self.invitation_email(&invitation).unwrap_or_default();
        let token = self.invitation_link(id, workspace.uuid());
        Ok(Invited { invitation: *invitation, email, token })
    }

    /// The address of an invitation.
    pub fn invitation_email(&self, invitation: &InvitationState) -> Option<String> {
        self.open(invitation.invitation_id().ok()?.uuid(), EMAIL, &invitation.email)
    }

    /// Revokes an invitation, and forgets its address.
    pub async fn revoke_invitation(&self, actor: Actor, id: InvitationId) -> Result<()> {
        self.run_in_workspace(actor, WorkspaceCommand::RevokeInvitation(id)).await?;
        self.destroy(id.uuid()).await
    }

    /// The invitation of a link.
    ///
    /// # Errors
    /// `NotFound` for an unknown or revoked one, and if the workspace is deleted; `Gone` for one
    /// that has expired or was accepted.
    pub fn invitation(&self, link: &AccountLink) -> Result<(WorkspaceId, InvitationState)> {
        self.verify_link(link, LinkPurpose::Invitation, &[])?;
        let (workspace, id) = (WorkspaceId::new(link.scope), InvitationId::new(link.subject));
        let found = self.index.invitation(workspace, id)?;
        if self.is_deleted(workspace)? {
            return Err(ServiceError::not_found("invitation"));
        }
        let Some(invitation) = found else {
            let members = self.index.members(workspace)?;
            let is_accepted = members.iter().any(|one| one.invitation == id.as_bytes());
            let text = "The invitation was accepted already.";
            let accepted = is_accepted.then(|| ServiceError::new(ErrorCode::Gone, text));
            return Err(accepted.unwrap_or_else(|| ServiceError::not_found("invitation")));
        };
        if invitation.expires_at_ms <= now_ms() {
            return Err(ServiceError::new(ErrorCode::Gone, "The invitation has expired."));
        }
        Ok((workspace, invitation))
    }

    /// The address that a link invites, and whether a user has it.
    pub fn invitee(&self, token: &str) -> Result<(String, bool)> {
        let email = self.invited_email(&AccountLink::parse(token)?)?;
        let is_user = self.by_email(&email)?.is_some();
        Ok((email, is_user))
    }

    /// The address that a link invites.
    pub(super) fn invited_email(&self, link: &AccountLink) -> Result<String> {
        let (_, invitation) = self.invitation(link)?;
        let email = self.invitation_email(&invitation);
        email.ok_or_else(|| ServiceError::not_found("invitation"))
    }

    /// Makes a user a member of a workspace by the link of an invitation.
    pub async fn accept_invitation(
        &self,
        token: &str,
        user: UserId,
    ) -> Result<(WorkspaceId, MemberState)> {
        let (workspace, invitation) = self.invitation(&AccountLink::parse(token)?)?;
        let id = invitation.invitation_id()?;
        let role = Role::from_number(invitation.role).unwrap_or(Role::Viewer);
        // The user has no role yet, so no ability but to accept.
        let actor = Actor { abilities: Abilities::ACCOUNT, ..Actor::member(workspace, user, role) };
        let command = WorkspaceCommand::AcceptInvitation(id, user);
        let done = self.run_in_workspace(actor, command).await?;
        self.destroy(id.uuid()).await?;
        match done.outcome {
            Outcome::Member(member) => Ok((workspace, *member)),
            _ => Err(ServiceError::internal("a member was expected")),
        }
    }

    /// Reads the roles and addresses of a list of invitations; all are checked before one is sent.
    ///
    /// # Errors
    /// The fields that are not valid, by their place in the list.
    pub fn check_invitations<'a>(
        &self,
        list: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Vec<(String, Role)>> {
        let (mut invalid, mut checked) = (Invalid::default(), Vec::new());
        for (place, (email, role)) in list.enumerate() {
            let email =
                invalid.check(&format!("invitations[{place}].email"), normalized_email(email));
            let field = format!("invitations[{place}].role");
            let role = invalid.choice(&field, Some(role), &Role::ASSIGNABLE, Role::as_str);
            checked.extend(email.zip(role));
        }
        invalid.into_result()?;
        Ok(checked)
    }
}

//! What users see and change of themselves, and superadmins of others.

use super::sign_up::{check_name, check_password};
use super::{AccountLink, Accounts, EMAIL, LinkPurpose, NAME};
use crate::domain::error::{ErrorCode, Invalid, Result, ServiceError};
use crate::domain::event::UserState;
use crate::domain::ids::{UserId, WorkspaceId};
use crate::domain::token::Actor;
use crate::domain::user::command::{EmailChange, UserChange, UserCommand};
use crate::domain::user::{UserRole, normalized_email};
use crate::domain::workspace::Role;
use crate::domain::workspace::command::WorkspaceCommand;
use crate::projections::index::{ReadUsers, ReadWorkspaces};

/// A user with readable personal data. It has no secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent properties")]
pub struct Profile {
    /// The id.
    pub id: UserId,
    /// The email address; `None` until the user is set up.
    pub email: Option<String>,
    /// The address that is to replace it once confirmed.
    pub requested_email: Option<String>,
    /// The display name.
    pub name: Option<String>,
    /// The role in the whole installation.
    pub role: UserRole,
    /// Whether the address was verified.
    pub is_verified: bool,
    /// Whether the user can't sign in.
    pub is_blocked: bool,
    /// Whether the user has a password.
    pub has_password: bool,
    /// Whether signing in needs a second factor.
    pub has_two_factor: bool,
    /// The workspace of requests that name none.
    pub default_workspace: WorkspaceId,
    /// In milliseconds since the Unix epoch.
    pub created_at_ms: u64,
}

impl Accounts {
    /// A user with readable personal data.
    pub fn profile(&self, user: &UserState) -> Profile {
        let id = user.user_id().unwrap_or(UserId::new(uuid::Uuid::nil()));
        let open = |field, sealed: &[u8]| self.open(id.uuid(), field, sealed);
        let requested = user.requested_email.as_ref();
        Profile {
            id,
            email: open(EMAIL, &user.email),
            requested_email: requested.and_then(|requested| open(EMAIL, &requested.sealed)),
            name: user.name.as_deref().and_then(|name| open(NAME, name)),
            role: user.role(),
            is_verified: user.is_verified,
            is_blocked: user.is_blocked,
            has_password: user.password.is_some(),
            has_two_factor: user.has_two_factor(),
            default_workspace: user.default_workspace(),
            created_at_ms: user.created_at_ms,
        }
    }

    /// The profile of a user, if the user exists.
    pub fn profile_of(&self, id: UserId) -> Result<Option<Profile>> {
        Ok(self.index.user(id)?.map(|user| self.profile(&user)))
    }

    /// All users, oldest first.
    pub async fn users(&self) -> Result<Vec<UserState>> {
        self.read(|index| Ok(index.users()?)).await
    }

    /// Changes the name.
    pub async fn rename(&self, id: UserId, name: Option<String>) -> Result<Profile> {
        let name = check_name(name).map_err(|rule| ServiceError::field("name", rule))?;
        let name = self.seal_some(id, NAME, name).await?;
        Ok(self.profile(&self.change(id, Some(id), UserChange::Name(name)).await?))
    }

    /// Changes the workspace of requests that name none. `by` is the user who acts; `None` for the
    /// operator.
    pub async fn set_default_workspace(
        &self,
        id: UserId,
        by: Option<UserId>,
        to: WorkspaceId,
    ) -> Result<Profile> {
        if self.index.member(to, id)?.is_none() {
            return Err(ServiceError::field("default_workspace", "is not a workspace of yours"));
        }
        Ok(self.profile(&self.change(id, by, UserChange::DefaultWorkspace(to)).await?))
    }

    /// Changes the password, which ends all sessions.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`] if the present one is wrong.
    pub async fn change_password(&self, id: UserId, present: String, new: String) -> Result<()> {
        check_password(&new).map_err(|rule| ServiceError::field("new_password", rule))?;
        let epoch = self.user(id)?.session_epoch;
        self.confirm(id, present).await?;
        let password = self.sealed_password(id, new).await?;
        self.change(id, Some(id), UserChange::Password { password, epoch }).await?;
        Ok(())
    }

    /// Asks for another email address. Returns it normalized, with the link that confirms it, to be
    /// sent there; `None` if it is the address of another user, which the caller must not learn.
    pub async fn request_email(
        &self,
        id: UserId,
        email: &str,
        password: String,
    ) -> Result<Option<(String, String)>> {
        let email = normalized_email(email).map_err(|rule| ServiceError::field("email", rule))?;
        self.confirm(id, password).await?;
        let hash = self.personal.email_hash(&email);
        let sealed = self.seal(id.uuid(), EMAIL, email.clone()).await?;
        let request = UserChange::Email(EmailChange::Request { hash, sealed });
        let user = self.change(id, Some(id), request).await?;
        let link = self.user_link(LinkPurpose::ChangeEmail, &user)?;
        let is_taken = self.by_email(&email)?.is_some();
        Ok((!is_taken).then_some((email, link)))
    }

    /// Confirms another email address by a link. Returns the address before.
    pub async fn confirm_email(&self, token: &str) -> Result<(Option<String>, Profile)> {
        let user = self.follow(&AccountLink::parse(token)?, LinkPurpose::ChangeEmail)?;
        let (id, before) = (user.user_id()?, self.profile(&user).email);
        let hash = user.requested_email.map(|requested| requested.hash).unwrap_or_default();
        let hash = hash.try_into().map_err(|_| super::not_a_user())?;
        let user = self.change(id, Some(id), UserChange::Email(EmailChange::Confirm(hash))).await?;
        Ok((before, self.profile(&user)))
    }

    /// The link that verifies the address of a user, with the address; `None` if it is verified.
    pub fn verification(&self, id: UserId) -> Result<Option<(String, String)>> {
        let user = self.user(id)?;
        let email = self.profile(&user).email.filter(|_| !user.is_verified);
        email.map(|email| Ok((email, self.user_link(LinkPurpose::Verify, &user)?))).transpose()
    }

    /// Verifies the email address by a link.
    pub async fn verify_email(&self, token: &str) -> Result<Profile> {
        let user = self.follow(&AccountLink::parse(token)?, LinkPurpose::Verify)?;
        let (id, hash) = (user.user_id()?, user.email_hash);
        let hash = hash.try_into().map_err(|_| super::not_a_user())?;
        Ok(self.profile(
            &self.change(id, Some(id), UserChange::Email(EmailChange::Verify(hash))).await?,
        ))
    }

    /// The link by which the user with an address can set another password, if there is one, with
    /// the account's address: that is where to send it, not to another spelling of it.
    pub fn reset(&self, email: &str) -> Result<Option<(String, String)>> {
        let email = normalized_email(email).map_err(|rule| ServiceError::field("email", rule))?;
        let user = self.by_email(&email)?.filter(|user| !user.is_blocked);
        user.map(|user| Ok((email, self.user_link(LinkPurpose::Reset, &user)?))).transpose()
    }

    /// Sets another password by a link. Returns the user.
    pub async fn reset_password(&self, token: &str, password: String) -> Result<Profile> {
        check_password(&password).map_err(|rule| ServiceError::field("password", rule))?;
        let user = self.follow(&AccountLink::parse(token)?, LinkPurpose::Reset)?;
        let (id, epoch) = (user.user_id()?, user.session_epoch);
        let password = self.sealed_password(id, password).await?;
        let change = UserChange::Password { password, epoch };
        let changed = self.change(id, Some(id), change).await?;
        // The link arrived at the address.
        let hash = <[u8; 32]>::try_from(changed.email_hash.as_slice());
        if let (false, Ok(hash)) = (changed.is_verified, hash) {
            return Ok(self.profile(
                &self.change(id, Some(id), UserChange::Email(EmailChange::Verify(hash))).await?,
            ));
        }
        Ok(self.profile(&changed))
    }

    /// A link for the operator to hand to a user: to set up the account, or another password.
    pub fn operator_link(&self, id: UserId) -> Result<(LinkPurpose, String)> {
        let user = self.user(id)?;
        let is_new = user.password.is_none() && user.email.is_empty();
        let purpose = if is_new { LinkPurpose::SetUp } else { LinkPurpose::Reset };
        Ok((purpose, self.user_link(purpose, &user)?))
    }

    /// Blocks or unblocks a user.
    pub async fn block(&self, id: UserId, by: Option<UserId>, is_blocked: bool) -> Result<Profile> {
        Ok(self.profile(&self.change(id, by, UserChange::Block(is_blocked)).await?))
    }

    /// Gives a user another role in the whole installation.
    pub async fn set_role(
        &self,
        id: UserId,
        by: Option<UserId>,
        role: UserRole,
    ) -> Result<Profile> {
        Ok(self.profile(&self.change(id, by, UserChange::Role(role)).await?))
    }

    /// Deletes a user. The personal data can't be read by anybody from then on.
    ///
    /// # Errors
    /// [`ErrorCode::Conflict`] if the user owns a shared workspace.
    pub async fn delete(&self, id: UserId, by: Option<UserId>) -> Result<()> {
        self.run(id, by, UserCommand::Delete(id)).await?;
        self.destroy(id.uuid()).await?;
        for workspace in self.index.workspaces_of(id)? {
            self.remove_deleted(id, by, workspace).await?;
        }
        Ok(())
    }

    /// Removes a deleted user from a workspace. The owner leaves with the workspace.
    pub(super) async fn remove_deleted(
        &self,
        id: UserId,
        by: Option<UserId>,
        workspace: WorkspaceId,
    ) -> Result<()> {
        if self.index.role(workspace, id)?.is_some_and(Role::is_assignable) {
            let actor = Actor::operator_as(workspace, by);
            self.run_in_workspace(actor, WorkspaceCommand::RemoveMember(id)).await?;
        }
        Ok(())
    }

    /// Verifies the password of a user who is signed in.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`] if it is wrong.
    pub async fn confirm(&self, id: UserId, password: String) -> Result<()> {
        let mut invalid = Invalid::default();
        if password.is_empty() {
            invalid.add("password", "is required");
        }
        invalid.into_result()?;
        if self.is_password(&self.user(id)?, password).await? {
            return Ok(());
        }
        let text = "The password is wrong.";
        Err(ServiceError::new(ErrorCode::Forbidden, text).with_field("password", "is wrong"))
    }
}

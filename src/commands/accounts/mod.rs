//! Accounts: what turns a request about users and workspaces into commands.
//!
//! Personal data is sealed here before it becomes part of a command, and opened here for responses.
//! Passwords and codes are verified here. So neither the writer nor the log ever sees them.

mod callers;
mod invitations;
mod links;
mod purge;
mod sign_in;
mod sign_up;
#[cfg(test)]
mod tests;
mod two_factor;
mod users;

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

pub use callers::KnownCaller;
pub use invitations::Invited;
pub use links::{AccountLink, LinkPurpose};
pub use sign_in::{Credentials, LiveSession, SessionKind, SignedIn};
pub use sign_up::{NewUser, SignUpMode, check_credentials};
pub use two_factor::TwoFactorSetUp;
pub use users::Profile;

use self::callers::Callers;
use super::{CommandRequest, CommandResult, Commands, Mode};
use crate::domain::command::{Command, Outcome};
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::event::{InvitationState, MemberState, UserState};
use crate::domain::ids::{UserId, WorkspaceId};
use crate::domain::token::Actor;
use crate::domain::user::command::{UserChange, UserCommand};
use crate::domain::user::state::personal_workspace;
use crate::domain::workspace::Role;
use crate::domain::workspace::command::WorkspaceCommand;
use crate::domain::workspace::state::{WorkspaceState, user_id};
use crate::identity::jwt::JwtKeys;
use crate::identity::personal_data::PersonalData;
use crate::identity::signing::Signer;
pub use crate::projections::index::Numbered;
pub use crate::projections::index::Stamp;
use crate::projections::index::{Index, ReadNumbers, ReadUsers, ReadWorkspaces};

/// The names of sealed fields.
const EMAIL: &str = "email";
const NAME: &str = "name";
const PASSWORD: &str = "password";
const TOTP: &str = "totp";

/// How accounts work in this installation.
#[derive(Debug, Clone)]
pub struct AccountSettings {
    /// Who can sign up.
    pub sign_up: SignUpMode,
    /// The lifetime of the tokens of `POST /api/auth/token`.
    pub jwt_lifetime: Duration,
    /// The name of the service in authenticator apps: its host.
    pub issuer: String,
    /// Whether mail can be sent.
    pub has_mail: bool,
}

/// The accounts service. Cheap to clone.
#[derive(Clone)]
pub struct Accounts {
    commands: Commands,
    index: Arc<Index>,
    personal: PersonalData,
    jwt: JwtKeys,
    signer: Signer,
    callers: Arc<Callers>,
    settings: Arc<AccountSettings>,
}

impl Accounts {
    /// Creates the service from its parts and the service's key.
    pub fn new(
        (commands, index): (Commands, Arc<Index>),
        (personal, jwt): (PersonalData, JwtKeys),
        key: &[u8; 32],
        settings: AccountSettings,
    ) -> Self {
        let (signer, settings) = (Signer::new(key, "account link"), Arc::new(settings));
        Self { commands, index, personal, jwt, signer, callers: Arc::default(), settings }
    }

    /// Reads the index on a thread that may wait, for scans.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Index) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let index = Arc::clone(&self.index);
        let read = tokio::task::spawn_blocking(move || read(&index));
        read.await.map_err(ServiceError::internal)?
    }

    /// A user who exists.
    pub fn user(&self, id: UserId) -> Result<UserState> {
        self.index.user(id)?.ok_or_else(|| ServiceError::not_found("user"))
    }

    /// The number of an id, for wire formats whose ids are numbers.
    pub fn number_of(&self, kind: Numbered, id: Uuid) -> Result<u64> {
        let number = self.index.number_of(kind, id)?;
        number.ok_or_else(|| ServiceError::internal("an id without a number"))
    }

    /// The id with a number.
    pub fn numbered(&self, kind: Numbered, number: u64) -> Result<Option<Uuid>> {
        Ok(self.index.numbered(kind, number)?)
    }

    /// Runs a command on a user. `by` is the user who acts; `None` for the operator.
    async fn run(&self, user: UserId, by: Option<UserId>, command: UserCommand) -> Result<Outcome> {
        let workspace = personal_workspace(user);
        let actor = match by {
            Some(by) => Actor::user(workspace, by),
            None => Actor::operator(workspace),
        };
        Ok(self.commands.run(actor, Command::User(command), None).await?.outcome)
    }

    /// Decides a command without logging it.
    async fn dry_run(&self, actor: Actor, command: Command) -> Result<()> {
        let request = CommandRequest { command, idempotency: None };
        let results = self.commands.run_all(actor, vec![request], Mode::DryRun).await?;
        results.into_iter().try_for_each(|result| result.map(drop))
    }

    /// Changes a user; returns the user afterwards.
    async fn change(
        &self,
        user: UserId,
        by: Option<UserId>,
        change: UserChange,
    ) -> Result<UserState> {
        match self.run(user, by, UserCommand::Change(user, change)).await? {
            Outcome::User(user) => Ok(*user),
            _ => Err(ServiceError::internal("a user was expected")),
        }
    }

    /// Runs a command on the actor's workspace.
    pub async fn run_in_workspace(
        &self,
        actor: Actor,
        command: WorkspaceCommand,
    ) -> Result<CommandResult> {
        self.commands.run(actor, Command::Workspace(command), None).await
    }

    /// Seals a value with the key of a subject, which is created if it has none.
    async fn seal(&self, subject: Uuid, field: &'static str, text: String) -> Result<Vec<u8>> {
        let personal = self.personal.clone();
        let sealed = tokio::task::spawn_blocking(move || {
            personal.create_key(subject)?;
            std::io::Result::Ok(personal.seal(subject, field, &text))
        });
        let sealed = sealed.await.map_err(ServiceError::internal)??;
        sealed.ok_or_else(|| ServiceError::not_found("user"))
    }

    fn open(&self, subject: Uuid, field: &'static str, sealed: &[u8]) -> Option<String> {
        self.personal.open_sealed(subject, field, sealed)
    }

    /// Destroys the key of a subject, and with it the personal data.
    async fn destroy(&self, subject: Uuid) -> Result<()> {
        let personal = self.personal.clone();
        let destroyed = tokio::task::spawn_blocking(move || personal.destroy_key(subject));
        Ok(destroyed.await.map_err(ServiceError::internal)??)
    }

    /// Whether there are users.
    pub fn has_users(&self) -> Result<bool> {
        Ok(self.index.has_users()?)
    }

    /// All workspaces, oldest first.
    pub fn workspaces(&self) -> Result<Vec<(WorkspaceId, WorkspaceState)>> {
        Ok(self.index.workspaces()?)
    }

    /// A user, if there is one.
    pub fn find(&self, id: UserId) -> Result<Option<UserState>> {
        Ok(self.index.user(id)?)
    }

    /// A workspace, which may be deleted.
    pub fn workspace(&self, id: WorkspaceId) -> Result<Option<WorkspaceState>> {
        Ok(self.index.workspace(id)?)
    }

    /// The workspaces without an owner.
    pub fn ownerless(&self) -> Result<Vec<WorkspaceId>> {
        let all = self.index.workspaces()?.into_iter();
        let found = all.filter(|(_, one)| one.owner.is_empty() && one.purged_at_ms.is_none());
        Ok(found.map(|(id, _)| id).collect())
    }

    /// Whether a workspace is deleted, or gone.
    pub fn is_deleted(&self, id: WorkspaceId) -> Result<bool> {
        Ok(self.index.workspace(id)?.is_none_or(|found| found.purged_at_ms.is_some()))
    }

    /// A user's role in a workspace, and when the user joined it, in milliseconds since the Unix
    /// epoch; `None` if the user is not a member, or the workspace is deleted.
    pub fn membership(&self, workspace: WorkspaceId, user: UserId) -> Result<Option<(Role, u64)>> {
        let member = self.index.member(workspace, user)?;
        let found = member.and_then(|one| Some((Role::from_number(one.role)?, one.joined_at_ms)));
        Ok(if found.is_some() && self.is_deleted(workspace)? { None } else { found })
    }

    /// The workspaces that a user is a member of, oldest first, with the role; deleted ones too.
    pub fn memberships(&self, user: UserId) -> Result<Vec<(WorkspaceId, WorkspaceState, Role)>> {
        let mut found = Vec::new();
        for id in self.index.workspaces_of(user)? {
            if let (Some(workspace), Some(role)) =
                (self.index.workspace(id)?, self.index.role(id, user)?)
            {
                found.push((id, workspace, role));
            }
        }
        Ok(found)
    }

    /// A workspace's members whose accounts exist, oldest account first.
    pub fn members(&self, workspace: WorkspaceId) -> Result<Vec<(MemberState, Profile)>> {
        let mut found = Vec::new();
        for member in self.index.members(workspace)? {
            if let Some(profile) = self.profile_of(user_id(&member.user)?)? {
                found.push((member, profile));
            }
        }
        Ok(found)
    }

    /// A workspace's invitations, oldest first; some may have expired.
    pub fn invitations(&self, workspace: WorkspaceId) -> Result<Vec<InvitationState>> {
        Ok(self.index.invitations(workspace)?)
    }
}

fn forbidden(text: &'static str) -> ServiceError {
    ServiceError::new(ErrorCode::Forbidden, text)
}

fn not_a_user() -> ServiceError {
    ServiceError::internal("a user's id was expected")
}

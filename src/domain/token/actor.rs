//! Who makes a request.

use super::{Abilities, Ability, Token};
use crate::domain::ids::{TokenId, UserId, WorkspaceId};
use crate::domain::workspace::Role;

/// The authenticated caller of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    /// The workspace that all results are scoped to.
    pub workspace: WorkspaceId,
    /// The token of the request; nil for the service itself and for sessions.
    pub token: TokenId,
    /// The user and the role in the workspace; `None` for machine tokens and the service itself.
    pub user: Option<(UserId, Role)>,
    /// The abilities.
    pub abilities: Abilities,
    /// The superadmin who acts as the operator.
    pub superadmin: Option<UserId>,
}

impl From<&Token> for Actor {
    /// The actor of a machine token.
    fn from(token: &Token) -> Self {
        Self::new(token.workspace, token.id, token.abilities)
    }
}

impl Actor {
    /// A token without a user.
    pub const fn new(workspace: WorkspaceId, token: TokenId, abilities: Abilities) -> Self {
        Self { workspace, token, user: None, abilities, superadmin: None }
    }

    /// The operator, with all abilities in a workspace.
    pub const fn operator(workspace: WorkspaceId) -> Self {
        Self::new(workspace, TokenId::new(uuid::Uuid::nil()), Abilities::ALL)
    }

    /// The operator; or the superadmin who acts as such.
    pub const fn operator_as(workspace: WorkspaceId, superadmin: Option<UserId>) -> Self {
        Self { superadmin, ..Self::operator(workspace) }
    }

    /// The service itself, acting for a visitor.
    pub const fn service(workspace: WorkspaceId, ability: Ability) -> Self {
        Self { abilities: Abilities::only(ability), ..Self::operator(workspace) }
    }

    /// A signed-in member of a workspace.
    pub const fn member(workspace: WorkspaceId, user: UserId, role: Role) -> Self {
        let (user, abilities) = (Some((user, role)), role.abilities());
        Self { user, abilities, ..Self::operator(workspace) }
    }

    /// Whether the actor may see a token of the workspace: members who are neither owner nor admin
    /// only see their own.
    pub fn sees_token(&self, token: &Token) -> bool {
        self.user.is_none_or(|(user, role)| role.manages_tokens() || token.user == Some(user))
    }

    /// A user acting on an account, in the personal workspace of that account.
    pub const fn user(workspace: WorkspaceId, user: UserId) -> Self {
        Self { abilities: Abilities::ACCOUNT, ..Self::member(workspace, user, Role::Owner) }
    }

    /// The token as logged: its 16 bytes; empty without one.
    pub fn token_in_log(&self) -> Vec<u8> {
        if self.token.uuid().is_nil() { Vec::new() } else { self.token.as_bytes().to_vec() }
    }

    /// The user as logged: the id's 16 bytes; empty without one.
    pub fn user_in_log(&self) -> Vec<u8> {
        let user = self.user.map(|(user, _)| user).or(self.superadmin);
        user.map_or_else(Vec::new, |user| user.as_bytes().to_vec())
    }
}

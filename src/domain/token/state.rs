//! Tokens as the log holds them, and back.

use super::{Abilities, Token};
use crate::domain::event::{TokenState, Unreadable};
use crate::domain::ids::{TokenId, WorkspaceId};

impl From<&Token> for TokenState {
    fn from(token: &Token) -> Self {
        Self {
            id: token.id.as_bytes().to_vec(),
            name: token.name.clone(),
            abilities: token.abilities.names().into_iter().map(str::to_owned).collect(),
            secret_sha256: token.secret_sha256.to_vec(),
            created_at_ms: token.created_at_ms,
            prefix: token.prefix.clone(),
            expires_at_ms: token.expires_at_ms,
        }
    }
}

impl TokenState {
    /// The token, in the workspace that the envelope names.
    ///
    /// # Errors
    /// [`Unreadable`] when an ability is unknown: a token must not silently shrink or grow.
    pub fn into_token(self, workspace: WorkspaceId) -> Result<Token, Unreadable> {
        Ok(Token {
            id: TokenId::from_bytes(&self.id).map_err(|_| Unreadable("token"))?,
            workspace,
            name: self.name,
            abilities: Abilities::parse(&self.abilities).map_err(|_| Unreadable("token"))?,
            secret_sha256: self.secret_sha256.try_into().map_err(|_| Unreadable("token"))?,
            prefix: self.prefix,
            created_at_ms: self.created_at_ms,
            expires_at_ms: self.expires_at_ms,
        })
    }
}

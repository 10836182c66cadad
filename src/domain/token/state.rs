//! Tokens as stored in the mutation log.

use super::{Abilities, Token};
use crate::domain::error::Unreadable;
use crate::domain::ids::{TokenId, WorkspaceId};

/// A [`Token`] as logged. Its workspace is the envelope's.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[allow(missing_docs, reason = "the same names as in Token")]
pub struct TokenState {
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, repeated, tag = "3")]
    pub abilities: Vec<String>,
    #[prost(bytes = "vec", tag = "4")]
    pub secret_sha256: Vec<u8>,
    #[prost(uint64, tag = "5")]
    pub created_at_ms: u64,
    #[prost(string, optional, tag = "6")]
    pub prefix: Option<String>,
    #[prost(uint64, optional, tag = "7")]
    pub expires_at_ms: Option<u64>,
}

/// A token was revoked.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TokenRevoked {
    /// The token's 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub token: Vec<u8>,
}

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
    /// The token, in the envelope's workspace.
    ///
    /// # Errors
    /// [`Unreadable`] for an unknown ability, which must not be ignored.
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

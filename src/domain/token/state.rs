//! Tokens as stored in the mutation log.

use super::{Abilities, PreviousSecret, Token};
use crate::domain::error::Unreadable;
use crate::domain::ids::{TokenId, UserId, WorkspaceId};

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
    #[prost(bytes = "vec", optional, tag = "8")]
    pub user: Option<Vec<u8>>,
    #[prost(bool, tag = "9")]
    pub is_disabled: bool,
    #[prost(string, repeated, tag = "10")]
    pub networks: Vec<String>,
    #[prost(bytes = "vec", tag = "11")]
    pub previous_sha256: Vec<u8>,
    #[prost(uint64, tag = "12")]
    pub previous_expires_at_ms: u64,
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
            user: token.user.map(|user| user.as_bytes().to_vec()),
            is_disabled: token.is_disabled,
            networks: token.networks.iter().map(ToString::to_string).collect(),
            previous_sha256: token.previous.map_or_else(Vec::new, |before| before.sha256.to_vec()),
            previous_expires_at_ms: token.previous.map_or(0, |before| before.expires_at_ms),
        }
    }
}

const UNREADABLE: Unreadable = Unreadable("token");

impl TokenState {
    /// The token, in the envelope's workspace.
    ///
    /// # Errors
    /// [`Unreadable`] for an unknown ability or network, which must not be ignored.
    pub fn into_token(self, workspace: WorkspaceId) -> Result<Token, Unreadable> {
        let user = self.user.as_deref().map(UserId::from_bytes).transpose();
        let networks = self.networks.iter().map(|network| network.parse()).collect();
        let previous = match self.previous_sha256.as_slice() {
            [] => None,
            sha256 => Some(PreviousSecret {
                sha256: sha256.try_into().map_err(|_| UNREADABLE)?,
                expires_at_ms: self.previous_expires_at_ms,
            }),
        };
        Ok(Token {
            id: TokenId::from_bytes(&self.id).map_err(|_| UNREADABLE)?,
            workspace,
            user: user.map_err(|_| UNREADABLE)?,
            name: self.name,
            abilities: Abilities::parse(&self.abilities).map_err(|_| UNREADABLE)?,
            secret_sha256: self.secret_sha256.try_into().map_err(|_| UNREADABLE)?,
            previous,
            prefix: self.prefix,
            is_disabled: self.is_disabled,
            networks: Result::map_err(networks, |_: ipnet::AddrParseError| UNREADABLE)?,
            created_at_ms: self.created_at_ms,
            expires_at_ms: self.expires_at_ms,
        })
    }
}

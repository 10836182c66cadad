//! Decides the creation and revocation of tokens.

use super::decide::{CommandHandler, Decision};
use crate::domain::command::Outcome;
use crate::domain::error::{ErrorCode, Invalid, Result, ServiceError};
use crate::domain::event::{Event, TokenRevoked};
use crate::domain::ids::TokenId;
use crate::domain::token::Token;
use crate::projections::index::ReadTokens;

const MAX_NAME_CHARS: usize = 100;

impl<R: ReadTokens> CommandHandler<'_, R> {
    /// Creates a token whose abilities the actor has.
    pub(super) fn create_token(&self, token: Token) -> Result<Decision> {
        if !self.actor.abilities.covers(token.abilities) {
            let text = "A token cannot grant abilities that it lacks.";
            return Err(ServiceError::new(ErrorCode::Forbidden, text));
        }
        let mut invalid = Invalid::default();
        let is_named = (1..=MAX_NAME_CHARS).contains(&token.name.chars().count());
        if !is_named || token.name.chars().any(char::is_control) {
            let rule = format!(
                "must be 1 to {MAX_NAME_CHARS} characters, none of them control characters"
            );
            invalid.add("name", rule);
        }
        if token.is_expired_at(self.now_ms) {
            invalid.add("expires_at", "must be in the future");
        }
        invalid.into_result()?;
        Ok((Some(Event::TokenCreated((&token).into())), Outcome::Token(token.into())))
    }

    /// Revokes a token. A workspace's last valid token with `*` can't be revoked: otherwise nobody
    /// in it could create tokens.
    pub(super) fn revoke_token(&self, id: TokenId) -> Result<Decision> {
        let workspace = self.actor.workspace;
        let token =
            self.state.token(workspace, id)?.ok_or_else(|| ServiceError::not_found("token"))?;
        if !self.actor.abilities.covers(token.abilities) {
            let text = "A token cannot revoke a token with abilities that it lacks.";
            return Err(ServiceError::new(ErrorCode::Forbidden, text));
        }
        let is_other_owner = |other: &Token| other.id != id && other.is_owner_at(self.now_ms);
        if token.is_owner_at(self.now_ms)
            && !self.state.tokens(workspace)?.iter().any(is_other_owner)
        {
            let text = "This is the workspace's last token with the ability *: create another one \
                        first.";
            return Err(ServiceError::new(ErrorCode::Conflict, text));
        }
        let revoked = TokenRevoked { token: id.as_bytes().to_vec() };
        Ok((Some(Event::TokenRevoked(revoked)), Outcome::Gone))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::commands::tests::Writer;
    use crate::commands::{CommandRequest, Mode};
    use crate::domain::command::Command;
    use crate::domain::ids::WorkspaceId;
    use crate::domain::link::LinkPolicy;
    use crate::domain::token::{Abilities, Actor};
    use crate::projections::index::{IndexError, Read};

    const NOW_MS: u64 = 1_000;

    /// A workspace with these tokens only.
    struct Tokens(Vec<Token>);

    impl Read for Tokens {
        fn get(&self, _: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
            Ok(None)
        }

        fn token(&self, _: WorkspaceId, id: TokenId) -> Result<Option<Token>, IndexError> {
            Ok(self.0.iter().find(|token| token.id == id).cloned())
        }
    }

    impl ReadTokens for Tokens {
        fn tokens(&self, _: WorkspaceId) -> Result<Vec<Token>, IndexError> {
            Ok(self.0.clone())
        }
    }

    fn abilities(names: &[&str]) -> Abilities {
        Abilities::parse(names).unwrap()
    }

    fn token(number: u8, names: &[&str], expires_at_ms: Option<u64>) -> Token {
        Token {
            id: TokenId::new(Uuid::from_u128(number.into())),
            workspace: WorkspaceId::new(Uuid::from_u128(1)),
            name: "ci".to_owned(),
            abilities: abilities(names),
            secret_sha256: [number; 32],
            prefix: None,
            created_at_ms: 1,
            expires_at_ms,
        }
    }

    /// The error code for an actor with these abilities.
    fn refused<T>(
        tokens: &[Token],
        actor: &[&str],
        decide: impl FnOnce(&CommandHandler<'_, Tokens>) -> Result<T>,
    ) -> Option<ErrorCode> {
        let state = Tokens(tokens.to_vec());
        let policy = LinkPolicy::default();
        let workspace = WorkspaceId::new(Uuid::from_u128(1));
        let actor = Actor { abilities: abilities(actor), ..Actor::operator(workspace) };
        let handler =
            CommandHandler { state: &state, policy: &policy, actor: &actor, now_ms: NOW_MS };
        decide(&handler).err().map(|error| error.code)
    }

    #[test]
    fn a_token_cannot_grant_abilities_that_it_lacks() {
        let create = |token| refused(&[], &["user:write"], |handler| handler.create_token(token));
        assert_eq!(create(token(1, &["*"], None)), Some(ErrorCode::Forbidden));
        assert_eq!(create(token(1, &["user:write"], None)), None);
        let expired = token(1, &["user:write"], Some(NOW_MS));
        assert_eq!(create(expired), Some(ErrorCode::Invalid));
        assert_eq!(create(token(1, &["user:write"], Some(NOW_MS + 1))), None);
    }

    #[test]
    fn a_token_cannot_revoke_tokens_with_abilities_that_it_lacks() {
        let tokens = [
            token(1, &["*"], None),
            token(2, &["*"], None),
            token(3, &["user:write", "links:read"], None),
            token(4, &["user:write"], None),
        ];
        let revoke = |number: usize| {
            refused(&tokens, &["user:write"], |handler| handler.revoke_token(tokens[number].id))
        };
        assert_eq!(revoke(0), Some(ErrorCode::Forbidden));
        assert_eq!(revoke(2), Some(ErrorCode::Forbidden));
        assert_eq!(revoke(3), None);
    }

    #[test]
    fn the_last_valid_owner_token_cannot_be_revoked() {
        let revoke = |tokens: &[Token]| {
            refused(tokens, &["*"], |handler| handler.revoke_token(tokens[0].id))
        };
        let owner = token(1, &["*"], None);
        let limited = token(2, &["links:read", "user:write"], None);
        let expired = token(3, &["*"], Some(NOW_MS));
        let other = token(4, &["*"], Some(NOW_MS + 1));
        let last = Some(ErrorCode::Conflict);
        assert_eq!(revoke(&[owner.clone(), limited.clone()]), last);
        assert_eq!(revoke(&[owner.clone(), expired.clone()]), last);
        assert_eq!(revoke(&[owner.clone(), expired.clone(), other]), None);
        assert_eq!(revoke(&[expired, owner]), None);
        assert_eq!(revoke(&[limited]), None);
    }

    /// The second of two revocations in a batch takes the first into account.
    #[test]
    fn only_one_of_two_owner_tokens_can_be_revoked_in_a_batch() {
        let writer = Writer::new();
        let run = |commands: Vec<Command>| {
            let request = |command| CommandRequest { command, idempotency: None };
            let requests = commands.into_iter().map(request).collect();
            let run = writer.commands.run_all(writer.actor, requests, Mode::Commit);
            writer.runtime.block_on(run).unwrap()
        };
        let create = |number: u8| Command::CreateToken {
            name: "owner".to_owned(),
            abilities: Abilities::ALL,
            expires_at_ms: None,
            secret_sha256: [number; 32],
            prefix: "slk_1234".to_owned(),
        };
        let made = run(vec![create(1), create(2)]);
        let ids = made.into_iter().map(|done| match done.unwrap().outcome {
            Outcome::Token(token) => token.id,
            other => panic!("{other:?}"),
        });
        let revoked = run(ids.map(Command::RevokeToken).collect());
        let results: Vec<_> = revoked.iter().map(Result::is_ok).collect();
        assert_eq!(results, [true, false]);
        assert_eq!(writer.index.tokens(writer.actor.workspace).unwrap().len(), 1);
        // Created and revoked in one batch: pending changes count too.
        let remaining = writer.index.tokens(writer.actor.workspace).unwrap().remove(0);
        let swapped = run(vec![create(3), Command::RevokeToken(remaining.id)]);
        assert!(swapped.iter().all(Result::is_ok), "{swapped:?}");
    }
}

//! Decides the creation, change, rotation and revocation of tokens.

use uuid::Uuid;

use super::decide::{CommandHandler, Decision};
use crate::domain::command::{NewSecret, NewToken, Outcome, TokenChange};
use crate::domain::error::{ErrorCode, Invalid, Result, ServiceError};
use crate::domain::event::{Event, TokenRevoked};
use crate::domain::ids::{TokenId, UserId};
use crate::domain::retention::MAX_ROTATION_OVERLAP_MS;
use crate::domain::token::{PreviousSecret, Token};
use crate::projections::index::{ReadRanges, ReadUsers, ReadWorkspaces};

const MAX_NAME_CHARS: usize = 100;
/// The maximum number of networks per token.
const MAX_NETWORKS: usize = 50;

impl<R: ReadRanges> CommandHandler<'_, R> {
    /// Creates a token whose abilities the actor has.
    pub(super) fn create_token(&self, new: NewToken) -> Result<Decision> {
        let user = match self.actor.user {
            Some((_, role)) if new.is_machine && !role.manages_tokens() => {
                let text = "Only owners and admins can create machine tokens.";
                return Err(ServiceError::new(ErrorCode::Forbidden, text));
            }
            Some((user, _)) if !new.is_machine => Some(user),
            _ => None,
        };
        let token = Token {
            id: TokenId::new(Uuid::now_v7()),
            workspace: self.actor.workspace,
            user,
            name: new.name,
            abilities: new.abilities,
            secret_sha256: new.secret.sha256,
            previous: None,
            prefix: Some(new.secret.prefix),
            is_disabled: false,
            networks: new.networks,
            created_at_ms: self.now_ms,
            expires_at_ms: new.expires_at_ms,
        };
        self.check_token(&token)?;
        Ok((Some(Event::TokenCreated((&token).into())), Outcome::Token(token.into())))
    }

    /// Changes a token.
    pub(super) fn change_token(&self, id: TokenId, change: TokenChange) -> Result<Decision> {
        let before = self.managed_token(id, "change")?;
        let disables = TokenChange { is_disabled: Some(true), ..TokenChange::default() };
        if change != disables {
            self.require_own(&before)?;
        }
        let mut token = before.clone();
        let TokenChange { name, abilities, expires_at_ms, networks, is_disabled } = change;
        token.name = name.unwrap_or(token.name);
        token.abilities = abilities.unwrap_or(token.abilities);
        token.expires_at_ms = expires_at_ms.unwrap_or(token.expires_at_ms);
        token.networks = networks.unwrap_or(token.networks);
        token.is_disabled = is_disabled.unwrap_or(token.is_disabled);
        if token == before {
            return Ok((None, Outcome::Token(before.into())));
        }
        self.check_token(&token)?;
        if !token.is_owner_at(self.now_ms) {
            self.keep_an_owner(&before)?;
        }
        Ok((Some(Event::TokenChanged((&token).into())), Outcome::Token(token.into())))
    }

    /// Replaces the secret of a token. The previous one can stay valid for some time.
    pub(super) fn rotate_token(
        &self,
        id: TokenId,
        secret: NewSecret,
        overlap_ms: u64,
    ) -> Result<Decision> {
        let before = self.managed_token(id, "rotate")?;
        self.require_own(&before)?;
        if overlap_ms > MAX_ROTATION_OVERLAP_MS {
            let days = MAX_ROTATION_OVERLAP_MS / (24 * 3_600 * 1_000);
            let rule = format!("must be at most {days} days");
            return Err(ServiceError::field("overlap_seconds", rule));
        }
        let sha256 = before.secret_sha256;
        let previous = PreviousSecret { sha256, expires_at_ms: self.now_ms + overlap_ms };
        let token = Token {
            secret_sha256: secret.sha256,
            prefix: Some(secret.prefix),
            previous: (overlap_ms > 0).then_some(previous),
            ..before
        };
        Ok((Some(Event::TokenRotated((&token).into())), Outcome::Token(token.into())))
    }

    /// Revokes a token.
    pub(super) fn revoke_token(&self, id: TokenId) -> Result<Decision> {
        let token = self.revocable_token(id)?;
        self.keep_an_owner(&token)?;
        let revoked = TokenRevoked { token: id.as_bytes().to_vec() };
        Ok((Some(Event::TokenRevoked(revoked)), Outcome::Gone))
    }

    /// A token that the actor manages: of the workspace, with no more abilities than the actor has.
    /// Members who are neither owner nor admin only see their own tokens.
    fn managed_token(&self, id: TokenId, verb: &str) -> Result<Token> {
        let token = self.visible_token(id)?;
        if !self.actor.abilities.covers(token.abilities) {
            let text = format!("A token cannot {verb} a token with abilities that it lacks.");
            return Err(ServiceError::new(ErrorCode::Forbidden, text));
        }
        Ok(token)
    }

    /// A token that the actor can revoke. A signed-in user's own ones are, whatever the role is now.
    fn revocable_token(&self, id: TokenId) -> Result<Token> {
        let user = self.actor.user.map(|(user, _)| user);
        let token = self.visible_token(id)?;
        if self.actor.token.uuid().is_nil() && user.is_some() && token.user == user {
            return Ok(token);
        }
        self.managed_token(id, "revoke")
    }

    /// Refuses to take over a token of another user, who would be blamed for what is done with it.
    fn require_own(&self, token: &Token) -> Result<()> {
        let user = self.actor.user.map(|(user, _)| user);
        let is_operator = user.is_none() && self.actor.token.uuid().is_nil();
        if token.user.is_none() || token.user == user || is_operator {
            return Ok(());
        }
        let text = "This is another user's token: you can disable or revoke it.";
        Err(ServiceError::new(ErrorCode::Forbidden, text))
    }

    fn visible_token(&self, id: TokenId) -> Result<Token> {
        let token = self.state.token(self.actor.workspace, id)?;
        let token = token.filter(|token| self.actor.sees_token(token));
        token.ok_or_else(|| ServiceError::not_found("token"))
    }

    fn check_token(&self, token: &Token) -> Result<()> {
        if !self.actor.abilities.covers(token.abilities) {
            let text = "A token cannot grant abilities that it lacks.";
            return Err(ServiceError::new(ErrorCode::Forbidden, text));
        }
        let mut invalid = Invalid::default();
        invalid.check("name", check_name(&token.name, MAX_NAME_CHARS));
        if token.is_expired_at(self.now_ms) {
            invalid.add("expires_at", "must be in the future");
        }
        if token.networks.len() > MAX_NETWORKS {
            invalid.add("networks", format!("must be at most {MAX_NETWORKS} networks"));
        }
        Ok(invalid.into_result()?)
    }

    /// Refuses to take away a workspace's last valid token with `*`, unless its owner can sign in and
    /// create another one.
    fn keep_an_owner(&self, token: &Token) -> Result<()> {
        if let Some(workspace) = self.state.workspace(token.workspace)? {
            let owner = UserId::from_bytes(&workspace.owner).ok();
            let owner = owner.map(|owner| self.state.user(owner)).transpose()?.flatten();
            let can_sign_in = owner.is_some_and(|owner| owner.password.is_some());
            if can_sign_in || workspace.purged_at_ms.is_some() {
                return Ok(());
            }
        }
        let is_other_owner = |other: &Token| other.id != token.id && other.is_owner_at(self.now_ms);
        if token.is_owner_at(self.now_ms)
            && !self.state.tokens(token.workspace)?.iter().any(is_other_owner)
        {
            let text = "This is the workspace's last token with the ability *: create another one \
                        first.";
            return Err(ServiceError::new(ErrorCode::Conflict, text));
        }
        Ok(())
    }
}

/// Checks a display name.
pub(super) fn check_name(name: &str, max_chars: usize) -> Result<(), String> {
    let is_named = (1..=max_chars).contains(&name.chars().count()) && !name.trim().is_empty();
    if is_named && !name.chars().any(char::is_control) {
        return Ok(());
    }
    Err(format!("must be 1 to {max_chars} characters, none of them control characters"))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::commands::Policies;
    use crate::commands::tests::Writer;
    use crate::commands::{CommandRequest, Mode};
    use crate::domain::command::Command;
    use crate::domain::ids::WorkspaceId;
    use crate::domain::token::{Abilities, Actor};
    use crate::projections::index::{IndexError, Read, Row};

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

    impl ReadRanges for Tokens {
        fn rows(&self, _: &[u8]) -> Result<Vec<Row>, IndexError> {
            Ok(Vec::new())
        }

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
            user: None,
            name: "ci".to_owned(),
            abilities: abilities(names),
            secret_sha256: [number; 32],
            previous: None,
            prefix: None,
            is_disabled: false,
            networks: Vec::new(),
            created_at_ms: 1,
            expires_at_ms,
        }
    }

    fn new_token(names: &[&str], expires_at_ms: Option<u64>) -> NewToken {
        let secret = NewSecret { sha256: [1; 32], prefix: "slk_1234".to_owned() };
        let (name, networks) = ("ci".to_owned(), Vec::new());
        let abilities = abilities(names);
        NewToken { name, abilities, expires_at_ms, networks, is_machine: false, secret }
    }

    /// The error code for an actor with these abilities.
    fn refused<T>(
        tokens: &[Token],
        actor: &[&str],
        decide: impl FnOnce(&CommandHandler<'_, Tokens>) -> Result<T>,
    ) -> Option<ErrorCode> {
        let state = Tokens(tokens.to_vec());
        let policies = Policies::default();
        let workspace = WorkspaceId::new(Uuid::from_u128(1));
        let actor = Actor { abilities: abilities(actor), ..Actor::operator(workspace) };
        let handler =
            CommandHandler { state: &state, policies: &policies, actor: &actor, now_ms: NOW_MS };
        decide(&handler).err().map(|error| error.code)
    }

    #[test]
    fn a_token_cannot_grant_abilities_that_it_lacks() {
        let create = |token| refused(&[], &["user:write"], |handler| handler.create_token(token));
        assert_eq!(create(new_token(&["*"], None)), Some(ErrorCode::Forbidden));
        assert_eq!(create(new_token(&["user:write"], None)), None);
        let expired = new_token(&["user:write"], Some(NOW_MS));
        assert_eq!(create(expired), Some(ErrorCode::Invalid));
        assert_eq!(create(new_token(&["user:write"], Some(NOW_MS + 1))), None);
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
        let create = |number: u8| {
            let secret = NewSecret { sha256: [number; 32], prefix: "slk_1234".to_owned() };
            Command::CreateToken(Box::new(NewToken { secret, ..new_token(&["*"], None) }))
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

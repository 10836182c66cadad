//! Credential → actor. Each handler names the ability that it needs, in its signature.

use std::marker::PhantomData;
use std::ops::Deref;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};

use super::native::iso8601;
use super::problem::Problem;
use super::{Services, security};
use crate::commands::{now_ms, secret};
use crate::domain::ids::WorkspaceId;
use crate::domain::token::{Abilities, Ability, Actor};

/// An ability as a type.
pub trait Needed {
    /// Which one.
    const ABILITY: Ability;
}

macro_rules! needed {
    ($($name:ident),* $(,)?) => {$(
        #[doc = concat!("The handler needs [`Ability::", stringify!($name), "`].")]
        pub struct $name;

        impl Needed for $name {
            const ABILITY: Ability = Ability::$name;
        }
    )*};
}

needed!(LinksRead, LinksWrite, AnalyticsRead, UserRead, UserWrite, AuditRead);

/// An actor who may do what the handler is about to.
pub struct Can<A>(Actor, PhantomData<A>);

impl<A> Deref for Can<A> {
    type Target = Actor;

    fn deref(&self) -> &Actor {
        &self.0
    }
}

/// Whose token a request comes with.
fn authenticate(parts: &Parts, services: &Services) -> Result<Actor, Problem> {
    let failures = &services.auth_failures;
    let secret = credential(&parts.headers).ok_or_else(|| failures.missing())?;
    security::protect_token(parts, services)?;
    // Found by its hash: how long the look-up takes says nothing of the secret.
    let Some(token) = services.links.token_by_secret(&secret::hash(secret))? else {
        return Err(failures.unknown(services.visitors.client(parts)));
    };
    let now_ms = now_ms();
    match token.expires_at_ms {
        Some(at_ms) if token.is_expired_at(now_ms) => Err(failures.expired(&iso8601(at_ms))),
        _ => {
            services.tokens.last_used.note(token.id, now_ms);
            Ok(Actor::from(&token))
        }
    }
}

impl<A: Needed> FromRequestParts<Services> for Can<A> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, services: &Services) -> Result<Self, Problem> {
        let actor = authenticate(parts, services)?;
        if !actor.abilities.allows(A::ABILITY) {
            let detail = format!("This token lacks the ability {}.", A::ABILITY.as_str());
            return Err(Problem::new(StatusCode::FORBIDDEN, "FORBIDDEN", detail));
        }
        Ok(Self(actor, PhantomData))
    }
}

/// Hashes are compared: how long that takes says nothing of the key.
fn has_operator_key(parts: &Parts, services: &Services) -> bool {
    credential(&parts.headers).is_some_and(|key| secret::hash(key) == services.operator_key)
}

/// Whoever has the operator's key: the one who runs the service.
pub struct Operator;

impl FromRequestParts<Services> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, services: &Services) -> Result<Self, Problem> {
        if has_operator_key(parts, services) {
            return Ok(Self);
        }
        // A good token is told that it is not enough, another one that it is none.
        authenticate(parts, services)?;
        let detail = "This is for the operator's key alone: use the slugline command.";
        Err(Problem::new(StatusCode::FORBIDDEN, "FORBIDDEN", detail))
    }
}

/// The operator, or the owner of a workspace.
pub struct OperatorOrOwner(Option<WorkspaceId>);

impl OperatorOrOwner {
    /// The workspace that may be looked at; `None`: all.
    pub const fn workspace(&self) -> Option<WorkspaceId> {
        self.0
    }
}

impl FromRequestParts<Services> for OperatorOrOwner {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, services: &Services) -> Result<Self, Problem> {
        if has_operator_key(parts, services) {
            return Ok(Self(None));
        }
        let actor = authenticate(parts, services)?;
        if !actor.abilities.covers(Abilities::ALL) {
            let detail = "This is for tokens with the ability *.";
            return Err(Problem::new(StatusCode::FORBIDDEN, "FORBIDDEN", detail));
        }
        Ok(Self(Some(actor.workspace)))
    }
}

/// The token of a request: RFC 6750's bearer scheme, else `X-API-Key`.
fn credential(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let key = || headers.get("x-api-key").and_then(|value| value.to_str().ok()).map(str::trim);
    bearer.or_else(key).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn tokens_come_in_either_header() {
        let with = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            credential(&headers).map(str::to_owned)
        };
        assert_eq!(with("authorization", "Bearer slk_x").as_deref(), Some("slk_x"));
        assert_eq!(with("authorization", "bearer slk_x").as_deref(), Some("slk_x"));
        assert_eq!(with("x-api-key", "slk_x").as_deref(), Some("slk_x"));
        assert_eq!(with("authorization", "Basic c2x1Zw=="), None);
        assert_eq!(with("authorization", "Bearer "), None);
        assert_eq!(credential(&HeaderMap::new()), None);
    }
}

//! Authentication and authorization. Each route declares who may call it.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;

use super::native::iso8601;
use super::{Services, security};
use crate::commands::{now_ms, secret};
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::ids::WorkspaceId;
use crate::domain::plan::Feature;
use crate::domain::token::{Abilities, Ability, Actor};

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Tokens with this ability. Handlers find their [`Actor`] in the request's extensions.
    Ability(Ability),
    /// The operator's key only.
    Operator,
    /// The operator's key, or tokens with all abilities. Handlers find a [`Scope`] in the request's
    /// extensions.
    OperatorOrOwner,
}

/// What the caller of a route of [`Access::OperatorOrOwner`] may see.
#[derive(Debug, Clone, Copy)]
pub enum Scope {
    /// The operator: all workspaces.
    All,
    /// An owner: their own workspace.
    Workspace(WorkspaceId),
}

impl From<Ability> for Access {
    fn from(ability: Ability) -> Self {
        Self::Ability(ability)
    }
}

impl Access {
    /// The name in the API's description.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ability(ability) => ability.as_str(),
            Self::Operator => "operator",
            Self::OperatorOrOwner => "*",
        }
    }

    /// Whether it is for operators.
    pub const fn is_for_operators(self) -> bool {
        matches!(self, Self::Operator | Self::OperatorOrOwner)
    }

    /// Authenticates a request and adds the caller to its extensions.
    fn authorize(self, parts: &mut Parts, services: &Services) -> Result<()> {
        let forbidden = |detail: String| Err(ServiceError::new(ErrorCode::Forbidden, detail));
        if self.is_for_operators() && has_operator_key(parts, services) {
            parts.extensions.insert(Scope::All);
            return Ok(());
        }
        // Without a valid token the status is 401, even if no token would suffice.
        let actor = authenticate(parts, services)?;
        match self {
            Self::Ability(ability) if actor.abilities.allows(ability) => {
                parts.extensions.insert(actor);
                Ok(())
            }
            Self::Ability(ability) => {
                forbidden(format!("This token lacks the ability {}.", ability.as_str()))
            }
            Self::Operator => {
                forbidden("This requires the operator key: use the slugline command.".to_owned())
            }
            Self::OperatorOrOwner if actor.abilities.covers(Abilities::ALL) => {
                parts.extensions.insert(Scope::Workspace(actor.workspace));
                Ok(())
            }
            Self::OperatorOrOwner => {
                forbidden("This requires a token with the ability *.".to_owned())
            }
        }
    }
}

/// What the handlers of the API work with: the services, and the actor that [`authorize`] found.
pub struct Api {
    pub services: Services,
    pub actor: Actor,
}

impl FromRequestParts<Services> for Api {
    type Rejection = ServiceError;

    async fn from_request_parts(parts: &mut Parts, services: &Services) -> Result<Self> {
        let actor = parts.extensions.get().copied();
        let actor = actor.ok_or_else(|| ServiceError::internal("a route without an actor"))?;
        Ok(Self { services: services.clone(), actor })
    }
}

/// The layer of a route that rejects callers without access, or without a feature of their plan.
pub async fn authorize(
    State((services, access, feature)): State<(Services, Access, Option<Feature>)>,
    request: Request,
    next: Next,
) -> Result<Response> {
    let (mut parts, body) = request.into_parts();
    access.authorize(&mut parts, &services)?;
    let actor = parts.extensions.get::<Actor>();
    let lacks = |feature| actor.is_some_and(|actor| !actor.plan.includes(feature));
    if feature.is_some_and(lacks) {
        let message = "The workspace's plan does not include this feature: change the plan.";
        return Err(ServiceError::new(ErrorCode::FeatureNotAvailable, message));
    }
    Ok(next.run(Request::from_parts(parts, body)).await)
}

/// Authenticates the token of a request.
fn authenticate(parts: &Parts, services: &Services) -> Result<Actor> {
    let failures = &services.auth_failures;
    let secret = credential(&parts.headers).ok_or_else(|| failures.missing())?;
    security::protect_token(parts, services)?;
    // The lookup is by hash, so its timing reveals nothing about the secret.
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

/// Compares hashes, so the timing reveals nothing about the key.
fn has_operator_key(parts: &Parts, services: &Services) -> bool {
    credential(&parts.headers).is_some_and(|key| secret::hash(key) == services.operator_key)
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

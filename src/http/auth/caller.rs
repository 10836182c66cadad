//! Who makes a request: an API token, or a user's session by a JWT or a cookie.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use crate::commands::{now_ms, secret};
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::event::{SessionState, UserState};
use crate::domain::ids::{SessionId, UserId, WorkspaceId};
use crate::domain::retention::SESSION_IDLE_MS;
use crate::domain::token::{Actor, Token};
use crate::domain::user::state::personal_workspace;
use crate::http::native::iso8601;
use crate::http::{Services, security};

/// The caller of a request.
pub struct Caller {
    pub actor: Actor,
    /// Absent with an API token.
    pub session: Option<Session>,
    /// Whether the user may use the operator's routes: only when signed in, so that a leaked token
    /// of a superadmin does not give access to other workspaces.
    pub is_superadmin: bool,
}

/// A user's session.
#[derive(Debug, Clone, Copy)]
pub struct Session {
    /// The user.
    pub user: UserId,
    /// The session.
    pub id: SessionId,
}

/// Authenticates the credential of a request. A header has precedence over a cookie.
pub fn authenticate(parts: &Parts, services: &Services) -> Result<Caller> {
    if let Some(secret) = credential(&parts.headers) {
        security::protect_token(parts, services)?;
        // A chosen token may look like one.
        if is_jwt(secret) && services.links.token_by_secret(&secret::hash(secret))?.is_none() {
            let found = services.accounts.by_jwt(secret);
            return by_session(parts, services, ended(services, found)?);
        }
        return by_token(parts, services, secret);
    }
    let Some(cookie) = services.session_cookies.value(&parts.headers) else {
        return Err(services.auth_failures.missing());
    };
    security::protect_token(parts, services)?;
    let (user, session) = ended(services, services.accounts.by_cookie(cookie))?;
    let (_, id) = session.ids()?;
    // Sessions share the table of tokens; their UUIDs differ.
    let used_ms = services.tokens.last_used.of(id.uuid()).unwrap_or(0).max(session.created_at_ms);
    let now_ms = now_ms();
    if used_ms.saturating_add(SESSION_IDLE_MS) <= now_ms {
        let text = "The session was not used for too long: sign in again.";
        return Err(ServiceError::new(ErrorCode::InvalidCredential, text));
    }
    services.session_cookies.check_csrf(parts, services, id)?;
    services.tokens.last_used.note(id.uuid(), now_ms);
    by_session(parts, services, (user, session))
}

fn ended<T>(services: &Services, found: Result<T>) -> Result<T> {
    found.inspect_err(|_| services.auth_failures.session_ended())
}

/// The caller with a session.
fn by_session(
    parts: &Parts,
    services: &Services,
    (user, session): (UserState, SessionState),
) -> Result<Caller> {
    let (id, session) = session.ids()?;
    refuse_blocked(&user)?;
    let actor = member(parts, services, &user, id)?;
    let session = Session { user: id, id: session };
    Ok(Caller { actor, session: Some(session), is_superadmin: user.is_superadmin })
}

/// The user as a member of the workspace in the request's path, else of the one that a header names,
/// else of the default one, which may be gone, else of the personal one.
fn member(parts: &Parts, services: &Services, user: &UserState, id: UserId) -> Result<Actor> {
    let requested = requested_workspace(&parts.headers)?;
    let optional =
        [workspace_of_path(parts.uri.path()), requested.or(Some(user.default_workspace()))];
    for workspace in optional.into_iter().flatten() {
        match actor_in(services, id, workspace) {
            Err(error) if error.code == ErrorCode::NotFound => {}
            actor => return actor,
        }
    }
    match requested {
        Some(_) => Err(ServiceError::not_found("workspace")),
        None => actor_in(services, id, personal_workspace(id)),
    }
}

/// The workspace in the path `/workspaces/{workspace}/…`.
fn workspace_of_path(path: &str) -> Option<WorkspaceId> {
    let (_, rest) = path.split_once("/workspaces/")?;
    rest.split('/').next()?.parse().ok()
}

fn refuse_blocked(user: &UserState) -> Result<()> {
    if user.is_blocked {
        let text = "The account is blocked: ask a superadmin.";
        return Err(ServiceError::new(ErrorCode::Forbidden, text));
    }
    Ok(())
}

/// A user as a member of a workspace.
///
/// # Errors
/// [`ErrorCode::NotFound`] if the user is not a member, or the workspace is deleted.
pub fn actor_in(services: &Services, user: UserId, workspace: WorkspaceId) -> Result<Actor> {
    let found = services.accounts.membership(workspace, user)?;
    let (role, _) = found.ok_or_else(|| ServiceError::not_found("workspace"))?;
    Ok(Actor::member(workspace, user, role))
}

/// The workspace that a request names.
fn requested_workspace(headers: &HeaderMap) -> Result<Option<WorkspaceId>> {
    let Some(value) = headers.get("x-workspace") else { return Ok(None) };
    let id = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    id.map(Some).ok_or_else(|| ServiceError::not_found("workspace"))
}

/// The caller with an API token.
fn by_token(parts: &Parts, services: &Services, secret: &str) -> Result<Caller> {
    let failures = &services.auth_failures;
    // The lookup is by hash, so its timing reveals nothing about the secret.
    let hash = secret::hash(secret);
    let Some(token) = services.links.token_by_secret(&hash)? else {
        return Err(failures.unknown(services.visitors.client(parts)));
    };
    let now_ms = now_ms();
    let replaced = token.previous.filter(|previous| previous.sha256 == hash);
    let expiry_ms = [token.expires_at_ms, replaced.map(|previous| previous.expires_at_ms)];
    if let Some(at_ms) = expiry_ms.into_iter().flatten().min().filter(|at_ms| *at_ms <= now_ms) {
        return Err(failures.expired(&iso8601(at_ms)));
    }
    if token.is_disabled {
        return Err(failures.disabled());
    }
    let client = services.visitors.client(parts).to_canonical();
    if !token.networks.is_empty() && !token.networks.iter().any(|net| net.contains(&client)) {
        let text = "This token is not accepted from your address.";
        return Err(ServiceError::new(ErrorCode::Forbidden, text));
    }
    let requested = requested_workspace(&parts.headers)?;
    if requested.is_some_and(|requested| requested != token.workspace) {
        return Err(ServiceError::not_found("workspace"));
    }
    let actor = actor_of(services, &token)?;
    services.tokens.last_used.note(token.id.uuid(), now_ms);
    Ok(Caller { actor, session: None, is_superadmin: false })
}

/// The actor of a valid token: never with more abilities than the user's role has now.
fn actor_of(services: &Services, token: &Token) -> Result<Actor> {
    let gone = |text: &'static str| ServiceError::new(ErrorCode::InvalidCredential, text);
    let Some(user) = token.user else {
        if services.accounts.is_deleted(token.workspace)? {
            return Err(gone("The workspace of this token is deleted."));
        }
        return Ok(Actor::from(token));
    };
    let found = services.accounts.find(user)?;
    refuse_blocked(&found.ok_or_else(|| gone("The user of this token is deleted."))?)?;
    let found = services.accounts.membership(token.workspace, user)?;
    // Tokens from before the user left are not valid again when the user returns.
    let found = found.filter(|(_, joined_at_ms)| *joined_at_ms <= token.created_at_ms);
    let (role, _) = found.ok_or_else(|| gone("The user of this token left the workspace."))?;
    let member = Actor::member(token.workspace, user, role);
    Ok(Actor { token: token.id, abilities: token.abilities.and(member.abilities), ..member })
}

/// Compares hashes, so the timing reveals nothing about the key.
pub fn has_operator_key(parts: &Parts, services: &Services) -> bool {
    credential(&parts.headers).is_some_and(|key| secret::hash(key) == services.operator_key)
}

/// Whether a credential has the form of a JWT (RFC 7519).
fn is_jwt(credential: &str) -> bool {
    credential.starts_with("ey") && credential.bytes().filter(|byte| *byte == b'.').count() == 2
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

    #[test]
    fn a_path_names_a_workspace() {
        let id = personal_workspace(UserId::new(uuid::Uuid::from_u128(7)));
        for path in [format!("/workspaces/{id}"), format!("/api/v1/workspaces/{id}/members")] {
            assert_eq!(workspace_of_path(&path), Some(id), "{path}");
        }
        assert_eq!(workspace_of_path("/workspaces"), None);
        assert_eq!(workspace_of_path("/links/workspaces"), None);
    }
}

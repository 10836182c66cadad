//! Who makes a request: an API token, or a user's session by a JWT or a cookie.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use ipnet::IpNet;
use sha2::{Digest, Sha256};

use crate::commands::accounts::{KnownCaller, LiveSession, SessionKind, Stamp};
use crate::commands::{now_ms, secret};
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::event::UserState;
use crate::domain::ids::{SessionId, UserId, WorkspaceId};
use crate::domain::plan::Plan;
use crate::domain::session::is_idle_at;
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
    /// The plan of the workspace.
    pub plan: Plan,
}

/// A user's session.
#[derive(Debug, Clone, Copy)]
pub struct Session {
    /// The user.
    pub user: UserId,
    /// The session.
    pub id: SessionId,
    /// Whether a cookie carries it, rather than a JWT.
    pub is_browser: bool,
}

impl From<KnownCaller> for Caller {
    fn from(known: KnownCaller) -> Self {
        let KnownCaller { actor, session, is_superadmin, plan, .. } = known;
        let session = session.zip(actor.user).map(|((id, kind), (user, _))| Session {
            user,
            id,
            is_browser: kind == SessionKind::Browser,
        });
        Self { actor, session, is_superadmin, plan }
    }
}

/// Authenticates the credential of a request. A header has precedence over a cookie.
pub fn authenticate(parts: &Parts, services: &Services) -> Result<Caller> {
    if let Some(secret) = credential(&parts.headers) {
        security::protect_token(parts, services)?;
        return if is_jwt(secret) {
            by_jwt(parts, services, secret)
        } else {
            by_token(parts, services, secret)
        };
    }
    let Some(cookie) = services.session_cookies.value(&parts.headers) else {
        return Err(services.auth_failures.missing());
    };
    security::protect_token(parts, services)?;
    by_cookie(parts, services, cookie)
}

fn by_jwt(parts: &Parts, services: &Services, jwt: &str) -> Result<Caller> {
    let key = session_key(parts, SessionKind::Jwt, jwt.as_bytes());
    if let Some(known) = key.and_then(|key| services.accounts.known_caller(&key, now_ms())) {
        return Ok(known.into());
    }
    // A token that was chosen when the log was empty may look like one.
    if services.links.token_by_secret(&secret::hash(jwt))?.is_some() {
        return by_token(parts, services, jwt);
    }
    let found = ended(services, services.accounts.by_jwt(jwt))?;
    by_session(parts, services, key, found)
}

fn by_cookie(parts: &Parts, services: &Services, cookie: &[u8]) -> Result<Caller> {
    let key = session_key(parts, SessionKind::Browser, cookie);
    if let Some(known) = key.and_then(|key| services.accounts.known_caller(&key, now_ms()))
        && let Some((id, _)) = known.session
    {
        use_cookie(parts, services, id, known.created_at_ms)?;
        return Ok(known.into());
    }
    let found = ended(services, services.accounts.by_cookie(cookie))?;
    let (_, id) = found.session.ids()?;
    use_cookie(parts, services, id, found.session.created_at_ms)?;
    by_session(parts, services, key, found)
}

/// Refuses a session that was not used for too long, and requests that another site caused; else
/// notes the use.
fn use_cookie(parts: &Parts, services: &Services, id: SessionId, created_at_ms: u64) -> Result<()> {
    let (last_used, now_ms) = (&services.tokens.last_used, now_ms());
    // Sessions share the table of tokens; their UUIDs differ.
    if is_idle_at(now_ms, created_at_ms, last_used.of(id.uuid())) {
        let text = "The session was not used for too long: sign in again.";
        return Err(ServiceError::new(ErrorCode::InvalidCredential, text));
    }
    services.session_cookies.check_csrf(parts, services, id)?;
    last_used.note(id.uuid(), now_ms);
    Ok(())
}

/// The key by which the caller with a session is stored: a hash of the credential, its kind, and the
/// workspace that the request names. `None` if the workspace is malformed.
fn session_key(parts: &Parts, kind: SessionKind, credential: &[u8]) -> Option<[u8; 32]> {
    let workspace = named_workspace(parts).ok()?.map(WorkspaceId::uuid).unwrap_or_default();
    // No token has such a byte, so the keys differ from those of tokens.
    let kind = [if kind == SessionKind::Jwt { 1 } else { 2 }];
    let hash = Sha256::new().chain_update(kind).chain_update(workspace.as_bytes());
    Some(hash.chain_update(credential).finalize().into())
}

fn ended<T>(services: &Services, found: Result<T>) -> Result<T> {
    found.inspect_err(|_| services.auth_failures.session_ended())
}

/// The caller with a session, to be stored under a key.
fn by_session(
    parts: &Parts,
    services: &Services,
    key: Option<[u8; 32]>,
    found: LiveSession,
) -> Result<Caller> {
    let LiveSession { user, session, expires_at_ms, mut stamp } = found;
    let (id, session_id) = session.ids()?;
    refuse_blocked(&user)?;
    let first = named_workspace(parts)?.unwrap_or_else(|| user.default_workspace());
    services.accounts.note(&mut stamp, first.as_bytes());
    let actor = member(parts, services, &user, id)?;
    let kind = if session.is_browser() { SessionKind::Browser } else { SessionKind::Jwt };
    let known = KnownCaller {
        actor,
        session: Some((session_id, kind)),
        is_superadmin: user.is_superadmin,
        created_at_ms: session.created_at_ms,
        expires_at_ms,
        networks: None,
        plan: services.plans.of(actor.workspace)?,
    };
    // Another workspace in place of the named one depends on more than the stamp covers.
    if let Some(key) = key.filter(|_| actor.workspace == first) {
        services.accounts.store_caller(key, stamp, known.clone());
    }
    Ok(known.into())
}

/// The workspace in the request's path, else the one that a header names.
fn named_workspace(parts: &Parts) -> Result<Option<WorkspaceId>> {
    let requested = requested_workspace(&parts.headers)?;
    Ok(workspace_of_path(parts.uri.path()).or(requested))
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
    let (accounts, failures, now_ms) = (&services.accounts, &services.auth_failures, now_ms());
    // The lookup is by hash, so its timing reveals nothing about the secret.
    let hash = secret::hash(secret);
    if let Some(known) = accounts.known_caller(&hash, now_ms) {
        let networks = known.networks.as_deref().unwrap_or_default();
        check_client(parts, services, networks, known.actor.workspace)?;
        services.tokens.last_used.note(known.actor.token.uuid(), now_ms);
        return Ok(known.into());
    }
    let mut stamp = Stamp::default();
    hash.first_chunk().into_iter().for_each(|hash| accounts.note(&mut stamp, hash));
    let Some(token) = services.links.token_by_secret(&hash)? else {
        return Err(failures.unknown(services.visitors.client(parts)));
    };
    let replaced = token.previous.filter(|previous| previous.sha256 == hash);
    let expiry_ms = [token.expires_at_ms, replaced.map(|previous| previous.expires_at_ms)];
    let expires_at_ms = expiry_ms.into_iter().flatten().min().unwrap_or(u64::MAX);
    if expires_at_ms <= now_ms {
        return Err(failures.expired(&iso8601(expires_at_ms)));
    }
    if token.is_disabled {
        return Err(failures.disabled());
    }
    check_client(parts, services, &token.networks, token.workspace)?;
    accounts.note(&mut stamp, token.workspace.as_bytes());
    token.user.into_iter().for_each(|user| accounts.note(&mut stamp, user.as_bytes()));
    let actor = actor_of(services, &token)?;
    services.tokens.last_used.note(token.id.uuid(), now_ms);
    let known = KnownCaller {
        actor,
        session: None,
        is_superadmin: false,
        created_at_ms: token.created_at_ms,
        expires_at_ms,
        networks: (!token.networks.is_empty()).then(|| token.networks.into()),
        plan: services.plans.of(actor.workspace)?,
    };
    accounts.store_caller(hash, stamp, known.clone());
    Ok(known.into())
}

/// Refuses a token from another network, or for another workspace.
fn check_client(
    parts: &Parts,
    services: &Services,
    networks: &[IpNet],
    workspace: WorkspaceId,
) -> Result<()> {
    if !networks.is_empty() {
        let client = services.visitors.client(parts).to_canonical();
        if !networks.iter().any(|net| net.contains(&client)) {
            let text = "This token is not accepted from your address.";
            return Err(ServiceError::new(ErrorCode::Forbidden, text));
        }
    }
    let requested = requested_workspace(&parts.headers)?;
    if requested.is_some_and(|requested| requested != workspace) {
        return Err(ServiceError::not_found("workspace"));
    }
    Ok(())
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

//! Signing in: password, second factor, session.

use std::time::Duration;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Accounts, PASSWORD, Profile, Stamp, forbidden};
use crate::commands::now_ms;
use crate::domain::command::Outcome;
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::event::{SessionState, UserState};
use crate::domain::ids::{SessionId, UserId};
use crate::domain::retention::SESSION_MS;
use crate::domain::user::command::{UserChange, UserCommand};
use crate::domain::user::{SecondFactor, normalized_email};
use crate::projections::index::ReadUsers;

/// The maximum number of live sessions of a user; the oldest end for new ones.
const MAX_SESSIONS: usize = 100;

/// What a user signs in with.
#[derive(Clone)]
pub struct Credentials {
    /// The email address.
    pub email: String,
    /// The password.
    pub password: String,
    /// A TOTP code or a recovery code.
    pub code: Option<String>,
}

impl Credentials {
    /// Refuses credentials without an address or a password.
    pub fn required(self) -> Result<Self> {
        if self.email.trim().is_empty() {
            return Err(ServiceError::field("email", "is required"));
        }
        if self.password.is_empty() {
            return Err(ServiceError::field("password", "is required"));
        }
        Ok(self)
    }
}

/// What carries a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionKind {
    /// A browser's cookie.
    Browser,
    /// A JWT.
    Jwt,
}

/// A session that has not ended, and its user.
pub struct LiveSession {
    /// The user.
    pub user: UserState,
    /// The session.
    pub session: SessionState,
    /// When the session or its JWT expires, in milliseconds since the Unix epoch.
    pub expires_at_ms: u64,
    /// Covers the user and the session.
    pub stamp: Stamp,
}

/// A session that was started.
pub struct SignedIn {
    /// The user.
    pub profile: Profile,
    /// The session.
    pub session: SessionId,
    /// The cookie's secret, or the JWT. Shown once.
    pub secret: String,
    /// When the session ends at the latest, in milliseconds since the Unix epoch.
    pub expires_at_ms: u64,
}

/// The same for an unknown address, a wrong password and a wrong code.
fn wrong_credentials() -> ServiceError {
    let text = "The email address, the password or the code is wrong.";
    ServiceError::new(ErrorCode::InvalidCredential, text)
}

impl Accounts {
    /// Signs in.
    ///
    /// An unknown address takes as long as a wrong password: one hash is computed either way.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidCredential`], [`ErrorCode::SecondFactorRequired`] if the code is
    /// missing, and after the right password only, [`ErrorCode::Forbidden`] for a blocked user.
    pub async fn sign_in(
        &self,
        credentials: Credentials,
        kind: SessionKind,
        client: String,
    ) -> Result<SignedIn> {
        let Credentials { email, password, code } = credentials;
        // A malformed address belongs to nobody, and is compared like any other.
        let email = normalized_email(&email).unwrap_or(email);
        let user = self.by_email(&email)?;
        let is_right = match &user {
            Some(user) => self.is_password(user, password).await?,
            None => self.commands.passwords().is_right(password, None).await?,
        };
        let user = match user {
            Some(user) if is_right => user,
            user => {
                if let Some(user) = user {
                    self.record_failure(user.user_id()?);
                }
                return Err(wrong_credentials());
            }
        };
        let id = user.user_id()?;
        if user.is_blocked {
            return Err(forbidden("The account is blocked: ask a superadmin."));
        }
        if !user.is_verified && self.settings.has_mail {
            return Err(forbidden("Verify the email address first: follow the link in the mail."));
        }
        let factor = self.second_factor(&user, code.as_deref());
        if factor.as_ref().is_err_and(|error| error.code == ErrorCode::InvalidCredential) {
            self.record_failure(id);
        }
        self.start_session(&user, factor?, kind, client).await
    }

    /// Records a failure. The response does not wait for it.
    fn record_failure(&self, id: UserId) {
        let accounts = self.clone();
        tokio::spawn(async move {
            if let Err(error) = accounts.run(id, None, UserCommand::RecordFailure(id)).await {
                tracing::warn!(%error, "a failed sign-in could not be logged");
            }
        });
    }

    /// Whether this is the user's password.
    pub(super) async fn is_password(&self, user: &UserState, password: String) -> Result<bool> {
        let id = user.user_id()?;
        let sealed = user.password.as_deref();
        let phc = sealed.and_then(|sealed| self.open(id.uuid(), PASSWORD, sealed));
        self.commands.passwords().is_right(password, phc).await
    }

    fn second_factor(&self, user: &UserState, code: Option<&str>) -> Result<Option<SecondFactor>> {
        if !user.has_two_factor() {
            return Ok(None);
        }
        let Some(code) = code.map(str::trim).filter(|code| !code.is_empty()) else {
            let text = "Send the code of your authenticator app, or a recovery code, as `code`.";
            return Err(ServiceError::new(ErrorCode::SecondFactorRequired, text));
        };
        let factor = self.factor_of(user, code).filter(|factor| user.accepts(*factor));
        factor.map(Some).ok_or_else(wrong_credentials)
    }

    /// Starts a session of a user who is signed in, in place of one that a change has ended.
    pub async fn start_again(
        &self,
        id: UserId,
        kind: SessionKind,
        client: String,
    ) -> Result<SignedIn> {
        let factor = Some(SecondFactor::EarlierSession);
        self.start_session(&self.user(id)?, factor, kind, client).await
    }

    /// Starts a session of a user whose identity is proven.
    async fn start_session(
        &self,
        user: &UserState,
        factor: Option<SecondFactor>,
        kind: SessionKind,
        client: String,
    ) -> Result<SignedIn> {
        let (id, session, now_ms) = (user.user_id()?, SessionId::new(Uuid::now_v7()), now_ms());
        let secret: [u8; 32] = rand::random();
        let lifetime = match kind {
            SessionKind::Browser => Duration::from_millis(SESSION_MS),
            SessionKind::Jwt => self.settings.jwt_lifetime,
        };
        let expires_at_ms = now_ms + u64::try_from(lifetime.as_millis()).unwrap_or(SESSION_MS);
        let is_browser = kind == SessionKind::Browser;
        let state = SessionState {
            id: session.as_bytes().to_vec(),
            user: id.as_bytes().to_vec(),
            secret_sha256: if is_browser { Sha256::digest(secret).to_vec() } else { Vec::new() },
            epoch: user.session_epoch,
            expires_at_ms,
            client,
            ..SessionState::default()
        };
        self.end_oldest_sessions(id).await?;
        self.run(id, Some(id), UserCommand::StartSession(Box::new(state), factor)).await?;
        let secret = match kind {
            SessionKind::Browser => Cookie { user: id, session, secret }.encode(),
            SessionKind::Jwt => self.jwt.issue(id, session, now_ms, lifetime),
        };
        Ok(SignedIn { profile: self.profile(user), session, secret, expires_at_ms })
    }

    /// Makes room for another session: a user has a maximum of them.
    async fn end_oldest_sessions(&self, id: UserId) -> Result<()> {
        let sessions = self.sessions(id)?;
        let excess = (sessions.len() + 1).saturating_sub(MAX_SESSIONS);
        for session in sessions.into_iter().take(excess) {
            let (_, session) = session.ids()?;
            self.run(id, Some(id), UserCommand::EndSession(id, session)).await?;
        }
        Ok(())
    }

    /// The user and the session of a JWT.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidCredential`] if it is not valid, or its session has ended.
    pub fn by_jwt(&self, token: &str) -> Result<LiveSession> {
        let claims = self.jwt.verify(token, now_ms()).map_err(|_| ended())?;
        let found = self.live_session(claims.user, claims.session)?;
        let expires_at_ms = found.expires_at_ms.min(claims.expires_at.saturating_mul(1_000));
        Ok(LiveSession { expires_at_ms, ..found })
    }

    /// The user and the session of a cookie.
    ///
    /// # Errors
    /// As [`by_jwt`](Self::by_jwt).
    pub fn by_cookie(&self, value: &[u8]) -> Result<LiveSession> {
        let cookie = Cookie::decode(value).ok_or_else(ended)?;
        let found = self.live_session(cookie.user, cookie.session)?;
        // Hashes are compared, so the timing reveals nothing about the secret.
        if Sha256::digest(cookie.secret).as_slice() != found.session.secret_sha256 {
            return Err(ended());
        }
        Ok(found)
    }

    fn live_session(&self, user: UserId, id: SessionId) -> Result<LiveSession> {
        let mut stamp = Stamp::default();
        self.note(&mut stamp, user.as_bytes());
        let session = self.index.session(user, id)?.ok_or_else(ended)?;
        let user = self.index.user(user)?.ok_or_else(ended)?;
        let expires_at_ms = session.expires_at_ms;
        if expires_at_ms <= now_ms() || session.epoch != user.session_epoch {
            return Err(ended());
        }
        Ok(LiveSession { user, session, expires_at_ms, stamp })
    }

    /// A user's live sessions, oldest first.
    pub fn sessions(&self, user: UserId) -> Result<Vec<SessionState>> {
        let (epoch, now_ms) = (self.user(user)?.session_epoch, now_ms());
        let mut sessions = self.index.sessions(user)?;
        sessions.retain(|one| one.expires_at_ms > now_ms && one.epoch == epoch);
        Ok(sessions)
    }

    /// Ends a session.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`] if the user has no such session.
    pub async fn end_session(&self, user: UserId, session: SessionId) -> Result<()> {
        if self.index.session(user, session)?.is_none() {
            return Err(ServiceError::not_found("session"));
        }
        match self.run(user, Some(user), UserCommand::EndSession(user, session)).await? {
            Outcome::Gone => Ok(()),
            _ => Err(super::not_a_user()),
        }
    }

    /// Ends all sessions of a user.
    pub async fn end_sessions(&self, user: UserId) -> Result<()> {
        self.change(user, Some(user), UserChange::EndSessions).await?;
        Ok(())
    }
}

fn ended() -> ServiceError {
    let text = "The session has ended: sign in again.";
    ServiceError::new(ErrorCode::InvalidCredential, text)
}

/// The value of a session cookie: the ids of the user and the session, and a secret.
struct Cookie {
    user: UserId,
    session: SessionId,
    secret: [u8; 32],
}

impl Cookie {
    fn encode(&self) -> String {
        use base64::Engine;
        let bytes = [&self.user.as_bytes()[..], self.session.as_bytes(), &self.secret].concat();
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
    }

    fn decode(value: &[u8]) -> Option<Self> {
        use base64::Engine;
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(value).ok()?;
        let (user, rest) = bytes.split_first_chunk::<16>()?;
        let (session, secret) = rest.split_first_chunk::<16>()?;
        Some(Self {
            user: UserId::from_bytes(user).ok()?,
            session: SessionId::from_bytes(session).ok()?,
            secret: secret.try_into().ok()?,
        })
    }
}

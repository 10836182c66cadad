//! Users and their sessions in the index.

use prost::Message;

use super::encoding::BROKEN_ID;
use super::read::{Read, ReadRanges};
use super::state::State;
use super::store::prefixed;
use super::{Index, IndexError, keys, workspaces};
use crate::domain::error::Unreadable;
use crate::domain::event::{Event, SessionState, UserState};
use crate::domain::ids::{SessionId, UserId};
use crate::domain::user::SecondFactor;
use crate::domain::user::state::personal_workspace;
use crate::domain::workspace::state::user_id;

/// The name of personal workspaces.
const PERSONAL_NAME: &str = "Personal";
const TIME_BYTES: usize = 8;

/// Reads users and sessions.
pub trait ReadUsers: Read {
    /// A user.
    fn user(&self, id: UserId) -> Result<Option<UserState>, IndexError> {
        let user = self.get(&keys::user(id))?.map(|value| UserState::decode(value.as_slice()));
        user.transpose().map_err(|error| self.report_damage(error.into()))
    }

    /// The user whose email address has this keyed hash.
    fn user_by_email(&self, email_hash: &[u8]) -> Result<Option<UserId>, IndexError> {
        let id = self.get(&keys::user_by_email(email_hash))?;
        let id = id.map(|bytes| UserId::from_bytes(&bytes).map_err(|_| BROKEN_ID)).transpose();
        id.map_err(|error| self.report_damage(error))
    }

    /// A session of a user, which may have ended.
    fn session(&self, user: UserId, id: SessionId) -> Result<Option<SessionState>, IndexError> {
        let session = self.get(&keys::session(user, id))?;
        let session = session.map(|value| decode_session(&value)).transpose();
        session.map_err(|error| self.report_damage(error))
    }

    /// A user's sessions, oldest first; some may have ended.
    fn sessions(&self, user: UserId) -> Result<Vec<SessionState>, IndexError>
    where
        Self: ReadRanges,
    {
        let rows = self.rows(&keys::sessions_of(user))?.into_iter();
        let sessions = rows.map(|(_, value)| decode_session(&value)).collect::<Result<_, _>>();
        sessions.map_err(|error| self.report_damage(error))
    }

    /// The superadmins who can sign in.
    fn superadmins(&self) -> Result<Vec<UserId>, IndexError>
    where
        Self: ReadRanges,
    {
        let rows = self.rows(keys::SUPERADMINS)?.into_iter();
        let id = |key: Vec<u8>| keys::last_id(&key).and_then(|id| UserId::from_bytes(&id).ok());
        let ids = rows.map(|(key, _)| id(key).ok_or(BROKEN_ID)).collect::<Result<_, _>>();
        ids.map_err(|error| self.report_damage(error))
    }

    /// All users, oldest first.
    fn users(&self) -> Result<Vec<UserState>, IndexError>
    where
        Self: ReadRanges,
    {
        let rows = self.rows(keys::USERS)?.into_iter();
        let users = rows.map(|(_, value)| UserState::decode(value.as_slice()));
        let users = users.collect::<Result<_, _>>();
        users.map_err(|error| self.report_damage(error.into()))
    }
}

impl<R: Read + ?Sized> ReadUsers for R {}

impl Index {
    /// Whether there are users.
    pub fn has_users(&self) -> Result<bool, IndexError> {
        let first = self.layers.load().rows(prefixed(keys::USERS), false).next().transpose();
        Ok(first?.is_some())
    }
}

fn decode_session(value: &[u8]) -> Result<SessionState, IndexError> {
    Ok(SessionState::decode(value.get(TIME_BYTES..).unwrap_or_default())?)
}

/// Folds an event of a user.
pub fn fold<S: State>(state: &mut S, at_ms: u64, event: &Event) -> Result<(), IndexError> {
    match event {
        Event::UserCreated(user) => {
            insert(state, user)?;
            let (id, name) = (user.user_id()?, PERSONAL_NAME.to_owned());
            workspaces::create(state, personal_workspace(id), at_ms, (name, id.as_bytes()))
        }
        Event::UserChanged(user)
        | Event::PasswordChanged(user)
        | Event::TwoFactorEnabled(user)
        | Event::TwoFactorDisabled(user)
        | Event::UserBlocked(user)
        | Event::UserUnblocked(user) => insert(state, user),
        Event::UserDeleted(deleted) => {
            let id = user_id(&deleted.user)?;
            remove(state, id)?;
            workspaces::delete(state, personal_workspace(id), deleted.purged_at_ms)
        }
        Event::SessionStarted(session) => start_session(state, session),
        Event::SessionEnded(ended) => {
            let id = SessionId::from_bytes(&ended.session);
            let id = id.map_err(|_| Unreadable("session id"))?;
            state.remove(keys::session(user_id(&ended.user)?, id));
            Ok(())
        }
        // Only for the audit log.
        Event::SignInFailed(_) => Ok(()),
        _ => Err(IndexError::Broken("an event that is not of a user")),
    }
}

fn insert<S: State>(state: &mut S, user: &UserState) -> Result<(), IndexError> {
    let id = user.user_id()?;
    remove(state, id)?;
    state.put(keys::user_by_email(&user.email_hash), id.as_bytes().to_vec());
    state.put(keys::user(id), user.encode_to_vec());
    if user.is_active_superadmin() {
        state.put(keys::superadmin(id), Vec::new());
    }
    Ok(())
}

fn remove<S: State>(state: &mut S, id: UserId) -> Result<(), IndexError> {
    if let Some(user) = state.user(id)? {
        state.remove(keys::user_by_email(&user.email_hash));
        state.remove(keys::user(id));
        if user.is_active_superadmin() {
            state.remove(keys::superadmin(id));
        }
    }
    Ok(())
}

fn start_session<S: State>(state: &mut S, session: &SessionState) -> Result<(), IndexError> {
    let (user, id) = session.ids()?;
    let key = keys::session(user, id);
    state.put(keys::expiry(session.expires_at_ms, &key), Vec::new());
    let mut value = session.expires_at_ms.to_be_bytes().to_vec();
    value.extend(session.encode_to_vec());
    state.put(key, value);
    let factor = match (session.totp_step, <[u8; 32]>::try_from(&session.recovery_sha256[..])) {
        (Some(step), _) => Some(SecondFactor::Totp(step)),
        (None, Ok(sha256)) => Some(SecondFactor::RecoveryCode(sha256)),
        (None, Err(_)) => None,
    };
    if let (Some(factor), Some(mut user)) = (factor, state.user(user)?) {
        user.use_up(factor);
        insert(state, &user)?;
    }
    Ok(())
}

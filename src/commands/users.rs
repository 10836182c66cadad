//! Decides commands on users and their sessions.

use super::decide::{CommandHandler, Decision};
use crate::domain::command::Outcome;
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::event::{
    Event, SessionEnded, SessionState, SignInFailed, UserDeleted, UserState,
};
use crate::domain::ids::UserId;
use crate::domain::retention::WORKSPACE_RESTORABLE_MS;
use crate::domain::user::command::{EmailChange, TwoFactorChange, UserChange, UserCommand};
use crate::domain::user::state::{RequestedEmail, TwoFactorState, personal_workspace};
use crate::domain::user::{SecondFactor, UserRole};
use crate::projections::index::{ReadRanges, ReadUsers, ReadWorkspaces};

impl<R: ReadRanges> CommandHandler<'_, R> {
    pub(super) fn decide_user(&self, command: UserCommand) -> Result<Decision> {
        match command {
            UserCommand::Create(user) => {
                self.claim_email(&user.email_hash, None)?;
                let now_ms = self.now_ms;
                let user = UserState { created_at_ms: now_ms, updated_at_ms: now_ms, ..*user };
                Ok((Some(Event::UserCreated(user.clone())), Outcome::User(user.into())))
            }
            UserCommand::Change(id, change) => self.change_user(id, change),
            UserCommand::Delete(id) => self.delete_user(id),
            UserCommand::StartSession(session, factor) => self.start_session(*session, factor),
            UserCommand::EndSession(user, id) => {
                let found = self.state.session(user, id)?;
                let ended = SessionEnded {
                    session: id.as_bytes().to_vec(),
                    user: user.as_bytes().to_vec(),
                };
                Ok((found.map(|_| Event::SessionEnded(ended)), Outcome::Gone))
            }
            UserCommand::RecordFailure(user) => {
                let failed = SignInFailed { user: user.as_bytes().to_vec() };
                Ok((Some(Event::SignInFailed(failed)), Outcome::Gone))
            }
        }
    }

    /// A user who exists.
    fn existing_user(&self, id: UserId) -> Result<UserState> {
        self.state.user(id)?.ok_or_else(|| ServiceError::not_found("user"))
    }

    /// Refuses the email address of another user. An empty hash is no address.
    fn claim_email(&self, hash: &[u8], own: Option<UserId>) -> Result<()> {
        let holder = if hash.is_empty() { None } else { self.state.user_by_email(hash)? };
        if holder.is_some_and(|holder| own != Some(holder)) {
            let text = "There is a user with this email address already.";
            return Err(ServiceError::new(ErrorCode::Conflict, text)
                .with_field("email", "is the address of another user"));
        }
        Ok(())
    }

    fn change_user(&self, id: UserId, change: UserChange) -> Result<Decision> {
        let before = self.existing_user(id)?;
        let mut user = before.clone();
        let event = self.apply(id, &mut user, change)?;
        self.keep_a_superadmin(&before, &user)?;
        if user == before {
            return Ok((None, Outcome::User(before.into())));
        }
        user.updated_at_ms = self.now_ms.max(before.updated_at_ms);
        Ok((Some(event(user.clone())), Outcome::User(user.into())))
    }

    fn apply(&self, id: UserId, user: &mut UserState, change: UserChange) -> Result<UserEvent> {
        Ok(match change {
            UserChange::Email(change) => {
                self.change_email(id, user, change)?;
                Event::UserChanged
            }
            UserChange::TwoFactor(change) => change_two_factor(user, change)?,
            UserChange::Name(name) => {
                user.name = name;
                Event::UserChanged
            }
            UserChange::SetUp { email_hash, email, password } => {
                if user.password.is_some() {
                    return Err(used_link());
                }
                self.claim_email(&email_hash, Some(id))?;
                (user.email_hash, user.email) = (email_hash.to_vec(), email);
                user.password = Some(password);
                // The operator handed the link over.
                user.is_verified = true;
                Event::PasswordChanged
            }
            UserChange::Password { password, epoch } => {
                if user.session_epoch != epoch {
                    return Err(used_link());
                }
                user.password = Some(password);
                user.requested_email = None;
                user.session_epoch = user.session_epoch.saturating_add(1);
                Event::PasswordChanged
            }
            UserChange::Block(is_blocked) => {
                user.session_epoch += u32::from(is_blocked && !user.is_blocked);
                user.is_blocked = is_blocked;
                user.requested_email = None;
                if is_blocked { Event::UserBlocked } else { Event::UserUnblocked }
            }
            UserChange::Role(role) => {
                user.session_epoch += u32::from(role != user.role());
                user.is_superadmin = role == UserRole::Superadmin;
                Event::UserChanged
            }
            UserChange::DefaultWorkspace(workspace) => {
                user.default_workspace = workspace.as_bytes().to_vec();
                Event::UserChanged
            }
            UserChange::EndSessions => {
                user.requested_email = None;
                user.session_epoch = user.session_epoch.saturating_add(1);
                Event::UserChanged
            }
        })
    }

    fn change_email(&self, id: UserId, user: &mut UserState, change: EmailChange) -> Result<()> {
        match change {
            // That the address is another user's shows when it is confirmed, to its owner only.
            EmailChange::Request { hash, sealed } => {
                user.requested_email = Some(RequestedEmail { hash: hash.to_vec(), sealed });
            }
            EmailChange::Confirm(hash) => {
                let requested = user.requested_email.take().filter(|one| one.hash == hash);
                let RequestedEmail { hash, sealed } = requested.ok_or_else(used_link)?;
                self.claim_email(&hash, Some(id))?;
                (user.email_hash, user.email, user.is_verified) = (hash, sealed, true);
            }
            EmailChange::Verify(hash) => {
                if user.email_hash != hash {
                    return Err(used_link());
                }
                user.is_verified = true;
            }
        }
        Ok(())
    }

    /// Deletes a user. The personal workspace is deleted too.
    fn delete_user(&self, id: UserId) -> Result<Decision> {
        let user = self.existing_user(id)?;
        self.keep_a_superadmin(&user, &UserState::default())?;
        for workspace in self.state.workspaces_of(id)? {
            let found = self.state.workspace(workspace)?;
            let is_owner = found
                .is_some_and(|found| found.owner == id.as_bytes() && found.purged_at_ms.is_none());
            if is_owner && workspace != personal_workspace(id) {
                let text = format!(
                    "The user owns the workspace {workspace}: transfer its ownership or delete it \
                     first."
                );
                return Err(ServiceError::new(ErrorCode::Conflict, text));
            }
        }
        let purged_at_ms = self.now_ms + WORKSPACE_RESTORABLE_MS;
        let deleted = UserDeleted { user: id.as_bytes().to_vec(), purged_at_ms };
        Ok((Some(Event::UserDeleted(deleted)), Outcome::Gone))
    }

    /// Refuses to take away the last superadmin who can sign in.
    fn keep_a_superadmin(&self, before: &UserState, after: &UserState) -> Result<()> {
        if !before.is_active_superadmin() || after.is_active_superadmin() {
            return Ok(());
        }
        if self.state.superadmins()?.iter().any(|other| before.id != other.as_bytes()) {
            return Ok(());
        }
        let text = "This is the last superadmin: make another user a superadmin first.";
        Err(ServiceError::new(ErrorCode::Conflict, text))
    }

    fn start_session(
        &self,
        session: SessionState,
        factor: Option<SecondFactor>,
    ) -> Result<Decision> {
        let (id, _) = session.ids()?;
        let user = self.existing_user(id)?;
        // The user may have been changed since the password was verified.
        let is_proven = factor.map_or(!user.has_two_factor(), |factor| user.accepts(factor));
        if user.is_blocked || !is_proven || session.epoch != user.session_epoch {
            let text = "The code is not valid, or was used before.";
            return Err(ServiceError::new(ErrorCode::InvalidCredential, text));
        }
        let mut session = SessionState { created_at_ms: self.now_ms, ..session };
        match factor {
            Some(SecondFactor::Totp(step)) => session.totp_step = Some(step),
            Some(SecondFactor::RecoveryCode(sha256)) => session.recovery_sha256 = sha256.to_vec(),
            Some(SecondFactor::EarlierSession) | None => {}
        }
        Ok((Some(Event::SessionStarted(session.clone())), Outcome::Session(session.into())))
    }
}

/// The event of a change, with the user afterwards.
type UserEvent = fn(UserState) -> Event;

fn change_two_factor(user: &mut UserState, change: TwoFactorChange) -> Result<UserEvent> {
    Ok(match change {
        TwoFactorChange::Begin(secret) => {
            if user.has_two_factor() {
                let text = "Two-factor authentication is on already: turn it off first.";
                return Err(ServiceError::new(ErrorCode::Conflict, text));
            }
            user.two_factor = Some(TwoFactorState { secret, ..TwoFactorState::default() });
            Event::UserChanged
        }
        TwoFactorChange::Enable { step, recovery_sha256 } => {
            let begun = user.two_factor.as_mut().filter(|two_factor| !two_factor.is_enabled);
            let two_factor = begun.ok_or_else(|| {
                let text = "Two-factor authentication is not being set up.";
                ServiceError::new(ErrorCode::Conflict, text)
            })?;
            two_factor.is_enabled = true;
            two_factor.last_step = step;
            two_factor.recovery_sha256 = recovery_sha256.iter().map(Vec::from).collect();
            Event::TwoFactorEnabled
        }
        TwoFactorChange::Disable => {
            user.two_factor = None;
            Event::TwoFactorDisabled
        }
    })
}

fn used_link() -> ServiceError {
    let text = "This link was used already, or a newer one replaces it.";
    ServiceError::new(ErrorCode::Gone, text)
}

//! Links that prove who follows them: sent by mail, or printed for the operator.
//!
//! A link holds a signed token. What it permits happens once: its signature covers the state that
//! following it changes, such as the present password. So nothing has to be stored.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::{Accounts, Profile};
use crate::commands::now_ms;
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::event::UserState;
use crate::domain::ids::UserId;
use crate::domain::named_enum;
use crate::projections::index::ReadUsers;

const HOUR_MS: u64 = 3_600 * 1_000;
const DAY_MS: u64 = 24 * HOUR_MS;

named_enum! {
    /// What a link permits.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    #[repr(u8)]
    pub enum LinkPurpose {
        /// Setting the email address and the password of a new user.
        SetUp = 1 => "set-up",
        /// Setting another password.
        Reset = 2 => "reset",
        /// Verifying the email address.
        Verify = 3 => "verify",
        /// Confirming another email address.
        ChangeEmail = 4 => "email",
        /// Accepting an invitation.
        Invitation = 5 => "invitation",
    }
}

impl LinkPurpose {
    const fn lifetime_ms(self) -> u64 {
        match self {
            Self::SetUp => 7 * DAY_MS,
            Self::Reset | Self::ChangeEmail => HOUR_MS,
            Self::Verify => DAY_MS,
            // The invitation itself expires before.
            Self::Invitation => 60 * DAY_MS,
        }
    }
}

/// The token of a link, parsed; its signature is not verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountLink {
    /// What it permits.
    pub purpose: LinkPurpose,
    /// The user or the invitation.
    pub subject: Uuid,
    /// The workspace of an invitation; else nil.
    pub scope: Uuid,
    expires_at_ms: u64,
    tag: [u8; 32],
}

const LEN: usize = 1 + 16 + 16 + 8 + 32;

impl AccountLink {
    /// Parses a token.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`] if it is malformed.
    pub fn parse(token: &str) -> Result<Self> {
        let parse = || {
            let bytes: [u8; LEN] = URL_SAFE_NO_PAD.decode(token).ok()?.try_into().ok()?;
            let (purpose, rest) = bytes.split_first()?;
            let (subject, rest) = rest.split_first_chunk::<16>()?;
            let (scope, rest) = rest.split_first_chunk::<16>()?;
            let (expires, tag) = rest.split_first_chunk::<8>()?;
            Some(Self {
                purpose: LinkPurpose::EVERY.iter().copied().find(|one| *one as u8 == *purpose)?,
                subject: Uuid::from_bytes(*subject),
                scope: Uuid::from_bytes(*scope),
                expires_at_ms: u64::from_be_bytes(*expires),
                tag: tag.try_into().ok()?,
            })
        };
        parse().ok_or_else(unknown_link)
    }
}

fn unknown_link() -> ServiceError {
    ServiceError::new(
        ErrorCode::NotFound,
        "The link is not valid: copy all of it, or ask for a new one.",
    )
}

/// The state of a user that following a link changes.
fn bound_state(purpose: LinkPurpose, user: &UserState) -> Vec<u8> {
    match purpose {
        LinkPurpose::SetUp | LinkPurpose::Reset => {
            let mut state = user.password.clone().unwrap_or_default();
            state.extend(user.session_epoch.to_be_bytes());
            state.extend(&user.email_hash);
            state
        }
        LinkPurpose::Verify => user.email_hash.clone(),
        LinkPurpose::ChangeEmail => user
            .requested_email
            .as_ref()
            .map(|requested| requested.hash.clone())
            .unwrap_or_default(),
        LinkPurpose::Invitation => Vec::new(),
    }
}

impl Accounts {
    /// The token of a link for a user.
    pub(super) fn user_link(&self, purpose: LinkPurpose, user: &UserState) -> Result<String> {
        let subject = user.user_id()?.uuid();
        // A new user has as long to set the first password by either kind of link.
        let is_first = purpose == LinkPurpose::Reset && user.password.is_none();
        let like = if is_first { LinkPurpose::SetUp } else { purpose };
        let expires_at_ms = now_ms() + like.lifetime_ms();
        let state = bound_state(purpose, user);
        Ok(self.link(purpose, (subject, Uuid::nil()), expires_at_ms, &state))
    }

    /// The token of the link of an invitation.
    pub(super) fn invitation_link(&self, invitation: Uuid, workspace: Uuid) -> String {
        let expires_at_ms = now_ms() + LinkPurpose::Invitation.lifetime_ms();
        self.link(LinkPurpose::Invitation, (invitation, workspace), expires_at_ms, &[])
    }

    /// The token of a link.
    fn link(
        &self,
        purpose: LinkPurpose,
        (subject, scope): (Uuid, Uuid),
        expires_at_ms: u64,
        state: &[u8],
    ) -> String {
        let link = AccountLink { purpose, subject, scope, expires_at_ms, tag: [0; 32] };
        let tag = self.signer.sign(&[&link.signed(), state]);
        URL_SAFE_NO_PAD.encode([link.signed().as_slice(), &tag].concat())
    }

    /// Verifies a link for a user; returns the user.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`] if it is not ours, [`ErrorCode::Gone`] if it has expired or was
    /// used.
    pub(super) fn follow(&self, link: &AccountLink, purpose: LinkPurpose) -> Result<UserState> {
        let user = self.index.user(UserId::new(link.subject))?;
        let user = user.ok_or_else(unknown_link)?;
        self.verify_link(link, purpose, &bound_state(purpose, &user))?;
        Ok(user)
    }

    /// The user of a link, without following it.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`] if it is not ours, [`ErrorCode::Gone`] if it has expired or was
    /// used.
    pub fn user_of_link(&self, token: &str, purpose: LinkPurpose) -> Result<Profile> {
        Ok(self.profile(&self.follow(&AccountLink::parse(token)?, purpose)?))
    }

    /// Verifies the signature and the age of a link.
    pub(super) fn verify_link(
        &self,
        link: &AccountLink,
        purpose: LinkPurpose,
        state: &[u8],
    ) -> Result<()> {
        if link.purpose != purpose {
            return Err(unknown_link());
        }
        let is_expired = link.expires_at_ms <= now_ms();
        if is_expired || !self.signer.is_signed(&[&link.signed(), state], &link.tag) {
            let text = "The link has expired or was used already: ask for a new one.";
            return Err(ServiceError::new(ErrorCode::Gone, text));
        }
        Ok(())
    }
}

impl AccountLink {
    /// The part of a token that is signed.
    fn signed(&self) -> Vec<u8> {
        let (subject, scope) = (self.subject.as_bytes(), self.scope.as_bytes());
        [&[self.purpose as u8], &subject[..], scope, &self.expires_at_ms.to_be_bytes()].concat()
    }
}

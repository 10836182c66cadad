//! How users come to be.

use uuid::Uuid;

use super::{AccountLink, Accounts, EMAIL, LinkPurpose, NAME, PASSWORD, Profile};
use crate::domain::command::{Command, Outcome};
use crate::domain::error::{ErrorCode, Invalid, Result, ServiceError};
use crate::domain::event::UserState;
use crate::domain::ids::UserId;
use crate::domain::named_enum;
use crate::domain::token::Actor;
use crate::domain::user::command::{UserChange, UserCommand};
use crate::domain::user::state::personal_workspace;
use crate::domain::user::{UserRole, normalized_email};

const MIN_PASSWORD_CHARS: usize = 10;
/// Long enough for any passphrase; hashing it takes no longer.
const MAX_PASSWORD_CHARS: usize = 200;
const MAX_NAME_CHARS: usize = 100;

named_enum! {
    /// Who can sign up.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum SignUpMode {
        /// Nobody: a superadmin creates users.
        Closed => "closed",
        /// Who was invited to a workspace.
        Invitation => "invitation",
        /// Everybody who confirms an email address.
        Open => "open",
    }
}

/// A user to create.
#[derive(Debug, Clone, Default)]
pub struct NewUser {
    /// The email address.
    pub email: String,
    /// The display name.
    pub name: Option<String>,
    /// The password; `None` to set it by a link.
    pub password: Option<String>,
    /// The role in the whole installation.
    pub role: UserRole,
    /// Whether the address is known to belong to the user.
    pub is_verified: bool,
}

/// Checks a password.
pub(super) fn check_password(password: &str) -> Result<(), String> {
    let chars = password.chars().count();
    if (MIN_PASSWORD_CHARS..=MAX_PASSWORD_CHARS).contains(&chars) {
        return Ok(());
    }
    Err(format!("must be {MIN_PASSWORD_CHARS} to {MAX_PASSWORD_CHARS} characters"))
}

/// Checks an email address and a password.
///
/// # Errors
/// The fields that are not valid.
pub fn check_credentials(email: &str, password: &str) -> Result<String> {
    let mut invalid = Invalid::default();
    let email = invalid.check("email", normalized_email(email));
    invalid.check("password", check_password(password));
    invalid.into_result()?;
    Ok(email.unwrap_or_default())
}

/// Checks a display name; an empty one is none.
pub(super) fn check_name(name: Option<String>) -> Result<Option<String>, String> {
    let name = name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    let is_valid = |name: &String| {
        name.chars().count() <= MAX_NAME_CHARS && !name.chars().any(char::is_control)
    };
    if name.as_ref().is_none_or(is_valid) {
        return Ok(name);
    }
    Err(format!("must be at most {MAX_NAME_CHARS} characters, none of them control characters"))
}

impl Accounts {
    /// Creates a user. `by` is the superadmin; `None` for the operator and for signing up.
    ///
    /// # Errors
    /// [`ErrorCode::Conflict`] if the address belongs to another user.
    pub async fn create(&self, new: NewUser, by: Option<UserId>) -> Result<UserState> {
        let NewUser { email, name, password, role, is_verified } = new;
        let mut invalid = Invalid::default();
        let email = invalid.check("email", normalized_email(&email));
        let name = invalid.check("name", check_name(name)).flatten();
        password.as_deref().map(|password| invalid.check("password", check_password(password)));
        invalid.into_result()?;
        let email = email.unwrap_or_default();
        let password = match password {
            Some(password) => Some(self.commands.passwords().hash(password).await?),
            None => None,
        };
        let id = UserId::new(Uuid::now_v7());
        let email_hash = self.personal.email_hash(&email).to_vec();
        // A key cannot be taken back, so one is only made for what will be accepted.
        let user = UserState {
            id: id.as_bytes().to_vec(),
            email_hash,
            is_verified,
            is_superadmin: role == UserRole::Superadmin,
            ..UserState::default()
        };
        let command = Command::User(UserCommand::Create(Box::new(user.clone())));
        self.dry_run(Actor::operator(personal_workspace(id)), command).await?;
        let user = UserState {
            email: self.seal(id.uuid(), EMAIL, email).await?,
            name: self.seal_some(id, NAME, name).await?,
            password: self.seal_some(id, PASSWORD, password).await?,
            ..user
        };
        match self.run(id, by, UserCommand::Create(Box::new(user))).await {
            Ok(Outcome::User(user)) => Ok(*user),
            Ok(_) => Err(super::not_a_user()),
            Err(error) => {
                if error.code != ErrorCode::ChangesUnavailable {
                    self.destroy(id.uuid()).await?;
                }
                Err(error)
            }
        }
    }

    pub(super) async fn seal_some(
        &self,
        id: UserId,
        field: &'static str,
        text: Option<String>,
    ) -> Result<Option<Vec<u8>>> {
        match text {
            Some(text) => Ok(Some(self.seal(id.uuid(), field, text).await?)),
            None => Ok(None),
        }
    }

    /// Signs up, where everybody can. The response is the same whether there is such a user
    /// already: only the mail differs. Returns whom to send which link.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`] where signing up is closed.
    pub async fn sign_up(&self, new: NewUser) -> Result<(String, LinkPurpose, String)> {
        if self.settings.sign_up != SignUpMode::Open {
            let text = "Signing up is closed: ask for an invitation.";
            return Err(ServiceError::new(ErrorCode::Forbidden, text));
        }
        if new.password.is_none() {
            return Err(ServiceError::field("password", "is required"));
        }
        let email = normalized_email(&new.email).unwrap_or_default();
        let new = NewUser { role: UserRole::User, is_verified: false, ..new };
        match self.create(new, None).await {
            Ok(user) => {
                Ok((email, LinkPurpose::Verify, self.user_link(LinkPurpose::Verify, &user)?))
            }
            Err(error) if error.code == ErrorCode::Conflict => {
                let user = self.by_email(&email)?.ok_or(error)?;
                // The password may be that of somebody else, who signed up with this address before.
                Ok((email, LinkPurpose::Reset, self.user_link(LinkPurpose::Reset, &user)?))
            }
            Err(error) => Err(error),
        }
    }

    /// Signs up by an invitation, which proves the address; the new user still has to accept it.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`] where signing up is closed, [`ErrorCode::Conflict`] if there is
    /// such a user.
    pub async fn sign_up_invited(&self, token: &str, new: NewUser) -> Result<UserState> {
        if self.settings.sign_up == SignUpMode::Closed {
            let text = "Signing up is closed: ask a superadmin for an account.";
            return Err(ServiceError::new(ErrorCode::Forbidden, text));
        }
        let invited = self.invited_email(&AccountLink::parse(token)?)?;
        if !new.email.is_empty() && normalized_email(&new.email).as_ref() != Ok(&invited) {
            return Err(ServiceError::field("email", "must be the invited address, or be omitted"));
        }
        if new.password.is_none() {
            return Err(ServiceError::field("password", "is required"));
        }
        // Without mail, the inviter hands the link over: it proves no address.
        let is_verified = self.settings.has_mail;
        let new = NewUser { email: invited, role: UserRole::User, is_verified, ..new };
        self.create(new, None).await
    }

    /// The user with this address.
    pub(super) fn by_email(&self, normalized: &str) -> Result<Option<UserState>> {
        use crate::projections::index::ReadUsers;
        let hash = self.personal.email_hash(normalized);
        let Some(id) = self.index.user_by_email(&hash)? else { return Ok(None) };
        Ok(self.index.user(id)?)
    }

    /// Sets the email address and the password of a user by a set-up link.
    pub async fn set_up(&self, token: &str, email: &str, password: String) -> Result<Profile> {
        let user = self.follow(&AccountLink::parse(token)?, LinkPurpose::SetUp)?;
        let (id, email) = (user.user_id()?, check_credentials(email, &password)?);
        let change = UserChange::SetUp {
            email_hash: self.personal.email_hash(&email),
            email: self.seal(id.uuid(), EMAIL, email).await?,
            password: self.sealed_password(id, password).await?,
        };
        Ok(self.profile(&self.change(id, Some(id), change).await?))
    }

    /// Hashes and seals a password.
    pub(super) async fn sealed_password(&self, id: UserId, password: String) -> Result<Vec<u8>> {
        let hash = self.commands.passwords().hash(password).await?;
        self.seal(id.uuid(), PASSWORD, hash).await
    }
}

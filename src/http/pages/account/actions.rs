//! What submitting the forms does.

use super::AccountRequest;
use super::views::AccountNotice;
use crate::commands::accounts::{Credentials, LinkPurpose, NewUser, SessionKind};
use crate::domain::error::{Result, ServiceError};
use crate::domain::ids::UserId;
use crate::domain::mail::Message;
use crate::http::form::Form;

impl AccountRequest {
    /// Does what the link permits.
    pub(super) async fn follow(&self, form: &Form) -> Result<AccountNotice> {
        let (services, token) = (&self.from.services, &self.token);
        let (accounts, password) = (&services.accounts, form.field("password").to_owned());
        services.sign_in_limits.attempt(self.from.address(), token)?;
        // The response to an invalid link does not depend on the input.
        self.form()?;
        Ok(match self.purpose {
            LinkPurpose::SetUp => {
                accounts.set_up(token, form.field("email"), password).await?;
                let text = "You can sign in with your email address and your password now.";
                AccountNotice::done("Your account is ready", text)
            }
            LinkPurpose::Reset => {
                let profile = accounts.reset_password(token, password).await?;
                if let Some(email) = &profile.email {
                    services.send_mail(email, Message::PasswordChanged);
                }
                AccountNotice::done("Your password is set", "Sign in with the new password.")
            }
            LinkPurpose::Verify => {
                accounts.verify_email(token).await?;
                let text = "You can sign in with it now.";
                AccountNotice::done("Your email address is verified", text)
            }
            LinkPurpose::ChangeEmail => {
                let (before, _) = accounts.confirm_email(token).await?;
                if let Some(before) = before {
                    services.send_mail(&before, Message::EmailChanged);
                }
                let text = "Sign in with the new address from now on.";
                AccountNotice::done("Your email address is changed", text)
            }
            LinkPurpose::Invitation => {
                let user = self.invited_user(form, password).await?;
                let (workspace, _) = accounts.accept_invitation(token, user).await?;
                let name = accounts.workspace(workspace)?.unwrap_or_default().name;
                let text = "The workspace is among those of your account now.";
                AccountNotice::done(format!("You are a member of {name}"), text)
            }
        })
    }

    /// The user with the invited address, who signs in or signs up.
    async fn invited_user(&self, form: &Form, password: String) -> Result<UserId> {
        let accounts = &self.from.services.accounts;
        if password.is_empty() {
            return Err(ServiceError::field("password", "is required"));
        }
        let (email, is_user) = accounts.invitee(&self.token)?;
        if !is_user {
            let name = Some(form.field("name").to_owned());
            let new = NewUser { name, password: Some(password), ..NewUser::default() };
            return Ok(accounts.sign_up_invited(&self.token, new).await?.user_id()?);
        }
        let credentials =
            Credentials { email, password, code: Some(form.field("code").to_owned()) };
        let signed_in = self.from.sign_in(credentials, SessionKind::Browser).await?;
        // The session has proved who this is, and is not used further.
        accounts.end_session(signed_in.profile.id, signed_in.session).await?;
        Ok(signed_in.profile.id)
    }
}

//! The forms of the links, by purpose.

use super::AccountRequest;
use super::views::{AccountForm, Entry, Field, InvitationDetails};
use crate::commands::accounts::{AccountLink, LinkPurpose};
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::workspace::Role;
use crate::http::form::Form;
use crate::http::pages::answer::PageTime;

const PASSWORD_RULE: &str = "10 to 200 characters.";

fn field(name: &'static str, label: &'static str, kind: &'static str) -> Field {
    Field {
        name,
        label,
        kind,
        autocomplete: "off",
        hint: "",
        entry: Entry::Required,
        value: String::new(),
        wrong: None,
    }
}

/// A field for the email address of a new user; fixed, if it is known.
fn email(known: Option<String>) -> Field {
    let (entry, hint) = match known {
        Some(_) => (Entry::Fixed, "The address of the account."),
        None => (Entry::Required, "You sign in with this address."),
    };
    let value = known.unwrap_or_default();
    let field = field("email", "Email address", "email");
    Field { autocomplete: "username", hint, entry, value, ..field }
}

fn password(autocomplete: &'static str, hint: &'static str) -> Field {
    Field { autocomplete, hint, ..field("password", "Password", "password") }
}

fn form(title: &'static str, text: impl Into<String>, button: &'static str) -> AccountForm {
    AccountForm { title, text: text.into(), invitation: None, fields: Vec::new(), button }
}

impl AccountRequest {
    /// The form of the link, if it is valid.
    pub(super) fn form(&self) -> Result<AccountForm> {
        let accounts = &self.from.services.accounts;
        if self.purpose == LinkPurpose::Invitation {
            return self.invitation_form();
        }
        let user = accounts.user_of_link(&self.token, self.purpose)?;
        Ok(match self.purpose {
            LinkPurpose::SetUp => AccountForm {
                fields: vec![email(None), password("new-password", PASSWORD_RULE)],
                ..form("Set up your account", "Choose how you sign in.", "Set up the account")
            },
            LinkPurpose::Reset => AccountForm {
                fields: vec![email(user.email), password("new-password", PASSWORD_RULE)],
                ..form(
                    "Set a new password",
                    "This ends all sessions of the account.",
                    "Set the password",
                )
            },
            LinkPurpose::Verify => {
                let email = user.email.unwrap_or_default();
                let text = format!("Confirm that {email} is your email address.");
                form("Verify your email address", text, "Verify the address")
            }
            LinkPurpose::ChangeEmail | LinkPurpose::Invitation => {
                let email = user.requested_email.unwrap_or_default();
                let text =
                    format!("Confirm that {email} is the new email address of your account.");
                form("Change your email address", text, "Change the address")
            }
        })
    }

    fn invitation_form(&self) -> Result<AccountForm> {
        let accounts = &self.from.services.accounts;
        let (workspace, invitation) = accounts.invitation(&AccountLink::parse(&self.token)?)?;
        let details = InvitationDetails {
            workspace: accounts.workspace(workspace)?.unwrap_or_default().name,
            role: Role::from_number(invitation.role).map_or("", Role::as_str),
            expires: PageTime::at(invitation.expires_at_ms),
        };
        let name = Field {
            autocomplete: "name",
            hint: "Optional, for a new account.",
            entry: Entry::Optional,
            ..field("name", "Name", "text")
        };
        let code = Field {
            autocomplete: "one-time-code",
            hint: "Only if your account has two-factor authentication: from your authenticator app, \
                   or a recovery code.",
            entry: Entry::Optional,
            ..field("code", "Code", "text")
        };
        let hint = "That of your account, or one for a new account: 10 to 200 characters.";
        let email =
            Field { hint: "The invited address.", ..email(accounts.invitation_email(&invitation)) };
        Ok(AccountForm {
            invitation: Some(details),
            fields: vec![email, password("current-password", hint), name, code],
            ..form("You are invited to a workspace", "Sign in to accept.", "Accept the invitation")
        })
    }

    /// The form with what is wrong with the input; `None` if the error is not about the input.
    pub(super) fn form_again(&self, entered: &Form, error: &ServiceError) -> Option<AccountForm> {
        let mut form = self.form().ok()?;
        for field in &mut form.fields {
            field.wrong = wrong(field, error);
            if field.entry != Entry::Fixed && matches!(field.name, "email" | "name") {
                entered.field(field.name).clone_into(&mut field.value);
            }
        }
        form.fields.iter().any(|field| field.wrong.is_some()).then_some(form)
    }
}

/// What is wrong with a field.
fn wrong(field: &Field, error: &ServiceError) -> Option<String> {
    match (error.code, field.name) {
        (ErrorCode::InvalidCredential, "password") => Some(error.message.to_string()),
        (ErrorCode::SecondFactorRequired, "code") => {
            Some("Enter the code of your authenticator app, or a recovery code.".to_owned())
        }
        (ErrorCode::Invalid, name) => {
            let reasons = error.fields.get(name)?;
            Some(format!("{} {}.", field.label, reasons.join(", ")))
        }
        (_, name) => error.fields.contains_key(name).then(|| error.message.to_string()),
    }
}

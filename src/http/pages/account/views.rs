//! Renders the pages from plain values.

use askama::Template;

use crate::http::pages::answer::PageTime;

/// The form of a link.
#[derive(Template)]
#[template(path = "account_form.html", config = "src/http/pages/askama.toml")]
pub struct AccountForm {
    pub title: &'static str,
    pub text: String,
    /// What an invitation says.
    pub invitation: Option<InvitationDetails>,
    pub fields: Vec<Field>,
    pub button: &'static str,
}

/// What an invitation says.
pub struct InvitationDetails {
    pub workspace: String,
    pub role: &'static str,
    pub expires: PageTime,
}

/// A field of a form.
pub struct Field {
    pub name: &'static str,
    pub label: &'static str,
    /// The type of the input.
    pub kind: &'static str,
    pub autocomplete: &'static str,
    pub hint: &'static str,
    pub entry: Entry,
    /// Never a secret.
    pub value: String,
    /// The error of the last attempt.
    pub wrong: Option<String>,
}

/// Whether a value is to be entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    Required,
    Optional,
    /// It is shown, and tells password managers whose password it is.
    Fixed,
}

impl Field {
    fn is_required(&self) -> bool {
        self.entry == Entry::Required
    }

    fn is_fixed(&self) -> bool {
        self.entry == Entry::Fixed
    }
}

/// The result of following a link, or why it failed.
#[derive(Template)]
#[template(path = "account_notice.html", config = "src/http/pages/askama.toml")]
pub struct AccountNotice {
    pub title: String,
    pub text: String,
    /// Whether it succeeded: then the page says how to sign in.
    pub is_done: bool,
}

impl AccountNotice {
    /// A link was followed.
    pub fn done(title: impl Into<String>, text: &str) -> Self {
        Self { title: title.into(), text: text.to_owned(), is_done: true }
    }
}

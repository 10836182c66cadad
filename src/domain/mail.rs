//! The mails that the service sends.

use std::fmt;

/// A mail to one recipient. Its links hold secrets.
#[derive(Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are named after what the mail shows")]
pub enum Message {
    /// Confirms the address of a new account.
    Verification { link: String },
    /// Answers a sign-up with an address that has an account; sets a new password.
    AccountExists { link: String },
    /// Sets a new password.
    PasswordReset { link: String },
    /// Confirms a new address; sent to that address.
    EmailChange { link: String },
    /// A notice to the previous address.
    EmailChanged,
    /// An invitation to a workspace.
    Invitation {
        workspace: String,
        inviter: Option<String>,
        role: String,
        link: String,
        expires_at: String,
    },
    /// A notice.
    PasswordChanged,
    /// A notice.
    TwoFactorChanged { enabled: bool },
    /// An offer to become the owner of a workspace.
    OwnershipOffer { workspace: String, inviter: Option<String>, link: String },
    /// A notice: auto-recharge has requested credits.
    RechargeRequested { workspace: String, amount: u64, kind: &'static str },
}

impl Message {
    /// The kind of mail, for logs.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Verification { .. } => "verification",
            Self::AccountExists { .. } => "account_exists",
            Self::PasswordReset { .. } => "password_reset",
            Self::EmailChange { .. } => "email_change",
            Self::EmailChanged => "email_changed",
            Self::Invitation { .. } => "invitation",
            Self::PasswordChanged => "password_changed",
            Self::TwoFactorChanged { .. } => "two_factor_changed",
            Self::OwnershipOffer { .. } => "ownership_offer",
            Self::RechargeRequested { .. } => "recharge_requested",
        }
    }
}

impl fmt::Debug for Message {
    /// Only the kind.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({})", self.kind())
    }
}

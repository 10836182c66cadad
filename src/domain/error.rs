//! What can be wrong with a command, in words that no transport has coloured.
//!
//! The edges map [`ErrorCode`] to their own statuses, exhaustively.

use std::collections::BTreeMap;

/// The machine-readable name of a failure; the same in each way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// Something that was sent breaks a rule; the fields say which.
    ValidationError,
    /// No such thing in this workspace.
    NotFound,
    /// It collides with what is there: a slug that is taken.
    Conflict,
    /// The thing has changed since the caller looked (`If-Match`).
    PreconditionFailed,
    /// The idempotency key was used with another request.
    IdempotencyKeyReused,
    /// The actor's abilities don't reach that far.
    Forbidden,
}

/// A refused command. Its text is meant for the caller's eyes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    /// One or more fields break a rule.
    #[error("{}", .0.summary())]
    Invalid(Invalid),
    /// No such thing in the actor's workspace.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The slug belongs to another link of that domain.
    #[error("the slug `{0}` is taken")]
    SlugTaken(String),
    /// It collides with what is there; a clause that says how.
    #[error("{0}")]
    Conflict(String),
    /// A field has to be unique, and another thing has this value.
    #[error("the {what} `{value}` is taken")]
    Taken {
        /// The field.
        field: &'static str,
        /// What people call it.
        what: &'static str,
        /// What was asked for.
        value: String,
    },
    /// A link that is to come back is there.
    #[error("the link is not deleted")]
    NotDeleted,
    /// `If-Match` named another version than the current one.
    #[error("the link is at version {actual}, not {expected}")]
    VersionMismatch {
        /// What the caller named.
        expected: u32,
        /// What stands.
        actual: u32,
    },
    /// The idempotency key came before, with another request.
    #[error("this idempotency key was used with another request")]
    IdempotencyKeyReused,
    /// A token may only hand on what it holds.
    #[error("{0}")]
    Forbidden(String),
}

impl DomainError {
    /// The failure's machine-readable name.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Invalid(_) => ErrorCode::ValidationError,
            Self::NotFound(_) => ErrorCode::NotFound,
            Self::SlugTaken(_) | Self::NotDeleted | Self::Conflict(_) | Self::Taken { .. } => {
                ErrorCode::Conflict
            }
            Self::VersionMismatch { .. } => ErrorCode::PreconditionFailed,
            Self::IdempotencyKeyReused => ErrorCode::IdempotencyKeyReused,
            Self::Forbidden(_) => ErrorCode::Forbidden,
        }
    }
}

/// Field → what is wrong with it. All the fields are looked at before a command is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Invalid(BTreeMap<String, Vec<String>>);

impl Invalid {
    /// One field, one reason.
    pub fn field(name: impl Into<String>, reason: impl Into<String>) -> Self {
        let mut invalid = Self::default();
        invalid.add(name, reason);
        invalid
    }

    /// Notes a reason against a field.
    pub fn add(&mut self, name: impl Into<String>, reason: impl Into<String>) {
        self.0.entry(name.into()).or_default().push(reason.into());
    }

    /// Takes over what was noted elsewhere.
    pub fn merge(&mut self, other: Self) {
        for (name, reasons) in other.0 {
            self.0.entry(name).or_default().extend(reasons);
        }
    }

    /// Keeps a parsed value, or notes why there is none.
    pub fn check<T>(&mut self, name: &str, parsed: Result<T, String>) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(reason) => {
                self.add(name, reason);
                None
            }
        }
    }

    /// `Ok` when nothing was noted.
    pub fn into_result(self) -> Result<(), DomainError> {
        if self.0.is_empty() { Ok(()) } else { Err(DomainError::Invalid(self)) }
    }

    /// The fields and their reasons, in the fields' order.
    pub const fn fields(&self) -> &BTreeMap<String, Vec<String>> {
        &self.0
    }

    fn summary(&self) -> String {
        let each = self.0.iter().map(|(field, reasons)| format!("{field}: {}", reasons.join(", ")));
        each.collect::<Vec<_>>().join("; ")
    }
}

/// A logged message that passed its checksum and makes no sense to this version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a {0} that this version of slugline can't read: was it written by a newer one?")]
pub struct Unreadable(pub &'static str);

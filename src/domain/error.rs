//! Errors of commands, independent of any transport, which maps each [`ErrorCode`] to its statuses.

use std::collections::BTreeMap;

/// The machine-readable code of an error; the same in every wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// The input is invalid; the fields say why.
    ValidationError,
    /// The workspace has no such resource.
    NotFound,
    /// It conflicts with an existing resource, such as a slug that is taken.
    Conflict,
    /// The resource has changed since the caller read it (`If-Match`).
    PreconditionFailed,
    /// The idempotency key was used with another request.
    IdempotencyKeyReused,
    /// The actor lacks the ability.
    Forbidden,
}

/// A refused command. The message is written for the API's user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    /// One or more fields are invalid.
    #[error("{}", .0.summary())]
    Invalid(Invalid),
    /// The actor's workspace has no such resource.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The slug belongs to another link of that domain.
    #[error("the slug `{0}` is taken")]
    SlugTaken(String),
    /// It conflicts with an existing resource; the message says how.
    #[error("{0}")]
    Conflict(String),
    /// The value of a unique field is taken.
    #[error("the {what} `{value}` is taken")]
    Taken {
        /// The field.
        field: &'static str,
        /// What the field is called in the message.
        what: &'static str,
        /// The requested value.
        value: String,
    },
    /// The link to restore is not deleted.
    #[error("the link is not deleted")]
    NotDeleted,
    /// `If-Match` named another version than the current one.
    #[error("the link is at version {actual}, not {expected}")]
    VersionMismatch {
        /// The version that the caller named.
        expected: u32,
        /// The current version.
        actual: u32,
    },
    /// The idempotency key was used with another request.
    #[error("this idempotency key was used with another request")]
    IdempotencyKeyReused,
    /// A token can't grant abilities that it lacks.
    #[error("{0}")]
    Forbidden(String),
}

impl DomainError {
    /// The machine-readable code.
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

/// Invalid fields and the reasons. All fields are checked before a command is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Invalid(BTreeMap<String, Vec<String>>);

impl Invalid {
    /// One field, one reason.
    pub fn field(name: impl Into<String>, reason: impl Into<String>) -> Self {
        let mut invalid = Self::default();
        invalid.add(name, reason);
        invalid
    }

    /// Adds a reason to a field.
    pub fn add(&mut self, name: impl Into<String>, reason: impl Into<String>) {
        self.0.entry(name.into()).or_default().push(reason.into());
    }

    /// Adds all of another one's reasons.
    pub fn merge(&mut self, other: Self) {
        for (name, reasons) in other.0 {
            self.0.entry(name).or_default().extend(reasons);
        }
    }

    /// Returns the parsed value, or adds the reason why there is none.
    pub fn check<T>(&mut self, name: &str, parsed: Result<T, String>) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(reason) => {
                self.add(name, reason);
                None
            }
        }
    }

    /// `Ok` if no field is invalid.
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

//! Errors, independent of any wire format. Domain rules collect [`Invalid`] fields; whatever serves
//! a request fails with a [`ServiceError`], which each wire format renders in its own way.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::{fmt, io};

use super::nearest::hint;
use super::plan::LimitReached;

/// When to retry while the service is overloaded or a part of it is unavailable, in seconds.
const RETRY_SECONDS: u32 = 5;

/// The kind of an error. Each wire format maps every code to a status and a code of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// The input is invalid; the fields say why.
    Invalid,
    /// The request has no credential.
    Unauthenticated,
    /// The credential is unknown or expired.
    InvalidCredential,
    /// A credential was sent over an insecure connection.
    InsecureTransport,
    /// The actor lacks an ability.
    Forbidden,
    /// The workspace's plan lacks the feature.
    FeatureNotAvailable,
    /// The workspace has used up a limit of its plan.
    PlanLimit,
    /// The workspace has no such resource.
    NotFound,
    /// The resource existed, but has expired or was used up.
    Gone,
    /// Signing in needs a second factor.
    SecondFactorRequired,
    /// The resource does not support the operation.
    UnsupportedOperation,
    /// This installation does not support the operation.
    NotImplemented,
    /// The input is in an unsupported format.
    UnsupportedFormat,
    /// The input is too large.
    TooLarge,
    /// The request took too long.
    Timeout,
    /// It conflicts with an existing resource, such as a slug that is taken.
    Conflict,
    /// The resource has changed since the client read it.
    PreconditionFailed,
    /// The idempotency key was used with another request.
    IdempotencyKeyReused,
    /// The ownership of a domain could not be verified; the fields say what was found.
    VerificationFailed,
    /// The query exceeds a limit of time, memory or rows.
    TooCostly,
    /// The client has sent too many requests.
    RateLimited,
    /// Too much work is queued.
    Overloaded,
    /// Changes are not accepted at the moment.
    ChangesUnavailable,
    /// Analytics are unavailable at the moment.
    AnalyticsUnavailable,
    /// Analytics did not reach the requested offset in time.
    AnalyticsBehind,
    /// The crawler list cannot be read.
    CrawlerListUnavailable,
    /// The disk is full.
    DiskFull,
    /// A defect or a failure inside the service; the cause is for the operator.
    Internal,
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceError {
    /// The kind of error, for programs.
    pub code: ErrorCode,
    /// One or more sentences for the user, which say what to do.
    pub message: Cow<'static, str>,
    /// What is wrong with each field of the input.
    pub fields: BTreeMap<String, Vec<String>>,
    /// When to retry.
    pub retry_after_seconds: Option<u32>,
    /// The limit of a plan that is reached.
    pub limit: Option<Box<LimitReached>>,
    /// For the operator's log, never for the user.
    pub cause: Option<String>,
}

/// The result of what serves a request.
pub type Result<T, E = ServiceError> = std::result::Result<T, E>;

impl ServiceError {
    /// An error with a message for the user.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        Self {
            code,
            message,
            fields: BTreeMap::new(),
            retry_after_seconds: None,
            limit: None,
            cause: None,
        }
    }

    /// One invalid field.
    pub fn field(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Invalid::field(name, reason).into()
    }

    /// The workspace has no such resource.
    pub fn not_found(what: &str) -> Self {
        Self::new(ErrorCode::NotFound, format!("There is no such {what}."))
    }

    /// A limit of the workspace's plan is reached.
    pub fn limit_reached(reached: LimitReached) -> Self {
        let LimitReached { limit, max, recommended } = &reached;
        let more = match recommended {
            Some(plan) => format!("the plan {} allows more", plan.name),
            None => "ask for more".to_owned(),
        };
        let message = format!("The workspace's plan allows {max} {}: {more}.", limit.noun());
        Self { limit: Some(reached.into()), ..Self::new(ErrorCode::PlanLimit, message) }
    }

    /// The value of a unique field is taken.
    pub fn taken(field: &str, what: &str, value: &str) -> Self {
        let message = format!("The {what} `{value}` is taken.");
        Self::new(ErrorCode::Conflict, message).with_field(field, "is taken")
    }

    /// The link is not at the version that the client expects.
    pub fn version_mismatch(expected: u32, actual: u32) -> Self {
        let message = format!("The link is at version {actual}, not {expected}.");
        Self::new(ErrorCode::PreconditionFailed, message)
    }

    /// The link to restore is not deleted.
    pub fn not_deleted() -> Self {
        Self::new(ErrorCode::Conflict, "The link is not deleted.")
    }

    /// The idempotency key was used with another request.
    pub fn idempotency_key_reused() -> Self {
        let message = "This idempotency key was used with another request.";
        Self::new(ErrorCode::IdempotencyKeyReused, message)
    }

    /// A temporary failure: the client should retry in a few seconds.
    pub fn unavailable(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { retry_after_seconds: Some(RETRY_SECONDS), ..Self::new(code, message) }
    }

    /// Changes are not accepted at the moment.
    pub fn changes_unavailable(cause: impl fmt::Display) -> Self {
        let message = "Changes are not accepted at the moment; please try again.";
        Self::unavailable(ErrorCode::ChangesUnavailable, message).with_cause(cause)
    }

    /// A defect or a failure inside the service.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self::new(ErrorCode::Internal, "Something went wrong inside the service.").with_cause(cause)
    }

    /// Adds what is wrong with a field.
    #[must_use]
    pub fn with_field(mut self, name: &str, reason: impl Into<String>) -> Self {
        self.fields.entry(name.to_owned()).or_default().push(reason.into());
        self
    }

    fn with_cause(self, cause: impl fmt::Display) -> Self {
        Self { cause: Some(cause.to_string()), ..self }
    }
}

/// For operators: includes the cause.
impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.cause.as_ref().map_or(Ok(()), |cause| write!(f, " ({cause})"))
    }
}

impl std::error::Error for ServiceError {}

impl From<io::Error> for ServiceError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::new(ErrorCode::DiskFull, "There is too little space on the disk.")
            }
            _ => Self::internal(error),
        }
    }
}

impl From<Unreadable> for ServiceError {
    fn from(error: Unreadable) -> Self {
        Self::internal(error)
    }
}

impl From<Invalid> for ServiceError {
    fn from(Invalid(fields): Invalid) -> Self {
        let each = fields.iter().map(|(name, reasons)| format!("{name} {}", reasons.join(", ")));
        let each = each.collect::<Vec<_>>().join("; ");
        // A reason may end with a question.
        let end = if each.ends_with('?') { "" } else { "." };
        let message = format!("The request is not valid: {each}{end}");
        Self { fields, ..Self::new(ErrorCode::Invalid, message) }
    }
}

/// Invalid fields with the reasons. All fields are validated before a command is rejected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Invalid(BTreeMap<String, Vec<String>>);

impl Invalid {
    /// A single invalid field.
    pub fn field(name: impl Into<String>, reason: impl Into<String>) -> Self {
        let mut invalid = Self::default();
        invalid.add(name, reason);
        invalid
    }

    /// Adds a reason to a field.
    pub fn add(&mut self, name: impl Into<String>, reason: impl Into<String>) {
        self.0.entry(name.into()).or_default().push(reason.into());
    }

    /// Adds all reasons of `other`.
    pub fn merge(&mut self, other: Self) {
        for (name, reasons) in other.0 {
            self.0.entry(name).or_default().extend(reasons);
        }
    }

    /// Returns the parsed value, or adds the error as a reason.
    pub fn check<T>(&mut self, name: &str, parsed: Result<T, String>) -> Option<T> {
        parsed.map_err(|reason| self.add(name, reason)).ok()
    }

    /// Returns the choice with this name, if any; adds the names of all choices if it is unknown.
    pub fn choice<T: Copy>(
        &mut self,
        field: &str,
        name: Option<&str>,
        every: &[T],
        name_of: impl Fn(T) -> &'static str,
    ) -> Option<T> {
        let name = name?;
        let chosen = every.iter().copied().find(|choice| name_of(*choice) == name);
        if chosen.is_none() {
            let names: Vec<_> = every.iter().map(|choice| name_of(*choice)).collect();
            let hint = hint(name, names.iter().copied());
            self.add(field, format!("must be one of {}{hint}", names.join(", ")));
        }
        chosen
    }

    /// `Ok` if no field is invalid.
    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }

    /// The fields and their reasons, ordered by name.
    pub const fn fields(&self) -> &BTreeMap<String, Vec<String>> {
        &self.0
    }
}

/// A logged message with a valid checksum that this version can't decode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a {0} that this version of slugline can't read: was it written by a newer one?")]
pub struct Unreadable(pub &'static str);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_ends_a_message() {
        let message = |reason: &str| ServiceError::field("titel", reason).message;
        assert!(message("is long").ends_with("titel is long."));
        assert!(message("did you mean `title`?").ends_with("`title`?"));
    }
}

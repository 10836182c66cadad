//! Errors on the wire: RFC 9457 problem details, with the members `code`, `errors` and
//! `request_id`.
//!
//! A handler returns a [`Problem`]; the outermost layer, [`render`], gives it its body, because
//! only there is the request's id known. What an operator has to know is logged there too, once;
//! what a caller may know is in `detail`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{
    self, ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::NOSNIFF;
use super::security::{OverTls, STRICT_TRANSPORT_SECURITY};
use crate::commands::CommandError;
use crate::domain::error::{DomainError, ErrorCode};
use crate::imports::{ImportError, MAX_FILE_BYTES};
use crate::queries::analytics::{AnalyticsError, Limit};
use crate::queries::exports::ExportError;
use crate::queries::history::LinkHistoryError;
use crate::queries::links::LinksError;
use crate::queries::operations::OperationError;

/// The header that carries a request's id, both ways.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest request id that is taken over.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// How long a client is asked to wait when something is away, in seconds.
const RETRY_SECONDS: u32 = 5;

/// A failure as the caller sees it.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
    errors: BTreeMap<String, Vec<String>>,
    retry_after: Option<u32>,
    /// For the operator's log, never for the caller.
    cause: Option<String>,
}

/// The body of a failed request: `application/problem+json` (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem, example = json!({
    "type": "about:blank",
    "title": "Bad Request",
    "status": 400,
    "detail": "The request is not valid: slug is taken.",
    "code": "VALIDATION_ERROR",
    "errors": {"slug": ["is taken"]},
    "request_id": "01975a3c-7d5e-7b11-9a42-3f1f0c2b9d10"
}))]
pub struct ProblemBody<'a> {
    /// Always `about:blank`; `code` identifies the problem.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The reason phrase of the status.
    title: &'a str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What went wrong, for people.
    detail: &'a str,
    /// What went wrong, for programs.
    code: &'static str,
    /// What is wrong with each field of the request.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    errors: &'a BTreeMap<String, Vec<String>>,
    /// The ID of the request, also in `X-Request-Id`.
    request_id: &'a str,
}

impl Problem {
    /// A problem with a status, a code and a sentence for people.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        let detail = detail.into();
        Self { status, code, detail, errors: BTreeMap::new(), retry_after: None, cause: None }
    }

    /// 400: a field breaks a rule.
    pub fn field(name: impl Into<String>, reason: impl Into<String>) -> Self {
        let (name, reason) = (name.into(), reason.into());
        Self::invalid([(name, vec![reason])].into())
    }

    /// The same, naming a field that is the reason for it.
    pub fn naming(mut self, name: &str, reason: impl Into<String>) -> Self {
        self.errors.insert(name.to_owned(), vec![reason.into()]);
        self
    }

    /// 400: fields break rules.
    pub fn invalid(errors: BTreeMap<String, Vec<String>>) -> Self {
        let fields: Vec<_> =
            errors.iter().map(|(name, reasons)| format!("{name} {}", reasons.join(", "))).collect();
        let detail = format!("The request is not valid: {}.", fields.join("; "));
        let problem = Self::new(StatusCode::BAD_REQUEST, "VALIDATION_ERROR", detail);
        Self { errors, ..problem }
    }

    /// 404.
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", format!("There is no such {what}."))
    }

    /// 500, with a cause for the log.
    pub fn internal(cause: impl Into<String>) -> Self {
        let detail = "Something went wrong inside the service.";
        let problem = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", detail);
        Self { cause: Some(cause.into()), ..problem }
    }

    /// 422: a question that is fine but asks for too much.
    fn too_costly(detail: &'static str) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "QUERY_TOO_COSTLY", detail)
    }

    /// 503: it will be back; the caller is told when to ask again.
    pub fn unavailable(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
        Self { retry_after: Some(RETRY_SECONDS), ..problem }
    }

    /// 429: there may be another attempt in so many seconds.
    pub fn too_many(detail: &'static str, retry_seconds: u32) -> Self {
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", detail);
        Self { retry_after: Some(retry_seconds), ..problem }
    }

    /// The fields that are wrong.
    #[cfg(test)]
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.errors.keys().map(String::as_str)
    }

    fn with_cause(self, cause: String) -> Self {
        Self { cause: Some(cause), ..self }
    }

    /// The status and the body for one item of many, whose request has its id already.
    pub fn into_item(self) -> (u16, serde_json::Value) {
        if let Some(cause) = &self.cause {
            tracing::error!(http.status = self.status.as_u16(), cause, "an item failed");
        }
        let body = serde_json::json!({
            "type": "about:blank",
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": self.code,
            "errors": self.errors,
        });
        (self.status.as_u16(), body)
    }

    fn into_body(self, request_id: &str) -> Response {
        let body = ProblemBody {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
            errors: &self.errors,
            request_id,
        };
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// For those who run the service, and so with the cause.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)?;
        self.cause.as_ref().map_or(Ok(()), |cause| write!(f, " ({cause})"))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The outermost layer: gives problems their bodies, and every answer its request's id.
pub async fn render(request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let is_over_tls = request.extensions().get::<OverTls>().is_some();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    let problem = response.extensions_mut().remove::<Problem>().or_else(|| unnamed(&response));
    let request_id = id.to_str().unwrap_or_default();
    if let Some(problem) = problem {
        if let Some(cause) = &problem.cause {
            tracing::error!(http.method = %method, http.path = path, http.status = problem.status.as_u16(), request_id, cause, "request failed");
        }
        let allow = response.headers_mut().remove(ALLOW);
        response = problem.into_body(request_id);
        if let Some(allow) = allow {
            response.headers_mut().insert(ALLOW, allow);
        }
    }
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    if is_over_tls {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, STRICT_TRANSPORT_SECURITY);
    }
    response
}

/// The id that a request comes with, if it is fit to be logged and sent back; else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
    let given = headers.get(REQUEST_ID).filter(|id| {
        (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.as_bytes().iter().all(is_plain)
    });
    let made = || HeaderValue::try_from(Uuid::now_v7().to_string());
    given.cloned().map_or_else(made, Ok).unwrap_or(HeaderValue::from_static("none"))
}

/// The router's own refusals have no problem yet.
fn unnamed(response: &Response<Body>) -> Option<Problem> {
    (response.status() == StatusCode::METHOD_NOT_ALLOWED).then(|| {
        let detail = "This path does not take that method.";
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", detail)
    })
}

impl From<DomainError> for Problem {
    fn from(error: DomainError) -> Self {
        let (status, code) = match error.code() {
            ErrorCode::ValidationError => (StatusCode::BAD_REQUEST, "VALIDATION_ERROR"),
            ErrorCode::NotFound => (StatusCode::NOT_FOUND, "NOT_FOUND"),
            ErrorCode::Conflict => (StatusCode::CONFLICT, "CONFLICT"),
            ErrorCode::PreconditionFailed => {
                (StatusCode::PRECONDITION_FAILED, "PRECONDITION_FAILED")
            }
            ErrorCode::IdempotencyKeyReused => {
                (StatusCode::UNPROCESSABLE_ENTITY, "IDEMPOTENCY_KEY_REUSED")
            }
            ErrorCode::Forbidden => (StatusCode::FORBIDDEN, "FORBIDDEN"),
        };
        match error {
            DomainError::Invalid(invalid) => Self::invalid(invalid.fields().clone()),
            DomainError::NotFound(what) => Self::not_found(what),
            DomainError::SlugTaken(_) => {
                Self::new(status, code, sentence(&error.to_string())).naming("slug", "is taken")
            }
            DomainError::Taken { field, .. } => {
                Self::new(status, code, sentence(&error.to_string())).naming(field, "is taken")
            }
            DomainError::VersionMismatch { .. }
            | DomainError::NotDeleted
            | DomainError::IdempotencyKeyReused
            | DomainError::Conflict(_)
            | DomainError::Forbidden(_) => Self::new(status, code, sentence(&error.to_string())),
        }
    }
}

/// What is wrong with an offset that the log does not have yet.
pub fn beyond(end: u64) -> String {
    format!("must not be beyond the end of the log, which is offset {end}")
}

/// An error's text as a sentence.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).chain(['.']).collect()
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Refused(refused) => refused.into(),
            CommandError::Overloaded => {
                Self::unavailable("OVERLOADED", "Too many changes are waiting; please try again.")
            }
            CommandError::DiskFull => {
                let detail = "The disk is full: nothing can be changed until there is room.";
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "DISK_FULL", detail)
            }
            CommandError::Unavailable(cause) => {
                Self::unavailable("CHANGES_UNAVAILABLE", "Changes can't be taken at the moment.")
                    .with_cause(cause)
            }
            CommandError::Index(error) => Self::internal(error.to_string()),
        }
    }
}

impl From<LinkHistoryError> for Problem {
    fn from(error: LinkHistoryError) -> Self {
        Self::internal(error.to_string())
    }
}

impl From<LinksError> for Problem {
    fn from(error: LinksError) -> Self {
        match error {
            LinksError::Index(error) => Self::internal(error.to_string()),
            LinksError::Busy | LinksError::Canceled => Self::unavailable(
                "OVERLOADED",
                "Too many searches are under way; please try again.",
            ),
        }
    }
}

impl From<OperationError> for Problem {
    fn from(error: OperationError) -> Self {
        match error {
            OperationError::Unavailable => Self::from(AnalyticsError::Unavailable),
            OperationError::Busy => {
                let detail = "One is under way already.";
                Self::new(StatusCode::CONFLICT, "CONFLICT", detail)
            }
            OperationError::NoList(cause) => {
                let detail = format!("The crawler list can't be read: {cause}");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "NO_CRAWLER_LIST", detail)
            }
            OperationError::Failed(cause) => Self::internal(cause),
        }
    }
}

impl From<ExportError> for Problem {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::TooMany => {
                Self::new(StatusCode::CONFLICT, "CONFLICT", sentence(&error.to_string()))
            }
            ExportError::Analytics(error) => Self::from(error),
            ExportError::Io(cause) if cause.kind() == std::io::ErrorKind::StorageFull => {
                let detail = "There is too little room on the disk for an export.";
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "STORAGE_FULL", detail)
            }
            ExportError::Io(cause) => Self::internal(cause.to_string()),
        }
    }
}

impl From<ImportError> for Problem {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Busy => Self::unavailable("OVERLOADED", sentence(&error.to_string())),
            ImportError::KeyReused => Self::from(DomainError::IdempotencyKeyReused),
            ImportError::TooMany => {
                Self::new(StatusCode::CONFLICT, "CONFLICT", sentence(&error.to_string()))
            }
            ImportError::TooLarge => {
                let rule = format!("must not be larger than {} MiB", MAX_FILE_BYTES >> 20);
                let detail = sentence(&error.to_string());
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", detail)
                    .naming("body", rule)
            }
            ImportError::Io(cause) if cause.kind() == std::io::ErrorKind::StorageFull => {
                let detail = "There is too little room on the disk for an import.";
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "STORAGE_FULL", detail)
            }
            ImportError::Io(cause) => Self::internal(cause.to_string()),
        }
    }
}

impl From<AnalyticsError> for Problem {
    fn from(error: AnalyticsError) -> Self {
        match error {
            AnalyticsError::Unavailable => Self::unavailable(
                "ANALYTICS_UNAVAILABLE",
                "Analytics are not available at the moment; clicks are kept and will be counted.",
            ),
            AnalyticsError::Overloaded => {
                Self::unavailable("OVERLOADED", "Too many queries are waiting; please try again.")
            }
            AnalyticsError::Behind { .. } => {
                let detail = sentence(&error.to_string());
                Self::new(StatusCode::GATEWAY_TIMEOUT, "ANALYTICS_BEHIND", detail)
            }
            AnalyticsError::Beyond { end } => Self::field("min_offset", beyond(end)),
            AnalyticsError::TooCostly(limit) => Self::too_costly(match limit {
                Limit::Time => "It takes too long: narrow the date range, or filter by link.",
                Limit::Memory => {
                    "It takes too much memory: ask for fewer dimensions, a shorter date range, or \
                     no dedupe."
                }
                Limit::Rows => "It reads too many clicks: narrow the date range.",
            }),
            AnalyticsError::TooManyRows => Self::too_costly(
                "It has too many rows: filter by one of the dimensions, or choose a coarser \
                 granularity.",
            ),
            AnalyticsError::TooManyBuckets(reason) => {
                let reason = format!("{reason}: choose a coarser one or a shorter date_range");
                Self::field("granularity", reason)
            }
            AnalyticsError::NoSuchClick => {
                Self::field("after", "must be the offset of a click of this export")
            }
            AnalyticsError::BadPattern => {
                Self::field("filters", "holds a pattern that RE2 doesn't take")
            }
            AnalyticsError::Failed(cause) => Self::internal(cause),
        }
    }
}

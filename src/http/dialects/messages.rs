//! Statuses and messages that products share: those of Laravel, and the usual ones.

use axum::http::StatusCode;

use crate::domain::error::{ErrorCode, ServiceError};

/// The status and the message of an error, as Laravel has them by default.
pub fn laravel(error: &ServiceError) -> (StatusCode, &str) {
    let own = error.message.as_ref();
    match error.code {
        ErrorCode::Invalid | ErrorCode::VerificationFailed | ErrorCode::TooCostly => {
            (StatusCode::UNPROCESSABLE_ENTITY, own)
        }
        ErrorCode::Unauthenticated | ErrorCode::InvalidCredential => {
            (StatusCode::UNAUTHORIZED, "Unauthenticated.")
        }
        ErrorCode::SecondFactorRequired => (StatusCode::UNAUTHORIZED, own),
        ErrorCode::InsecureTransport
        | ErrorCode::Forbidden
        | ErrorCode::FeatureNotAvailable
        | ErrorCode::PlanLimit => (StatusCode::FORBIDDEN, own),
        ErrorCode::NotFound => (StatusCode::NOT_FOUND, own),
        ErrorCode::Gone => (StatusCode::GONE, own),
        ErrorCode::UnsupportedOperation => (StatusCode::METHOD_NOT_ALLOWED, own),
        ErrorCode::Timeout => (StatusCode::REQUEST_TIMEOUT, own),
        ErrorCode::Conflict | ErrorCode::IdempotencyKeyReused => (StatusCode::CONFLICT, own),
        ErrorCode::PreconditionFailed => (StatusCode::PRECONDITION_FAILED, own),
        ErrorCode::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, own),
        ErrorCode::UnsupportedFormat => (StatusCode::UNSUPPORTED_MEDIA_TYPE, own),
        ErrorCode::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "Too Many Attempts."),
        ErrorCode::NotImplemented => (StatusCode::NOT_IMPLEMENTED, own),
        ErrorCode::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "Server Error"),
        ErrorCode::Overloaded
        | ErrorCode::ChangesUnavailable
        | ErrorCode::AnalyticsUnavailable
        | ErrorCode::CrawlerListUnavailable
        | ErrorCode::AnalyticsBehind
        | ErrorCode::DiskFull => (StatusCode::SERVICE_UNAVAILABLE, own),
    }
}

/// A message about a field: `The long url field is required.`
pub fn sentence(name: &str, reason: &str) -> String {
    if reason == "is required" {
        format!("The {name} field is required.")
    } else {
        format!("The {name} {reason}.")
    }
}

/// The status of an error where an invalid request is 400.
pub const fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::Invalid | ErrorCode::VerificationFailed | ErrorCode::TooCostly => {
            StatusCode::BAD_REQUEST
        }
        ErrorCode::Unauthenticated
        | ErrorCode::InvalidCredential
        | ErrorCode::SecondFactorRequired => StatusCode::UNAUTHORIZED,
        ErrorCode::InsecureTransport
        | ErrorCode::Forbidden
        | ErrorCode::FeatureNotAvailable
        | ErrorCode::PlanLimit => StatusCode::FORBIDDEN,
        ErrorCode::NotFound | ErrorCode::Gone => StatusCode::NOT_FOUND,
        ErrorCode::UnsupportedOperation => StatusCode::METHOD_NOT_ALLOWED,
        ErrorCode::Timeout => StatusCode::REQUEST_TIMEOUT,
        ErrorCode::Conflict | ErrorCode::IdempotencyKeyReused => StatusCode::CONFLICT,
        ErrorCode::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::UnsupportedFormat => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorCode::NotImplemented => StatusCode::NOT_IMPLEMENTED,
        ErrorCode::Overloaded
        | ErrorCode::ChangesUnavailable
        | ErrorCode::AnalyticsUnavailable
        | ErrorCode::CrawlerListUnavailable
        | ErrorCode::AnalyticsBehind
        | ErrorCode::DiskFull => StatusCode::SERVICE_UNAVAILABLE,
    }
}

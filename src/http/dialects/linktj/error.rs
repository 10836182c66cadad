//! Errors of link.tj: `{"error", "code"}`, with `recommend` if a limit of the plan is reached, and
//! `retryAfter` if a rate limit is.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::response::recommended;
use crate::domain::error::{ErrorCode, ServiceError};

/// Renders an error.
pub fn render(error: &ServiceError) -> (StatusCode, Value) {
    let (status, code) = status_and_code(error);
    let body = match error.code {
        ErrorCode::PlanLimit => {
            json!({ "error": code, "code": code, "recommend": error.limit.as_deref().map(recommended) })
        }
        ErrorCode::SecondFactorRequired => json!({ "error": code, "code": code }),
        ErrorCode::RateLimited => {
            let seconds = error.retry_after_seconds;
            json!({ "error": error.message, "code": code, "retryAfter": seconds })
        }
        ErrorCode::Invalid if !error.fields.is_empty() => {
            json!({ "error": sentences(error), "code": code })
        }
        _ => json!({ "error": error.message, "code": code }),
    };
    (status, body)
}

/// What is wrong with each field, by the names of link.tj.
fn sentences(error: &ServiceError) -> String {
    let sentence =
        |(name, reasons): (&String, &Vec<String>)| format!("{name} {}", reasons.join(", "));
    error.fields.iter().map(sentence).collect::<Vec<_>>().join("; ")
}

fn status_and_code(error: &ServiceError) -> (StatusCode, &'static str) {
    match error.code {
        ErrorCode::Invalid | ErrorCode::VerificationFailed | ErrorCode::TooCostly => {
            (StatusCode::BAD_REQUEST, "invalid_request")
        }
        ErrorCode::UnsupportedFormat => {
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type")
        }
        ErrorCode::Unauthenticated | ErrorCode::InvalidCredential => {
            (StatusCode::UNAUTHORIZED, "unauthorized")
        }
        ErrorCode::SecondFactorRequired => (StatusCode::UNAUTHORIZED, "needs_2fa"),
        ErrorCode::PlanLimit => (StatusCode::PAYMENT_REQUIRED, "limit_reached"),
        ErrorCode::InsecureTransport | ErrorCode::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
        ErrorCode::FeatureNotAvailable => (StatusCode::FORBIDDEN, "plan_required"),
        ErrorCode::NotFound => (StatusCode::NOT_FOUND, "not_found"),
        ErrorCode::Gone => (StatusCode::GONE, "gone"),
        ErrorCode::UnsupportedOperation => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
        ErrorCode::Timeout => (StatusCode::REQUEST_TIMEOUT, "timeout"),
        ErrorCode::Conflict if error.fields.contains_key("slug") => {
            (StatusCode::CONFLICT, "slug_taken")
        }
        ErrorCode::Conflict | ErrorCode::IdempotencyKeyReused => (StatusCode::CONFLICT, "conflict"),
        ErrorCode::PreconditionFailed => (StatusCode::PRECONDITION_FAILED, "conflict"),
        ErrorCode::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large"),
        ErrorCode::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
        ErrorCode::NotImplemented => (StatusCode::NOT_IMPLEMENTED, "not_implemented"),
        ErrorCode::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal_error"),
        ErrorCode::Overloaded
        | ErrorCode::ChangesUnavailable
        | ErrorCode::AnalyticsUnavailable
        | ErrorCode::CrawlerListUnavailable
        | ErrorCode::AnalyticsBehind
        | ErrorCode::DiskFull => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    }
}

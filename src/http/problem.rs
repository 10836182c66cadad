//! Errors on the wire: RFC 9457 problem details, with the members `code`, `errors` and
//! `request_id`.
//!
//! This is the native API's rendering of a [`ServiceError`]. A handler returns the error; the
//! outermost layer, [`render`], gives it its body, because only there is the request's ID known. It
//! also logs the error's cause, once.

use std::collections::BTreeMap;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    self, ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tracing::Instrument;
use utoipa::ToSchema;
use uuid::Uuid;

use super::rate_limit::usage::HEADERS;
use super::response_counts::Handler;
use super::security::{OverTls, STRICT_TRANSPORT_SECURITY};
use super::{ACCESS_LOG, NOSNIFF};
use crate::domain::error::{ErrorCode, ServiceError};
use crate::domain::plan::LimitReached;
use crate::domain::slug::Slug;

/// The header that carries a request's ID, both ways.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest request ID that is accepted.
const MAX_REQUEST_ID_BYTES: usize = 128;

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
pub struct Problem<'a> {
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
    /// `needs_2fa` if signing in needs the code of the second factor; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "needs_2fa")]
    error: Option<&'static str>,
    /// The limit of the plan that is reached, such as `links_per_month`; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "links_per_month")]
    limit: Option<&'static str>,
    /// The next plan that allows more; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    recommended: Option<RecommendedPlan<'a>>,
    /// What is wrong with each field of the request.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    errors: &'a BTreeMap<String, Vec<String>>,
    /// The ID of the request, also in `X-Request-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = true)]
    request_id: Option<&'a str>,
}

/// A plan that allows more.
#[derive(Debug, Serialize, ToSchema)]
pub struct RecommendedPlan<'a> {
    #[schema(example = "acme/core")]
    id: &'a str,
    #[schema(example = "Core")]
    name: &'a str,
    /// Its value of the reached limit; null for no limit.
    #[schema(example = 100)]
    limit: Option<u64>,
}

/// The status and the `code` of an error.
pub const fn status_and_code(code: ErrorCode) -> (StatusCode, &'static str) {
    match code {
        ErrorCode::Invalid => (StatusCode::BAD_REQUEST, "VALIDATION_ERROR"),
        ErrorCode::Unauthenticated => (StatusCode::UNAUTHORIZED, "UNAUTHORIZED"),
        ErrorCode::InvalidCredential => (StatusCode::UNAUTHORIZED, "INVALID_API_KEY"),
        ErrorCode::InsecureTransport => (StatusCode::FORBIDDEN, "HTTPS_REQUIRED"),
        ErrorCode::Forbidden => (StatusCode::FORBIDDEN, "FORBIDDEN"),
        ErrorCode::FeatureNotAvailable => (StatusCode::FORBIDDEN, "FEATURE_NOT_AVAILABLE"),
        ErrorCode::PlanLimit => (StatusCode::PAYMENT_REQUIRED, "INSUFFICIENT_CREDITS"),
        ErrorCode::NotFound => (StatusCode::NOT_FOUND, "NOT_FOUND"),
        ErrorCode::Gone => (StatusCode::GONE, "GONE"),
        ErrorCode::SecondFactorRequired => (StatusCode::UNAUTHORIZED, "NEEDS_2FA"),
        ErrorCode::UnsupportedOperation => (StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED"),
        ErrorCode::NotImplemented => (StatusCode::NOT_IMPLEMENTED, "NOT_IMPLEMENTED"),
        ErrorCode::Timeout => (StatusCode::REQUEST_TIMEOUT, "TIMEOUT"),
        ErrorCode::Conflict => (StatusCode::CONFLICT, "CONFLICT"),
        ErrorCode::PreconditionFailed => (StatusCode::PRECONDITION_FAILED, "PRECONDITION_FAILED"),
        ErrorCode::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE"),
        ErrorCode::UnsupportedFormat => {
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE")
        }
        ErrorCode::IdempotencyKeyReused => {
            (StatusCode::UNPROCESSABLE_ENTITY, "IDEMPOTENCY_KEY_REUSED")
        }
        ErrorCode::VerificationFailed => (StatusCode::UNPROCESSABLE_ENTITY, "VERIFICATION_FAILED"),
        ErrorCode::TooCostly => (StatusCode::UNPROCESSABLE_ENTITY, "QUERY_TOO_COSTLY"),
        ErrorCode::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED"),
        ErrorCode::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR"),
        ErrorCode::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED"),
        ErrorCode::ChangesUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "CHANGES_UNAVAILABLE"),
        ErrorCode::AnalyticsUnavailable => {
            (StatusCode::SERVICE_UNAVAILABLE, "ANALYTICS_UNAVAILABLE")
        }
        ErrorCode::CrawlerListUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "NO_CRAWLER_LIST"),
        ErrorCode::AnalyticsBehind => (StatusCode::GATEWAY_TIMEOUT, "ANALYTICS_BEHIND"),
        ErrorCode::DiskFull => (StatusCode::INSUFFICIENT_STORAGE, "DISK_FULL"),
    }
}

impl<'a> RecommendedPlan<'a> {
    fn of(reached: &'a LimitReached) -> Option<Self> {
        let plan = reached.recommended.as_ref()?;
        Some(Self { id: &plan.id, name: &plan.name, limit: plan.limits.get(reached.limit) })
    }
}

impl<'a> Problem<'a> {
    fn new(error: &'a ServiceError, request_id: Option<&'a str>) -> Self {
        let (status, code) = status_and_code(error.code);
        let reached = error.limit.as_deref();
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: &error.message,
            code,
            error: (error.code == ErrorCode::SecondFactorRequired).then_some("needs_2fa"),
            limit: reached.map(|reached| reached.limit.as_str()),
            recommended: reached.and_then(RecommendedPlan::of),
            errors: &error.fields,
            request_id,
        }
    }
}

/// The status and the problem of one item of many, whose request has an ID already.
pub fn item(error: &ServiceError) -> (u16, serde_json::Value) {
    let problem = Problem::new(error, None);
    if let Some(cause) = &error.cause {
        tracing::error!(http.status = problem.status, cause, "an item failed");
    }
    (problem.status, serde_json::json!(problem))
}

fn into_body(error: &ServiceError, request_id: &str, form: Option<ErrorForm>) -> Response {
    let (status, media_type, body) = if let Some(form) = form {
        let (status, body) = form(error);
        (status, "application/json", serde_json::to_vec(&body))
    } else {
        let body = serde_json::to_vec(&Problem::new(error, Some(request_id)));
        (status_and_code(error.code).0, "application/problem+json", body)
    };
    let mut response = (status, body.unwrap_or_default()).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    if let Some(seconds) = error.retry_after_seconds {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

impl IntoResponse for ServiceError {
    fn into_response(self) -> Response {
        let mut response = status_and_code(self.code).0.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Another form of errors: the status, and a JSON body.
pub type ErrorForm = fn(&ServiceError) -> (StatusCode, serde_json::Value);

/// The outermost layer: gives errors their bodies, and every response and log line its request's
/// ID; counts responses and writes the access log. The state finds the form of errors below a path,
/// if it is another one.
pub async fn render(
    State(form_at): State<fn(&str) -> Option<ErrorForm>>,
    request: Request,
    next: Next,
) -> Response {
    let (id, started) = (request_id(request.headers()), Instant::now());
    // Of the highest level, so that it is there whatever is logged.
    let span = tracing::error_span!("request", request_id = id.to_str().unwrap_or_default());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let route = request.extensions().get::<MatchedPath>().cloned();
    async move {
        let response = render_errors(form_at, id, request, next).await;
        let status = response.status();
        Handler::of_path(&path).count(status);
        tracing::info!(
            target: ACCESS_LOG,
            {
            http.method = %method,
            http.path = route.as_ref().map_or_else(|| loggable(&path), MatchedPath::as_str),
            http.status = status.as_u16(),
            duration_seconds = started.elapsed().as_secs_f64()
            },
            "request"
        );
        response
    }
    .instrument(span)
    .await
}

/// What may be logged of a path without a route: all if it is that of a visit, else only its first
/// segment, since a token may follow it.
fn loggable(path: &str) -> &str {
    let end = path.get(1..).and_then(|rest| rest.find('/')).map_or(path.len(), |at| at + 1);
    let first = path.get(1..end).unwrap_or_default();
    if Slug::is_reserved(first) { path.get(..end).unwrap_or_default() } else { path }
}

async fn render_errors(
    form_at: fn(&str) -> Option<ErrorForm>,
    id: HeaderValue,
    request: Request,
    next: Next,
) -> Response {
    let is_over_tls = request.extensions().get::<OverTls>().is_some();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    let error = response.extensions_mut().remove::<ServiceError>();
    let request_id = id.to_str().unwrap_or_default();
    if let Some(error) = error.or_else(|| router_error(&response)) {
        if let Some(cause) = &error.cause {
            let status = response.status().as_u16();
            tracing::error!(http.method = %method, http.path = path, http.status = status, cause, "request failed");
        }
        let headers = std::mem::take(response.headers_mut());
        response = into_body(&error, request_id, form_at(&path));
        let kept = headers.into_iter().filter_map(|(name, value)| Some((name?, value)));
        response.headers_mut().extend(kept.filter(|(name, _)| is_kept(name)));
    }
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    if is_over_tls {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, STRICT_TRANSPORT_SECURITY);
    }
    response
}

/// Whether an error's response has a header that was set before its body.
fn is_kept(name: &HeaderName) -> bool {
    let limits = HEADERS.iter().map(|(limit, ..)| limit);
    let is_cors = name.as_str().starts_with("access-control-");
    name == ALLOW
        || is_cors
        || limits.into_iter().any(|limit| name.as_str().eq_ignore_ascii_case(limit))
}

/// The ID of a request, if it is safe to log and to send back; else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
    let given = headers.get(REQUEST_ID).filter(|id| {
        (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.as_bytes().iter().all(is_plain)
    });
    let generated = || HeaderValue::try_from(Uuid::now_v7().to_string());
    given.cloned().map_or_else(generated, Ok).unwrap_or(HeaderValue::from_static("none"))
}

/// The error of a request that the router itself refused.
fn router_error(response: &Response<Body>) -> Option<ServiceError> {
    (response.status() == StatusCode::METHOD_NOT_ALLOWED).then(|| {
        let message = "This path does not support that method.";
        ServiceError::new(ErrorCode::UnsupportedOperation, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_token_is_not_logged() {
        for (path, logged) in [
            ("/spring", "/spring"),
            ("/spring/more", "/spring/more"),
            ("/auth/set-up/secret/x", "/auth"),
            ("/api/v2/secret", "/api"),
            ("/", "/"),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(loggable(path), logged, "{path}");
        }
    }
}

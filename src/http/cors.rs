//! Requests of pages of any site (CORS, as the Fetch standard defines it). They have no cookies.

use std::pin::Pin;

use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, COOKIE,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Headers that pages of other sites may use.
struct Headers {
    /// Of requests.
    allowed: &'static str,
    /// Of responses, besides the usual ones.
    exposed: &'static str,
}

/// Not `X-CSRF-Token`: sessions are for pages of this site.
const NATIVE: Headers = Headers {
    allowed: "Authorization, X-Api-Key, Content-Type, If-Match, If-None-Match, Idempotency-Key, \
              X-Workspace, X-Request-Id",
    exposed: "ETag, Location, Log-Offset, As-Of-Offset, Idempotency-Replayed, \
              Content-Disposition, X-Request-Id, Retry-After, X-RateLimit-Limit, \
              X-RateLimit-Remaining, X-RateLimit-Reset, RateLimit, RateLimit-Policy",
};
const OF_DIALECTS: Headers = Headers {
    allowed: "Authorization, X-Api-Key, Content-Type",
    exposed: "Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset",
};
const METHODS: &str = "GET, POST, PUT, PATCH, DELETE, OPTIONS";
/// How long a browser may remember the response to a preflight request, in seconds.
const MAX_AGE: &str = "86400";

/// Lets pages of any site read the responses to a dialect's requests, also errors, and answers
/// preflight requests.
pub fn allow_any_origin(
    request: Request,
    next: Next,
) -> Pin<Box<dyn Future<Output = Response> + Send>> {
    Box::pin(allow(request, next, &OF_DIALECTS))
}

/// The same for native requests with a token: not for signing in, nor for those with a cookie.
pub fn allow_tokens(
    request: Request,
    next: Next,
) -> Pin<Box<dyn Future<Output = Response> + Send>> {
    let is_of_session =
        request.headers().contains_key(COOKIE) || request.uri().path().starts_with("/auth/");
    if is_of_session {
        Box::pin(next.run(request))
    } else {
        Box::pin(allow(request, next, &NATIVE))
    }
}

async fn allow(request: Request, next: Next, names: &Headers) -> Response {
    let mut response = if request.method() == Method::OPTIONS {
        let headers = [
            (ACCESS_CONTROL_ALLOW_METHODS, METHODS),
            (ACCESS_CONTROL_ALLOW_HEADERS, names.allowed),
            (ACCESS_CONTROL_MAX_AGE, MAX_AGE),
        ];
        let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
        (StatusCode::NO_CONTENT, HeaderMap::from_iter(headers)).into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(names.exposed));
    response
}

//! Requests of pages of any site (CORS, as the Fetch standard defines it). They have no cookies.

use std::pin::Pin;

use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// The headers of responses to preflight requests.
const PREFLIGHT: [(HeaderName, &str); 3] = [
    (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, PATCH, DELETE, OPTIONS"),
    (ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, X-Api-Key, Content-Type"),
    (ACCESS_CONTROL_MAX_AGE, "86400"),
];
/// The headers that pages can read besides the usual ones.
const EXPOSED: &str = "Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset";

/// Lets pages of any site read the responses to requests, also errors, and answers preflight
/// requests.
pub fn allow_any_origin(
    request: Request,
    next: Next,
) -> Pin<Box<dyn Future<Output = Response> + Send>> {
    Box::pin(allow(request, next))
}

async fn allow(request: Request, next: Next) -> Response {
    let mut response = if request.method() == Method::OPTIONS {
        let headers = PREFLIGHT.map(|(name, value)| (name, HeaderValue::from_static(value)));
        (StatusCode::NO_CONTENT, HeaderMap::from_iter(headers)).into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    response
}

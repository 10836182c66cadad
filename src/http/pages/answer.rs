//! Responses with a page: not cacheable, and with a policy that forbids scripts.

use std::sync::LazyLock;

use askama::Template;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, RETRY_AFTER,
    SET_COOKIE,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

/// The style, inlined in each page: a page loads nothing.
pub const STYLE: &str = include_str!("templates/page.css");

/// No scripts, no frames, nothing external; the one style by its hash.
pub static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src 'self' data:; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// A time, for machines and for people.
pub struct PageTime {
    /// ISO 8601.
    pub iso: String,
    /// In words.
    pub words: String,
}

impl PageTime {
    /// From milliseconds since the Unix epoch.
    pub fn at(at_ms: u64) -> Self {
        let time = i64::try_from(at_ms).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
        let time = time.unwrap_or_default();
        let shown = |form| time.strftime(form).to_string();
        Self { iso: shown("%Y-%m-%dT%H:%M:%SZ"), words: shown("%-d %B %Y, %H:%M UTC") }
    }
}

/// A response to a visitor.
#[must_use]
pub struct Answer(Response);

impl Answer {
    /// A page.
    pub fn page(status: StatusCode, page: &impl Template) -> Self {
        match page.render() {
            Ok(html) => {
                let answer = Self::bytes(status, "text/html; charset=utf-8", html);
                answer.with(CONTENT_SECURITY_POLICY, POLICY.clone())
            }
            Err(error) => {
                // A compiled template only fails without memory.
                tracing::error!(%error, "cannot render a page");
                Self(StatusCode::INTERNAL_SERVER_ERROR.into_response())
            }
        }
    }

    /// A file of another type.
    pub fn bytes(status: StatusCode, kind: &'static str, body: String) -> Self {
        Self((status, body).into_response())
            .with(CONTENT_TYPE, HeaderValue::from_static(kind))
            .not_stored()
    }

    /// Redirects the visitor. `to` is a path or an address in ASCII.
    pub fn redirect(to: &str) -> Self {
        Self(StatusCode::FOUND.into_response()).not_stored().text(LOCATION, to)
    }

    /// The response is for one visitor and one moment. No referrer is sent, unless
    /// [`with_form`](Self::with_form) is used.
    fn not_stored(self) -> Self {
        self.with(CACHE_CONTROL, HeaderValue::from_static("private, no-store"))
            .with(REFERRER_POLICY, HeaderValue::from_static("no-referrer"))
    }

    /// The page contains a form. Without a referrer, browsers would not send the form's origin
    /// either.
    pub fn with_form(self) -> Self {
        self.with(REFERRER_POLICY, HeaderValue::from_static("same-origin"))
    }

    /// When to retry, if that is known.
    pub fn retry_after(self, seconds: Option<u64>) -> Self {
        match seconds {
            Some(seconds) => self.with(RETRY_AFTER, HeaderValue::from(seconds)),
            None => self,
        }
    }

    /// Sets a cookie.
    pub fn cookie(self, cookie: Option<&str>) -> Self {
        match cookie {
            Some(cookie) => self.text(SET_COOKIE, cookie),
            None => self,
        }
    }

    /// Adds a header; ignored if the value is not valid.
    pub fn text(self, name: HeaderName, value: &str) -> Self {
        match HeaderValue::try_from(value) {
            Ok(value) => self.with(name, value),
            Err(_) => self,
        }
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers_mut().insert(name, value);
        self
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        self.0
    }
}

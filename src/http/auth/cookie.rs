//! The cookie of a session, and the protection of requests with it against other sites (CSRF).
//!
//! A browser sends the cookie with every request, even one that another site causes. So a request
//! that changes something needs a header that only the service's own pages can set: `X-CSRF-Token`,
//! which is bound to the session. `Origin` and `Sec-Fetch-Site` are checked too. Requests with a
//! token or a JWT are exempt: a browser does not add those by itself.

use axum::http::header::COOKIE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method};

use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::ids::SessionId;
use crate::http::cookies::cookies;
use crate::http::{Services, Site};
use crate::identity::signing::{Signer, hex, unhex};

/// Reads and writes session cookies.
#[derive(Clone)]
pub struct SessionCookies {
    csrf: Signer,
    is_https: bool,
}

impl SessionCookies {
    /// Creates them with the service's key.
    pub fn new(key: &[u8; 32], site: &Site) -> Self {
        Self { csrf: Signer::new(key, "csrf"), is_https: site.scheme == "https" }
    }

    /// `__Host-` (RFC 6265bis §4.1.3) binds the cookie to this host and to HTTPS.
    const fn name(&self) -> &'static str {
        if self.is_https { "__Host-session" } else { "session" }
    }

    /// The cookie of a request. If there are several, they are not told apart: none counts.
    pub fn value<'a>(&self, headers: &'a HeaderMap) -> Option<&'a [u8]> {
        let lines = headers.get_all(COOKIE).into_iter();
        let all = lines.flat_map(|line| cookies(line.as_bytes()));
        let mut found = all.filter(|(name, _)| *name == self.name().as_bytes());
        match (found.next(), found.next()) {
            (Some((_, value)), None) if !value.is_empty() => Some(value),
            _ => None,
        }
    }

    /// The `Set-Cookie` header of a session; with an empty value, the one that removes it.
    pub fn set(&self, value: &str, max_age_seconds: u64) -> Option<HeaderValue> {
        let (name, secure) = (self.name(), if self.is_https { "; Secure" } else { "" });
        let age = if value.is_empty() { 0 } else { max_age_seconds };
        let cookie =
            format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}");
        let mut cookie = HeaderValue::try_from(cookie).ok()?;
        cookie.set_sensitive(true);
        Some(cookie)
    }

    /// The CSRF token of a session.
    pub fn csrf_token(&self, session: SessionId) -> String {
        hex(&self.csrf.sign(&[session.as_bytes()]))
    }

    /// Refuses a change that the service's own pages did not cause.
    pub fn check_csrf(&self, parts: &Parts, services: &Services, session: SessionId) -> Result<()> {
        if matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return Ok(());
        }
        check_origin(&parts.headers, services)?;
        let sent = parts.headers.get("x-csrf-token").map_or(&b""[..], HeaderValue::as_bytes);
        let tag = unhex(sent);
        if tag.is_some_and(|tag| self.csrf.is_signed(&[session.as_bytes()], &tag)) {
            return Ok(());
        }
        let text = "Send the session's `csrf_token` as `X-CSRF-Token`.";
        Err(ServiceError::new(ErrorCode::Forbidden, text))
    }
}

/// Refuses a request that another site caused, if the browser says so.
pub fn check_origin(headers: &HeaderMap, services: &Services) -> Result<()> {
    if services.visitors.guard.is_same_origin(headers) {
        return Ok(());
    }
    Err(ServiceError::new(ErrorCode::Forbidden, "Another site caused this request."))
}

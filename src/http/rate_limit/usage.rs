//! The headers that state the rate limits.
//!
//! `X-RateLimit-*` is about the limit with the fewest remaining requests, `RateLimit-Policy` and
//! `RateLimit` (draft-ietf-httpapi-ratelimit-headers) about each.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;

use super::table::WindowUse;
use crate::domain::error::{ErrorCode, ServiceError};
use crate::domain::plan::rate::{RateLimit, RateScope, RateWindow};

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");

/// The headers: their names, whether they are numbers, and their descriptions.
pub const HEADERS: [(&str, bool, &str); 5] = [
    ("X-RateLimit-Limit", true, "The plan's limit that has the fewest remaining requests."),
    ("X-RateLimit-Remaining", true, "How many more requests this limit allows."),
    ("X-RateLimit-Reset", true, "When it allows more, in seconds since the Unix epoch."),
    ("RateLimit-Policy", false, "All limits that apply: `q` requests within any `w` seconds."),
    (
        "RateLimit",
        false,
        "The state of each: `r` more requests, and more than that in `t` seconds.",
    ),
];

/// Enough for a limit in `RateLimit`.
const TEXT_BYTES: usize = 48;

/// What a request used of the limits that apply to it.
#[derive(Debug)]
pub struct Usage {
    pub(super) limits: Vec<RateLimit>,
    /// The windows of the limits, in the same order.
    pub(super) uses: Vec<WindowUse>,
    /// Present if a limit is reached.
    pub(super) wait_ms: Option<u64>,
}

impl Usage {
    /// The error, if a limit is reached.
    pub fn refusal(&self) -> Option<ServiceError> {
        let seconds = u32::try_from(self.wait_ms?.div_ceil(1_000)).unwrap_or(u32::MAX);
        let limits = self.limits.iter().zip(&self.uses);
        let reached = limits.filter(|(_, one)| one.remaining == 0);
        let (limit, _) = reached.max_by_key(|(_, one)| one.more_in_ms)?;
        let RateLimit { requests, window, .. } = limit;
        let kind = limit.class.map_or_else(String::new, |class| format!(" {}", class.as_str()));
        let (window, scope) = (window.as_str(), limit.scope.as_str());
        let message = format!(
            "The plan allows {requests}{kind} requests per {window} and {scope}: retry in \
             {seconds} s."
        );
        let error = ServiceError::new(ErrorCode::RateLimited, message);
        Some(ServiceError { retry_after_seconds: Some(seconds), ..error })
    }

    /// Adds the headers to a response; `now_ms` is the time of the request, in milliseconds since
    /// the Unix epoch.
    pub fn write(&self, headers: &mut HeaderMap, now_ms: u64) {
        let by_remaining = |one: &&WindowUse| (one.remaining, u64::MAX - one.more_in_ms);
        let Some(least) = self.uses.iter().min_by_key(by_remaining) else { return };
        let reset_ms = now_ms.saturating_add(least.more_in_ms);
        let limits = || self.limits.iter().zip(&self.uses);
        // The values share a buffer: five of them would take more time than counting the request.
        let mut text = Vec::with_capacity(2 * TEXT_BYTES * (1 + self.limits.len()));
        let mut ends = [0; HEADERS.len()];
        push_number(&mut text, least.quota.requests.into());
        ends[0] = text.len();
        push_number(&mut text, least.remaining.into());
        ends[1] = text.len();
        push_number(&mut text, reset_ms.div_ceil(1_000));
        ends[2] = text.len();
        for (limit, one) in limits() {
            push_name(&mut text, *limit, ends[2]);
            push_parameter(&mut text, ";q=", one.quota.requests.into());
            push_parameter(&mut text, ";w=", limit.window.seconds().into());
        }
        ends[3] = text.len();
        for (limit, one) in limits() {
            push_name(&mut text, *limit, ends[3]);
            push_parameter(&mut text, ";r=", one.remaining.into());
            push_parameter(&mut text, ";t=", one.more_in_ms.div_ceil(1_000));
        }
        ends[4] = text.len();
        let (text, mut start) = (Bytes::from(text), 0);
        for (name, end) in [LIMIT, REMAINING, RESET, POLICY, STATE].into_iter().zip(ends) {
            if let Ok(value) = HeaderValue::from_maybe_shared(text.slice(start..end)) {
                headers.insert(name, value);
            }
            start = end;
        }
    }
}

/// The name of a limit: `"default"`, or `"workspace-heavy-hour"`; after a comma unless it is the
/// first of a header, whose value starts at `start`.
fn push_name(text: &mut Vec<u8>, limit: RateLimit, start: usize) {
    text.extend_from_slice(if text.len() == start { b"\"" } else { b", \"" });
    match limit {
        RateLimit { scope: RateScope::Token, class: None, window: RateWindow::Minute, .. } => {
            text.extend_from_slice(b"default");
        }
        RateLimit { scope, class, window, .. } => {
            text.extend_from_slice(scope.as_str().as_bytes());
            for part in class.iter().map(|class| class.as_str()).chain([window.as_str()]) {
                text.push(b'-');
                text.extend_from_slice(part.as_bytes());
            }
        }
    }
    text.push(b'"');
}

fn push_parameter(text: &mut Vec<u8>, name: &str, number: u64) {
    text.extend_from_slice(name.as_bytes());
    push_number(text, number);
}

/// As `write!` does, but faster.
fn push_number(text: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] += (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return text.extend_from_slice(&digits[start..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::rate::RateClass;
    use crate::http::rate_limit::window::Quota;

    fn usage() -> Usage {
        let one = |scope, class, window: RateWindow, requests, remaining, more_in_ms| {
            let quota = Quota { requests, window_ms: window.seconds() * 1_000 };
            let one = WindowUse { remaining, more_in_ms, ..WindowUse::of(0, quota) };
            (RateLimit { scope, class, requests, window }, one)
        };
        let heavy = Some(RateClass::Heavy);
        let each = [
            one(RateScope::Token, None, RateWindow::Minute, 100, 50, 29_001),
            one(RateScope::Workspace, heavy, RateWindow::Hour, 10, 0, 1_500),
            one(RateScope::User, None, RateWindow::Hour, 1_000, 0, 1_000),
        ];
        let (limits, uses) = each.into_iter().unzip();
        Usage { limits, uses, wait_ms: Some(1_500) }
    }

    #[test]
    fn the_headers_state_all_limits_and_the_one_with_the_fewest_remaining() {
        let mut headers = HeaderMap::new();
        usage().write(&mut headers, 1_781_725_900_001);
        let text = |name: &HeaderName| headers[name].to_str().unwrap();
        assert_eq!([text(&LIMIT), text(&REMAINING), text(&RESET)], ["10", "0", "1781725902"]);
        let policy = r#""default";q=100;w=60, "workspace-heavy-hour";q=10;w=3600, "user-hour";q=1000;w=3600"#;
        assert_eq!(text(&POLICY), policy);
        let state = r#""default";r=50;t=30, "workspace-heavy-hour";r=0;t=2, "user-hour";r=0;t=1"#;
        assert_eq!(text(&STATE), state);
        assert_eq!(headers.len(), HEADERS.len());
        assert!(HEADERS.iter().all(|(name, ..)| headers.contains_key(*name)));
    }

    #[test]
    fn a_refusal_names_the_limit_with_the_longest_wait() {
        let refused = usage().refusal().unwrap();
        assert_eq!((refused.code, refused.retry_after_seconds), (ErrorCode::RateLimited, Some(2)));
        assert_eq!(
            refused.message,
            "The plan allows 10 heavy requests per hour and workspace: retry in 2 s."
        );
        assert!(Usage { wait_ms: None, ..usage() }.refusal().is_none());
    }
}

//! The visit: a redirect request before enrichment.

use std::net::IpAddr;

use super::headers::Headers;
use crate::domain::click::BotReason;

/// A visitor's request for a link. It is in memory only, until the response is sent.
#[derive(Debug, Clone, Copy)]
pub struct Visit<'a> {
    /// The other end of the socket: the visitor, or a reverse proxy.
    pub peer: IpAddr,
    /// The request's headers.
    pub headers: Headers<'a>,
    /// The query string, without the `?`.
    pub query: Option<&'a str>,
    /// Whether the request's method is HEAD.
    pub head: bool,
    /// Arrival time, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

impl Visit<'_> {
    /// Whether the request is a prefetch.
    ///
    /// `Sec-Purpose` is the [Fetch standard's](https://fetch.spec.whatwg.org/#sec-purpose-header)
    /// and may carry parameters (`prefetch;prerender`). Before it, Chrome sent `Purpose`,
    /// Safari `X-Purpose` (with `preview` for its page of top sites) and Firefox `X-Moz`.
    pub fn is_prefetch(&self) -> bool {
        self.headers.purposes.into_iter().flatten().any(is_prefetch_value)
    }
}

/// Why a visit is classified as a bot's, whatever its user agent.
///
/// HEAD takes precedence: a prefetched page may still be shown, the response to a HEAD never is.
pub(super) fn bot_reason(head: bool, prefetch: bool) -> BotReason {
    match (head, prefetch) {
        (true, _) => BotReason::Head,
        (false, true) => BotReason::Prefetch,
        (false, false) => BotReason::Human,
    }
}

fn is_prefetch_value(value: &[u8]) -> bool {
    let token = value.split(|byte| *byte == b';').next().unwrap_or_default();
    let token = token.trim_ascii();
    token.eq_ignore_ascii_case(b"prefetch") || token.eq_ignore_ascii_case(b"preview")
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use http::{HeaderMap, HeaderName};

    use super::*;

    #[test]
    fn a_prefetch_is_recognized_by_four_headers() {
        for (name, value, prefetch) in [
            ("sec-purpose", "prefetch", true),
            ("sec-purpose", "prefetch;prerender", true),
            ("sec-purpose", "prefetch; anonymous-client-ip", true),
            ("purpose", "Prefetch", true),
            ("x-purpose", "preview", true),
            ("x-moz", "prefetch", true),
            ("sec-purpose", "prefetching", false),
            ("sec-purpose", "", false),
            ("purpose", "navigate", false),
            ("x-other", "prefetch", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static(name), value.parse().unwrap());
            let visit = Visit {
                peer: Ipv4Addr::LOCALHOST.into(),
                headers: Headers::of_map(&headers),
                query: None,
                head: false,
                at_ms: 0,
            };
            assert_eq!(visit.is_prefetch(), prefetch, "{name}: {value}");
        }
    }

    #[test]
    fn head_takes_precedence_over_prefetch() {
        assert_eq!(bot_reason(true, true), BotReason::Head);
        assert_eq!(bot_reason(false, true), BotReason::Prefetch);
        assert_eq!(bot_reason(false, false), BotReason::Human);
    }
}

//! The referrer: the `Referer` header (RFC 9110 § 10.1.3), normalized and truncated.

use std::borrow::Cow;

use super::text::truncated;
use crate::domain::referrer;

/// Maximum length of a stored referrer URL, in bytes.
pub const URL_LIMIT: usize = 512;

/// Maximum length of a DNS name (RFC 1035 § 2.3.4).
const HOST_LIMIT: usize = 253;

/// The referring host and page; both empty if the header is absent or invalid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Referrer<'a> {
    /// The host: lower case, without port and `www.`.
    pub host: Cow<'a, str>,
    /// The page: scheme, host, port and path, without credentials, query and fragment, which may
    /// identify a person. At most [`URL_LIMIT`] bytes.
    pub url: Cow<'a, str>,
}

impl<'a> Referrer<'a> {
    /// Parses the header. A URL in the usual spelling is not copied.
    pub fn of(header: Option<&'a [u8]>) -> Self {
        header.and_then(Self::parse).unwrap_or_default()
    }

    /// The site that the host belongs to: `x.com` for `t.co`.
    pub fn site(&self) -> &str {
        referrer::site(&self.host)
    }

    fn parse(header: &'a [u8]) -> Option<Self> {
        // Some clients send a path in another encoding than UTF-8: drop the rest of it.
        let text = match str::from_utf8(header) {
            Ok(text) => text,
            Err(error) => str::from_utf8(&header[..error.valid_up_to()]).ok()?,
        };
        let (scheme, rest) = text.split_at(text.find(':')?);
        let rest = rest.strip_prefix("://")?;
        if !["https", "http", "android-app"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
        {
            return None;
        }
        let (authority, after) = rest.split_at(before(rest, b"/?#\\"));
        if after.is_empty() && text.len() < header.len() {
            return None;
        }
        let server = authority.rsplit_once('@').map_or(authority, |(_credentials, server)| server);
        let host = host_of(server)?;
        let path = &after[..before(after, b"?#\\")];
        let spelt_plainly = server.len() == authority.len()
            && !scheme.bytes().chain(host.bytes()).any(|byte| byte.is_ascii_uppercase());
        let url = if spelt_plainly {
            let end = scheme.len() + "://".len() + authority.len() + path.len();
            Cow::Borrowed(shortened(&text[..end]))
        } else {
            let origin = format!("{scheme}://{server}").to_ascii_lowercase();
            Cow::Owned(shortened(&(origin + path)).to_owned())
        };
        Some(Self { host: bare(host), url })
    }
}

/// Position of the first of the given ASCII characters, or the length of `text`.
fn before(text: &str, signs: &[u8]) -> usize {
    text.bytes().position(|byte| signs.contains(&byte)).unwrap_or(text.len())
}

/// The host in `host:port`, if both are well-formed.
fn host_of(server: &str) -> Option<&str> {
    let bracket = server.starts_with('[').then(|| server.find(']')).flatten();
    let (host, port) = match bracket {
        Some(end) => server.split_at(end + 1),
        None => server.split_at(server.find(':').unwrap_or(server.len())),
    };
    let is_letter = |byte: u8| match bracket {
        Some(_) => byte.is_ascii_hexdigit() || matches!(byte, b'[' | b':' | b'.' | b']'),
        None => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'),
    };
    let port = if port.is_empty() { "" } else { port.strip_prefix(':')? };
    let valid = host.len() <= HOST_LIMIT
        && host.bytes().all(is_letter)
        && host.bytes().any(|byte| byte.is_ascii_alphanumeric())
        && port.bytes().all(|byte| byte.is_ascii_digit());
    valid.then_some(host)
}

/// A host in lower case, without `www.` and the root's dot.
fn bare(host: &str) -> Cow<'_, str> {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        let lower = host.to_ascii_lowercase();
        return Cow::Owned(lower.strip_prefix("www.").unwrap_or(&lower).to_owned());
    }
    Cow::Borrowed(host.strip_prefix("www.").unwrap_or(host))
}

/// Truncates to [`URL_LIMIT`], without splitting a character or a percent-encoded byte.
fn shortened(url: &str) -> &str {
    let kept = truncated(url, URL_LIMIT);
    if kept.len() == url.len() {
        return url;
    }
    match kept.rfind('%') {
        Some(at) if at + 3 > kept.len() => &kept[..at],
        _ => kept,
    }
}

#[cfg(test)]
#[path = "referrer_tests.rs"]
mod tests;

//! The operator's blocklist of destinations.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use regex::{RegexSet, RegexSetBuilder};
use url::Url;

use super::destination::Destination;
use super::error::Invalid;
use super::link::{LinkFields, Payload};
use super::rule::app_url::AppLinks;

/// Maximum total size of the compiled patterns, in bytes.
const MAX_COMPILED_BYTES: usize = 32 << 20;
/// The validation error for a listed URL.
pub(super) const LISTED: &str = "is on the list of addresses to which no link may lead";

/// Hosts and patterns, one entry per line. A `#` at the start of a line or after a blank starts a
/// comment.
///
/// - `evil.example` matches the host and its subdomains;
/// - `/…/` is a case-insensitive regular expression that is searched for in the whole URL, both as
///   it is and percent-decoded.
#[derive(Debug, Default)]
pub struct Blocklist {
    /// Lower case, sorted.
    hosts: Vec<String>,
    patterns: RegexSet,
}

/// An invalid line of the list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct InvalidLine {
    /// The line number, from 1; 0 if the patterns are too large together.
    pub line: usize,
    /// Why it is invalid.
    pub reason: String,
}

impl Blocklist {
    /// Parses a list.
    ///
    /// # Errors
    /// The first line that is neither a host nor a pattern.
    pub fn parse(text: &str) -> Result<Self, InvalidLine> {
        let (mut hosts, mut patterns) = (Vec::new(), Vec::new());
        for (number, line) in text.lines().enumerate() {
            let invalid =
                |reason: &str| InvalidLine { line: number + 1, reason: reason.to_owned() };
            let entry = line.split(" #").next().unwrap_or_default().trim();
            if entry.is_empty() || entry.starts_with('#') {
                continue;
            }
            if let Some(pattern) = entry.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
                regex::Regex::new(pattern).map_err(|error| invalid(&error.to_string()))?;
                patterns.push(pattern.to_owned());
                continue;
            }
            let host = entry.strip_prefix("*.").unwrap_or(entry);
            let url = Url::parse(&format!("http://{host}/"));
            let parsed = url.ok().and_then(|url| url.host_str().map(str::to_owned));
            let is_host = !host.contains(['/', '@', ':', '?', '#']);
            let host = parsed
                .filter(|_| is_host)
                .ok_or_else(|| invalid("is neither a host nor a /pattern/"))?;
            hosts.push(host);
        }
        hosts.sort_unstable();
        hosts.dedup();
        let patterns = RegexSetBuilder::new(patterns)
            .case_insensitive(true)
            .size_limit(MAX_COMPILED_BYTES)
            .build()
            .map_err(|error| InvalidLine { line: 0, reason: error.to_string() })?;
        Ok(Self { hosts, patterns })
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.hosts.len() + self.patterns.len()
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a URL matches the list.
    pub fn has(&self, address: &str) -> bool {
        if self.is_empty() {
            return false;
        }
        // Normalized as by a browser, so that an unusual spelling can't evade a pattern.
        let Ok(url) = Url::parse(address) else { return false };
        let host = host_of(&url);
        let host = host.trim_end_matches('.');
        let below = host.match_indices('.').filter_map(|(dot, _)| host.get(dot + 1..));
        let is_listed =
            |name: &str| self.hosts.binary_search_by(|host| host.as_str().cmp(name)).is_ok();
        let is_match = |text: &str| self.patterns.is_match(text);
        std::iter::once(host).chain(below).any(is_listed)
            || is_match(url.as_str())
            || is_match(&percent_decode_str(url.as_str()).decode_utf8_lossy())
    }

    fn has_any(&self, addresses: &[String]) -> bool {
        addresses.iter().any(|address| self.has(address))
    }

    /// Rejects listed URLs in the fields of a link that differ from `old`. Rules and app URLs are
    /// compared as a whole.
    ///
    /// # Errors
    /// The invalid fields.
    pub fn check(&self, fields: &LinkFields, old: Option<&LinkFields>) -> Result<(), Invalid> {
        let mut invalid = Invalid::default();
        let before = old.map(addresses);
        for (place, (name, url)) in addresses(fields).into_iter().enumerate() {
            let before = before.and_then(|before| before.get(place)?.1);
            if let Some(url) = url
                && before != Some(url)
                && self.has(url)
            {
                invalid.add(name, LISTED);
            }
        }
        if old.is_none_or(|old| old.routing != fields.routing) {
            self.check_routing(fields, &mut invalid);
        }
        invalid.into_result()
    }

    fn check_routing(&self, fields: &LinkFields, invalid: &mut Invalid) {
        let app = |at: &str, app: &AppLinks, invalid: &mut Invalid| {
            let listed = app.by_field().filter(|(_, url)| self.has_any(&url.leads_to()));
            listed.for_each(|(name, _)| invalid.add(format!("{at}{name}"), LISTED));
        };
        app("", &fields.routing.app, invalid);
        for (place, rule) in fields.routing.rules.as_slice().iter().enumerate() {
            if rule.target.destinations().any(|url| self.has(url.as_str())) {
                invalid.add(format!("rules[{place}].target"), LISTED);
            }
            app(&format!("rules[{place}].target."), &rule.target.app, invalid);
        }
    }
}

/// The URLs of a link with their fields, except those of rules and apps.
fn addresses(fields: &LinkFields) -> [(&'static str, Option<&str>); 4] {
    let card = match fields.content.payload() {
        Some(Payload::Vcard(card)) => Some(card.url.as_str()).filter(|url| !url.is_empty()),
        _ => None,
    };
    [
        ("destination", fields.content.destination().map(Destination::as_str)),
        ("expired_url", fields.gates.expired_url.as_deref()),
        ("payload.url", card),
        ("og_image", fields.social.image.as_deref()),
    ]
}

/// The normalized host of a URL. The URL standard doesn't normalize the hosts of custom schemes.
fn host_of(url: &Url) -> Cow<'_, str> {
    let host = url.host_str().unwrap_or_default();
    if url.is_special() {
        return host.into();
    }
    let decoded = percent_decode_str(host).decode_utf8_lossy();
    let as_web = Url::parse(&format!("http://{decoded}/")).ok();
    let host = as_web.and_then(|url| url.host_str().map(str::to_owned));
    host.map_or(decoded, Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_match_their_subdomains_and_patterns_match_anywhere() {
        let list = "# no good\nEvil.example # of last week\n*.worse.example\nbücher.example\n\n\
                    /\\/wp-login\\.php/\n/^https:\\/\\/[0-9.]+\\//\n";
        let list = Blocklist::parse(list).unwrap();
        assert_eq!(list.len(), 5);
        for (address, is_listed) in [
            ("https://evil.example", true),
            ("http://EVIL.example:8080/x", true),
            ("https://a.b.evil.example/", true),
            ("https://evil.example./", true),
            ("https://worse.example/", true),
            ("https://xn--bcher-kva.example/", true),
            ("https://BÜCHER.example/", true),
            ("https://good.example/WP-login.php?x", true),
            ("https://192.0.2.1/", true),
            ("https://0xc0.0.2.1/", true),
            ("https://%65vil%2Eexample/", true),
            ("https://evil。example/", true),
            ("myapp://%65vil.EXAMPLE/x", true),
            ("myapp://b%C3%BCcher.example", true),
            ("https://good.example/%57p-login%2Ephp", true),
            ("https://good.example/?to=%2Fwp-login.php", true),
            ("https://good.example/%2557p-login.php", false),
            ("https://notevil.example/", false),
            ("https://evil.example.com/", false),
            ("https://good.example/?evil.example", false),
        ] {
            assert_eq!(list.has(address), is_listed, "{address}");
        }
    }

    #[test]
    fn an_invalid_entry_is_reported_by_its_line() {
        for (text, line) in
            [("a.example\nb c", 2), ("/(/", 1), ("http://x.example/", 1), ("\n\n@", 3)]
        {
            assert_eq!(Blocklist::parse(text).unwrap_err().line, line, "{text}");
        }
        assert!(Blocklist::parse("").unwrap().is_empty());
    }
}

//! The destination of a link, and the `Location` of its redirects.

use std::borrow::Cow;
use std::collections::HashSet;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use url::{ParseError, Url};

use super::qr::marker;
use super::utm::Utm;

const MAX_BYTES: usize = 8_192;

/// The ASCII bytes that must be percent-encoded in a path or a query (RFC 3986, except the
/// brackets, which all browsers send raw). `%` is not one of them, so encoded text stays as it is.
pub const NEVER_RAW: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A valid `http` or `https` URL for a link, as entered by its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination(Box<str>);

impl Destination {
    /// Validates a URL. Surrounding blanks are trimmed; nothing else is changed.
    ///
    /// `is_own` returns whether a host (lower case, with the port if the URL has one, without a
    /// trailing dot) belongs to the service: a link to a link could loop, or hide its destination.
    ///
    /// # Errors
    /// A message that names the violated rule.
    pub fn parse(text: &str, is_own: impl Fn(&str) -> bool) -> Result<Self, String> {
        // The URL standard silently removes tabs and line feeds; reject them instead.
        if text.chars().any(char::is_control) {
            return Err("must not contain control characters".to_owned());
        }
        let text = text.trim_matches(' ');
        if text.len() > MAX_BYTES {
            return Err(format!("must not be longer than {MAX_BYTES} bytes"));
        }
        let url = Url::parse(text).map_err(|error| match error {
            ParseError::RelativeUrlWithoutBase => "is not an absolute URL: add https://".to_owned(),
            error => format!("is not an absolute URL: {error}"),
        })?;
        if !matches!(url.scheme(), "http" | "https") {
            // In `sho.rt:8080/path`, the host is taken for the scheme.
            let is_host = url.scheme().contains('.') || url.scheme() == "localhost";
            let hint = if is_host { ": add https://" } else { "" };
            return Err(format!("must be http or https, not `{}`{hint}", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not contain credentials".to_owned());
        }
        if url.as_str().len() > MAX_BYTES {
            return Err(format!("must not be longer than {MAX_BYTES} bytes once encoded"));
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or("must name a host")?;
        // A trailing dot (the DNS root) names the same host.
        let host = host.trim_end_matches('.');
        let with_port = url.port().map_or(Cow::from(host), |port| format!("{host}:{port}").into());
        if is_own(&with_port) {
            return Err("must not lead back to this service".to_owned());
        }
        Ok(Self(text.into()))
    }

    /// The URL as entered by the owner.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A URL from the log, which is not validated again.
    pub fn from_log(text: &str) -> Self {
        Self(text.into())
    }
}

/// The `Location` of a redirect, computed once per version of a link.
///
/// Query parameters by precedence: the destination's, the link's UTM parameters, the visitor's.
/// The fragment stays at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The whole URL; visible ASCII, as serialized by the URL standard.
    full: Box<str>,
    /// The start of the fragment in `full`, or the length of `full`.
    fragment_at: usize,
    /// Whether `full` has a query before the fragment.
    has_query: bool,
}

impl Location {
    /// Computes the URL from a link's destination and UTM parameters.
    ///
    /// `None` if the destination is not a URL, which [`Destination::parse`] excludes.
    pub fn new(destination: &Destination, utm: &Utm) -> Option<Self> {
        let mut url = Url::parse(destination.as_str()).ok()?;
        let present: HashSet<String> =
            url.query_pairs().map(|(name, _)| name.into_owned()).collect();
        let missing: Vec<_> = utm.pairs().filter(|(name, _)| !present.contains(*name)).collect();
        if !missing.is_empty() {
            // Only appends, so that the owner's query keeps its spelling.
            url.query_pairs_mut().extend_pairs(missing);
        }
        let fragment_at = url.as_str().find('#').unwrap_or(url.as_str().len());
        let has_query = url.query().is_some();
        Some(Self { full: String::from(url).into(), fragment_at, has_query })
    }

    /// A URL that is sent unchanged: an app's, or a path of this service. Visible ASCII.
    pub fn verbatim(address: &str) -> Self {
        Self { full: address.into(), fragment_at: address.len(), has_query: address.contains('?') }
    }

    /// The URL with a path appended, for a visit with this raw query string. `None` if the path
    /// would leave the destination's path.
    pub fn with_path(&self, more: &str, query: Option<&str>) -> Option<String> {
        let climbs = |part: &str| {
            let plain = percent_encoding::percent_decode_str(part).decode_utf8_lossy();
            matches!(&*plain, "." | "..") || plain.contains(['/', '\\'])
        };
        if more.split('/').any(climbs) {
            return None;
        }
        let path_end = self.full.find(['?', '#']).unwrap_or(self.full.len());
        let (before, behind) = self.full.split_at(path_end);
        let more = utf8_percent_encode(more.trim_start_matches('/'), NEVER_RAW);
        let before = before.trim_end_matches('/');
        let full: Box<str> = format!("{before}/{more}{behind}").into();
        let fragment_at = full.find('#').unwrap_or(full.len());
        let longer = Self { full, fragment_at, has_query: self.has_query };
        Some(
            query.map_or_else(
                || longer.full.to_string(),
                |query| longer.with_query(query).into_owned(),
            ),
        )
    }

    /// The URL for a visit without a query.
    pub fn as_str(&self) -> &str {
        &self.full
    }

    /// The URL for a visit with this raw query string. Parameters that the URL already has are not
    /// overridden, and markers of QR codes are left out; the others are appended unchanged, except
    /// that invalid characters are percent-encoded.
    pub fn with_query(&self, visitor: &str) -> Cow<'_, str> {
        if visitor.is_empty() {
            return Cow::Borrowed(&self.full);
        }
        let (before, fragment) = self.full.split_at(self.fragment_at);
        let own = before.split_once('?').map_or("", |(_, query)| query);
        let own: HashSet<_> =
            form_urlencoded::parse(own.as_bytes()).map(|(name, _)| name).collect();
        let mut address = String::with_capacity(self.full.len() + visitor.len() + 1);
        address.push_str(before);
        let mut separator = match (self.has_query, before.ends_with(['?', '&'])) {
            (false, _) => "?",
            (true, true) => "",
            (true, false) => "&",
        };
        for pair in visitor.split('&').filter(|pair| !pair.is_empty()) {
            let parsed = form_urlencoded::parse(pair.as_bytes()).next();
            if parsed.is_some_and(|(name, value)| {
                own.contains(&name)
                    || (name == marker::PARAMETER && marker::parse(&value).is_some())
            }) {
                continue;
            }
            address.push_str(separator);
            address.extend(utf8_percent_encode(pair, NEVER_RAW));
            separator = "&";
        }
        address.push_str(fragment);
        Cow::Owned(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Destination, String> {
        Destination::parse(text, |host| host == "sho.rt" || host == "localhost:8080")
    }

    fn location(destination: &str, utm_source: Option<&str>) -> Location {
        let utm = Utm { source: utm_source.map(Into::into), ..Utm::default() };
        Location::new(&parse(destination).unwrap(), &utm).unwrap()
    }

    #[test]
    fn destinations_are_validated() {
        for good in ["https://example.com", " http://example.com/a?b#c ", "https://[::1]:8443/"] {
            assert!(parse(good).is_ok(), "{good}");
        }
        let long = format!("https://example.com/{}", "a".repeat(MAX_BYTES));
        for bad in [
            "",
            "example.com",
            "/a",
            "javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "ftp://example.com",
            "https://user:pass@example.com",
            "https://user@example.com",
            "https://example.com/\r\nSet-Cookie: a=b",
            "https://exa\tmple.com",
            "https://sho.rt/x",
            "http://SHO.rt/x",
            "https://sho.rt./x",
            "https://sho.rt.:443/",
            "http://localhost.:8080/x",
            "http://localhost:8080/x",
            "https://",
            &long,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn utm_parameters_are_added_unless_present() {
        assert_eq!(
            location("https://e.com", Some("a b")).as_str(),
            "https://e.com/?utm_source=a+b"
        );
        assert_eq!(
            location("https://e.com/?q=%20x&utm_source=mine#f", Some("other")).as_str(),
            "https://e.com/?q=%20x&utm_source=mine#f"
        );
        assert_eq!(
            location("https://e.com/#f", Some("x")).as_str(),
            "https://e.com/?utm_source=x#f"
        );
    }

    #[test]
    fn the_visitors_query_never_overrides_parameters() {
        let plain = location("https://e.com/p#f", None);
        assert_eq!(plain.with_query("a=1&b=2"), "https://e.com/p?a=1&b=2#f");
        let own = location("https://e.com/p?a=0", Some("mail"));
        assert_eq!(
            own.with_query("a=1&b=2&utm_source=evil&%61=3"),
            "https://e.com/p?a=0&utm_source=mail&b=2"
        );
        assert_eq!(own.with_query(""), own.as_str());
        let long = "x".repeat(30_000);
        assert_eq!(plain.with_query(&long), format!("https://e.com/p?{long}#f"));
    }

    #[test]
    fn markers_of_qr_codes_are_not_passed_on() {
        let plain = location("https://e.com/p#f", None);
        for (query, forwarded) in [
            ("qr=4c9", ""),
            ("qr", ""),
            ("qr=", ""),
            ("%71r=%31", ""),
            ("a=1&qr=4c9&b=%20&qr=true&a=2", "?a=1&b=%20&a=2"),
            ("qr=hello!&qr=1", "?qr=hello!"),
            ("qr=4C9&QR=1&qrx=1&q=qr", "?qr=4C9&QR=1&qrx=1&q=qr"),
        ] {
            assert_eq!(plain.with_query(query), format!("https://e.com/p{forwarded}#f"), "{query}");
        }
        assert_eq!(plain.with_path("x", Some("qr=4c9&a=1")).unwrap(), "https://e.com/p/x?a=1#f");
        let own = location("https://e.com/?qr=1", None);
        assert_eq!(own.with_query("a=2&qr=4c9&qr=hello!"), "https://e.com/?qr=1&a=2");
    }

    #[test]
    fn invalid_characters_are_percent_encoded() {
        let plain = location("https://e.com/p#f", None);
        assert_eq!(
            plain.with_query("a=ü \"<>\\^`{|}\r\n\u{7f}&b[]=1'!~*&c=%3C%zz"),
            "https://e.com/p?a=%C3%BC%20%22%3C%3E%5C%5E%60%7B%7C%7D%0D%0A%7F&b[]=1'!~*&c=%3C%zz#f"
        );
        assert_eq!(
            plain.with_path("ü/<b>/a b#c", Some("x=|")).unwrap(),
            "https://e.com/p/%C3%BC/%3Cb%3E/a%20b%23c?x=%7C#f"
        );
        let own = location("https://e.com/?ü=1", None);
        assert_eq!(own.with_query("ü=2&%C3%BC=3&a=4"), "https://e.com/?%C3%BC=1&a=4");
    }

    #[test]
    fn an_appended_path_stays_below_the_destinations_path() {
        let plain = location("https://e.com/shop/?a=1#f", None);
        let with = |more, query| plain.with_path(more, query);
        assert_eq!(with("shoes/red", None).unwrap(), "https://e.com/shop/shoes/red?a=1#f");
        assert_eq!(with("/x", Some("a=2&b=3")).unwrap(), "https://e.com/shop/x?a=1&b=3#f");
        assert_eq!(with("", None).unwrap(), "https://e.com/shop/?a=1#f");
        let root = location("https://e.com", None);
        assert_eq!(root.with_path("//evil.com", None).unwrap(), "https://e.com/evil.com");
        for bad in ["..", "a/../b", "%2e%2e/a", "a/%2E./b", "a\\b", "a%2f..", "a%5cb"] {
            assert_eq!(with(bad, None), None, "{bad}");
        }
    }
}

//! The request headers that matter for clicks and redirects, from either HTTP parser.

use http::HeaderMap;
use http::header::HeaderName;

/// A request's headers, with the relevant ones found in one pass.
///
/// Of a repeated header the first line counts, except for the proxy lists: see
/// [`Headers::backwards`].
#[derive(Debug, Clone, Copy, Default)]
pub struct Headers<'a> {
    /// `User-Agent`
    pub user_agent: Option<&'a [u8]>,
    /// `Referer`
    pub referrer: Option<&'a [u8]>,
    /// `Accept-Language`
    pub accept_language: Option<&'a [u8]>,
    /// `Accept`
    pub accept: Option<&'a [u8]>,
    /// `Host`
    pub host: Option<&'a [u8]>,
    /// `Cookie`
    pub cookie: Option<&'a [u8]>,
    /// `Sec-Purpose`, `Purpose`, `X-Purpose`, `X-Moz`.
    pub purposes: [Option<&'a [u8]>; 4],
    /// Whether there is a `Forwarded` header.
    pub is_forwarded: bool,
    /// Whether there is an `X-Forwarded-For` header.
    pub is_forwarded_for: bool,
    lines: Lines<'a>,
}

/// Whether a header has this name (given in lower case), compared case-insensitively.
///
/// Header names are RFC 9110 tokens, in which bit `0x20` only distinguishes the case of letters.
pub fn is_named<const LEN: usize>(name: &str, known: &[u8; LEN]) -> bool {
    let Ok(name) = <&[u8; LEN]>::try_from(name.as_bytes()) else { return false };
    name.iter().zip(known).fold(0, |other, (letter, known)| other | (letter | 0x20) ^ known) == 0
}

/// All header lines, as parsed.
#[derive(Debug, Clone, Copy, Default)]
enum Lines<'a> {
    #[default]
    None,
    Parsed(&'a [httparse::Header<'a>]),
    Map(&'a HeaderMap),
}

impl<'a> Headers<'a> {
    /// Headers parsed by `httparse`.
    pub fn of_lines(lines: &'a [httparse::Header<'a>]) -> Self {
        let mut headers = Self { lines: Lines::Parsed(lines), ..Self::default() };
        for line in lines {
            headers.add(line.name, line.value);
        }
        headers
    }

    /// Headers parsed by `hyper`.
    pub fn of_map(map: &'a HeaderMap) -> Self {
        let mut headers = Self { lines: Lines::Map(map), ..Self::default() };
        for (name, value) in map {
            headers.add(name.as_str(), value.as_bytes());
        }
        headers
    }

    /// Compares lengths first, which rules out nearly all names.
    fn add(&mut self, name: &str, value: &'a [u8]) {
        let [sec_purpose, purpose, x_purpose, x_moz] = &mut self.purposes;
        let slot = match name.len() {
            4 if is_named(name, b"host") => &mut self.host,
            5 if is_named(name, b"x-moz") => x_moz,
            6 if is_named(name, b"accept") => &mut self.accept,
            6 if is_named(name, b"cookie") => &mut self.cookie,
            7 if is_named(name, b"referer") => &mut self.referrer,
            7 if is_named(name, b"purpose") => purpose,
            9 if is_named(name, b"forwarded") => return self.is_forwarded = true,
            9 if is_named(name, b"x-purpose") => x_purpose,
            10 if is_named(name, b"user-agent") => &mut self.user_agent,
            11 if is_named(name, b"sec-purpose") => sec_purpose,
            15 if is_named(name, b"accept-language") => &mut self.accept_language,
            15 if is_named(name, b"x-forwarded-for") => return self.is_forwarded_for = true,
            _ => return,
        };
        if slot.is_none() {
            *slot = Some(value);
        }
    }

    /// The values of all lines with a name, last line first.
    pub fn backwards(&self, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
        let (parsed, map) = match self.lines {
            Lines::None => (None, None),
            Lines::Parsed(lines) => (Some(lines), None),
            Lines::Map(map) => (None, Some(map)),
        };
        let parsed = parsed.unwrap_or_default().iter().rev();
        let parsed = parsed.filter(|line| line.name.eq_ignore_ascii_case(name.as_str()));
        let map = map.into_iter().flat_map(move |map| map.get_all(name).into_iter().rev());
        parsed.map(|line| line.value).chain(map.map(http::HeaderValue::as_bytes))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::FORWARDED;

    use super::*;

    const LINES: [(&str, &str); 14] = [
        ("Host", "sho.rt"),
        ("USER-AGENT", "one"),
        ("user-agent", "two"),
        ("Forwarded", "for=a"),
        ("Referer", "https://e.com"),
        ("Accept", "text/html"),
        ("accept-language", "de"),
        ("Cookie", "a=b"),
        ("forwarded", "for=b, for=c"),
        ("Sec-Purpose", "prefetch"),
        ("purpose", "x"),
        ("X-Purpose", "preview"),
        ("X-Moz", "y"),
        ("Referrer", "no"),
    ];

    fn assert_all_found(headers: &Headers<'_>) {
        let found = [
            headers.host,
            headers.user_agent,
            headers.referrer,
            headers.accept,
            headers.accept_language,
            headers.cookie,
        ];
        let expected = ["sho.rt", "one", "https://e.com", "text/html", "de", "a=b"];
        assert_eq!(found, expected.map(|text| Some(text.as_bytes())));
        let purposes = ["prefetch", "x", "preview", "y"];
        assert_eq!(headers.purposes, purposes.map(|text| Some(text.as_bytes())));
        let forwarded: Vec<_> = headers.backwards(&FORWARDED).collect();
        assert_eq!(forwarded, [&b"for=b, for=c"[..], b"for=a"]);
        assert_eq!(headers.backwards(&http::header::VIA).count(), 0);
        assert!(headers.is_forwarded);
    }

    #[test]
    fn both_parsers_yield_the_same_headers() {
        let lines = LINES.map(|(name, value)| httparse::Header { name, value: value.as_bytes() });
        assert_all_found(&Headers::of_lines(&lines));
        let mut map = HeaderMap::new();
        for (name, value) in LINES {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.append(name, HeaderValue::from_static(value));
        }
        assert_all_found(&Headers::of_map(&map));
    }

    #[test]
    fn an_empty_request_head_has_no_headers() {
        let headers = Headers::default();
        assert_eq!((headers.host, headers.user_agent), (None, None));
        assert_eq!((headers.backwards(&FORWARDED).count(), headers.is_forwarded), (0, false));
    }

    #[test]
    fn names_are_case_insensitive() {
        for (name, is_it) in [
            ("host", true),
            ("Host", true),
            ("HOST", true),
            ("hosts", false),
            ("hos", false),
            ("ho-t", false),
        ] {
            assert_eq!(is_named(name, b"host"), is_it, "{name}");
        }
        assert!(is_named("X-Forwarded-For", b"x-forwarded-for"));
    }
}

//! A full short link, whose path is the slug.

use percent_encoding::percent_decode_str;

/// A parsed short link: `https://go.acme.example/spring?x=1`, `bit.ly/3xYz`, `/spring`, `spring`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ShortLink {
    /// Lower case, with the port.
    pub(super) host: Option<String>,
    /// Decoded, without surrounding slashes; `None` for the domain's root.
    pub(super) path: Option<String>,
    /// What follows the path, with its `?` or `#`.
    pub(super) query: Option<String>,
}

impl ShortLink {
    pub(super) fn parse(text: &str) -> Self {
        let text = text.trim();
        let is_scheme = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let (is_absolute, rest) = match text.split_once("://") {
            Some((scheme, rest)) if is_scheme(scheme) => (true, rest),
            _ => text.strip_prefix("//").map_or((false, text), |rest| (true, rest)),
        };
        let (rest, query) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
        let first = rest.split('/').next().unwrap_or_default();
        // Without a scheme, only a name with a dot or a port is a host.
        let is_host = is_absolute || first.contains(['.', ':']);
        let (host, path) = if is_host { rest.split_at(first.len()) } else { ("", rest) };
        let path = path.trim_matches('/');
        let decoded = percent_decode_str(path).decode_utf8();
        let path = decoded.as_deref().unwrap_or(path);
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Self { host: some(&host.to_lowercase()), path: some(path), query: some(query) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_the_slug_however_the_link_is_written() {
        for (text, host, path, query) in [
            ("https://go.acme.example/spring", "go.acme.example", "spring", ""),
            ("HTTPS://Go.Acme.example/Spring/", "go.acme.example", "Spring", ""),
            (" bit.ly/3xYz ", "bit.ly", "3xYz", ""),
            ("//bit.ly/3xYz", "bit.ly", "3xYz", ""),
            ("http://localhost:8080/a", "localhost:8080", "a", ""),
            ("localhost:8080/a", "localhost:8080", "a", ""),
            ("https://localhost/a", "localhost", "a", ""),
            ("/spring/", "", "spring", ""),
            ("spring", "", "spring", ""),
            ("a/b", "", "a/b", ""),
            ("https://s.example/a/b", "s.example", "a/b", ""),
            ("https://s.example/caf%C3%A9%2D1", "s.example", "café-1", ""),
            ("https://s.example/%FF", "s.example", "%FF", ""),
            ("https://s.example/a?b=c/d#e", "s.example", "a", "?b=c/d#e"),
            ("s.example/a?b=https://c", "s.example", "a", "?b=https://c"),
            ("https://s.example?id=7", "s.example", "", "?id=7"),
            ("https://s.example/", "s.example", "", ""),
            ("s.example", "s.example", "", ""),
            ("", "", "", ""),
        ] {
            let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            let expected = ShortLink { host: some(host), path: some(path), query: some(query) };
            assert_eq!(ShortLink::parse(text), expected, "{text}");
        }
    }
}

use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn of(header: &[u8]) -> (String, String) {
    let value = HeaderValue::from_bytes(header).unwrap();
    let referrer = Referrer::of(Some(value.as_bytes()));
    (referrer.host.into_owned(), referrer.url.into_owned())
}

#[test]
fn a_referrer_has_its_host_and_its_site() {
    for (header, host, site) in [
        ("https://www.google.com/", "google.com", "google.com"),
        ("https://www.google.co.uk/search?q=x", "google.co.uk", "google.co.uk"),
        ("https://t.co/AbC", "t.co", "x.com"),
        ("https://twitter.com/someone/status/1", "twitter.com", "x.com"),
        ("https://l.facebook.com/l.php?u=x", "l.facebook.com", "facebook.com"),
        ("http://m.facebook.com", "m.facebook.com", "facebook.com"),
        ("https://old.reddit.com/r/rust/", "old.reddit.com", "reddit.com"),
        ("https://away.vk.com/away.php", "away.vk.com", "vk.com"),
        ("android-app://com.google.android.gm/", "com.google.android.gm", "mail.google.com"),
        ("android-app://org.example.app/", "org.example.app", "org.example.app"),
        ("HTTPS://WWW.Example.COM:8443/A", "example.com", "example.com"),
        ("https://WWW.T.CO/", "t.co", "x.com"),
        ("https://example.com./", "example.com", "example.com"),
        ("https://news.ycombinator.com/item?id=1", "news.ycombinator.com", "news.ycombinator.com"),
        ("http://[2001:db8::1]:8080/x", "[2001:db8::1]", "[2001:db8::1]"),
        ("http://192.0.2.1:8080/x", "192.0.2.1", "192.0.2.1"),
        ("http://localhost:3000/", "localhost", "localhost"),
        ("https://evil.com\\@google.com/", "evil.com", "evil.com"),
    ] {
        assert_eq!(of(header.as_bytes()).0, host, "{header}");
        assert_eq!(Referrer::of(Some(header.as_bytes())).site(), site, "{header}");
    }
}

#[test]
fn the_url_has_no_credentials_query_or_fragment() {
    for (header, url) in [
        ("https://example.com/a/b?token=secret#part", "https://example.com/a/b"),
        ("https://user:pass@Example.com:81/A?x", "https://example.com:81/A"),
        ("https://user@pass@example.com/", "https://example.com/"),
        ("https://example.com?x=1", "https://example.com"),
        ("https://example.com#x", "https://example.com"),
        ("https://WWW.Example.com/Path", "https://www.example.com/Path"),
    ] {
        assert_eq!(of(header.as_bytes()).1, url, "{header}");
    }
    assert_eq!(of(b"https://example.com/caf\xe9/x").1, "https://example.com/caf");
}

#[test]
fn invalid_urls_are_ignored() {
    for header in [
        &b""[..],
        b"-",
        b"about:blank",
        b"example.com",
        b"//example.com/",
        b"https://",
        b"https:///path",
        b"https://...",
        b"ftp://example.com/",
        b"javascript://example.com/",
        b"file:///etc/passwd",
        b"https://exa mple.com/",
        b"https://example.com:port/",
        b"https://[::1/",
        b"https://[::1]x/",
        b"https://[::1]\xc3\xa9/",
        b"https://ex\xc3\xa4mple.com/",
        b"https://example.c\xff/",
        b"https://<script>/",
    ] {
        assert_eq!(of(header), Default::default(), "{}", header.escape_ascii());
    }
    assert_eq!(Referrer::of(None), Referrer::default());
    let long = format!("https://{}.com/", "a".repeat(250));
    assert_eq!(of(long.as_bytes()), Default::default());
}

#[test]
fn a_long_url_is_truncated_between_characters_and_escapes() {
    let origin = "https://example.com/";
    for (filler, tail, kept) in [
        (URL_LIMIT - 1, "ab", URL_LIMIT),
        (URL_LIMIT - 1, "é", URL_LIMIT - 1),
        (URL_LIMIT - 2, "%C3%A9", URL_LIMIT - 2),
        (URL_LIMIT - 1, "%C3%A9", URL_LIMIT - 1),
        (URL_LIMIT - 3, "%C3%A9", URL_LIMIT),
    ] {
        let header = format!("{origin}{}{tail}", "x".repeat(filler - origin.len()));
        let url = of(header.as_bytes()).1;
        assert_eq!(url.len(), kept, "{tail}");
        assert!(header.starts_with(&url));
    }
}

#[test]
fn a_plain_url_is_not_copied() {
    let value = HeaderValue::from_static("https://www.example.com/page?query");
    let referrer = Referrer::of(Some(value.as_bytes()));
    assert!(matches!(referrer, Referrer { host: Cow::Borrowed(_), url: Cow::Borrowed(_) }));
}

proptest! {
    #[test]
    fn arbitrary_headers_do_not_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..700),
        rest in "(\\[::1\\])?[wW.@:/?#%\\\\\\[\\]a-zé0-9]{0,80}",
    ) {
        let with_scheme = [b"https://", bytes.as_slice()].concat();
        let spelt = format!("https://{rest}").into_bytes();
        for header in [bytes, with_scheme, spelt] {
            if let Ok(value) = HeaderValue::from_bytes(&header) {
                let referrer = Referrer::of(Some(value.as_bytes()));
                prop_assert!(referrer.url.len() <= URL_LIMIT);
                prop_assert!(!referrer.host.bytes().any(|byte| byte.is_ascii_uppercase()));
                prop_assert!(!referrer.url.contains(['?', '#']));
                prop_assert_eq!(referrer.host.is_empty(), referrer.url.is_empty());
            }
        }
    }
}

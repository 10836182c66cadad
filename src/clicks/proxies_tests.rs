use http::HeaderMap;
use proptest::prelude::*;

use super::*;

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::from_static(name), value.parse().unwrap());
    }
    headers
}

fn client(peer: &str, lines: &[(&'static str, &str)]) -> String {
    let proxies: TrustedProxies = "10.0.0.0/8, 192.168.1.1,fd00::/8".parse().unwrap();
    proxies.client(peer.parse().unwrap(), &Headers::of_map(&headers(lines))).to_string()
}

#[test]
fn networks_and_addresses_are_parsed() {
    for text in ["", " ", "10.0.0.0/8", "10.0.0.1,", "::1, 127.0.0.1", "::ffff:10.0.0.0/104"] {
        assert!(text.parse::<TrustedProxies>().is_ok(), "{text}");
    }
    let mapped: TrustedProxies = "::ffff:10.0.0.0/104".parse().unwrap();
    assert_eq!(mapped, "10.0.0.0/8".parse().unwrap());
    for text in ["10.0.0.0/33", "localhost", "10.0.0", "10.0.0.1;10.0.0.2"] {
        let error = text.parse::<TrustedProxies>().unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[test]
fn groups_of_networks_have_names() {
    let trusted: TrustedProxies = "private, cloudflare,203.0.113.7".parse().unwrap();
    for address in [
        "10.1.2.3",
        "172.31.0.1",
        "192.168.9.9",
        "127.0.0.1",
        "169.254.1.1",
        "::1",
        "fd00::1",
        "fe80::1",
        "104.16.0.1",
        "172.64.0.1",
        "2606:4700::1",
        "203.0.113.7",
    ] {
        assert!(trusted.trusts(address.parse().unwrap()), "{address}");
    }
    for address in ["172.32.0.1", "8.8.8.8", "203.0.113.8", "2001:db8::1", "104.32.0.1"] {
        assert!(!trusted.trusts(address.parse().unwrap()), "{address}");
    }
}

#[test]
fn a_header_of_the_proxies_replaces_the_standard_ones() {
    let proxies: TrustedProxies = "10.0.0.0/8".parse().unwrap();
    let proxies = proxies.with_client_ip_header(HeaderName::from_static("x-real-ip"));
    let client = |peer: &str, lines: &[(&'static str, &str)]| {
        proxies.client(peer.parse().unwrap(), &Headers::of_map(&headers(lines))).to_string()
    };
    let others = [("x-forwarded-for", "198.51.100.1"), ("forwarded", "for=198.51.100.2")];
    let with = |value: &'static str| [others[0], others[1], ("x-real-ip", value)];
    assert_eq!(client("10.0.0.1", &with("203.0.113.7")), "203.0.113.7");
    assert_eq!(client("10.0.0.1", &with("::ffff:203.0.113.7")), "203.0.113.7");
    assert_eq!(client("10.0.0.1", &with("unknown")), "10.0.0.1");
    assert_eq!(client("10.0.0.1", &others), "10.0.0.1");
    assert_eq!(proxies.warning(), None);
    assert_eq!(client("192.0.2.1", &with("203.0.113.7")), "192.0.2.1", "not a trusted one");
}

#[test]
fn the_first_untrusted_peer_that_forwards_is_noted() {
    let proxies: TrustedProxies = "10.0.0.0/8".parse().unwrap();
    let visit = |peer: &str, lines: &[(&'static str, &str)]| {
        proxies.client(peer.parse().unwrap(), &Headers::of_map(&headers(lines)));
        proxies.clone().warning().unwrap_or_default()
    };
    assert_eq!(visit("192.0.2.1", &[("accept", "*/*")]), "");
    assert_eq!(visit("10.0.0.1", &[("x-forwarded-for", "203.0.113.7")]), "");
    let warning = visit("192.168.0.2", &[("x-forwarded-for", "203.0.113.7")]);
    assert!(warning.contains("192.168.0.2") && warning.contains("--trusted-proxies"), "{warning}");
    assert_eq!(visit("192.168.0.3", &[("forwarded", "for=203.0.113.7")]), warning);
}

#[test]
fn the_address_of_a_visitor_who_forwards_is_not_shown() {
    let proxies: TrustedProxies = "10.0.0.0/8".parse().unwrap();
    let forwarded = headers(&[("x-forwarded-for", "203.0.113.7")]);
    proxies.client("198.51.100.9".parse().unwrap(), &Headers::of_map(&forwarded));
    let warning = proxies.warning().unwrap();
    assert!(warning.contains("a public address") && !warning.contains("198.51"), "{warning}");
}

#[test]
fn x_forwarded_for_is_walked_from_the_right() {
    for (value, expected) in [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7, 10.1.1.1", "203.0.113.7"),
        ("203.0.113.7:4711, 10.1.1.1", "203.0.113.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("10.2.2.2, 10.1.1.1", "10.2.2.2"),
        ("203.0.113.7,, 10.1.1.1,", "203.0.113.7"),
        // Everything left of the first untrusted address is the client's claim.
        ("127.0.0.1, 203.0.113.7", "203.0.113.7"),
        ("1.1.1.1, 203.0.113.7, 10.1.1.1", "203.0.113.7"),
        // Garbage ends the walk at the last valid hop.
        ("1.1.1.1, unknown, 10.1.1.1", "10.1.1.1"),
        ("203.0.113.7, 10.1.1.1x", "10.0.0.1"),
        ("203.0.113.7:99999999", "10.0.0.1"),
        ("", "10.0.0.1"),
    ] {
        assert_eq!(client("10.0.0.1", &[("x-forwarded-for", value)]), expected, "{value}");
    }
}

#[test]
fn forwarded_is_walked_from_the_right() {
    for (value, expected) in [
        ("for=203.0.113.7", "203.0.113.7"),
        ("For=\"203.0.113.7:4711\";proto=https", "203.0.113.7"),
        ("proto=https;for=\"[2001:db8::7]:4711\";by=10.0.0.1", "2001:db8::7"),
        ("for=\"[2001:db8::7]\", for=10.1.1.1", "2001:db8::7"),
        ("for=203.0.113.7:_port, for=\"[fd00::1]\";host=\"a,b;c\"", "203.0.113.7"),
        ("for=1.1.1.1, for=203.0.113.7, for=10.1.1.1", "203.0.113.7"),
        ("for=203.0.113.7, for=unknown", "10.0.0.1"),
        ("for=203.0.113.7, for=_gazonk, for=10.1.1.1", "10.1.1.1"),
        ("for=203.0.113.7;for=1.1.1.1", "10.0.0.1"),
        ("proto=https", "10.0.0.1"),
        // An unterminated quote by the client does not hide what the proxy wrote.
        ("for=\"1.1.1.1, for=203.0.113.7", "203.0.113.7"),
        ("for=\"1.1.1.1\\\", for=\"[2001:db8::7]:1\"", "2001:db8::7"),
    ] {
        assert_eq!(client("10.0.0.1", &[("forwarded", value)]), expected, "{value}");
    }
}

#[test]
fn multiple_lines_form_one_list() {
    let lines = [("x-forwarded-for", "1.1.1.1, 203.0.113.7"), ("x-forwarded-for", "10.1.1.1")];
    assert_eq!(client("10.0.0.1", &lines), "203.0.113.7");
}

#[test]
fn forwarded_takes_precedence_over_x_forwarded_for() {
    let lines = [("x-forwarded-for", "1.1.1.1"), ("forwarded", "for=203.0.113.7")];
    assert_eq!(client("10.0.0.1", &lines), "203.0.113.7");
}

#[test]
fn an_untrusted_peer_is_the_client_whatever_the_headers() {
    let lines = [("x-forwarded-for", "1.1.1.1"), ("forwarded", "for=1.1.1.1")];
    assert_eq!(client("198.51.100.9", &lines), "198.51.100.9");
    assert_eq!(client("::ffff:198.51.100.9", &lines), "198.51.100.9");
    assert_eq!(client("::ffff:10.0.0.1", &lines), "1.1.1.1", "trusted in its IPv4 form");
    assert_eq!(
        TrustedProxies::default()
            .client("10.0.0.1".parse().unwrap(), &Headers::of_map(&headers(&lines)))
            .to_string(),
        "10.0.0.1"
    );
}

proptest! {
    #[test]
    fn arbitrary_headers_do_not_panic(value in proptest::collection::vec(any::<u8>(), 0..200), forwarded: bool) {
        let name = if forwarded { "forwarded" } else { "x-forwarded-for" };
        if let Ok(value) = http::HeaderValue::from_bytes(&value) {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static(name), value);
            let proxies: TrustedProxies = "10.0.0.0/8".parse().unwrap();
            proxies.client(Ipv4Addr::new(10, 0, 0, 1).into(), &Headers::of_map(&headers));
        }
    }

    #[test]
    fn headers_of_grammar_characters_do_not_panic(value in "[for=\"\\\\,;:\\[\\]0-9a-f._ ]{0,80}") {
        client("10.0.0.1", &[("forwarded", &value), ("x-forwarded-for", &value)]);
    }
}

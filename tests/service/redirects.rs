//! Redirects: the responses to visitors.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::bad_requests::{SOON, raw};
use crate::harness::agents::CHROME_ON_WINDOWS;
use crate::harness::{Answer, Options, PATIENCE, shared};

/// Temporary, never stored, and careful with what the destination learns.
#[test]
fn a_redirect_says_where_to_go_and_is_not_kept() {
    let server = shared();
    let link = server.link_to("https://example.com/a%20b?c=d&e=%2F#part");
    let answer = server.visit(&link).send().expect(302);
    assert_eq!(answer.header("location"), "https://example.com/a%20b?c=d&e=%2F#part");
    assert_eq!(answer.header("cache-control"), "private, no-store");
    assert!(!answer.header("referrer-policy").is_empty());
    assert_eq!(answer.text, "");
}

#[test]
fn a_head_is_answered_as_a_get() {
    let server = shared();
    let link = server.link();
    let (get, head) = (server.visit(&link).send(), server.visit_head(&link).send());
    assert_eq!((get.status, head.status), (302, 302));
    for name in ["location", "cache-control", "referrer-policy"] {
        assert_eq!(get.header(name), head.header(name), "{name}");
    }
}

#[test]
fn a_visitors_query_is_handed_on() {
    let server = shared();
    for (destination, query, location) in [
        ("https://example.com/p", "a=1&b=2", "https://example.com/p?a=1&b=2"),
        ("https://example.com/p#top", "a=1", "https://example.com/p?a=1#top"),
        ("https://example.com/p?own=1", "a=1", "https://example.com/p?own=1&a=1"),
        ("https://example.com/p?own=1", "own=2&a=1", "https://example.com/p?own=1&a=1"),
        (
            "https://example.com/p",
            "a=%0d%0aSet-Cookie:x",
            "https://example.com/p?a=%0d%0aSet-Cookie:x",
        ),
        ("https://example.com/p", "flag", "https://example.com/p?flag"),
        ("https://example.com/p", "", "https://example.com/p"),
    ] {
        let link = server.link_to(destination);
        let visit = server.visit_path(&format!("/{}?{query}", link.slug));
        assert_eq!(visit.follow(), location, "{destination} and {query}");
    }
}

/// Whatever a client sends raw: hyper alone would refuse some of it.
#[test]
fn bytes_that_may_not_stand_raw_are_percent_encoded() {
    let server = shared();
    let body = json!({ "destination": "https://example.com/p", "forward_path": true });
    let link = server.api().create(&body);
    let closed = json!({ "destination": "https://example.com/p", "enabled": false });
    let closed = server.api().create(&closed);
    let get = |target: &[u8]| {
        let host = server.address();
        let rest = format!(
            " HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {CHROME_ON_WINDOWS}\r\nConnection: close\r\n\r\n"
        );
        raw(&server, &[b"GET /", target, rest.as_bytes()].concat(), SOON)
    };
    let to = |slug: &str, more: &[u8]| get(&[slug.as_bytes(), more].concat());
    for (more, location) in [
        (&b"?q=\"<a>\"&b={|}^`\\"[..], "/p?q=%22%3Ca%3E%22&b=%7B%7C%7D%5E%60%5C"),
        ("?utm_source=süß&b=1".as_bytes(), "/p?utm_source=s%C3%BC%C3%9F&b=1"),
        (b"?latin=caf\xe9", "/p?latin=caf%E9"),
        (b"?a=%3C%zz&b[]=1'", "/p?a=%3C%zz&b[]=1'"),
        (b"?a=<#b", "/p?a=%3C"),
        ("/ü/<b>?c=|".as_bytes(), "/p/%C3%BC/%3Cb%3E?c=%7C"),
        (b"/caf\xe9", "/p/caf%E9"),
    ] {
        let answer = to(&link.slug, more);
        let header = format!("\r\nlocation: https://example.com{location}\r\n");
        assert!(answer.starts_with("HTTP/1.1 302 ") && answer.contains(&header), "{answer}");
    }
    server.await_clicks(&link, 7);
    assert_eq!(server.breakdown_of(&link, "utm_source")["süß"], 1);
    // What the reactor does not answer itself is encoded for hyper too.
    assert!(to(&closed.slug, b"?a=\"<\xe9>\"").starts_with("HTTP/1.1 404 "));
    assert!(to("l/", &[link.slug.as_bytes(), b"?a=<"].concat()).contains("\r\nlocation: /"));
    for refused in [&b"?a=\0"[..], b"?a=\x7f", b"?a=\rb", b"?a=\tb", b"?a= b"] {
        let answer = to(&link.slug, refused);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{refused:?}: {answer}");
    }
}

/// However the bytes arrive. What is too large once it is encoded is refused as too large.
#[test]
fn raw_bytes_may_come_in_pieces_and_have_the_limit_of_a_head() {
    let server = shared();
    let link = server.link_to("https://example.com/p");
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    for piece in [format!("GET /{}?a=\"<", link.slug), "b>\" HTTP/1.1\r\nHost: x\r\n\r\n".into()] {
        stream.write_all(piece.as_bytes()).unwrap();
        // So that each is read by itself.
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut answer = vec![0; 4_096];
    let length = stream.read(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    assert!(answer.contains("location: https://example.com/p?a=%22%3Cb%3E%22\r\n"), "{answer}");

    let long = format!("GET /{}?{} HTTP/1.1\r\nHost: x\r\n\r\n", link.slug, "\"".repeat(20_000));
    let answer = raw(&server, long.as_bytes(), SOON);
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

/// As much of a query as a head may have is handed on.
#[test]
fn a_long_query_is_handed_on_whole() {
    let server = shared();
    let link = server.link_to("https://example.com/p");
    for length in [4_097, 7_000, 20_000] {
        let query = format!("a={}&utm_medium=long", "x".repeat(length));
        let there = server.visit_path(&format!("/{}?{query}", link.slug)).follow();
        assert_eq!(there, format!("https://example.com/p?{query}"));
    }
    server.await_clicks(&link, 3);
    assert_eq!(server.breakdown_of(&link, "utm_medium")["long"], 3);
}

#[test]
fn a_link_can_keep_the_visitors_query_to_itself() {
    let server = shared();
    let wish = json!({ "destination": "https://example.com/p?own=1", "forward_query": false });
    let link = server.api().create(&wish);
    let path = format!("/{}?a=1", link.slug);
    assert_eq!(server.visit_path(&path).follow(), "https://example.com/p?own=1");
    server.api().patch(&link.path(), &json!({ "forward_query": true })).expect(200);
    assert_eq!(server.visit_path(&path).follow(), "https://example.com/p?own=1&a=1");
}

/// What stands in the destination wins over the link's parameters, and these over the visitor's.
#[test]
fn utm_parameters_are_added_unless_there() {
    let server = shared();
    let utm = json!({
        "destination": "https://example.com/p?utm_medium=own#top",
        "utm_source": "news letter", "utm_medium": "email", "utm_campaign": "50% & more",
        "utm_content": "ü", "utm_term": "t",
    });
    let link = server.api().create(&utm);
    let path = format!("/{}?utm_source=theirs&ref=x", link.slug);
    let location = server.visit_path(&path).follow();
    let url = url::Url::parse(&location).unwrap();
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let expected = [
        ("utm_medium", "own"),
        ("utm_source", "news letter"),
        ("utm_campaign", "50% & more"),
        ("utm_content", "ü"),
        ("utm_term", "t"),
        ("ref", "x"),
    ];
    assert_eq!(pairs.len(), expected.len(), "{location}");
    for (name, value) in expected {
        assert!(pairs.contains(&(name.to_owned(), value.to_owned())), "{name} in {location}");
    }
    assert_eq!(url.fragment(), Some("top"));
}

/// Names that are not ASCII reach the browser as it needs them.
#[test]
fn a_destination_in_any_script_is_a_valid_header() {
    let server = shared();
    let link = server.link_to("https://bücher.example/straße?q=ü b#ß");
    let location = server.visit(&link).follow();
    assert!(location.is_ascii() && !location.contains(' '), "{location}");
    assert!(location.starts_with("https://xn--bcher-kva.example/stra%C3%9Fe?q="), "{location}");
}

/// People get a small page, programs a problem.
#[test]
fn an_unknown_slug_is_not_found() {
    let server = shared();
    let page = server.visit_path("/nothing-here").header("accept", "text/html,*/*").send();
    assert_eq!(page.status, 404);
    assert!(page.header("content-type").starts_with("text/html"), "{page:?}");
    assert!(page.text.contains("<html") && page.text.len() < 4_096, "{page:?}");
    for source in ["src=", "href=", "@import", "url("] {
        assert!(!page.text.contains(source), "the page loads something from outside: {source}");
    }
    for accept in ["application/json", "application/problem+json"] {
        let json = server.visit_path("/nothing-here").header("accept", accept).send();
        json.problem(404, "NOT_FOUND");
    }
    for path in ["/", "/a/b", "/a.b", "/%20", "/ü", "/favicon.ico"] {
        assert_eq!(server.visit_path(path).send().status, 404, "{path}");
    }
    let head = Answer::to(server.request(Method::HEAD, "/nothing-here"));
    assert_eq!((head.status, head.text.as_str()), (404, ""));
}

/// Short URLs are what `--public-url` says, and lead nowhere else.
#[test]
fn short_urls_begin_with_the_public_url() {
    let server = Options::links_only().public_url("http://Sho.rt/").start();
    let made = server.api().post("/links", &json!({ "destination": "https://example.com" }));
    let made = made.expect(201).data();
    let slug = made["slug"].as_str().unwrap();
    assert_eq!(made["short_url"], format!("http://sho.rt/{slug}"));
    assert_eq!(made["domain"], "sho.rt");
    assert_eq!(server.visit_path(&format!("/{slug}")).follow(), "https://example.com/");
    let own = json!({ "destination": "https://sho.rt/x" });
    server.api().post("/links", &own).refuses(400, "VALIDATION_ERROR", &["destination"]);
}

/// A thousand visitors on one connection and on many: each is answered.
#[test]
fn redirects_are_answered_over_many_connections() {
    let server = shared();
    let link = server.link();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..20 {
                    server.visit(&link).send().expect(302);
                }
            });
        }
    });
    server.await_clicks(&link, 320);
}

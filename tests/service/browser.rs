//! The pages in a real browser: no injected text runs, and the forms work without scripts.

use std::io::{Read, Write};
use std::net::TcpListener;

use serde_json::{Value, json};

use crate::harness::{Chromium, Link, Options, Server, eventually};

#[path = "../injections/mod.rs"]
mod injections;

/// One line, as most fields want it.
fn line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// So many characters at most, and bytes.
fn cut(text: &str, chars: usize, bytes: usize) -> String {
    let mut cut: String = text.chars().take(chars).collect();
    while cut.len() > bytes {
        cut.pop();
    }
    cut
}

fn create(server: &Server, body: &Value) -> Link {
    server.api().create(body)
}

/// Links whose pages hold these texts: the paths of the pages. Each text is on a card, and on one
/// of two other pages in turn. (That each is harmless on each page is a test of the templates.)
fn paths(server: &Server, texts: &[String]) -> Vec<String> {
    let mut paths = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        let title = cut(&line(text), 200, 800);
        if at % 2 == 0 {
            let payload = json!({ "text": format!("-{}", text.replace(is_odd, " ")) });
            let body = json!({ "kind": "text", "title": title, "payload": payload });
            paths.push(format!("/l/{}", create(server, &body).slug));
        } else {
            let destination = format!("https://example.com/?q={}#{}", line(text), line(text));
            let body = json!({ "destination": destination, "title": title });
            paths.push(format!("/{}+", create(server, &body).slug));
        }
    }
    for texts in texts.chunks(5) {
        let text = |at: usize| line(texts.get(at).map_or("-", String::as_str));
        let email = format!("a@{}", text(0).replace(' ', "/"));
        let card = json!({
            "name": format!("-{}", text(0)), "organization": text(1), "job_title": text(2),
            "address": text(3), "note": text(4), "email": cut(&email, 254, 1_000),
            "url": format!("https://example.com/{}", text(1)), "phone": "+1#*",
        });
        let link = create(server, &json!({ "kind": "vcard", "payload": card }));
        paths.push(format!("/l/{}", link.slug));
    }
    for texts in texts.chunks(8) {
        let [first, second] = [texts.first(), texts.last()].map(|text| line(text.unwrap()));
        let payload = json!({
            "ssid": format!("-{}", cut(&first, 31, 31)),
            "password": format!("12345678{}", cut(&second, 55, 55)),
        });
        let title = cut(&second, 200, 800);
        let link = create(server, &json!({ "kind": "wifi", "title": title, "payload": payload }));
        paths.push(format!("/l/{}", link.slug));
    }
    paths
}

fn is_odd(letter: char) -> bool {
    letter.is_control() && !matches!(letter, '\n' | '\t')
}

fn url(server: &Server, path: &str) -> String {
    format!("http://{}{path}", server.address())
}

#[test]
fn nothing_on_a_page_runs_in_a_browser() {
    let Some(mut browser) = Chromium::start() else { return };
    // A browser that notices nothing would find nothing.
    for bad in [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<meta http-equiv=content-security-policy content=\"default-src 'none'\"><svg onload=alert(1)>",
        "<script>console.log(1)</script>",
    ] {
        let faults = browser.load(&format!("data:text/html,{bad}"));
        assert!(!faults.is_empty(), "{bad} went unnoticed");
    }
    let server = Options::links_only().start();
    let paths = paths(&server, &injections::texts());
    assert!(paths.len() > 700, "{}", paths.len());
    for path in &paths {
        let faults = browser.load(&url(&server, path));
        assert!(faults.is_empty(), "{path}: {faults:#?}");
        assert_eq!(browser.evaluate("document.querySelectorAll('main h1').length"), 1, "{path}");
    }
}

/// The style is the page's own, and is let through; nothing is wider than a small phone.
#[test]
fn pages_fit_a_small_phone() {
    let Some(mut browser) = Chromium::start() else { return };
    let server = Options::links_only().start();
    let long = "W".repeat(200);
    let text = json!({ "text": long });
    let link = create(&server, &json!({ "kind": "text", "title": long, "payload": text }));
    let destination = format!("https://example.com/{long}");
    let address = create(&server, &json!({ "destination": destination, "title": long }));
    browser.resize(320, 640);
    let paths = [
        format!("/l/{}", link.slug),
        format!("/{}+", address.slug),
        format!("/l/{}/report", address.slug),
        "/no-such-link".to_owned(),
    ];
    for path in paths {
        assert_eq!(browser.load(&url(&server, &path)), Vec::<String>::new(), "{path}");
        let wide = browser.evaluate("document.documentElement.scrollWidth <= 320");
        assert_eq!(wide, true, "{path}");
        let style = "getComputedStyle(document.querySelector('main')).maxWidth";
        assert_ne!(browser.evaluate(style), "none", "{path}: the style does not hold");
    }
}

/// From the form to a destination on another host: the policy of the form is no obstacle.
#[test]
fn a_password_leads_on_to_another_host() {
    let Some(mut browser) = Chromium::start() else { return };
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = elsewhere.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in elsewhere.incoming().map_while(Result::ok) {
            let _read = stream.read(&mut [0; 4_096]);
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\narrived";
            let _gone = stream.write_all(answer.as_bytes());
        }
    });
    let server = Options::links_only().start();
    let destination = format!("http://localhost:{port}/");
    let body = json!({ "destination": destination, "password": "open sesame" });
    let link = create(&server, &body);
    browser.load(&url(&server, &format!("/l/{}", link.slug)));
    let fill = "document.querySelector('#password').value = 'open sesame'; \
                document.querySelector('button').click()";
    browser.evaluate(fill);
    eventually("the visitor has arrived", || {
        let shown = browser.evaluate("location.href + ' ' + (document.body || {}).innerText");
        let shown = shown.as_str().unwrap_or_default().to_owned();
        shown.ends_with("arrived").then(|| assert!(shown.starts_with(&destination), "{shown}"))
    });
}

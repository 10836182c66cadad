//! Limits on the number of requests: by address, for the API and for visits.

use std::process::Command;

use reqwest::Method;
use serde_json::json;

use crate::harness::{Answer, Link, Options, Server, slugline};

/// The number of answers of each visit's status, in order of the requests.
fn statuses(visits: impl Iterator<Item = Answer>) -> Vec<u16> {
    visits.map(|answer| answer.status).collect()
}

#[track_caller]
fn is_page_of_too_many_visits(answer: &Answer) {
    assert_eq!(answer.status, 429, "{answer:?}");
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert!(answer.header("content-type").starts_with("text/html"));
    assert_eq!(answer.header("cache-control"), "private, no-store");
    assert!(answer.text.contains("Too many visits"), "{}", answer.text);
}

/// The number of clicks in the log.
fn clicks(server: &Server) -> u64 {
    server.readiness()["logs"]["clicks"]["end"].as_u64().unwrap()
}

#[test]
fn visits_of_an_address_are_limited() {
    let options = Options::links_only().behind_proxy();
    let server = options.flag("--redirect-rate-per-address", "5").start();
    let create = |body| server.api().create(&body);
    let plain = create(json!({ "destination": "https://example.com/" }));
    let featured = create(json!({ "destination": "https://example.com/", "noindex": true }));
    let text = create(json!({ "kind": "text", "payload": { "text": "hello" } }));
    let visit = |link: &Link, address: &str| server.visit(link).from(address).send();
    // A link with features or a page counts as one without.
    let five = [(&plain, 302), (&featured, 302), (&text, 302), (&plain, 302), (&featured, 302)];
    for (link, status) in five {
        assert_eq!(visit(link, "192.0.2.1").status, status);
    }
    let before = clicks(&server);
    for link in [&plain, &featured, &text] {
        is_page_of_too_many_visits(&visit(link, "192.0.2.1"));
        is_page_of_too_many_visits(&visit(link, "::ffff:192.0.2.1"));
    }
    let head = server.visit_head(&plain).from("192.0.2.1").send();
    assert_eq!((head.status, head.text.as_str()), (429, ""));
    is_page_of_too_many_visits(&server.visit_path("/nothing").from("192.0.2.1").send());
    assert_eq!(clicks(&server), before, "only redirects are clicks");
    // Other addresses are not concerned; a network of IPv6 is one.
    let host = |number: usize| visit(&plain, &format!("2001:db8:1:2::{number}"));
    assert_eq!(statuses((0..6).map(host)), [302, 302, 302, 302, 302, 429]);
    assert_eq!(visit(&plain, "2001:db8:1:3::1").status, 302);
    // Those who look for links are limited too.
    let guess =
        |number: usize| server.visit_path(&format!("/guess-{number}")).from("192.0.2.2").send();
    assert_eq!(statuses((0..6).map(guess)), [404, 404, 404, 404, 404, 429]);
    // The API and the probes are not visits.
    for _ in 0..10 {
        let request = server.api().request(Method::GET, "/links");
        Answer::to(request.header("x-forwarded-for", "192.0.2.1")).expect(200);
        server.get("/livez").expect(200);
    }
    let metrics = server.get("/metrics").text;
    assert!(metrics.contains("slugline_requests_limited_total{limit=\"visits\"} 10"), "{metrics}");
}

#[test]
fn visits_are_not_limited_by_default() {
    let server = Options::links_only().start();
    let link = server.link();
    for _ in 0..300 {
        server.visit(&link).send().expect(302);
    }
}

#[test]
fn requests_of_an_address_are_limited_with_any_credential() {
    let options = Options::links_only().behind_proxy();
    let server = options.flag("--api-rate-per-address", "5").start();
    let ask = |address: &str, token: Option<&str>, path: &str| {
        let request = server.request(Method::GET, &format!("/api/v1{path}"));
        let request = request.header("x-forwarded-for", address);
        Answer::to(match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    };
    let (owner, wrong) = (Some(crate::harness::TOKEN), Some("slk_wrong"));
    let requests = [(owner, 200), (wrong, 401), (None, 401), (owner, 200), (owner, 200)];
    for (token, status) in requests {
        assert_eq!(ask("192.0.2.1", token, "/links").status, status);
    }
    for token in [owner, wrong, None] {
        let refused = ask("192.0.2.1", token, "/links");
        let detail = refused.problem(429, "RATE_LIMITED")["detail"].clone();
        assert!(detail.as_str().unwrap().contains("address"), "{detail}");
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
    }
    // Signing in is a request like any other.
    let body = json!({ "email": "ada@example.com", "password": "a wrong password" });
    let login = server.request(Method::POST, "/api/v1/auth/login").json(&body);
    Answer::to(login.header("x-forwarded-for", "192.0.2.1")).problem(429, "RATE_LIMITED");
    ask("192.0.2.2", owner, "/links").expect(200);
    server.visit(&Link { id: String::new(), slug: "none".to_owned() }).send().expect(404);
    // The operator is not limited.
    for _ in 0..8 {
        let mut list: Command = slugline();
        list.args(["token", "list", "--data-dir"]).arg(server.data.path());
        assert!(list.output().unwrap().status.success());
    }
}

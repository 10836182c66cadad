//! Visits of links on a domain that are not simple redirects, and requests in all forms.

use std::io::{Read, Write};
use std::net::TcpStream;

use reqwest::Method;
use serde_json::{Value, json};

use super::{at, start, verified};
use crate::harness::{Answer, NameServer, PATIENCE, Server, agents};
use crate::passwords::Form;

/// A service with a domain on which spellings are one, and another one.
fn folding() -> (NameServer, Server) {
    let names = NameServer::start();
    let server = start(&names);
    let body = json!({
        "hostname": "go.example", "case_insensitive": true,
        "not_found_redirect": "https://example.com/missing",
    });
    verified(&server, &names, &body);
    verified(&server, &names, &json!({ "hostname": "other.example" }));
    (names, server)
}

#[track_caller]
fn create(server: &Server, mut body: Value) {
    body["domain"] = "go.example".into();
    server.api().post("/links", &body).expect(201);
}

#[test]
fn pages_are_those_of_the_requests_host() {
    let (_names, server) = folding();
    create(&server, json!({ "slug": "Note", "kind": "text", "payload": { "text": "treasure" } }));
    create(&server, json!({ "slug": "Old", "destination": "https://e.com", "enabled": false }));
    create(&server, json!({ "slug": "Shop", "destination": "https://example.com/shop" }));

    for spelled in ["/Note", "/nOTE"] {
        assert_eq!(at(&server, "go.example", spelled).expect(302).header("location"), "/l/Note");
    }
    let shown = at(&server, "Go.example:8443", "/l/note").expect(200);
    assert!(shown.text.contains("treasure"));
    let preview = at(&server, "go.example", "/shop+").expect(200);
    assert!(preview.text.contains("go.example/Shop"), "{}", preview.text);
    assert!(at(&server, "go.example", "/old").expect(404).text.contains("switched it off"));
    for path in ["/Note", "/l/Note", "/Shop+", "/Old"] {
        for host in ["other.example", "nobody.example"] {
            let answer = at(&server, host, path).expect(404);
            assert!(answer.text.contains("No such link"), "{host}{path}");
        }
    }
    // Unknown paths redirect to the configured target, whatever page is requested.
    for path in ["/nothing", "/nothing+", "/l/nothing", "/Shop/more"] {
        let answer = at(&server, "go.example", path).expect(302);
        assert_eq!(answer.header("location"), "https://example.com/missing", "{path}");
    }
    let clicks = server.data.logged_clicks();
    assert_eq!(clicks.iter().filter(|click| click["domain"] == "go.example").count(), 1);
}

#[test]
fn a_password_is_asked_for_and_taken_on_the_domain() {
    let (_names, server) = folding();
    let password = "open sesame";
    let body =
        json!({ "slug": "Safe", "destination": "https://example.com/safe", "password": password });
    create(&server, body);
    let form = Form::of(&at(&server, "go.example", "/safe").expect(401));
    let send = |host: &str| {
        let request = form.send(&server, "/l/SAFE/unlock", &[("password", password)]);
        Answer::to(request.header("host", host).header("origin", format!("http://{host}")))
    };
    send("other.example").expect(404);
    let opened = send("go.example").expect(200);
    let cookie = opened.header("set-cookie").split(';').next().unwrap().to_owned();
    let visit = server.request(Method::GET, "/sAFE").header("host", "go.example");
    let visit = visit.header("cookie", cookie).header("user-agent", agents::CHROME_ON_WINDOWS);
    let led = Answer::to(visit).expect(302);
    assert_eq!(led.header("location"), "https://example.com/safe");
}

#[test]
fn limits_and_rules_hold_on_the_domain() {
    let (_names, server) = folding();
    create(&server, json!({ "slug": "Two", "destination": "https://e.com/2", "max_clicks": 2 }));
    for (spelled, status) in [("/two", 302), ("/TWO", 302), ("/Two", 410)] {
        at(&server, "go.example", spelled).expect(status);
    }
    let rules = json!([{
        "name": "windows", "conditions": [{ "os": ["Windows"] }],
        "target": { "destination": "https://e.com/windows" },
    }]);
    create(&server, json!({ "slug": "Ruled", "destination": "https://e.com", "rules": rules }));
    let led = at(&server, "go.example", "/ruled").expect(302);
    assert_eq!(led.header("location"), "https://e.com/windows");
}

#[test]
fn the_host_is_the_targets_own_or_else_the_headers() {
    let (_names, server) = folding();
    create(&server, json!({ "slug": "a", "destination": "https://example.com/go" }));
    let body = json!({ "slug": "a", "destination": "https://example.com/own" });
    server.api().post("/links", &body).expect(201);
    let heads = [
        ("GET /a HTTP/1.1\r\nHost: go.example\r\n", "go"),
        ("GET /a HTTP/1.1\r\nHost: sho.example\r\n", "own"),
        ("GET /a HTTP/1.1\r\nhost: GO.EXAMPLE.:81\r\n", "go"),
        ("GET /A HTTP/1.1\r\nHost: go.example\r\nContent-Length: 0\r\n", "go"),
        ("GET http://go.example/a HTTP/1.1\r\nHost: sho.example\r\n", "go"),
        ("GET http://sho.example/a HTTP/1.1\r\nHost: go.example\r\n", "own"),
    ];
    // On one connection, which goes over from the redirects' own threads to the rest.
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let all: Vec<_> = heads.iter().map(|(head, _)| *head).collect();
    let all = format!("{}\r\n", all.join("\r\n"));
    stream.write_all(all.as_bytes()).unwrap();
    stream.write_all(b"GET /a HTTP/1.1\r\nHost: go.example\r\nConnection: close\r\n\r\n").unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    let lines = answers.lines().filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("location").then(|| value.rsplit('/').next().unwrap_or_default())
    });
    let expected: Vec<_> = heads.iter().map(|(_, to)| *to).chain(["go"]).collect();
    assert_eq!(lines.collect::<Vec<_>>(), expected, "{answers}");
}

#[test]
fn links_are_listed_by_their_domain() {
    let (_names, server) = folding();
    create(&server, json!({ "slug": "Here", "destination": "https://e.com" }));
    let body = json!({ "slug": "there", "destination": "https://e.com" });
    server.api().post("/links", &body).expect(201);
    let found = server.api().get("/links?domain=GO.example").expect(200).data();
    let [link] = found.as_array().unwrap().as_slice() else { panic!("{found}") };
    assert_eq!((&link["slug"], &link["domain"]), (&json!("Here"), &json!("go.example")));
    let domains = server.api().get("/domains").expect(200).data();
    let links: Vec<_> = domains.as_array().unwrap().iter().map(|domain| &domain["links"]).collect();
    assert_eq!(links, [0, 1], "newest first");
}

//! Validation: invalid fields are reported by name and never cause internal errors.

use reqwest::Method;
use reqwest::blocking::RequestBuilder;
use serde_json::{Value, json};

use crate::harness::{Answer, Server, shared};

const INVALID: &str = "VALIDATION_ERROR";

fn post(server: &Server) -> RequestBuilder {
    server.api().request(Method::POST, "/links")
}

/// Sends a body unchanged, with the content type JSON.
fn post_text(server: &Server, body: impl Into<String>) -> Answer {
    Answer::to(post(server).header("Content-Type", "application/json").body(body.into()))
}

/// The body of a link with this one invalid field.
fn with(field: &str, value: impl Into<Value>) -> Value {
    let mut wish = json!({ "destination": "https://example.com" });
    wish[field] = value.into();
    wish
}

/// A wrong field is refused by `POST`, `PUT` and `PATCH` alike, and nothing is changed.
#[track_caller]
fn refused(server: &Server, field: &str, value: impl Into<Value>) {
    let link = server.link();
    let wish = with(field, value);
    let api = server.api();
    for answer in
        [api.post("/links", &wish), api.put(&link.path(), &wish), api.patch(&link.path(), &wish)]
    {
        answer.refuses(400, INVALID, &[field]);
    }
    assert_eq!(api.get(&link.path()).data()["version"], 1);
}

#[test]
fn a_body_that_is_absent_or_no_json_is_refused() {
    let server = shared();
    for body in [
        "",
        " \r\n\t",
        "{",
        "{\"destination\"",
        "{'destination': 'https://example.com'}",
        "{\"destination\": \"https://example.com\"} x",
        "{\"destination\": \"https://example.com\",}",
        "destination=https://example.com",
        "\u{0}",
        "\"\\ud800\"",
    ] {
        post_text(&server, body).refuses(400, INVALID, &["body"]);
    }
    let nested = "[".repeat(100_000);
    post_text(&server, nested).refuses(400, INVALID, &["body"]);
    let not_utf8 = post(&server).header("Content-Type", "application/json");
    Answer::to(not_utf8.body(b"{\"title\": \"\xff\"}".to_vec())).problem(400, INVALID);
}

#[test]
fn a_body_of_another_shape_is_refused() {
    let server = shared();
    for body in [json!(null), json!("https://example.com"), json!(7), json!(true)] {
        server.api().post("/links", &body).refuses(400, INVALID, &["body"]);
    }
    server.api().post("/links", &json!([])).problem(400, INVALID);
    server.api().post("/links", &json!({})).refuses(400, INVALID, &["destination"]);
    let null = json!({ "destination": null });
    server.api().post("/links", &null).refuses(400, INVALID, &["destination"]);
}

#[test]
fn wrong_types_are_refused_by_their_field() {
    let server = shared();
    for field in ["destination", "slug", "domain", "title", "utm_source", "utm_term"] {
        for value in [json!(7), json!(true), json!(["x"]), json!({ "x": 1 })] {
            refused(&server, field, value);
        }
    }
    for value in [json!("yes"), json!(1), json!([])] {
        refused(&server, "forward_query", value);
    }
}

#[test]
fn unknown_fields_are_refused_by_name() {
    let server = shared();
    for field in ["colour", "Destination", "id", "clicks", "version", "", "utm_", "a b\u{0}c"] {
        refused(&server, field, "x");
    }
    let wish = json!({ "name": "x", "abilities": ["links:read"], "workspace": "ws_1" });
    server.api().post("/tokens", &wish).refuses(400, INVALID, &["workspace"]);
}

#[test]
fn a_field_that_is_given_twice_is_refused() {
    let server = shared();
    let body = r#"{"title": "a", "destination": "https://example.com", "title": "b"}"#;
    let refused = post_text(&server, body).problem(400, INVALID);
    assert!(refused["detail"].as_str().unwrap().contains("`title`"), "{refused}");
}

#[test]
fn destinations_that_lead_nowhere_or_harm_are_refused() {
    let server = shared();
    for destination in [
        "",
        " ",
        "example.com",
        "//example.com",
        "/path",
        "https://",
        "http://[::1",
        "https://exa mple.com/",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        " javascript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "file:///etc/passwd",
        "ftp://example.com/",
        "mailto:somebody@example.com",
        "vbscript:x",
        "https://user:password@example.com/",
        "https://user@example.com/",
        "https://:password@example.com/",
    ] {
        refused(&server, "destination", destination);
    }
}

/// A link to a link could loop, or hide its destination.
#[test]
fn destinations_that_lead_back_to_the_service_are_refused() {
    let server = shared();
    let own = server.address();
    for host in
        [own.to_string(), format!("localhost:{}", own.port()), format!("LOCALHOST:{}", own.port())]
    {
        refused(&server, "destination", format!("http://{host}/somewhere"));
    }
    for other in ["http://127.0.0.1/", "http://localhost/", "https://example.com/127.0.0.1"] {
        server.link_to(other);
    }
}

#[test]
fn control_characters_are_refused_wherever_they_stand() {
    let server = shared();
    for control in ["\r\n", "\n", "\r", "\t", "\u{0}", "\u{1b}", "\u{7f}", "\u{85}"] {
        refused(&server, "destination", format!("https://example.com/{control}Set-Cookie: a=b"));
        refused(&server, "slug", format!("a{control}b"));
        for field in
            ["title", "utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term"]
        {
            refused(&server, field, format!("a{control}b"));
        }
        let name = json!({ "name": format!("a{control}b"), "abilities": ["links:read"] });
        server.api().post("/tokens", &name).refuses(400, INVALID, &["name"]);
    }
    for control in ["\r", "\n", "\r\n", "\t"] {
        let ends = format!("https://example.com/{control}");
        refused(&server, "destination", ends);
        refused(&server, "title", format!("{control}title"));
    }
    for query in ["unit=day%0d%0a", "unit=%00", "units=7%0a", "bots=exclude%09", "a%0d%0ab=1"] {
        let link = server.link();
        let answer = server.api().get(&format!("{}/clicks?{query}", link.path()));
        answer.problem(400, INVALID);
    }
}

/// The limits are exact: what just fits is taken, one more is not.
#[test]
fn over_long_values_are_refused() {
    let server = shared();
    let destination = |bytes: usize| {
        let base = "https://example.com/";
        format!("{base}{}", "a".repeat(bytes - base.len()))
    };
    server.api().create(&with("destination", destination(8_192)));
    refused(&server, "destination", destination(8_193));
    refused(&server, "destination", destination(500_000));
    server.api().create(&with("slug", "s".repeat(128)));
    refused(&server, "slug", "s".repeat(129));
    server.api().create(&with("title", "ü".repeat(200)));
    refused(&server, "title", "ü".repeat(201));
    refused(&server, "utm_source", "u".repeat(1_000));
    let name = json!({ "name": "n".repeat(101), "abilities": ["links:read"] });
    server.api().post("/tokens", &name).refuses(400, INVALID, &["name"]);
    let key = post(&server).json(&with("title", "x")).header("Idempotency-Key", "k".repeat(256));
    Answer::to(key).refuses(400, INVALID, &["Idempotency-Key"]);
}

#[test]
fn slugs_that_are_malformed_or_reserved_are_refused() {
    let server = shared();
    for slug in ["", " ", "a b", "a/b", "a.b", "../etc", "ü", "a%20b", "a?b", "🦊", "a+b"] {
        refused(&server, "slug", slug);
    }
    for slug in ["api", "API", "livez", "readyz", "metrics", "compat", "docs", "admin"] {
        refused(&server, "slug", slug);
    }
    let id = server.link().id;
    refused(&server, "slug", id);
}

#[test]
fn domains_of_others_are_refused() {
    let server = shared();
    for domain in ["example.com", "", "127.0.0.1", "*"] {
        refused(&server, "domain", domain);
    }
    let own = server.address().to_string();
    server.api().create(&with("domain", own));
}

#[test]
fn every_wrong_field_is_named_in_one_answer() {
    let server = shared();
    let wish = json!({
        "destination": "javascript:x", "slug": "a b", "title": "\u{0}", "utm_term": "t".repeat(999),
    });
    let fields = ["destination", "slug", "title", "utm_term"];
    server.api().post("/links", &wish).refuses(400, INVALID, &fields);
}

#[test]
fn queries_that_make_no_sense_are_refused() {
    let server = shared();
    let link = server.link();
    for (path, field) in [
        ("?page=0", "page"),
        ("?page=-1", "page"),
        ("?page=1.5", "page"),
        ("?page=99999999999999999999", "page"),
        ("?page=", "page"),
        ("?limit=0", "limit"),
        ("?limit=101", "limit"),
        ("?limit=1000", "limit"),
        ("?limit=ten", "limit"),
        ("?cursor=x", "cursor"),
        ("?cursor=", "cursor"),
        ("?page=1&page=2", "page"),
        ("?offset=20", "offset"),
        ("/LINK/clicks?units=0", "units"),
        ("/LINK/clicks?units=366", "units"),
        ("/LINK/clicks?units=-7", "units"),
        ("/LINK/clicks?unit=decade", "unit"),
        ("/LINK/clicks?unit=Day", "unit"),
        ("/LINK/clicks?unit=", "unit"),
        ("/LINK/clicks/summary?units=0", "units"),
        ("/LINK/clicks/summary?unit=fortnight", "unit"),
        ("/LINK/countries?limit=0", "limit"),
        ("/LINK/devices?limit=many", "limit"),
        ("/LINK/browsers?bots=maybe", "bots"),
        ("/LINK/referrers?unit=second", "unit"),
        ("/LINK/cities?size=5", "size"),
        ("/LINK/clicks?limit=5", "limit"),
        ("/LINK/clicks/summary?limit=5", "limit"),
    ] {
        let path = format!("/links{}", path.replace("LINK", &link.slug));
        server.api().get(&path).refuses(400, INVALID, &[field]);
    }
    for (query, field) in [
        ("days=7", "days"),
        ("units=366", "units"),
        ("date_range=7d&units=7", "units"),
        ("unit=second", "unit"),
        ("date_range=7x", "date_range"),
        ("end=2026-01-01", "start"),
        ("start=soon", "start"),
        ("start=2999-01-01", "start"),
        ("start=2026-02-01&end=2026-01-01", "end"),
        ("country=Germany", "country"),
        ("device=phone", "device"),
        ("continent=Europe", "continent"),
        ("country=DE&timezone=Mars", "timezone"),
        ("trigger=mail", "trigger"),
        ("bots=include&bot_reason=odd", "bot_reason"),
        ("language=german", "language"),
        ("language=de-DE", "language"),
        ("link_version=first", "link_version"),
        ("qr_code=4c9", "qr_code"),
        ("time=1", "time"),
    ] {
        server.api().get(&format!("/analytics?{query}")).refuses(400, INVALID, &[field]);
    }
    for (query, meant) in [("continent=europ", "`EU`?"), ("country=Germany", "`DE`?")] {
        let unknown = server.api().get(&format!("/analytics?{query}")).expect(400);
        assert!(unknown.text.contains(meant), "{}", unknown.text);
    }
    let unknown = server.api().get("/analytics?date_range=7days").expect(400);
    assert!(!unknown.text.contains("combined"), "{}", unknown.text);
    let cursor = format!("?cursor={}&page=2", link.id);
    server.api().get(&format!("/links{cursor}")).refuses(400, INVALID, &["cursor"]);
}

#[test]
fn unknown_query_parameters_of_changes_are_refused() {
    let server = shared();
    let link = server.link();
    let new = json!({ "destination": "https://example.com/" });
    let created = server.api().post("/links?domain=go.example.com", &new);
    created.refuses(400, INVALID, &["domain"]);
    let misspelled = server.api().post("/imports?dry_rn=true", &new).expect(400);
    assert!(misspelled.text.contains("did you mean `dry_run`?"), "{}", misspelled.text);
    let change = json!({ "title": "x" });
    server.api().patch(&format!("/links/{}?odd=1", link.slug), &change).refuses(
        400,
        INVALID,
        &["odd"],
    );
    server
        .api()
        .patch(&format!("/links/{}?domain={}", link.slug, server.address()), &change)
        .expect(200);
}

#[test]
fn abilities_that_are_none_are_refused() {
    let server = shared();
    for abilities in [json!([]), json!(["links:reed"]), json!(["links:read", ""])] {
        let wish = json!({ "name": "x", "abilities": abilities });
        server.api().post("/tokens", &wish).refuses(400, INVALID, &["abilities"]);
    }
    let wish = json!({ "name": "x", "abilities": "links:read" });
    server.api().post("/tokens", &wish).refuses(400, INVALID, &["abilities"]);
    let wish = json!({ "abilities": ["links:read"] });
    server.api().post("/tokens", &wish).refuses(400, INVALID, &["name"]);
    let wish = json!({ "name": "", "abilities": ["links:read"] });
    server.api().post("/tokens", &wish).refuses(400, INVALID, &["name"]);
}

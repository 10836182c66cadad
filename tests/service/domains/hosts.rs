//! Which domain a request is for.

use reqwest::Method;
use serde_json::json;

use super::{at, path, start, verified};
use crate::harness::{Answer, NameServer, Server};

#[track_caller]
fn link(server: &Server, domain: Option<&str>, slug: &str, destination: &str) {
    let mut body = json!({ "slug": slug, "destination": destination });
    body.as_object_mut().unwrap().extend(domain.map(|name| ("domain".into(), name.into())));
    server.api().post("/links", &body).expect(201);
}

#[track_caller]
fn leads(server: &Server, host: &str, path: &str) -> String {
    at(server, host, path).expect(302).header("location").to_owned()
}

#[test]
fn one_slug_leads_elsewhere_on_each_domain() {
    let names = NameServer::start();
    let server = start(&names);
    verified(&server, &names, &json!({ "hostname": "one.example" }));
    verified(&server, &names, &json!({ "hostname": "two.example" }));
    link(&server, None, "same", "https://example.com/own");
    link(&server, Some("one.example"), "same", "https://example.com/one");
    link(&server, Some("two.example"), "same", "https://example.com/two");
    link(&server, Some("one.example"), "only", "https://example.com/only");
    let body = json!({ "slug": "same", "destination": "https://e.com", "domain": "one.example" });
    server.api().post("/links", &body).problem(409, "CONFLICT");

    for (host, to) in [
        ("one.example", "one"),
        ("ONE.example:8443", "one"),
        ("one.example.", "one"),
        ("two.example", "two"),
        ("nobody.example", "own"),
    ] {
        let to = format!("https://example.com/{to}");
        assert_eq!(leads(&server, host, "/same"), to, "{host:?}");
    }
    assert_eq!(leads(&server, "one.example", "/only"), "https://example.com/only");
    for host in ["two.example", "nobody.example"] {
        at(&server, host, "/only").expect(404);
    }
    // Other headers in which a proxy names the host are ignored.
    let request = server.request(Method::GET, "/only").header("x-forwarded-host", "one.example");
    Answer::to(request).expect(404);
    // Each of the clicks says on which domain it was.
    let mut domains: Vec<_> =
        server.data.logged_clicks().into_iter().map(|c| c["domain"].clone()).collect();
    domains.sort_by_key(ToString::to_string);
    let expected = [[""].as_slice(), &["one.example"; 4], &["two.example"]].concat();
    assert_eq!(domains, expected);
}

#[test]
fn a_change_is_seen_at_once() {
    let names = NameServer::start();
    let server = start(&names);
    let domain = verified(&server, &names, &json!({ "hostname": "go.example" }));
    link(&server, Some("go.example"), "a", "https://example.com/1");
    assert_eq!(leads(&server, "go.example", "/a"), "https://example.com/1");
    let listed = server.api().get("/links").expect(200).data();
    let id = format!("/links/{}", listed[0]["id"].as_str().unwrap());
    server.api().patch(&id, &json!({ "destination": "https://example.com/2" })).expect(200);
    assert_eq!(leads(&server, "go.example", "/a"), "https://example.com/2");
    server.api().delete(&id).expect(204);
    at(&server, "go.example", "/a").expect(404);
    link(&server, None, "a", "https://example.com/own");
    at(&server, "go.example", "/a").expect(404);
    server.api().delete(&path(&domain)).expect(204);
    assert_eq!(leads(&server, "go.example", "/a"), "https://example.com/own", "a host of nobody's");
}

#[test]
fn spellings_are_one_slug_where_the_domain_says_so() {
    let names = NameServer::start();
    let server = start(&names);
    let folding = json!({ "hostname": "fold.example", "case_insensitive": true });
    let domain = verified(&server, &names, &folding);
    verified(&server, &names, &json!({ "hostname": "exact.example" }));
    for host in ["fold.example", "exact.example"] {
        link(&server, Some(host), "Promo", "https://example.com/promo");
    }
    for spelled in ["/Promo", "/promo", "/PROMO"] {
        assert_eq!(leads(&server, "fold.example", spelled), "https://example.com/promo");
        let status = if spelled == "/Promo" { 302 } else { 404 };
        at(&server, "exact.example", spelled).expect(status);
    }
    let taken =
        json!({ "slug": "pROMO", "destination": "https://e.com", "domain": "fold.example" });
    server.api().post("/links", &taken).problem(409, "CONFLICT");
    link(&server, Some("exact.example"), "pROMO", "https://example.com/other");
    let listed = server.api().get("/links").expect(200).data();
    let slugs: Vec<_> = listed.as_array().unwrap().iter().map(|link| &link["slug"]).collect();
    assert_eq!(slugs, ["pROMO", "Promo", "Promo"], "as they were written");
    let exact = json!({ "case_insensitive": false });
    server.api().patch(&path(&domain), &exact).problem(409, "CONFLICT");
    // A change reaches each spelling.
    let id = format!("/links/{}", listed[2]["id"].as_str().unwrap());
    server.api().patch(&id, &json!({ "destination": "https://example.com/new" })).expect(200);
    assert_eq!(leads(&server, "fold.example", "/prOMO"), "https://example.com/new");
}

#[test]
fn a_hosts_root_and_what_is_not_there_lead_where_its_owner_says() {
    let names = NameServer::start();
    let server = start(&names);
    let fields = json!({
        "hostname": "go.example", "root_redirect": "https://example.com/höme",
        "not_found_redirect": "https://example.com/missing?from=go",
    });
    let domain = verified(&server, &names, &fields);
    verified(&server, &names, &json!({ "hostname": "plain.example" }));
    let root = at(&server, "go.example", "/").expect(302);
    assert_eq!(root.header("location"), "https://example.com/h%C3%B6me");
    assert_eq!(root.header("cache-control"), "private, no-store");
    for unknown in ["/nothing", "/nothing/here?q=1", "/a.b"] {
        let to = leads(&server, "go.example", unknown);
        assert_eq!(to, "https://example.com/missing?from=go", "{unknown}");
    }
    for host in ["plain.example", "nobody.example"] {
        at(&server, host, "/").expect(404);
        at(&server, host, "/nothing").expect(404);
    }
    let posted = server.request(Method::POST, "/nothing").header("host", "go.example");
    Answer::to(posted).expect(404);
    at(&server, "go.example", "/.well-known/nothing").expect(404);
    at(&server, "go.example", "/api/v1/nothing").expect(404);
    let cleared = json!({ "root_redirect": null, "not_found_redirect": null });
    server.api().patch(&path(&domain), &cleared).expect(200);
    at(&server, "go.example", "/").expect(404);
    at(&server, "go.example", "/nothing").expect(404);
    assert!(server.data.logged_clicks().is_empty(), "none of these is a click");
}

#[test]
fn apps_find_their_documents_on_each_host() {
    let names = NameServer::start();
    let server = start(&names);
    let apple = json!({ "applinks": { "details": [{ "appIDs": ["T.app"] }] } });
    let android = json!([{ "relation": ["delegate_permission/common.handle_all_urls"] }]);
    let fields = json!({
        "hostname": "go.example", "apple_app_site_association": apple, "assetlinks": android,
    });
    let domain = server.api().post("/domains", &fields).expect(201).data();
    let (at_apple, at_android) =
        ("/.well-known/apple-app-site-association", "/.well-known/assetlinks.json");
    at(&server, "go.example", at_apple).expect(404);
    names.text("_slugline.go.example", domain["verification"]["value"].as_str().unwrap());
    super::verify(&server, &domain).expect(200);
    for (path, document) in [(at_apple, &apple), (at_android, &android)] {
        let answer = at(&server, "go.example", path).expect(200);
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(&answer.json(), document);
        at(&server, "nobody.example", path).expect(404);
    }
    server.api().patch(&path(&domain), &json!({ "assetlinks": null })).expect(200);
    at(&server, "go.example", at_android).expect(404);
    at(&server, "go.example", at_apple).expect(200);
}

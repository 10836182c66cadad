//! The lifecycle of a domain, from the claim to the removal.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};
use slugline::log::{DiskStorage, LocalLog, LogOptions};
use slugline::projections::index::Index;

use super::{at, options, path, start, verified, verify};
use crate::accounts::operator;
use crate::harness::{Answer, DataFolder, NameServer};

#[test]
fn a_domain_carries_links_once_it_is_verified() {
    let names = NameServer::start();
    let server = start(&names);
    let api = server.api();
    let made = api.post("/domains", &json!({ "hostname": "Go.Example.com." })).expect(201);
    assert_eq!(made.header("log-offset"), "4");
    let domain = made.data();
    assert_eq!(made.header("location"), format!("/api/v1{}", path(&domain)));
    assert!(domain["id"].as_str().unwrap().starts_with("dom_"), "{domain}");
    assert_eq!(domain["hostname"], "go.example.com");
    assert_eq!((&domain["verified_at"], &domain["is_default"]), (&Value::Null, &json!(false)));
    assert_eq!(domain["verification"]["txt_name"], "_slugline.go.example.com");

    let link = json!({ "destination": "https://example.com", "domain": "go.example.com" });
    api.post("/links", &link).refuses(400, "VALIDATION_ERROR", &["domain"]);
    let unproven = verify(&server, &domain);
    unproven.refuses(422, "VERIFICATION_FAILED", &["dns", "http", "https"]);

    let value = domain["verification"]["value"].as_str().unwrap();
    names.text("_slugline.go.example.com", "v=spf1 -all");
    names.text("_slugline.go.example.com", value);
    let proven = verify(&server, &domain).expect(200).data();
    assert!(proven["verified_at"].is_string() && proven["verification"].is_null(), "{proven}");
    assert_eq!(verify(&server, &domain).expect(200).data(), proven, "once more");

    let made = api.post("/links", &link).expect(201).data();
    let slug = made["slug"].as_str().unwrap();
    assert_eq!(made["domain"], "go.example.com");
    assert_eq!(made["short_url"], format!("http://go.example.com/{slug}"));
    for name in ["go.example.com", "GO.EXAMPLE.COM", domain["id"].as_str().unwrap()] {
        let seen = api.get(&format!("/domains/{name}")).expect(200).data();
        assert_eq!((&seen["id"], &seen["links"]), (&domain["id"], &json!(1)));
    }

    api.delete(&path(&domain)).problem(409, "CONFLICT");
    api.delete(&format!("/links/{}", made["id"].as_str().unwrap())).expect(204);
    api.delete("/domains/go.example.com").expect(204);
    api.get(&path(&domain)).problem(404, "NOT_FOUND");
    verify(&server, &domain).problem(404, "NOT_FOUND");
    api.post("/links", &link).refuses(400, "VALIDATION_ERROR", &["domain"]);
}

#[test]
fn what_is_wrong_is_named_by_its_field() {
    let names = NameServer::start();
    let server = start(&names);
    let api = server.api();
    let own = server.base.trim_start_matches("http://").to_owned();
    for (body, fields) in [
        (json!({}), vec!["hostname"]),
        (json!({ "hostname": "10.0.0.1" }), vec!["hostname"]),
        (json!({ "hostname": "example.com:8080" }), vec!["hostname"]),
        (json!({ "hostname": own }), vec!["hostname"]),
        (json!({ "hostname": "a.example", "is_default": true }), vec!["is_default"]),
        (json!({ "hostname": "a.example", "color": "red" }), vec!["color"]),
        (json!({ "hostname": "a.example", "case_insensitive": "yes" }), vec!["case_insensitive"]),
        (
            json!({ "hostname": "x", "root_redirect": "javascript:alert(1)",
                    "not_found_redirect": format!("http://{own}/"),
                    "assetlinks": {}, "apple_app_site_association": [] }),
            vec![
                "apple_app_site_association",
                "assetlinks",
                "hostname",
                "not_found_redirect",
                "root_redirect",
            ],
        ),
    ] {
        api.post("/domains", &body).refuses(400, "VALIDATION_ERROR", &fields);
    }
    let body = json!({ "hostname": "a.example" });
    let domain = api.post("/domains", &body).expect(201).data();
    api.post("/domains", &body).problem(409, "CONFLICT");
    let keyed = || {
        let request = api.request(Method::POST, "/domains").header("idempotency-key", "once");
        Answer::to(request.json(&json!({ "hostname": "b.example" }))).expect(201).data()
    };
    assert_eq!(keyed(), keyed(), "the same request");
    for change in [json!({ "hostname": "b.example" }), json!({ "hostname": null })] {
        api.patch(&path(&domain), &change).refuses(400, "VALIDATION_ERROR", &["hostname"]);
    }
    for nothing in ["/domains/c.example", "/domains/10.0.0.1", "/domains/dom_0"] {
        api.get(nothing).problem(404, "NOT_FOUND");
        api.patch(nothing, &json!({})).problem(404, "NOT_FOUND");
        api.delete(nothing).problem(404, "NOT_FOUND");
    }
}

#[test]
fn domains_are_listed_in_parts() {
    let names = NameServer::start();
    let server = start(&names);
    let hosts: Vec<_> = (0..5).map(|number| format!("h{number}.example")).collect();
    for host in &hosts {
        server.api().post("/domains", &json!({ "hostname": host })).expect(201);
    }
    let names_in = |page: &Value| -> Vec<String> {
        let rows = page["data"].as_array().unwrap().iter();
        rows.map(|row| row["hostname"].as_str().unwrap().to_owned()).collect()
    };
    let mut seen = Vec::new();
    let mut next = "/domains?limit=2".to_owned();
    loop {
        let page = server.api().get(&next).expect(200).json();
        assert_eq!(page["meta"]["total"], 5);
        seen.extend(names_in(&page));
        let Some(cursor) = page["meta"]["next_cursor"].as_str() else { break };
        next = format!("/domains?limit=2&cursor={cursor}");
    }
    seen.reverse();
    assert_eq!(seen, hosts);
    let second = server.api().get("/domains?limit=2&page=2").expect(200).json();
    assert_eq!(names_in(&second), ["h2.example", "h1.example"]);
    server.api().get("/domains?verified=1").refuses(400, "VALIDATION_ERROR", &["verified"]);
}

#[test]
fn links_are_on_the_workspaces_default_domain() {
    let names = NameServer::start();
    let server = start(&names);
    let api = server.api();
    let one = verified(&server, &names, &json!({ "hostname": "one.example" }));
    let two = verified(&server, &names, &json!({ "hostname": "two.example" }));
    let create = |domain: Option<&str>| {
        let mut body = json!({ "destination": "https://example.com" });
        body.as_object_mut().unwrap().extend(domain.map(|name| ("domain".into(), name.into())));
        api.post("/links", &body).expect(201).data()
    };
    let own = create(None)["domain"].as_str().unwrap().to_owned();
    api.patch(&path(&one), &json!({ "is_default": true })).expect(200);
    let link = create(None);
    assert_eq!(link["domain"], "one.example");
    assert_eq!(create(Some(&own))["domain"], own.as_str(), "the service's own can be named");
    assert_eq!(create(two["id"].as_str())["domain"], "two.example");

    let changed = api.patch(&path(&two), &json!({ "is_default": true })).expect(200).data();
    assert_eq!(changed["is_default"], true);
    assert_eq!(api.get(&path(&one)).data()["is_default"], false, "there is one at most");
    let link = format!("/links/{}", link["id"].as_str().unwrap());
    let kept = api.patch(&link, &json!({ "title": "kept" })).expect(200).data();
    assert_eq!(kept["domain"], "one.example");
    let body = json!({ "destination": "https://example.com/2" });
    assert_eq!(api.put(&link, &body).expect(200).data()["domain"], "two.example");
}

#[test]
fn a_restart_keeps_all_and_a_rebuild_comes_to_the_same() {
    let names = NameServer::start();
    let options = options(&names);
    let server = options.start();
    let fields = json!({
        "hostname": "go.example", "case_insensitive": true,
        "root_redirect": "https://example.com/home", "assetlinks": [{ "relation": [] }],
    });
    let domain = verified(&server, &names, &fields);
    server.api().patch(&path(&domain), &json!({ "is_default": true })).expect(200);
    server.api().post("/domains", &json!({ "hostname": "other.example" })).expect(201);
    let body = json!({ "destination": "https://example.com/promo", "slug": "Promo" });
    server.api().post("/links", &body).expect(201);
    let before = server.api().get("/domains").expect(200).json();
    drop(server);

    let server = options.start();
    assert_eq!(server.api().get("/domains").expect(200).json(), before);
    let to = |path: &str| at(&server, "go.example", path).expect(302).header("location").to_owned();
    assert_eq!(to("/pROMO"), "https://example.com/promo");
    assert_eq!(to("/"), "https://example.com/home");
    let kinds = server.data.clone();
    assert!(server.stop().success());
    let count =
        |kind: &str| kinds.dump("mutations").iter().filter(|record| record["kind"] == kind).count();
    assert_eq!((count("DomainAdded"), count("DomainVerified"), count("DomainChanged")), (2, 1, 1));

    let kept = digest(&options.data, false);
    assert_eq!(digest(&options.data, true), kept);
}

#[test]
fn the_operator_sees_the_verified_domains_of_all_workspaces() {
    let names = NameServer::start();
    let server = start(&names);
    verified(&server, &names, &json!({ "hostname": "b.example" }));
    verified(&server, &names, &json!({ "hostname": "a.example" }));
    server.api().post("/domains", &json!({ "hostname": "c.example" })).expect(201);
    let all = operator(&server).get("/admin/domains").expect(200).json();
    let workspace = operator(&server).get("/admin/workspaces").data()[0]["id"].clone();
    let of = |name: &str| json!({ "hostname": name, "workspace": workspace });
    assert_eq!(all["data"], json!([of("a.example"), of("b.example")]));
    assert_eq!(all["meta"]["total"], 2);
    server.api().get("/admin/domains").problem(403, "FORBIDDEN");
}

/// The digest of the index of a stopped service, as stored or rebuilt.
fn digest(data: &DataFolder, anew: bool) -> [u8; 32] {
    let log = data.path().join("log/mutations");
    let log = LocalLog::open(Arc::new(DiskStorage), &log, LogOptions::default()).unwrap();
    let folder = data.path().join("index");
    let index = if anew {
        Index::rebuild_folder(&folder, &log, &|_, _| {})
    } else {
        Index::open(&folder, &log)
    };
    index.unwrap().digest().unwrap()
}

//! Writes a fixture with the program of this version, through its API.
//!
//! `cargo test --test service write_a_fixture -- --ignored`, at the commit of a release; with
//! `SLUGLINE_TEST_BINARY` the program of another build writes it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};

use super::{data_of, fixtures, options, visit};
use crate::harness::agents::{CHROME_ON_WINDOWS, FIREFOX_ON_LINUX, GOOGLEBOT, SAFARI_ON_IPHONE};
use crate::harness::{
    Answer, DataFolder, Link, NameServer, Server, address_in, eventually, slugline,
};
use crate::passwords::Form;

/// What is not part of a fixture: what a start makes by itself, and the tables of ClickHouse,
/// which are as large as the rest is small.
const LEFT_OUT: [&str; 3] = ["LOCK", "clickhouse", "clickhouse.plan"];

const HOST: &str = "sho.rt";
const DOMAIN: &str = "go.example.com";
const LONG_AGO: &str = "2026-01-01T00:00:00Z";
const FAR_AWAY: &str = "2126-01-01T00:00:00Z";

/// How many records of each kind there are.
pub fn kinds(records: &[Value]) -> Value {
    let mut kinds = BTreeMap::new();
    for record in records {
        *kinds.entry(record["kind"].as_str().unwrap()).or_insert(0) += 1;
    }
    json!(kinds)
}

/// What is written, and what a later version is asked about it.
#[derive(Default)]
struct Expected {
    requests: Vec<Value>,
    visits: Vec<Value>,
    revoked_tokens: Vec<String>,
}

impl Expected {
    fn path(&mut self, path: impl Into<String>) {
        let path: String = path.into();
        self.requests.push(json!({ "path": path }));
    }

    fn link(&mut self, link: &Link) {
        self.path(format!("/links/{}", link.id));
        self.path(format!("/links/{}/versions", link.id));
    }

    /// A visit of this path, with what else describes it.
    fn visit(&mut self, host: &str, path: &str, more: &Value) {
        let mut described = json!({ "host": host, "path": path });
        described.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.visits.push(described);
    }
}

#[test]
#[ignore = "writes into tests/fixtures"]
fn write_a_fixture_of_this_version() {
    let said = slugline().arg("--version").output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let version = said.trim().strip_prefix("slugline ").unwrap();
    let target = fixtures().join(format!("data-{version}"));
    fs::create_dir_all(&target).unwrap();
    assert!(!target.join("data.tar.gz").exists(), "there is one already: {}", target.display());

    let (data, names) = (DataFolder::new(), NameServer::start());
    write_crawlers(&data, &["Googlebot"]);
    let start = || options(&data).flag("--dns-server", names.address.to_string()).start();
    let (mut expected, server) = (Expected::default(), start());
    server.await_analytics();
    write_presets(&server, &mut expected);
    write_links(&server, &mut expected);
    write_domain(&server, &names, &mut expected);
    write_gates(&server, &mut expected);
    write_history(&server, &mut expected);
    write_many(&server, &mut expected);
    write_tokens(&server, &mut expected);
    reclassify(&data);
    server.await_projection();
    assert!(server.stop().success());

    let kinds = json!({
        "mutations": kinds(&data.dump("mutations")), "clicks": kinds(&data.dump("clicks")),
    });
    pack(&data.path(), &target.join("data.tar.gz"));
    let server = start();
    record(&server, &mut expected);
    let Expected { requests, visits, revoked_tokens } = expected;
    let expected = json!({
        "kinds": kinds, "requests": requests, "visits": visits, "revoked_tokens": revoked_tokens,
    });
    let text = serde_json::to_string_pretty(&expected).unwrap() + "\n";
    fs::write(target.join("expected.json"), text).unwrap();
}

fn write_crawlers(data: &DataFolder, patterns: &[&str]) {
    let list: Vec<_> = patterns.iter().map(|pattern| json!({ "pattern": pattern })).collect();
    fs::create_dir_all(data.path()).unwrap();
    fs::write(data.path().join("crawlers.json"), json!(list).to_string()).unwrap();
}

fn in_milliseconds(milliseconds: i64) -> String {
    (Timestamp::now() + SignedDuration::from_millis(milliseconds)).to_string()
}

fn id(thing: &Value) -> String {
    thing["id"].as_str().unwrap().to_owned()
}

/// Campaigns and templates: created, changed, deleted.
fn write_presets(server: &Server, expected: &mut Expected) {
    let api = server.api();
    for path in ["/campaigns", "/utm-templates"] {
        let fields = json!({ "name": "Spring", "utm_source": "mail", "utm_campaign": "spring" });
        let kept = id(&api.post(path, &fields).expect(201).data());
        api.patch(&format!("{path}/{kept}"), &json!({ "utm_medium": "email" })).expect(200);
        let gone = id(&api.post(path, &json!({ "name": "Gone" })).expect(201).data());
        api.delete(&format!("{path}/{gone}")).expect(204);
        expected.path(format!("{path}/{kept}"));
        expected.path(path);
    }
}

/// Links of each kind, with rules, apps, tags and the rest, and clicks of theirs.
fn write_links(server: &Server, expected: &mut Expected) {
    let api = server.api();
    let campaign = api.get("/campaigns").data()[0]["id"].clone();
    let variant = |name: &str, weight: u32| json!({ "name": name, "destination": format!("https://example.com/{name}"), "weight": weight });
    let to = |place: &str| json!({ "destination": format!("https://example.com/{place}") });
    let sorted = api.create(&json!({
        "destination": "https://example.com/sorted?a=1#part", "slug": "sorted", "title": "Sörted",
        "tags": ["Spring", "größe"], "folder": "clients/acme", "campaign": campaign,
        "external_id": "sku:12/3", "notes": "notes", "utm_content": "button", "forward_query": true,
        "og_title": "Shared", "og_description": "Text", "og_image": "https://example.com/i.png",
    }));
    let ruled = api.create(&json!({
        "destination": "https://example.com/else", "slug": "ruled", "redirect_status": 307,
        "ios_url": "https://app.example/ios", "android_url": "https://app.example/android",
        "rules": [
            { "conditions": [{ "bot": true }], "target": to("bot") },
            { "conditions": [{ "country": ["DE"] }, { "device": ["desktop"] }], "target": to("german") },
            { "conditions": [{ "query": { "name": "to", "equals": "there" } }], "target": to("there") },
            { "conditions": [{ "language": ["fr"] }], "target": to("french") },
        ],
    }));
    let split = json!({ "variants": [variant("a", 1), variant("b", 2), variant("c", 3)] });
    let split = api.create(&json!({
        "destination": "https://example.com/else", "slug": "split",
        "rules": [{ "target": { "split": split } }],
    }));
    for (slug, kind, payload) in [
        (
            "wifi",
            "wifi",
            json!({ "ssid": "home, sweet", "encryption": "WPA2", "password": "secret;pass" }),
        ),
        ("card", "vcard", json!({ "name": "Zoë O'Neil; Jr", "organization": "Acme" })),
        ("note", "text", json!({ "text": "treasure" })),
    ] {
        let link = api.create(&json!({ "kind": kind, "slug": slug, "payload": payload }));
        server.visit_path(&format!("/l/{slug}")).send().expect(200);
        expected.link(&link);
        expected.visit(HOST, &format!("/{slug}"), &json!({}));
    }
    for link in [&sorted, &ruled, &split] {
        expected.link(link);
    }
    for (path, more) in [
        ("/sorted?x=2", json!({})),
        ("/ruled", json!({ "agent": GOOGLEBOT })),
        ("/ruled", json!({ "country": "DE" })),
        ("/ruled?to=there", json!({ "country": "JP" })),
        ("/ruled", json!({ "agent": SAFARI_ON_IPHONE })),
        ("/ruled", json!({ "country": "JP" })),
    ] {
        expected.visit(HOST, path, &more);
    }
    for visitor in 0..12 {
        expected.visit(HOST, "/split", &json!({ "from": format!("203.0.113.{visitor}") }));
    }
    visit_much(server, &[&sorted, &ruled, &split]);
}

/// Some hundred clicks of people and machines.
fn visit_much(server: &Server, links: &[&Link]) {
    let places = ["DE", "JP", "US", "BR"].map(address_in);
    for (number, place) in (0..240_usize).zip(places.iter().cycle()) {
        let agent =
            [CHROME_ON_WINDOWS, SAFARI_ON_IPHONE, FIREFOX_ON_LINUX, GOOGLEBOT][number / 4 % 4];
        let path = format!("/{}?utm_source=s{}", links[number % links.len()].slug, number % 5);
        let visit = server.visit_path(&path).agent(agent).from(place);
        let visit = visit.referrer("https://news.example/page").languages("fr-CA, en;q=0.5");
        assert!(matches!(visit.send().status, 302 | 307));
    }
    server.visit_head(links[0]).send().expect(302);
}

/// A domain that is verified, one that is only claimed, one that was removed.
fn write_domain(server: &Server, names: &NameServer, expected: &mut Expected) {
    let api = server.api();
    let add =
        |hostname: &str| api.post("/domains", &json!({ "hostname": hostname })).expect(201).data();
    let (domain, claimed, gone) =
        (add(DOMAIN), add("claimed.example.com"), add("gone.example.com"));
    let proof = |name: &str| domain["verification"][name].as_str().unwrap();
    names.text(proof("txt_name"), proof("value"));
    let path = format!("/domains/{}", id(&domain));
    api.post(&format!("{path}/verify"), &json!({})).expect(200);
    let settings = json!({
        "root_redirect": "https://example.com/root", "not_found_redirect": "https://example.com/lost",
        "case_insensitive": true,
    });
    api.patch(&path, &settings).expect(200);
    api.delete(&format!("/domains/{}", id(&gone))).expect(204);
    let link =
        json!({ "destination": "https://example.com/domain", "slug": "Promo", "domain": DOMAIN });
    let link = api.create(&link);
    Answer::to(server.request(Method::GET, "/promo").header("host", DOMAIN)).expect(302);
    expected.path(path);
    expected.path(format!("/domains/{}", id(&claimed)));
    expected.link(&link);
    for path in ["/promo", "/", "/nothing"] {
        expected.visit(DOMAIN, path, &json!({}));
    }
}

/// Links that stop some visits, and a report.
fn write_gates(server: &Server, expected: &mut Expected) {
    let gates = [
        ("off", json!({ "enabled": false })),
        ("archived", json!({ "archived": true })),
        ("early", json!({ "starts_at": FAR_AWAY })),
        ("open", json!({ "starts_at": LONG_AGO, "expires_at": FAR_AWAY })),
        ("locked", json!({ "password": "open sesame" })),
        ("used-up", json!({ "max_clicks": 3 })),
        ("one-left", json!({ "max_clicks": 4, "max_clicks_bots": true })),
    ];
    for (slug, mut body) in gates {
        body["slug"] = json!(slug);
        body["destination"] = json!("https://example.com/gate");
        let link = server.api().create(&body);
        for _ in 0..3 {
            let status = server.visit(&link).send().status;
            assert!(matches!(status, 302 | 401 | 404 | 410), "{slug}: {status}");
        }
        expected.link(&link);
        expected.visit(HOST, &format!("/{slug}"), &json!({}));
    }
    expected.visit(HOST, "/one-left", &json!({}));
    let late = json!({
        "destination": "https://example.com/gate", "slug": "late",
        "expires_at": in_milliseconds(700), "expired_url": "https://example.com/late",
    });
    let late = server.api().create(&late);
    eventually("the link expires", || {
        (server.visit(&late).follow() == "https://example.com/late").then_some(())
    });
    expected.link(&late);
    expected.visit(HOST, "/late", &json!({}));
    for text in ["resolved", "open"] {
        let path = "/l/open/report";
        let form = Form::of(&server.visit_path(path).send().expect(200));
        let fields = [("reason", "phishing"), ("text", text)];
        Answer::to(form.send(server, path, &fields)).expect(200);
    }
    let reports = server.api().get("/reports").data();
    let resolved = reports.as_array().unwrap().iter().find(|one| one["text"] == "resolved");
    let path = format!("/reports/{}/resolve", id(resolved.unwrap()));
    server.api().post(&path, &json!({})).expect(204);
    expected.path("/reports");
}

/// A link with each kind of version; links that are deleted and purged, with clicks.
fn write_history(server: &Server, expected: &mut Expected) {
    let api = server.api();
    let make = |slug: &str| {
        let link = api.create(&json!({ "destination": "https://example.com/1", "slug": slug }));
        server.visit(&link).send().expect(302);
        link
    };
    let (storied, deleted, purged) = (make("storied"), make("deleted"), make("purged"));
    let path = format!("/links/{}", storied.id);
    api.patch(&path, &json!({ "destination": "https://example.com/2", "title": "two" }))
        .expect(200);
    api.delete(&path).expect(204);
    api.post(&format!("{path}/restore"), &json!({})).expect(200);
    api.post(&format!("{path}/revert"), &json!({ "version": 1 })).expect(200);
    server.visit(&storied).send().expect(302);
    api.delete(&format!("/links/{}", deleted.id)).expect(204);
    api.delete(&format!("/links/{}?purge=true", purged.id)).expect(204);
    expected.link(&storied);
    for slug in ["/storied", "/deleted", "/purged", "/never-was"] {
        expected.visit(HOST, slug, &json!({}));
    }
}

/// Links made by a bulk request, with an idempotency key, and by an import.
fn write_many(server: &Server, expected: &mut Expected) {
    let links: Vec<_> = (0..20)
        .map(|number| json!({ "destination": format!("https://example.com/{number}"), "slug": format!("bulk-{number}") }))
        .collect();
    let request = server.api().request(Method::POST, "/links/bulk");
    let request = request.header("idempotency-key", "bulk").json(&json!({ "links": links }));
    Answer::to(request).expect(200);
    let file = "slug,destination,title,tags\nimport-1,https://example.com/i1,One,a\nimport-2,https://example.com/i2,Two,b\nbad,nowhere,,\n";
    let request = server.api().request(Method::POST, "/imports?format=csv").body(file);
    let path = format!("/imports/{}", id(&Answer::to(request).expect(202).data()));
    eventually("the import is over", || {
        (server.api().get(&path).data()["state"] == "done").then_some(())
    });
    for slug in ["bulk-7", "import-2"] {
        expected.path(format!("/links/{slug}"));
        expected.visit(HOST, &format!("/{slug}"), &json!({}));
    }
    for path in ["/links/count", "/tags", "/folders", "/links?limit=100&sort=slug&order=asc"] {
        expected.path(path);
    }
    for dimension in ["link", "country", "browser", "bot_reason", "rule", "variant", "utm_source"] {
        expected.requests.push(json!({ "path": "/analytics/query", "body": {
            "metrics": ["clicks", "unique_visitors"], "dimensions": [dimension], "bots": "include",
            "date_range": ["2026-01-01", "2029-12-31"], "limit": 100,
            "order_by": [["clicks", "desc"], [dimension, "asc"]],
        } }));
    }
}

fn write_tokens(server: &Server, expected: &mut Expected) {
    let (_, kept) = server.api().token(&["links:read", "analytics:read"]);
    server.api_as(kept).get("/links").expect(200);
    let (revoked, secret) = server.api().token(&["links:read"]);
    server.api().delete(&format!("/tokens/{revoked}")).expect(204);
    expected.revoked_tokens.push(secret);
    expected.path("/tokens");
}

/// Has the log say that clicks of one more user agent were a bot's.
fn reclassify(data: &DataFolder) {
    write_crawlers(data, &["Googlebot", "Firefox/128"]);
    let mut command = slugline();
    command.args(["reclassify", "bots", "--since", "all", "--data-dir"]).arg(data.path());
    command.arg("--crawler-list").arg(data.path().join("crawlers.json"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn pack(data: &Path, file: &Path) {
    let packed = GzEncoder::new(File::create(file).unwrap(), Compression::best());
    let mut archive = tar::Builder::new(packed);
    archive.follow_symlinks(false);
    for entry in fs::read_dir(data).unwrap().map(Result::unwrap) {
        let name = entry.file_name();
        if LEFT_OUT.iter().any(|left_out| name == *left_out) {
            continue;
        }
        if entry.path().is_dir() {
            archive.append_dir_all(&name, entry.path()).unwrap();
        } else {
            archive.append_path_with_name(entry.path(), &name).unwrap();
        }
    }
    archive.into_inner().unwrap().finish().unwrap();
}

/// Asks everything that a later version is asked.
fn record(server: &Server, expected: &mut Expected) {
    server.await_analytics();
    server.await_projection();
    for request in &mut expected.requests {
        request["data"] = data_of(server, request);
    }
    for described in &mut expected.visits {
        let (status, location) = visit(server, described);
        described["status"] = json!(status);
        described["location"] = location;
    }
}

//! Labels of links: tags, folders, external ids and notes.

use std::collections::HashSet;
use std::sync::Arc;

use prost::Message as _;
use serde_json::{Value, json};
use slugline::commands::secret;
use slugline::domain::event::{Envelope, Event, TokenState, VERSION, WorkspaceCreated};
use slugline::log::{DiskStorage, LocalLog, Log, LogOptions, NewRecord};

use crate::harness::{Answer, Api, DataFolder, Options, Server, TOKEN, slugline};

pub const TO: &str = "https://example.com/landing";
const FOREIGN_TOKEN: &str = "the-token-of-another-workspace";

/// Creates a link to [`TO`].
#[track_caller]
pub fn made(server: &Server, mut fields: Value) -> Value {
    fields["destination"] = json!(TO);
    server.api().post("/links", &fields).expect(201).data()
}

pub fn id(thing: &Value) -> &str {
    thing["id"].as_str().unwrap()
}

/// `name → links` of a list of tags or folders.
fn counts(server: &Server, path: &str) -> Vec<(String, u64)> {
    let data = server.api().get(&format!("{path}?limit=100")).data();
    let rows = data.as_array().unwrap().iter();
    rows.map(|row| (row["name"].as_str().unwrap().to_owned(), row["links"].as_u64().unwrap()))
        .collect()
}

fn named(expected: &[(&str, u64)]) -> Vec<(String, u64)> {
    expected.iter().map(|(name, links)| ((*name).to_owned(), *links)).collect()
}

/// The API as its owner.
pub fn theirs(server: &Server) -> Api<'_> {
    server.api_as(FOREIGN_TOKEN)
}

/// Adds a second workspace with a token to the log of a stopped service.
pub fn add_workspace(data: &DataFolder) {
    let folder = data.path().join("log/mutations");
    let log = LocalLog::open(Arc::new(DiskStorage), &folder, LogOptions::default()).unwrap();
    let token = TokenState {
        id: vec![8; 16],
        name: "theirs".to_owned(),
        abilities: vec!["*".to_owned()],
        secret_sha256: secret::hash(FOREIGN_TOKEN).to_vec(),
        created_at_ms: 1,
        ..TokenState::default()
    };
    let created = WorkspaceCreated { name: "theirs".to_owned(), owner: Vec::new() };
    for event in [Event::WorkspaceCreated(created), Event::TokenCreated(token)] {
        let kind = event.kind();
        let envelope = Envelope {
            debit: None,
            reservation: Vec::new(),
            at_ms: 1,
            workspace: vec![7; 16],
            token: Vec::new(),
            user: Vec::new(),
            idempotency: None,
            idempotency_until_ms: None,
            event: Some(event),
        };
        let payload = envelope.encode_to_vec();
        log.append(&[NewRecord { kind: kind.number(), version: VERSION, payload: &payload }])
            .unwrap();
    }
    log.sync().unwrap();
}

#[test]
fn a_link_shows_what_it_is_sorted_under() {
    let server = Options::links_only().start();
    let fields = json!({
        "destination": TO,
        "tags": [" Spring ", "e-mail", "größe"],
        "folder": "clients / acme",
        "external_id": "sku:12/3",
        "notes": "one\r\ntwo\tthree",
        "og_title": "Shoes",
        "og_description": "All of them",
        "og_image": "https://cdn.example.com/shoes.png",
        "og_preview": true,
    });
    let link = server.api().post("/links", &fields).expect(201).data();
    let expected = json!({
        "tags": ["Spring", "e-mail", "größe"], "folder": "clients/acme", "campaign": null,
        "external_id": "sku:12/3", "notes": "one\ntwo\tthree", "og_title": "Shoes",
        "og_description": "All of them", "og_image": "https://cdn.example.com/shoes.png",
        "og_preview": true,
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&link[name], value, "{name}");
    }
    let path = format!("/links/{}", id(&link));
    let read = server.api().get(&path).data();
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&read[name], value, "{name}");
    }

    let kept = server.api().patch(&path, &json!({ "tags": ["Summer"], "notes": null })).data();
    assert_eq!((&kept["tags"], &kept["notes"]), (&json!(["Summer"]), &Value::Null));
    assert_eq!((&kept["folder"], &kept["og_preview"]), (&json!("clients/acme"), &json!(true)));

    let anew = server.api().put(&path, &json!({ "destination": TO })).expect(200).data();
    for name in ["folder", "external_id", "notes", "og_title", "og_description", "og_image"] {
        assert_eq!(anew[name], Value::Null, "{name}");
    }
    assert_eq!((&anew["tags"], &anew["og_preview"]), (&json!([]), &json!(false)));
    assert_eq!(counts(&server, "/tags"), []);
    assert_eq!(counts(&server, "/folders"), []);
}

#[test]
fn what_breaks_a_rule_is_named_by_its_path() {
    let server = Options::links_only().start();
    let many: Vec<_> = (0..51).map(|number| number.to_string()).collect();
    for (fields, names) in [
        (json!({ "tags": many }), vec!["tags"]),
        (json!({ "tags": ["a", "", "b", "A", "x,y"] }), vec!["tags[1]", "tags[3]", "tags[4]"]),
        (json!({ "tags": ["a", "t".repeat(51), "a\nb"] }), vec!["tags[1]", "tags[2]"]),
        (json!({ "tags": "a" }), vec!["tags"]),
        (json!({ "tags": ["a", 1] }), vec!["tags[1]"]),
        (json!({ "folder": "" }), vec!["folder"]),
        (json!({ "folder": "/a" }), vec!["folder"]),
        (json!({ "folder": "a//b" }), vec!["folder"]),
        (json!({ "folder": "a/ /b" }), vec!["folder"]),
        (json!({ "folder": "f".repeat(201) }), vec!["folder"]),
        (json!({ "external_id": "" }), vec!["external_id"]),
        (json!({ "external_id": "a b" }), vec!["external_id"]),
        (json!({ "external_id": "e".repeat(256) }), vec!["external_id"]),
        (json!({ "notes": "n".repeat(2_001) }), vec!["notes"]),
        (json!({ "notes": "a\u{0}b" }), vec!["notes"]),
        (json!({ "campaign": "spring" }), vec!["campaign"]),
        (json!({ "campaign": "camp_00000000000000000000000000" }), vec!["campaign"]),
        (json!({ "utm_template": "utm_00000000000000000000000000" }), vec!["utm_template"]),
        (json!({ "utm_template": "x", "folder": "" }), vec!["folder", "utm_template"]),
        (json!({ "og_title": "t".repeat(201) }), vec!["og_title"]),
        (json!({ "og_description": "t".repeat(501) }), vec!["og_description"]),
        (json!({ "og_image": "javascript:alert(1)" }), vec!["og_image"]),
        (json!({ "og_image": "/a.png" }), vec!["og_image"]),
        (json!({ "og_preview": "yes" }), vec!["og_preview"]),
    ] {
        let mut body = fields.clone();
        body["destination"] = json!(TO);
        server.api().post("/links", &body).refuses(400, "VALIDATION_ERROR", &names);
    }
    assert_eq!(server.api().get("/links/count").data(), json!({ "links": 0 }));
}

#[test]
fn tags_and_folders_are_counted() {
    let server = Options::links_only().start();
    let one = made(&server, json!({ "tags": ["Spring", "mail"], "folder": "a/b" }));
    let two = made(&server, json!({ "tags": ["spring"], "folder": "a", "archived": true }));
    assert_eq!(counts(&server, "/tags"), named(&[("mail", 1), ("Spring", 2)]));
    assert_eq!(counts(&server, "/folders"), named(&[("a", 1), ("a/b", 1)]));

    server.api().patch(&format!("/links/{}", id(&two)), &json!({ "folder": "a/b" })).expect(200);
    server.api().delete(&format!("/links/{}", id(&one))).expect(204);
    assert_eq!(counts(&server, "/tags"), named(&[("Spring", 1)]), "as it was first spelled");
    assert_eq!(counts(&server, "/folders"), named(&[("a/b", 1)]));

    let page = server.api().get("/tags?limit=1&page=2").expect(200).json();
    assert_eq!(page["data"], json!([]));
    let meta = json!({ "page": 2, "limit": 1, "total": 1, "next_cursor": null });
    assert_eq!(page["meta"], meta);
}

#[test]
fn an_external_id_creates_and_replaces() {
    let server = Options::links_only().start();
    let path = "/links/by-external-id/sku%2F1";
    server.api().get(path).problem(404, "NOT_FOUND");
    let first = json!({ "destination": TO, "slug": "sku-1", "title": "One", "tags": ["a"] });
    let answer = server.api().put(path, &first).expect(201);
    let mut link = answer.data();
    assert_eq!((&link["external_id"], &link["version"]), (&json!("sku/1"), &json!(1)));
    // A new link has no clicks; those of others are unknown without ClickHouse.
    for count in ["clicks", "unique_visitors"] {
        assert_eq!(link[count].take(), 0, "{count}");
    }
    assert_eq!(server.api().get(path).expect(200).data(), link);

    let second = json!({ "destination": TO, "external_id": "sku/1" });
    let replaced = server.api().put(path, &second).expect(200).data();
    assert_eq!((&replaced["id"], &replaced["slug"]), (&link["id"], &link["slug"]));
    assert_eq!((&replaced["title"], &replaced["version"]), (&Value::Null, &json!(2)));
    // The same once more changes nothing.
    let same = server.api().put(path, &second).expect(200).data();
    assert_eq!(same["version"], 2);

    let other = json!({ "destination": TO, "external_id": "another" });
    server.api().put(path, &other).refuses(400, "VALIDATION_ERROR", &["external_id"]);
    server.api().put(path, &json!({})).refuses(400, "VALIDATION_ERROR", &["destination"]);
    let taken = json!({ "destination": TO, "external_id": "sku/1" });
    server.api().post("/links", &taken).refuses(409, "CONFLICT", &["external_id"]);
    let another = made(&server, json!({ "external_id": "sku/2" }));
    let path_of_other = format!("/links/{}", id(&another));
    let taken = json!({ "external_id": "sku/1" });
    server.api().patch(&path_of_other, &taken).refuses(409, "CONFLICT", &["external_id"]);

    server.api().delete(&format!("/links/{}", id(&link))).expect(204);
    server.api().get(path).problem(404, "NOT_FOUND");
    server.api().patch(&path_of_other, &taken).expect(200);
    server.api().put("/links/by-external-id/sku%2F2", &second).refuses(
        400,
        "VALIDATION_ERROR",
        &["external_id"],
    );
}

#[test]
fn an_external_id_honours_if_match_and_idempotency_keys() {
    let server = Options::links_only().start();
    let put = |header: (&str, &str), body: &Value| {
        let path = "/links/by-external-id/e1";
        let request = server.api().request(reqwest::Method::PUT, path);
        Answer::to(request.header(header.0, header.1).json(body))
    };
    let body = json!({ "destination": TO });
    put(("If-Match", "\"1\""), &body).problem(412, "PRECONDITION_FAILED");
    let made = put(("Idempotency-Key", "k"), &body).expect(201).data();
    assert_eq!(put(("Idempotency-Key", "k"), &body).expect(201).data()["id"], made["id"]);
    let titled = json!({ "destination": TO, "title": "x" });
    put(("If-Match", "\"2\""), &titled).problem(412, "PRECONDITION_FAILED");
    assert_eq!(put(("If-Match", "\"1\""), &titled).expect(200).data()["version"], 2);
}

/// Of many concurrent requests with one external id, one creates the link.
#[test]
fn concurrent_upserts_make_one_link() {
    const CLIENTS: usize = 64;
    let server = Options::links_only().start();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let ask = |number: usize| {
            let api = server.api();
            move || {
                let body = json!({ "destination": format!("https://example.com/{number}") });
                let answer = api.put("/links/by-external-id/one", &body);
                (answer.status, answer.data()["id"].as_str().unwrap().to_owned())
            }
        };
        let asked: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(ask(number))).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert_eq!(answers.iter().filter(|(status, _)| *status == 201).count(), 1);
    assert_eq!(answers.iter().filter(|(status, _)| *status == 200).count(), CLIENTS - 1);
    let ids: HashSet<_> = answers.iter().map(|(_, id)| id).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(server.api().get("/links").expect(200).json()["meta"]["total"], 1);
    let link = server.api().get("/links/by-external-id/one").data();
    assert_eq!(link["version"], CLIENTS, "each of them took effect, one after the other");
}

#[test]
fn what_is_another_workspaces_is_not_there() {
    let options = Options::links_only();
    let server = options.start();
    let fields = json!({ "name": "Mine", "utm_source": "mine" });
    let campaign = server.api().post("/campaigns", &fields).expect(201).data();
    let template = server.api().post("/utm-templates", &fields).expect(201).data();
    made(
        &server,
        json!({
            "tags": ["mine"], "folder": "mine", "external_id": "mine", "campaign": campaign["id"],
            "slug": "mine",
        }),
    );
    assert!(server.stop().success());
    add_workspace(&options.data);
    let server = options.start();
    let theirs = theirs(&server);

    for path in ["/links", "/tags", "/folders", "/campaigns", "/utm-templates"] {
        let list = theirs.get(path).expect(200).json();
        assert_eq!((&list["data"], &list["meta"]["total"]), (&json!([]), &json!(0)), "{path}");
    }
    let (campaign, template) = (id(&campaign), id(&template));
    for query in [
        "?q=mine",
        "?tag=mine",
        "?folder=mine",
        "?external_id=mine",
        "?sort=slug",
        "?archived=any",
        &format!("?campaign={campaign}"),
    ] {
        let list = theirs.get(&format!("/links{query}")).expect(200).json();
        assert_eq!((&list["data"], &list["meta"]["total"]), (&json!([]), &json!(0)), "{query}");
    }
    theirs.get("/links/by-external-id/mine").problem(404, "NOT_FOUND");
    for path in [format!("/campaigns/{campaign}"), format!("/utm-templates/{template}")] {
        theirs.get(&path).problem(404, "NOT_FOUND");
        theirs.patch(&path, &json!({ "name": "x" })).problem(404, "NOT_FOUND");
        theirs.delete(&path).problem(404, "NOT_FOUND");
    }
    for (field, value) in [("campaign", campaign), ("utm_template", template)] {
        let body = json!({ "destination": TO, field: value });
        theirs.post("/links", &body).refuses(400, "VALIDATION_ERROR", &[field]);
    }
    // Names and external ids are each workspace's own.
    theirs.post("/campaigns", &json!({ "name": "Mine" })).expect(201);
    theirs.put("/links/by-external-id/mine", &json!({ "destination": TO })).expect(201);
    let own = server.api().get("/links/by-external-id/mine").expect(200).data();
    assert_eq!(own["slug"], "mine");
}

/// A restart and a rebuild of the index from the log change nothing.
#[test]
fn all_of_it_outlives_the_index() {
    let options = Options::links_only();
    let server = options.start();
    let campaign = server.api().post("/campaigns", &json!({ "name": "C" })).expect(201).data();
    let gone = server.api().post("/campaigns", &json!({ "name": "D" })).expect(201).data();
    server.api().delete(&format!("/campaigns/{}", id(&gone))).expect(204);
    server.api().post("/utm-templates", &json!({ "name": "T", "utm_term": "t" })).expect(201);
    for number in 0..30 {
        let link = made(
            &server,
            json!({
                "tags": [format!("Tag {}", number % 3), "all"],
                "folder": format!("f/{}", number % 2),
                "campaign": campaign["id"],
                "external_id": format!("e{number}"),
                "archived": number % 5 == 0,
            }),
        );
        if number % 7 == 0 {
            server.api().delete(&format!("/links/{}", id(&link))).expect(204);
        }
    }
    let seen = |server: &Server| -> Vec<Value> {
        let paths = [
            "/links?limit=100",
            "/links?archived=true",
            "/links?tag=all,TAG%201&sort=slug",
            "/links?folder=f&archived=any&limit=100",
            "/tags",
            "/folders",
            "/campaigns",
            "/utm-templates",
            "/links/by-external-id/e1",
        ];
        // A restarted service listens on another port.
        let at = server.base.trim_start_matches("http://");
        let read = |path: &str| {
            let text = server.api().get(path).expect(200).text.replace(at, "here");
            serde_json::from_str(&text).unwrap()
        };
        let mut seen: Vec<Value> = paths.into_iter().map(read).collect();
        let list = format!("/links/count?campaign={}&archived=any", id(&campaign));
        seen.push(server.api().get(&list).data());
        seen
    };
    let before = seen(&server);
    assert_eq!(before[9], json!({ "links": 25 }));
    assert!(server.stop().success());
    let server = options.start();
    assert_eq!(seen(&server), before);
    assert!(server.stop().success());
    let arguments = ["rebuild", "index", "--data-dir"];
    let done = slugline().args(arguments).arg(options.data.path()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let server = options.start();
    assert_eq!(seen(&server), before);
    assert!(server.api_as(TOKEN).get("/links").status == 200);
}

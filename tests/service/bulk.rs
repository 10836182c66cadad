//! Bulk requests: each item has its own result, and all items share one sync.

use serde_json::{Value, json};

use crate::harness::{Answer, Options, Server};
use crate::labels::{TO, add_workspace, id, theirs};

#[track_caller]
fn bulk(server: &Server, method: reqwest::Method, body: &Value) -> Answer {
    Answer::to(server.api().request(method, "/links/bulk").json(body))
}

#[track_caller]
fn create(server: &Server, body: &Value) -> Answer {
    bulk(server, reqwest::Method::POST, body)
}

fn statuses(answer: &Answer) -> Vec<u64> {
    let data = answer.data();
    data.as_array().unwrap().iter().map(|item| item["status"].as_u64().unwrap()).collect()
}

/// The number of syncs of the mutation log.
fn syncs(server: &Server) -> u64 {
    let metrics = server.get("/metrics").expect(200).text;
    let name = "slugline_log_sync_seconds_count{log=\"mutations\"} ";
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0, |count| count.parse().unwrap())
}

#[test]
fn each_item_has_its_own_result() {
    let server = Options::links_only().start();
    server.api().create(&json!({ "destination": TO, "slug": "taken" }));
    let answer = create(
        &server,
        &json!({ "links": [
            { "destination": TO, "slug": "one" },
            { "destination": TO, "slug": "taken" },
            { "destination": "ftp://example.com" },
            { "destination": TO, "odd": 1 },
            7,
            { "destination": TO, "slug": "one" },
            { "destination": TO, "tags": ["x"], "password": "open sesame" },
        ] }),
    )
    .expect(200);
    assert_eq!(statuses(&answer), [201, 409, 400, 400, 400, 409, 201]);
    let (data, meta) = (answer.data(), answer.json()["meta"].clone());
    assert_eq!((meta["succeeded"].clone(), meta["failed"].clone()), (json!(2), json!(5)));
    assert_eq!(meta["offset"].to_string(), answer.header("log-offset"));
    assert_eq!(data[0]["link"]["slug"], "one");
    assert_eq!(data[0]["link"]["clicks"], 0);
    assert_eq!(data[6]["link"]["has_password"], true);
    for (item, field) in [(1, "slug"), (2, "destination"), (3, "odd"), (4, "body"), (5, "slug")] {
        let problem = &data[item]["problem"];
        assert!(problem["errors"][field].is_array(), "{problem}");
        assert!(data[item].get("link").is_none(), "{data}");
    }
    // Created links are visible immediately.
    assert_eq!(server.visit_path("/one").follow(), TO);
    assert_eq!(server.api().get("/links").data().as_array().unwrap().len(), 3);
}

#[test]
fn a_thousand_links_are_one_group() {
    let server = Options::links_only().start();
    let links: Vec<_> = (0..1_000)
        .map(|number| json!({ "destination": TO, "slug": format!("l{number}") }))
        .collect();
    let before = syncs(&server);
    let answer = create(&server, &json!({ "links": links })).expect(200);
    assert!(statuses(&answer).iter().all(|status| *status == 201));
    assert_eq!(syncs(&server) - before, 1);
    assert_eq!(server.data.dump("mutations").len() as u64, answer.json()["meta"]["offset"]);
    let names: Vec<_> = (0..1_000).map(|number| format!("l{number}")).collect();
    let body = json!({ "links": names, "change": { "folder": "all" } });
    assert_eq!(bulk(&server, reqwest::Method::PATCH, &body).json()["meta"]["succeeded"], 1_000);
    let body = json!({ "links": names });
    assert_eq!(bulk(&server, reqwest::Method::DELETE, &body).json()["meta"]["succeeded"], 1_000);
    assert_eq!(syncs(&server) - before, 3);
    server.visit_path("/l7").send().expect(404);
}

#[test]
fn changes_are_for_all_or_for_one() {
    let server = Options::links_only().start();
    for slug in ["a", "b", "c"] {
        server.api().create(&json!({ "destination": TO, "slug": slug, "title": "before" }));
    }
    let body = json!({
        "links": [
            "a",
            { "link": "b", "title": "own", "if_version": 1 },
            { "link": "c", "if_version": 9 },
            "nobody",
            { "title": "x" },
            { "link": "c", "slug": "a" },
        ],
        "change": { "title": "all", "tags": ["t"] }
    });
    let answer = bulk(&server, reqwest::Method::PATCH, &body).expect(200);
    assert_eq!(statuses(&answer), [200, 200, 412, 404, 400, 409]);
    let data = answer.data();
    assert_eq!(
        (data[0]["link"]["title"].clone(), data[0]["link"]["version"].clone()),
        (json!("all"), json!(2))
    );
    assert_eq!(
        (data[1]["link"]["title"].clone(), data[1]["link"]["tags"].clone()),
        (json!("own"), json!(["t"]))
    );
    assert_eq!(server.api().get("/links/c").data()["title"], "before");
}

#[test]
fn links_are_deleted_and_purged() {
    let server = Options::links_only().start();
    let ids: Vec<_> = ["a", "b", "c"]
        .map(|slug| {
            let link = server.api().create(&json!({ "destination": TO, "slug": slug }));
            link.id
        })
        .into();
    let body =
        json!({ "links": ["a", { "link": "b", "if_version": 2 }, { "link": "c", "title": "x" }] });
    let answer = bulk(&server, reqwest::Method::DELETE, &body).expect(200);
    assert_eq!(statuses(&answer), [204, 412, 400]);
    server.visit_path("/a").send().expect(404);
    assert_eq!(server.visit_path("/b").follow(), TO);
    server.api().post(&format!("/links/{}/restore", ids[0]), &json!({})).expect(200);
    let purge = server.api().request(reqwest::Method::DELETE, "/links/bulk?purge=true");
    let answer = Answer::to(purge.json(&json!({ "links": [ids[0]] }))).expect(200);
    assert_eq!(statuses(&answer), [204]);
    server.api().post(&format!("/links/{}/restore", ids[0]), &json!({})).expect(404);
}

/// A request that purges is another one than a request that deletes.
#[test]
fn a_key_knows_what_was_asked() {
    let server = Options::links_only().start();
    let link = server.api().create(&json!({ "destination": TO }));
    let body = json!({ "links": [link.id] });
    let send = |query: &str| {
        let path = format!("/links/bulk{query}");
        let request = server.api().request(reqwest::Method::DELETE, &path);
        Answer::to(request.header("idempotency-key", "k").json(&body)).expect(200)
    };
    assert_eq!(statuses(&send("")), [204]);
    assert_eq!(statuses(&send("?purge=true")), [422]);
    assert_eq!(statuses(&send("")), [204]);
}

#[test]
fn a_request_is_bounded_and_strict() {
    let server = Options::links_only().start();
    let link = json!({ "destination": TO });
    for links in [json!([]), json!(vec![link.clone(); 1_001])] {
        create(&server, &json!({ "links": links })).refuses(400, "VALIDATION_ERROR", &["links"]);
    }
    let links: Vec<_> = (0..101)
        .map(|number| json!({ "destination": TO, "password": format!("sesame {number}") }))
        .collect();
    create(&server, &json!({ "links": links })).refuses(400, "VALIDATION_ERROR", &["password"]);
    let change = json!({ "links": ["a"], "change": { "notes": "x".repeat(70_000) } });
    bulk(&server, reqwest::Method::PATCH, &change).refuses(400, "VALIDATION_ERROR", &["change"]);
    create(&server, &json!({ "links": [link], "odd": 1 })).refuses(
        400,
        "VALIDATION_ERROR",
        &["odd"],
    );
    create(&server, &json!([link])).refuses(400, "VALIDATION_ERROR", &["body"]);
    let long = json!({ "destination": format!("{TO}?q={}", "x".repeat(9 << 20)) });
    create(&server, &json!({ "links": [long] })).refuses(413, "PAYLOAD_TOO_LARGE", &["body"]);
    let (_, reader) = server.api().token(&["links:read"]);
    let request = server.api_as(reader).request(reqwest::Method::POST, "/links/bulk");
    Answer::to(request.json(&json!({ "links": [link] }))).problem(403, "FORBIDDEN");
    assert_eq!(server.api().get("/links").data(), json!([]));
}

/// A hundred links with passwords: the same password is hashed once.
#[test]
fn many_links_get_passwords() {
    let server = Options::links_only().start();
    let links: Vec<_> = (0..100)
        .map(|number| {
            let password = format!("password {}", number % 2);
            json!({ "destination": TO, "slug": format!("l{number}"), "password": password })
        })
        .collect();
    let answer = create(&server, &json!({ "links": links })).expect(200);
    assert!(statuses(&answer).iter().all(|status| *status == 201));
    server.visit_path("/l3").send().expect(401);
}

#[test]
fn a_repeated_request_makes_no_link_twice() {
    let server = Options::links_only().start();
    let send = |body: &Value| {
        let request = server.api().request(reqwest::Method::POST, "/links/bulk");
        Answer::to(request.header("idempotency-key", "k1").json(body))
    };
    let body =
        json!({ "links": [{ "destination": TO }, { "destination": "x" }, { "destination": TO }] });
    let first = send(&body).expect(200);
    assert!(first.headers.get("idempotency-replayed").is_none());
    let again = send(&body).expect(200);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(statuses(&again), [201, 400, 201]);
    for item in [0, 2] {
        assert_eq!(id(&first.data()[item]["link"]), id(&again.data()[item]["link"]));
    }
    let other = send(&json!({ "links": [{ "destination": TO, "title": "other" }] })).expect(200);
    assert_eq!(other.data()[0]["problem"]["code"], "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(server.api().get("/links").data().as_array().unwrap().len(), 2);
}

#[test]
fn anothers_links_are_not_there() {
    let server = Options::links_only().start();
    let mine = server.api().create(&json!({ "destination": TO, "slug": "mine" }));
    let data = server.data.clone();
    assert!(server.stop().success());
    add_workspace(&data);
    let server = Options::links_only().with_data(&data).start();
    let names = json!({ "links": [mine.id, "mine"], "change": { "title": "theirs" } });
    let request = theirs(&server).request(reqwest::Method::PATCH, "/links/bulk").json(&names);
    assert_eq!(statuses(&Answer::to(request).expect(200)), [404, 404]);
    let names = json!({ "links": [mine.id, "mine"] });
    let request = theirs(&server).request(reqwest::Method::DELETE, "/links/bulk").json(&names);
    assert_eq!(statuses(&Answer::to(request).expect(200)), [404, 404]);
    assert_eq!(server.api().get("/links/mine").data()["version"], 1);
}

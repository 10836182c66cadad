//! History: versions of links, past states, reverts, deleted links and the audit log.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, DataFolder, Link, Options, Server, eventually, slugline};

fn change(server: &Server, link: &Link, body: &Value) -> Value {
    server.api().patch(&format!("/links/{}", link.id), body).expect(200).data()
}

fn by_id(link: &Link) -> String {
    format!("/links/{}", link.id)
}

fn list(server: &Server, path: &str) -> (Vec<Value>, Value) {
    let mut answer = server.api().get(path).expect(200).json();
    (answer["data"].as_array().unwrap().clone(), answer["meta"].take())
}

fn restore(server: &Server, link: &Link) -> Answer {
    Answer::to(server.api().request(Method::POST, &format!("{}/restore", by_id(link))))
}

/// A link with the history: created, changed, deleted, restored, reverted to 1.
fn storied(server: &Server) -> Link {
    let link =
        server.api().create(&json!({ "destination": "https://example.com/1", "title": "one" }));
    change(server, &link, &json!({ "destination": "https://example.com/2", "title": null }));
    server.api().delete(&by_id(&link)).expect(204);
    restore(server, &link).expect(200);
    server.api().post(&format!("{}/revert", by_id(&link)), &json!({ "version": 1 })).expect(200);
    link
}

#[test]
fn each_change_is_a_version() {
    let server = Options::links_only().start();
    let link = storied(&server);
    let (versions, meta) = list(&server, &format!("{}/versions", link.path()));
    let of = |name: &str| versions.iter().map(|one| one[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("version"), [5, 4, 3, 2, 1]);
    assert_eq!(of("change"), ["reverted", "restored", "deleted", "changed", "created"]);
    assert_eq!(of("reverted_to"), [json!(1), Value::Null, Value::Null, Value::Null, Value::Null]);
    assert_eq!(meta, json!({ "page": 1, "limit": 20, "total": 5, "next_cursor": null }));
    let titles: Vec<_> = versions.iter().map(|one| &one["link"]["title"]).collect();
    assert_eq!(titles, [&json!("one"), &Value::Null, &Value::Null, &Value::Null, &json!("one")]);
    for version in &versions {
        assert_eq!(version["link"]["version"], version["version"]);
        assert_eq!(version["link"]["id"], link.id.as_str());
        assert!(version["actor"].as_str().unwrap().starts_with("tok_"));
    }

    let (second, meta) = list(&server, &format!("{}/versions?page=2&limit=2", link.path()));
    assert_eq!(second, versions[2..4]);
    assert_eq!(meta["next_cursor"], "2");
    let (last, meta) = list(&server, &format!("{}/versions?cursor=2&limit=2", link.path()));
    assert_eq!((last.as_slice(), &meta["next_cursor"]), (&versions[4..], &Value::Null));
    let (none, _) = list(&server, &format!("{}/versions?page=9", link.path()));
    assert!(none.is_empty());
    server.api().get("/links/nothing-here/versions").problem(404, "NOT_FOUND");
    let both = server.api().get(&format!("{}/versions?page=1&cursor=2", link.path()));
    both.refuses(400, "VALIDATION_ERROR", &["cursor"]);
}

#[test]
fn a_link_is_read_as_it_was() {
    let server = Options::links_only().start();
    let link = storied(&server);
    let (versions, _) = list(&server, &format!("{}/versions", link.path()));
    for version in &versions {
        let at = version["at"].as_str().unwrap();
        // Of two versions in one millisecond the later one stood.
        let then = versions.iter().find(|one| one["at"] == at).unwrap();
        let answer = server.api().get(&format!("{}?at={at}", by_id(&link)));
        if then["change"] == "deleted" {
            let detail = answer.problem(404, "NOT_FOUND")["detail"].clone();
            assert!(detail.as_str().unwrap().contains("deleted"), "{detail}");
        } else {
            assert_eq!(answer.data(), then["link"]);
        }
    }
    let before = server.api().get(&format!("{}?at=2020-01-01T00:00:00Z", by_id(&link)));
    let detail = before.problem(404, "NOT_FOUND")["detail"].clone();
    assert!(detail.as_str().unwrap().contains("not been made"), "{detail}");
    let later = server.api().get(&format!("{}?at=2999-01-01T00:00:00Z", link.path())).data();
    assert_eq!(later["version"], 5);
    let wrong = server.api().get(&format!("{}?at=yesterday", link.path()));
    wrong.refuses(400, "VALIDATION_ERROR", &["at"]);
}

#[test]
fn two_versions_are_compared() {
    let server = Options::links_only().start();
    let link = storied(&server);
    let diff = |from: u32, to: u32| {
        let path = format!("{}/diff?from={from}&to={to}", link.path());
        server.api().get(&path).expect(200).data()["changes"].clone()
    };
    let changes = json!({
        "destination": { "from": "https://example.com/1", "to": "https://example.com/2" },
        "title": { "from": "one", "to": null },
    });
    assert_eq!(diff(1, 2), changes);
    assert_eq!(diff(1, 5), json!({}));
    assert_eq!(diff(4, 3), json!({}));
    assert_eq!(diff(2, 1)["title"], json!({ "from": null, "to": "one" }));
    let get = |query: &str| server.api().get(&format!("{}/diff?{query}", link.path()));
    get("from=1&to=6").refuses(400, "VALIDATION_ERROR", &["to"]);
    get("from=0").refuses(400, "VALIDATION_ERROR", &["from", "to"]);
}

#[test]
fn going_back_is_a_change_like_others() {
    let server = Options::links_only().start();
    let link =
        server.api().create(&json!({ "destination": "https://example.com/1", "slug": "first" }));
    change(&server, &link, &json!({ "destination": "https://example.com/2", "slug": "second" }));
    let path = format!("{}/revert", by_id(&link));
    let revert = |tag: &str, key: &str, version: u32| {
        let request =
            server.api().request(Method::POST, &path).json(&json!({ "version": version }));
        Answer::to(request.header("If-Match", tag).header("Idempotency-Key", key))
    };
    revert("\"1\"", "a", 1).problem(412, "PRECONDITION_FAILED");
    revert("\"2\"", "b", 7).refuses(400, "VALIDATION_ERROR", &["version"]);
    let other =
        server.api().create(&json!({ "destination": "https://example.com", "slug": "first" }));
    revert("\"2\"", "c", 1).refuses(409, "CONFLICT", &["slug"]);
    server.api().delete(&by_id(&other)).expect(204);

    let reverted = revert("\"2\"", "d", 1).expect(200);
    assert_eq!(reverted.header("etag"), "\"3\"");
    assert_eq!(reverted.data()["slug"], "first");
    assert_eq!(server.visit(&link).follow(), "https://example.com/1");
    let again = revert("\"2\"", "d", 1).expect(200);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(
        (again.data()["version"].clone(), again.data()["slug"].clone()),
        (json!(3), json!("first"))
    );
    let same = revert("\"3\"", "e", 1).expect(200);
    assert_eq!(same.data()["version"], 3, "nothing changes");
}

#[test]
fn a_deleted_link_can_be_restored_or_purged() {
    let server = Options::links_only().start();
    let links: Vec<_> = (0..3).map(|_| server.link()).collect();
    for link in &links {
        restore(&server, link).problem(409, "CONFLICT");
        server.api().delete(&by_id(link)).expect(204);
        server.visit(link).send().expect(404);
        server.api().get(&by_id(link)).problem(404, "NOT_FOUND");
    }
    let (deleted, meta) = list(&server, "/links?deleted=true&limit=2");
    let ids: Vec<_> = deleted.iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [&links[2].id, &links[1].id]);
    assert_eq!(meta["total"], 3);
    let cursor = meta["next_cursor"].as_str().unwrap();
    let (rest, _) = list(&server, &format!("/links?deleted=true&limit=2&cursor={cursor}"));
    assert_eq!(rest[0]["id"], links[0].id.as_str());
    let moment = |name: &str| rest[0][name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let kept = moment("restorable_until").as_second() - moment("deleted_at").as_second();
    assert_eq!(kept, 30 * 24 * 3_600);
    assert_eq!(list(&server, "/links").0.len(), 0);
    let (versions, _) = list(&server, &format!("{}/versions", by_id(&links[0])));
    assert_eq!(versions.len(), 2, "by its id");

    // Its slug belongs to another link now.
    server.api().create(&json!({ "destination": "https://example.com", "slug": links[0].slug }));
    restore(&server, &links[0]).refuses(409, "CONFLICT", &["slug"]);
    let with = |body: &Value| server.api().post(&format!("{}/restore", by_id(&links[0])), body);
    with(&json!({ "slug": "a b" })).refuses(400, "VALIDATION_ERROR", &["slug"]);
    with(&json!({ "slig": "a" })).refuses(400, "VALIDATION_ERROR", &["slig"]);
    let back = with(&json!({ "slug": "another" })).expect(200);
    assert_eq!((back.data()["slug"].clone(), back.header("etag")), (json!("another"), "\"3\""));
    server.visit_path("/another").follow();

    let purge = |link: &Link, status: u16| {
        server.api().delete(&format!("{}?purge=true", by_id(link))).expect(status);
        restore(&server, link).problem(404, "NOT_FOUND");
        server.api().get(&format!("{}/versions", by_id(link))).problem(404, "NOT_FOUND");
        let at = format!("{}?at=2999-01-01T00:00:00Z", by_id(link));
        server.api().get(&at).problem(404, "NOT_FOUND");
    };
    purge(&links[1], 204);
    purge(&links[1], 404);
    purge(&links[0], 204);
    server.visit_path("/another").send().expect(404);
    let (deleted, meta) = list(&server, "/links?deleted=true");
    assert_eq!((deleted.len(), &meta["total"]), (1, &json!(1)));
    let wrong = server.api().delete(&format!("{}?purge=yes", by_id(&links[2])));
    wrong.refuses(400, "VALIDATION_ERROR", &["purge"]);
}

/// Unique values that are taken, and references that are gone, when a link is restored.
#[test]
fn a_link_comes_back_among_those_that_are_there_by_then() {
    let server = Options::links_only().start();
    let made = server.api().post("/campaigns", &json!({ "name": "Spring" })).expect(201).data();
    let campaign = made["id"].as_str().unwrap();
    let labelled = json!({
        "destination": "https://example.com", "campaign": campaign, "external_id": "one",
        "tags": ["blue"], "max_clicks": 5, "password": "a password of old",
    });
    let link = server.api().create(&labelled);
    let count = |server: &Server, path: &str| -> u64 {
        server.api().get(path).expect(200).data()["links"].as_u64().unwrap()
    };
    assert_eq!(count(&server, "/links/count?tag=blue"), 1);
    server.api().delete(&by_id(&link)).expect(204);
    assert_eq!(count(&server, "/links/count?tag=blue"), 0);
    server.api().delete(&format!("/campaigns/{campaign}")).expect(204);
    let thief = json!({ "destination": "https://example.com/thief", "external_id": "one" });
    let thief = server.api().create(&thief);
    restore(&server, &link).refuses(409, "CONFLICT", &["external_id"]);
    change(&server, &thief, &json!({ "external_id": null }));
    let back = restore(&server, &link).expect(200).data();
    assert_eq!(back["campaign"], Value::Null);
    assert_eq!((&back["external_id"], &back["tags"]), (&json!("one"), &json!(["blue"])));
    assert_eq!(count(&server, "/links/count?tag=blue"), 1);
    let named = server.api().get("/links/by-external-id/one").expect(200).data();
    assert_eq!(named["id"], link.id.as_str());

    change(&server, &link, &json!({ "password": "another one", "external_id": null }));
    let diff = format!("{}/diff?from=3&to=4", by_id(&link));
    let changes = server.api().get(&diff).expect(200).data()["changes"].take();
    let unsaid = json!({ "from": null, "to": null });
    let external = json!({ "from": "one", "to": null });
    assert_eq!(changes, json!({ "password": unsaid, "external_id": external }));
    let (audit, _) = list(&server, "/audit?limit=1");
    assert_eq!(audit[0]["changed"], json!(["external_id", "password"]));
    let (deleted, _) = list(&server, "/audit?action=campaign.deleted");
    assert_eq!(deleted[0]["subject"], campaign);

    change(&server, &thief, &json!({ "external_id": "one" }));
    let revert = |version: u32| {
        server.api().post(&format!("{}/revert", by_id(&link)), &json!({ "version": version }))
    };
    revert(1).refuses(409, "CONFLICT", &["external_id"]);
    change(&server, &thief, &json!({ "external_id": null }));
    let reverted = revert(1).expect(200).data();
    assert_eq!((&reverted["campaign"], &reverted["max_clicks"]), (&Value::Null, &json!(5)));
    server.api().delete(&format!("{}?purge=true", by_id(&link))).expect(204);
    assert_eq!(count(&server, "/links/count?tag=blue"), 0);
}

#[test]
fn a_restoration_that_is_repeated_is_done_once() {
    let server = Options::links_only().start();
    let link = server.link();
    server.api().delete(&by_id(&link)).expect(204);
    let restore = |key: &str| {
        let request = server.api().request(Method::POST, &format!("{}/restore", by_id(&link)));
        Answer::to(request.header("Idempotency-Key", key))
    };
    let [first, again] = [(); 2].map(|()| restore("one").expect(200));
    assert_eq!(first.json(), again.json());
    restore("two").problem(409, "CONFLICT");
}

#[test]
fn the_audit_tells_who_did_what() {
    let server = Options::links_only().start();
    let (id, secret) = server.api().token(&["links:write", "audit:read"]);
    let link = storied(&server);
    let limited = server.api_as(&secret);
    let other = limited.create(&json!({ "destination": "https://example.com/other" }));
    limited.delete(&format!("{}?purge=true", by_id(&other))).expect(204);
    server.api().delete(&format!("/tokens/{id}")).expect(204);

    let (all, meta) = list(&server, "/audit?limit=100");
    assert_eq!(meta["next_cursor"], Value::Null);
    let actions = |entries: &[Value]| -> Vec<String> {
        entries.iter().map(|entry| entry["action"].as_str().unwrap().to_owned()).collect()
    };
    let of_link =
        ["link.reverted", "link.restored", "link.deleted", "link.changed", "link.created"];
    let mut expected = vec!["token.revoked", "link.purged", "link.created"];
    expected.extend(of_link);
    expected.extend(["token.created", "token.created", "workspace.created"]);
    assert_eq!(actions(&all), expected);
    let offsets: Vec<_> = all.iter().map(|entry| entry["offset"].as_u64().unwrap()).collect();
    // The first event is that of the superadmin, in the personal workspace.
    assert_eq!(offsets, (2..=12).rev().collect::<Vec<_>>());
    assert_eq!(all[3]["changed"], json!(["destination", "title"]));
    assert_eq!(all[4]["changed"], json!([]));
    assert_eq!(all[6]["changed"], json!(["destination", "title"]));
    assert_eq!(all[10]["actor"], Value::Null);
    assert_eq!((&all[0]["subject"], &all[8]["subject"]), (&json!(id), &json!(id)));
    let said = Value::Array(all.clone()).to_string();
    assert!(!said.contains("secret") && !said.contains("sha256"));

    let get = |query: &str| list(&server, &format!("/audit?{query}")).0;
    assert_eq!(actions(&get(&format!("link={}", link.id))), of_link);
    assert_eq!(get(&format!("actor={id}")), all[1..3]);
    assert_eq!(get("action=link.created"), [all[2].clone(), all[7].clone()]);
    assert_eq!(get("action=link.reverted"), [all[3].clone()]);
    let at = all[5]["at"].as_str().unwrap();
    let from: Vec<_> =
        all.iter().filter(|one| one["at"].as_str().unwrap() >= at).cloned().collect();
    assert_eq!(get(&format!("from={at}")), from);
    assert_eq!(get(&format!("to={at}&limit=100")), all[from.len()..]);
    let (first, meta) = list(&server, "/audit?limit=4");
    let cursor = meta["next_cursor"].as_str().unwrap();
    assert_eq!((first, get(&format!("cursor={cursor}"))), (all[..4].to_vec(), all[4..].to_vec()));
    let wrong = server.api().get("/audit?link=x&actor=y&action=z&from=n&to=all");
    wrong.refuses(400, "VALIDATION_ERROR", &["action", "actor", "from", "link", "to"]);
}

/// Queries of the past have the same results after a restart and after a rebuild of the index.
#[test]
fn the_past_outlives_the_index() {
    let options = Options::links_only().public_url("http://sho.rt");
    let server = options.start();
    let (data, link, deleted) = (server.data.clone(), storied(&server), server.link());
    server.api().delete(&by_id(&deleted)).expect(204);
    let ask = |server: &Server| {
        let versions = format!("{}/versions", by_id(&link));
        [versions.as_str(), "/links?deleted=true", "/audit"].map(|path| list(server, path).0)
    };
    let before = ask(&server);
    let rebuild = slugline().args(["rebuild", "index", "--data-dir"]).arg(data.path()).output();
    assert!(rebuild.unwrap().status.success());
    assert_eq!(ask(&server), before);
    assert!(server.stop().success());
    std::fs::remove_dir_all(data.path().join("index")).unwrap();
    assert_eq!(ask(&options.start()), before);
}

fn run(data: &DataFolder, arguments: &[&str]) {
    let output = slugline().args(arguments).arg("--data-dir").arg(data.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The number of clicks in total, by link, and of one link.
fn counts(server: &Server, link: &Link, min_offset: u64) -> [u64; 3] {
    let ask = |question: Value| {
        let mut question = question;
        let more = json!({ "bots": "include", "date_range": "30d", "min_offset": min_offset });
        question.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let rows = server.api().post("/analytics/query", &question).expect(200).data();
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| row["metrics"]["clicks"].as_u64().unwrap()).sum()
    };
    let only = json!([{ "dimension": "link", "operator": "is", "value": [link.id] }]);
    [
        ask(json!({})),
        ask(json!({ "dimensions": ["link"] })),
        ask(json!({ "dimensions": ["country"], "filters": only })),
    ]
}

/// A restored link's clicks from before stay gone; those from then on count: at once, after its old
/// ones were removed, after a rebuild, and by another ClickHouse.
#[test]
fn a_restored_link_counts_anew() {
    let server = Options::new().start();
    server.await_analytics();
    let (data, link, other) = (server.data.clone(), server.link(), server.link());
    let visit = |server: &Server, link: &Link, times: u64| {
        (0..times).for_each(|_| drop(server.visit(link).send().expect(302)));
    };
    visit(&server, &link, 4);
    visit(&server, &other, 1);
    let removed = |server: &Server| {
        server.await_projection();
        let found = crate::accounts::operator(server).get("/admin/reconcile").expect(200).data();
        assert_eq!(found["equal"], true, "{found}");
        let months = found["months"].as_array().unwrap().iter();
        months.map(|month| month["removed"].as_u64().unwrap()).sum::<u64>()
    };
    let again = |server: &Server, visits: u64| {
        server.api().delete(&by_id(&link)).expect(204);
        let restored = restore(server, &link).expect(200);
        visit(server, &link, visits);
        server.await_projection();
        restored.header("log-offset").parse::<u64>().unwrap()
    };
    let offset = again(&server, 2);
    assert_eq!(counts(&server, &link, offset), [3, 3, 2], "while the old ones are there");
    eventually("they are removed", || (removed(&server) == 4).then_some(()));
    assert_eq!(counts(&server, &link, 0), [3, 3, 2], "once they are not");

    visit(&server, &link, 1);
    let offset = again(&server, 5);
    assert_eq!(counts(&server, &link, offset), [6, 6, 5], "once more");
    run(&data, &["rebuild", "analytics"]);
    assert_eq!(counts(&server, &link, 0), [6, 6, 5], "rebuilt amid it");
    eventually("these are removed too", || (removed(&server) == 7).then_some(()));
    run(&data, &["rebuild", "analytics"]);
    assert_eq!((counts(&server, &link, 0), removed(&server)), ([6, 6, 5], 7));
    assert!(server.stop().success());

    // From the logs alone; how far the deleted links are is lost too.
    std::fs::remove_dir_all(data.path().join("clickhouse")).unwrap();
    std::fs::remove_file(data.path().join("clickhouse.plan")).unwrap();
    std::fs::remove_file(data.path().join("forgotten.offset")).unwrap();
    let server = Options::at(&data).start();
    server.await_analytics();
    server.await_projection();
    assert_eq!(counts(&server, &link, 0), [6, 6, 5], "from the logs");
    eventually("they are removed here too", || (removed(&server) == 7).then_some(()));
    assert_eq!(counts(&server, &link, 0), [6, 6, 5]);
}

/// So do its visits that a gate stopped, which are no clicks.
#[test]
fn a_restored_links_blocked_visits_count_anew() {
    let server = Options::new().start();
    server.await_analytics();
    let (data, link) = (server.data.clone(), server.link());
    change(&server, &link, &json!({ "enabled": false }));
    let visit = |server: &Server, times: u64| {
        (0..times).for_each(|_| drop(server.visit(&link).send().expect(404)));
    };
    let blocked = |server: &Server, min_offset: u64| {
        server.await_projection();
        let path = format!("{}/blocked?min_offset={min_offset}", by_id(&link));
        server.api().get(&path).expect(200).data()["visits"].as_u64().unwrap()
    };
    visit(&server, 3);
    assert_eq!(blocked(&server, 0), 3);
    server.api().delete(&by_id(&link)).expect(204);
    let restored = restore(&server, &link).expect(200);
    visit(&server, 2);
    let offset = restored.header("log-offset").parse().unwrap();
    assert_eq!(blocked(&server, offset), 2, "at once, whether the old ones are removed or not");
    run(&data, &["rebuild", "analytics"]);
    assert_eq!(blocked(&server, 0), 2, "rebuilt");
}

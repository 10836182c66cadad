//! Retries and conflicting changes: `Idempotency-Key`, `ETag` and `If-Match`.

use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Answer, Options, Server, shared};

fn post(server: &Server, key: &str, body: &Value) -> Answer {
    let request = server.api().request(Method::POST, "/links").json(body);
    Answer::to(request.header("Idempotency-Key", key))
}

fn change(server: &Server, method: Method, path: &str, tag: &str) -> Answer {
    let body = json!({ "destination": "https://example.com/changed", "title": tag });
    Answer::to(server.api().request(method, path).header("If-Match", tag).json(&body))
}

/// The same request under the same key makes one link, and the answer says that it is the
/// first one's.
#[test]
fn a_repeated_request_finds_the_link_that_the_first_one_made() {
    let server = shared();
    let body = json!({ "destination": "https://example.com", "title": "once" });
    let first = post(&server, "make it once", &body).expect(201);
    assert!(!first.headers.contains_key("idempotency-replayed"));
    let again = post(&server, "make it once", &body).expect(201);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.data(), first.data());
    assert_eq!(again.header("location"), first.header("location"));

    let other = post(&server, "make another", &body).expect(201);
    assert_ne!(other.data()["id"], first.data()["id"]);
}

#[test]
fn a_key_that_comes_with_another_request_is_refused() {
    let server = shared();
    let body = json!({ "destination": "https://example.com/one" });
    post(&server, "one key", &body).expect(201);
    let other = json!({ "destination": "https://example.com/two" });
    post(&server, "one key", &other).problem(422, "IDEMPOTENCY_KEY_REUSED");
}

/// A refused request leaves its key free: what was wrong can be put right.
#[test]
fn a_refused_request_does_not_use_its_key_up() {
    let server = shared();
    let wrong = json!({ "destination": "no address" });
    post(&server, "second try", &wrong).refuses(400, "VALIDATION_ERROR", &["destination"]);
    post(&server, "second try", &json!({ "destination": "https://example.com" })).expect(201);
}

#[test]
fn requests_that_repeat_each_other_at_once_make_one_link() {
    let server = shared();
    let body = json!({ "destination": "https://example.com/at-once" });
    let ids: Vec<_> = std::thread::scope(|scope| {
        let asked: Vec<_> =
            (0..8).map(|_| scope.spawn(|| post(&server, "all at once", &body))).collect();
        let answers = asked.into_iter().map(|request| request.join().unwrap());
        answers.map(|answer| answer.expect(201).data()["id"].clone()).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

/// The key is part of what happened, so a crash does not forget it.
#[test]
fn a_key_survives_a_crash() {
    let options = Options::links_only();
    let server = options.start();
    let body = json!({ "destination": "https://example.com", "slug": "once-and-for-all" });
    let first = post(&server, "before the crash", &body).expect(201).data();
    server.signal(Signal::KILL);
    drop(server);

    let server = options.start();
    let again = post(&server, "before the crash", &body).expect(201);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.data()["id"], first["id"]);
    let other = json!({ "destination": "https://example.com" });
    post(&server, "before the crash", &other).problem(422, "IDEMPOTENCY_KEY_REUSED");
    // Without the index, too: it is rebuilt from the log.
    assert!(server.stop().success());
    std::fs::remove_dir_all(options.data.path().join("index")).unwrap();
    let server = options.start();
    assert_eq!(post(&server, "before the crash", &body).expect(201).data()["id"], first["id"]);
}

/// Whatever is changed under a key, the repetition says that it is one.
#[test]
fn each_repeated_change_says_that_it_is_one() {
    let server = shared();
    let link = server.link();
    let campaign = json!({ "name": "repeated changes" });
    let made = server.api().post("/campaigns", &campaign).expect(201).data();
    let campaigns = format!("/campaigns/{}", made["id"].as_str().unwrap());
    let upsert = json!({ "destination": "https://example.com/upsert" });
    let root = json!({ "root_redirect": "https://example.com" });
    let deleted = server.link();
    server.api().delete(&deleted.path()).expect(204);
    for (method, path, body) in [
        (Method::PATCH, link.path(), json!({ "title": "repeated" })),
        (Method::PUT, link.path(), upsert.clone()),
        (Method::PUT, "/links/by-external-id/repeated".to_owned(), upsert),
        (Method::POST, format!("{}/revert", link.path()), json!({ "version": 1 })),
        (Method::POST, format!("/links/{}/restore", deleted.id), json!({})),
        (Method::POST, "/tokens".to_owned(), json!({ "name": "x", "abilities": ["links:read"] })),
        (Method::POST, "/campaigns".to_owned(), json!({ "name": "repeated" })),
        (Method::PATCH, campaigns, json!({ "name": "repeated and changed" })),
        (Method::POST, "/utm-templates".to_owned(), json!({ "name": "repeated" })),
        (Method::POST, "/domains".to_owned(), json!({ "hostname": "repeated.example" })),
        (Method::PATCH, "/domains/repeated.example".to_owned(), root),
    ] {
        let ask = || {
            let request = server.api().request(method.clone(), &path).json(&body);
            Answer::to(request.header("Idempotency-Key", format!("{method} {path}")))
        };
        let (first, again) = (ask(), ask());
        assert!((200..300).contains(&first.status), "{first:?}");
        assert!(!first.headers.contains_key("idempotency-replayed"), "{first:?}");
        assert_eq!(again.status, first.status, "{again:?}");
        assert_eq!(again.header("idempotency-replayed"), "true");
    }
}

/// A token requested twice with one key is created once; its secret is not shown again.
#[test]
fn a_repeated_request_for_a_token_does_not_show_its_secret_again() {
    let server = shared();
    let ask = || {
        let body = json!({ "name": "once", "abilities": ["links:read"] });
        let request = server.api().request(Method::POST, "/tokens").json(&body);
        Answer::to(request.header("Idempotency-Key", "token once")).expect(201).data()
    };
    let (first, again) = (ask(), ask());
    assert_eq!(first["id"], again["id"]);
    assert!(first["token"].is_string() && again.get("token").is_none());
}

/// Each answer carries the link's version as its entity tag, which goes on with each change.
#[test]
fn a_links_etag_is_its_version() {
    let server = shared();
    let made = server.api().post("/links", &json!({ "destination": "https://example.com" }));
    let link = crate::harness::Link::of(&made.expect(201).data());
    let first = server.api().get(&link.path()).expect(200);
    assert_eq!(first.header("etag"), "\"1\"");
    let changed = server.api().patch(&link.path(), &json!({ "title": "x" })).expect(200);
    assert_eq!(changed.header("etag"), "\"2\"");
    assert_eq!(server.api().get(&link.path()).header("etag"), "\"2\"");
    let unchanged = server.api().patch(&link.path(), &json!({ "title": "x" })).expect(200);
    assert_eq!(unchanged.header("etag"), "\"2\"", "a change to the same is none");
}

/// Who has seen an older version changes nothing, whichever way he tries.
#[test]
fn a_change_of_a_version_that_is_gone_is_refused() {
    let server = shared();
    let link = server.link();
    change(&server, Method::PATCH, &link.path(), "\"1\"").expect(200);
    for method in [Method::PATCH, Method::PUT, Method::DELETE] {
        let late = change(&server, method.clone(), &link.path(), "\"1\"");
        late.problem(412, "PRECONDITION_FAILED");
    }
    assert_eq!(server.api().get(&link.path()).data()["version"], 2);
    for tag in ["2", "\"two\"", "W/\"2\"x", "", "\"1\", \"2\""] {
        let odd = change(&server, Method::PATCH, &link.path(), tag);
        odd.refuses(400, "VALIDATION_ERROR", &["If-Match"]);
    }
    change(&server, Method::PUT, &link.path(), "\"2\"").expect(200);
    change(&server, Method::PATCH, &link.path(), "*").expect(200);
    change(&server, Method::DELETE, &link.path(), "\"4\"").expect(204);
}

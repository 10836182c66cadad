//! The blocklist file of destinations.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Options, Server, eventually};

const FINE: &str = "https://example.com/";
const BAD: &str = "https://www.evil.example/x";

/// A server whose list names a host, and the folder that the list is in.
fn start() -> (Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("blocklist");
    fs::write(&file, "evil.example # all of it\n/\\/phish\\b/\n").unwrap();
    (Options::links_only().flag("--blocklist", &file).start(), folder)
}

fn reload(server: &Server, folder: &tempfile::TempDir, list: &str) {
    fs::write(folder.path().join("blocklist"), list).unwrap();
    server.signal(Signal::HUP);
}

#[test]
fn no_link_leads_to_what_is_on_the_list() {
    let (server, _folder) = start();
    let refused = |body: Value, field: &str| {
        server.api().post("/links", &body).refuses(400, "VALIDATION_ERROR", &[field]);
    };
    refused(json!({ "destination": BAD }), "destination");
    refused(json!({ "destination": "https://example.com/a/phish?x" }), "destination");
    refused(json!({ "destination": FINE, "expired_url": BAD }), "expired_url");
    refused(json!({ "destination": FINE, "ios_url": BAD }), "ios_url");
    let intent = "intent://www.evil.example/x#Intent;scheme=https;package=com.example;end";
    refused(json!({ "destination": FINE, "android_url": intent }), "android_url");
    let fallback = "intent://open#Intent;scheme=myapp;S.browser_fallback_url=https%3A%2F%2Fevil.example%2F;end";
    refused(json!({ "destination": FINE, "android_url": fallback }), "android_url");
    let rules = |target: Value| json!({ "destination": FINE, "rules": [{ "target": target }] });
    refused(rules(json!({ "destination": BAD })), "rules[0].target");
    let app = json!({ "destination": FINE, "ios_url": "myapp://x", "ios_store_url": BAD });
    refused(rules(app), "rules[0].target.ios_store_url");
    let split = json!({ "split": { "variants": [
        { "name": "a", "destination": FINE, "weight": 1 },
        { "name": "b", "destination": BAD, "weight": 1 },
    ] } });
    refused(rules(split), "rules[0].target");
    refused(json!({ "destination": FINE, "og_image": BAD }), "og_image");
    let card = json!({ "kind": "vcard", "payload": { "name": "Ada", "url": BAD } });
    refused(card, "payload.url");
    for hidden in ["https://%65vil%2eexample/", "https://example.com/%70hish"] {
        refused(json!({ "destination": hidden }), "destination");
    }
    refused(json!({ "destination": FINE, "ios_url": "myapp://%65vil.example/x" }), "ios_url");
    assert_eq!(server.api().get("/links").data(), json!([]));
    server.api().create(&json!({ "destination": "https://example.com/evil.example" }));
}

/// A link that was made before stays, and can be changed in what the list says nothing of.
#[test]
fn the_list_is_read_again_on_a_hangup() {
    let (server, folder) = start();
    let link = server.api().create(&json!({ "destination": "https://later.example/" }));
    reload(&server, &folder, "later.example\n");
    eventually("the list is read again", || {
        let body = json!({ "destination": "https://later.example/" });
        (server.api().post("/links", &body).status == 400).then_some(())
    });
    server.api().create(&json!({ "destination": BAD }));
    assert_eq!(server.visit(&link).follow(), "https://later.example/");
    server.api().patch(&link.path(), &json!({ "title": "still here" })).expect(200);
    let back = json!({ "destination": FINE });
    server.api().patch(&link.path(), &back).expect(200);
    let again = json!({ "destination": "https://later.example/" });
    server.api().patch(&link.path(), &again).refuses(400, "VALIDATION_ERROR", &["destination"]);
    // A list that can't be read leaves the one before in force.
    reload(&server, &folder, "no host\n");
    eventually("the list is found to be wrong", || {
        server.stderr.lines().iter().any(|line| line.contains("reload failed")).then_some(())
    });
    let body = json!({ "destination": "https://later.example/" });
    server.api().post("/links", &body).refuses(400, "VALIDATION_ERROR", &["destination"]);
}

/// Neither a revert nor a restore can bring back a blocklisted destination.
#[test]
fn the_past_of_a_link_does_not_come_back_past_the_list() {
    let (server, folder) = start();
    let later = json!({ "destination": "https://later.example/" });
    let (changed, deleted) = (server.api().create(&later), server.api().create(&later));
    server.api().patch(&changed.path(), &json!({ "destination": FINE })).expect(200);
    server.api().patch(&changed.path(), &json!({ "title": "third" })).expect(200);
    server.api().delete(&deleted.path()).expect(204);
    reload(&server, &folder, "later.example\n");
    eventually("the list is read again", || {
        (server.api().post("/links", &later).status == 400).then_some(())
    });
    let revert = |version: u32| {
        server.api().post(&format!("{}/revert", changed.path()), &json!({ "version": version }))
    };
    revert(1).refuses(400, "VALIDATION_ERROR", &["destination"]);
    revert(2).expect(200);
    let restore = || server.api().post(&format!("/links/{}/restore", deleted.id), &json!({}));
    let refused = eventually("the deletion is followed", || {
        let answer = restore();
        (answer.status != 503).then_some(answer)
    });
    refused.refuses(400, "VALIDATION_ERROR", &["destination"]);
    reload(&server, &folder, "");
    eventually("the list is empty", || (restore().status == 200).then_some(()));
    revert(1).expect(200);
}

#[test]
fn no_link_leads_back_to_the_service() {
    let (server, _folder) = start();
    let own = format!("{}/other", server.base);
    for field in ["destination", "expired_url", "ios_url"] {
        let mut body = json!({ "destination": FINE });
        body[field] = json!(own);
        server.api().post("/links", &body).refuses(400, "VALIDATION_ERROR", &[field]);
    }
}

#[test]
fn unknown_fields_are_named_with_their_path() {
    let (server, _folder) = start();
    let body = json!({ "destination": FINE, "rules": [
        { "target": { "destination": FINE, "odd": 1 }, "conditions": [] }
    ] });
    server.api().post("/links", &body).refuses(400, "VALIDATION_ERROR", &["rules[0].target.odd"]);
    let body = json!({ "destination": FINE, "rules": [{ "conditions": [] }] });
    server.api().post("/links", &body).refuses(400, "VALIDATION_ERROR", &["rules[0].target"]);
}

//! Codes and brand defaults that scanners would not read.

use reqwest::Method;
use serde_json::{Value, json};

use super::{data_uri, ids, made, of, path, text, with};
use crate::harness::{Answer, Options, shared};

#[test]
fn what_scanners_would_not_read_is_not_drawn() {
    let server = shared();
    let slug = "s".repeat(120);
    let link = json!({ "destination": "https://example.com", "slug": slug });
    let link = server.api().create(&link);
    let small = server.api().post("/qr-codes", &with(&link, "size", 100));
    small.refuses(400, "VALIDATION_ERROR", &["size"]);
    let code = made(&server, &of(&link));
    let image = |size: u32| server.api().get(&format!("{}/image?size={size}", path(&code)));
    image(100).refuses(400, "VALIDATION_ERROR", &["size"]);
    image(1_000).expect(200);
    let huge =
        json!({ "link": link.slug, "logo": data_uri(), "logo_size": 40, "error_correction": "L" });
    server.api().post("/qr-codes", &huge).refuses(400, "VALIDATION_ERROR", &["logo_size"]);
}

/// A link may become longer than a code of it has room for. The code is not to blame.
#[test]
fn a_code_that_became_too_small_can_be_changed() {
    let server = shared();
    let code = made(&server, &with(&server.link(), "size", 100));
    let slug = "s".repeat(100);
    let renamed = json!({ "slug": format!("{slug}-of-a-small-code") });
    server.api().patch(&format!("/links/{}", text(&code, "link")), &renamed).expect(200);
    let change = |body: Value| server.api().patch(&path(&code), &body);
    let named = change(json!({ "name": "Poster", "size": 100, "format": "svg" })).expect(200);
    let warning = &named.json()["meta"]["warnings"][0];
    assert_eq!(warning["field"], "size");
    assert!(warning["text"].as_str().unwrap().contains("size must be at least"), "{warning}");
    server.api().get(&format!("{}/image", path(&code))).expect(200);
    change(json!({ "color": "#000080" })).refuses(400, "VALIDATION_ERROR", &["size"]);
    change(json!({ "color": "#000080", "size": 400 })).expect(200);
}

#[test]
fn a_version_that_scanners_would_not_read_is_not_reverted_to() {
    let server = shared();
    let code = made(&server, &with(&server.link(), "size", 100));
    let renamed = json!({ "slug": format!("{}-reverted", "s".repeat(100)) });
    server.api().patch(&format!("/links/{}", text(&code, "link")), &renamed).expect(200);
    server.api().patch(&path(&code), &json!({ "size": 600 })).expect(200);
    let refused = server.api().post(&format!("{}/revert", path(&code)), &json!({ "version": 1 }));
    assert!(reason(&refused, "size").contains("as in version 1"), "{refused:?}");
    assert_eq!(server.api().get(&path(&code)).data()["version"], 2);
}

#[test]
fn defaults_of_a_workspace_are_checked_with_those_of_its_domains() {
    let server = Options::links_only().start();
    let domain = json!({ "hostname": "go.example.com" });
    let domain = text(&server.api().post("/domains", &domain).expect(201).data(), "id");
    let of_domain = format!("/domains/{domain}/qr-defaults");
    server.api().put(&of_domain, &json!({ "size": 120 })).expect(200);
    let wide = json!({ "margin": 20 });
    let refused = server.api().put("/qr-defaults", &wide);
    let origin = "with the defaults of go.example.com";
    assert!(reason(&refused, "size").contains(origin), "{refused:?}");
    server.api().put(&of_domain, &json!({})).expect(200);
    server.api().put("/qr-defaults", &wide).expect(200);
}

/// Each change alone can be read, both together cannot.
#[test]
fn concurrent_changes_leave_a_code_that_scanners_read() {
    let server = shared();
    let code = made(&server, &of(&server.link()));
    let path = path(&code);
    for _ in 0..10 {
        server.api().patch(&path, &json!({ "color": null, "background_color": null })).expect(200);
        let change = |body: Value| server.api().patch(&path, &body).status;
        let mut statuses = std::thread::scope(|scope| {
            let other = scope.spawn(|| change(json!({ "color": "#006000" })));
            [change(json!({ "background_color": "#808080" })), other.join().unwrap()]
        });
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 400]);
    }
}

/// What was answered once is answered again, whatever the request would meet now.
#[test]
fn a_repeated_request_is_not_checked_again() {
    let server = Options::links_only().start();
    let body = with(&server.link(), "color", "#101010");
    let send = || {
        let request = server.api().request(Method::POST, "/qr-codes").json(&body);
        Answer::to(request.header("Idempotency-Key", "one poster"))
    };
    let first = send().expect(201);
    let dark = json!({ "color": "#ffffff", "background_color": "#000000" });
    server.api().put("/qr-defaults", &dark).expect(200);
    let again = send().expect(201);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.data(), first.data());
    server.api().post("/qr-codes", &body).refuses(400, "VALIDATION_ERROR", &["color"]);
}

/// Why a field was refused.
fn reason(answer: &Answer, field: &str) -> String {
    answer.refuses(400, "VALIDATION_ERROR", &[field]);
    answer.json()["errors"][field].to_string()
}

#[test]
fn defaults_that_no_code_can_have_are_refused() {
    let server = Options::links_only().start();
    let put = |path: &str, body: Value| server.api().put(path, &body);
    let pale = json!({ "color": "#cccccc", "logo": data_uri() });
    assert!(reason(&put("/qr-defaults", pale), "color").contains("must be darker"));
    let small = json!({ "dot_style": "dots", "size": 100 });
    reason(&put("/qr-defaults", small), "size");
    let none = server.api().get("/qr-defaults").data();
    assert!(none.as_object().unwrap().values().all(Value::is_null), "{none}");
    assert!(ids(&server.api().get("/qr-logos")).is_empty());

    put("/qr-defaults", json!({ "background_color": "#ffff00" })).expect(200);
    let domain = json!({ "hostname": "go.example.com" });
    let domain = text(&server.api().post("/domains", &domain).expect(201).data(), "id");
    let yellow = json!({ "color": "#ffff88" });
    let inherited = "`background_color` is from the workspace's defaults";
    let refused = put(&format!("/domains/{domain}/qr-defaults"), yellow);
    assert!(reason(&refused, "color").contains(inherited), "{refused:?}");
    let link = server.link();
    let refused = server.api().post("/qr-codes", &with(&link, "color", "#ffff88"));
    assert!(reason(&refused, "color").contains(inherited), "{refused:?}");
    let own = json!({ "link": link.slug, "color": "#cccccc", "background_color": null });
    let refused = server.api().post("/qr-codes", &own);
    assert!(!reason(&refused, "color").contains("defaults"), "{refused:?}");
}

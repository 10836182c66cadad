//! Kutt's files.

use serde_json::{Value, json};

use super::*;

fn answer(more: &Value) -> String {
    let mut link = json!({
        "address": "spring", "banned": false, "created_at": "2024-03-01T10:00:00.000Z",
        "id": "e4ae6f9e-0d36-4ba8-a25f-8a6d1f1b2a0c", "link": "https://kutt.example/spring",
        "password": false, "target": "https://acme.example/", "description": "for the mail",
        "updated_at": "2024-03-01T10:00:00.000Z", "visit_count": 7, "domain": null,
        "expire_in": "2099-01-01 10:00:00"
    });
    for (name, value) in more.as_object().unwrap() {
        link[name] = value.clone();
    }
    json!({"limit": 10, "skip": 0, "total": 1, "data": [link]}).to_string()
}

#[test]
fn the_api_response() {
    let row = row(Format::Kutt, answer(&json!({})));
    assert_eq!(row.host.as_deref(), Some("kutt.example"));
    let link = row.link.unwrap();
    assert_eq!((link.slug, link.destination), (text("spring"), text("https://acme.example/")));
    assert_eq!((link.notes, link.password), (text("for the mail"), Field::Absent));
    assert_eq!(link.expires_at, text("2099-01-01T10:00:00Z"));
    let own = super::row(Format::Kutt, answer(&json!({"domain": "go.example"})));
    assert_eq!(own.host.as_deref(), Some("go.example"));
}

#[test]
fn protected_links_are_refused() {
    let row = row(Format::Kutt, answer(&json!({"password": true})));
    assert_eq!(row.slug.as_deref(), Some("spring"));
    let refused = row.link.unwrap_err();
    assert_eq!(refused[0].0, "password");
    assert!(refused[0].1.contains("would make it public"), "{refused:?}");
    assert_eq!(refused_fields(Format::Kutt, answer(&json!({"banned": true}))), ["banned"]);
}

//! A dialect on a host of its own.

use reqwest::Method;
use serde_json::json;

use crate::harness::{Answer, Options, Server, TOKEN};

fn at(server: &Server, host: &str, method: Method, path: &str) -> Answer {
    Answer::to(server.request(method, path).header("host", host).bearer_auth(TOKEN))
}

#[test]
fn a_dialect_may_have_a_host_of_its_own() {
    let server = Options::links_only().flag("--dialect-hosts", "qklnk=Qklnk.example").start();
    server
        .api()
        .post("/links", &json!({ "destination": "https://example.com/", "slug": "spring" }));
    let host = "qklnk.example:8080";
    let found = at(&server, host, Method::GET, "/api/v1/links/spring").expect(200).data();
    assert_eq!(found["slug"], "spring");
    let list = at(&server, host, Method::GET, "/api/v1/links").expect(200).data();
    assert_eq!(list[0]["short_url"], format!("{}/spring", server.base));
    // Neither links nor the native API are there, and errors have the dialect's form.
    for path in ["/spring", "/api/v1/workspaces", "/docs/guides", "/livez"] {
        let missing = at(&server, host, Method::GET, path).expect(404).json();
        assert!(missing.get("message").is_some() && missing.get("code").is_none(), "{missing}");
    }
    at(&server, host, Method::GET, "/compat/qklnk/api/v1/links").expect(404);
    // Other hosts are as before.
    at(&server, "sho.rt", Method::GET, "/spring").expect(302);
    at(&server, "sho.rt", Method::GET, "/compat/qklnk/api/v1/links").expect(200);
    // No link can lead to it.
    let to_itself = json!({ "destination": "https://qklnk.example/x" });
    server.api().post("/links", &to_itself).refuses(400, "VALIDATION_ERROR", &["destination"]);
}

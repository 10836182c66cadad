//! Slugs that are qualified by their domain.

use serde_json::{Value, json};

use super::{start, verified};
use crate::harness::{NameServer, Server, slugline};

/// The same slug on the default domain and on the workspace's own; their IDs.
fn twins(server: &Server) -> [String; 2] {
    ["", "go.example"].map(|domain| {
        let mut body = json!({ "slug": "twin", "destination": "https://example.com/" });
        if !domain.is_empty() {
            body["domain"] = json!(domain);
        }
        let made = server.api().post("/links", &body).expect(201).data();
        made["id"].as_str().unwrap().to_owned()
    })
}

#[test]
fn a_slug_is_qualified_by_its_domain() {
    let names = NameServer::start();
    let server = start(&names);
    let domain = verified(&server, &names, &json!({ "hostname": "go.example" }));
    let [ours, theirs] = twins(&server);
    let api = server.api();
    let id_of = |query: &str| {
        api.get(&format!("/links/twin{query}")).expect(200).data()["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let by_id = format!("?domain={}", domain["id"].as_str().unwrap());
    let host = server.address();
    for (query, id) in [
        ("", &ours),
        ("?domain=go.example", &theirs),
        ("?domain=GO.example", &theirs),
        (by_id.as_str(), &theirs),
        (&format!("?domain={host}"), &ours),
    ] {
        assert_eq!(id_of(query), *id, "{query}");
    }
    // An ID needs no domain.
    let read = api.get(&format!("/links/{ours}?domain=go.example")).expect(200).data();
    assert_eq!(read["id"], json!(ours));

    let change = json!({ "title": "theirs" });
    api.patch("/links/twin?domain=go.example", &change).expect(200);
    let titles = [&ours, &theirs].map(|id| api.get(&format!("/links/{id}")).data()["title"].take());
    assert_eq!(titles, [Value::Null, json!("theirs")]);
    let versions = api.get("/links/twin/versions?domain=go.example&limit=5").expect(200).data();
    assert_eq!(versions.as_array().unwrap().len(), 2);
    api.get("/links/twin/diff?domain=go.example&from=1&to=2").expect(200);
    api.post("/links/twin/rules/test?domain=go.example", &json!({})).expect(200);

    api.post("/qr-codes", &json!({ "link": theirs })).expect(201);
    let of = |query: &str| api.get(&format!("/links/twin/qr-codes{query}")).expect(200).data();
    assert_eq!(of("?domain=go.example").as_array().unwrap().len(), 1);
    assert_eq!(of("").as_array().unwrap().len(), 0);
    let code = api.get("/qr-codes/twin?domain=go.example").expect(200).data();
    assert_eq!(code["link"]["id"].as_str().or(code["link"].as_str()), Some(theirs.as_str()));

    for query in ["?domain=elsewhere.example", "?domain=", "?domain=a,b"] {
        let answer = api.get(&format!("/links/twin{query}"));
        answer.refuses(404, "NOT_FOUND", &["domain"]);
    }
    api.get("/links/none?domain=go.example").problem(404, "NOT_FOUND");
    api.get("/links/twin?domain=go.example&odd=1").refuses(400, "VALIDATION_ERROR", &["odd"]);

    let mut show = slugline();
    show.args(["link", "show", "go.example/twin", "--json", "--url"]);
    let shown = show.arg(format!("http://{host}")).env("SLUGLINE_TOKEN", crate::harness::TOKEN);
    let shown: Value = serde_json::from_slice(&shown.output().unwrap().stdout).unwrap();
    assert_eq!(shown["id"], json!(theirs));

    api.delete("/links/twin?domain=go.example").expect(204);
    api.get("/links/twin?domain=go.example").problem(404, "NOT_FOUND");
    assert_eq!(id_of(""), ours);
}

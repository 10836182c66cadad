//! Slugs that are qualified by their domain.

use serde_json::{Value, json};

use super::{start, verified};
use crate::harness::{NameServer, Options, Server, slugline};

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

    qr_codes_name_links_by_domain(&server, &theirs);

    for query in ["?domain=elsewhere.example", "?domain=", "?domain=a,b"] {
        let answer = api.get(&format!("/links/twin{query}"));
        answer.refuses(404, "NOT_FOUND", &["domain"]);
    }
    api.get("/links/none?domain=go.example").problem(404, "NOT_FOUND");
    api.get("/links/twin?domain=go.example&odd=1").refuses(400, "VALIDATION_ERROR", &["odd"]);

    let run = |args: &[&str]| {
        let mut command = slugline();
        command.args(args).arg("--url").arg(format!("http://{host}"));
        command.env("SLUGLINE_TOKEN", crate::harness::TOKEN).output().unwrap().stdout
    };
    let shown = run(&["link", "show", "go.example/twin", "--json"]);
    let shown: Value = serde_json::from_slice(&shown).unwrap();
    assert_eq!(shown["id"], json!(theirs));
    let printed = String::from_utf8(run(&["qr", "go.example/twin"])).unwrap();
    assert!(printed.contains("go.example/twin?qr="), "{printed}");

    api.delete("/links/twin?domain=go.example").expect(204);
    api.get("/links/twin?domain=go.example").problem(404, "NOT_FOUND");
    assert_eq!(id_of(""), ours);
}

fn qr_codes_name_links_by_domain(server: &Server, theirs: &str) {
    let api = server.api();
    let code = json!({ "link": "twin", "domain": "go.example" });
    assert_eq!(api.post("/qr-codes", &code).expect(201).data()["link"], json!(theirs));
    let elsewhere = json!({ "link": "twin", "domain": "elsewhere.example" });
    api.post("/qr-codes", &elsewhere).refuses(404, "NOT_FOUND", &["domain"]);
    let of = |query: &str| api.get(&format!("/links/twin/qr-codes{query}")).expect(200).data();
    assert_eq!(of("?domain=go.example").as_array().unwrap().len(), 1);
    assert_eq!(of("").as_array().unwrap().len(), 0);
    let code = api.get("/qr-codes/twin?domain=go.example").expect(200).data();
    assert_eq!(code["link"], json!(theirs));
    let list = |query: &str| api.get(&format!("/qr-codes?link=twin{query}")).expect(200).data();
    assert_eq!(list("&domain=go.example").as_array().unwrap().len(), 1);
    assert_eq!(list("").as_array().unwrap().len(), 0);
    let moved = json!({ "domain": "go.example" });
    let path = format!("/qr-codes/{}", code["id"].as_str().unwrap());
    api.patch(&path, &moved).refuses(400, "VALIDATION_ERROR", &["domain"]);
}

/// By hostname in any case, or by ID.
#[test]
fn clicks_are_filtered_by_domain() {
    let names = NameServer::start();
    let server = Options::new().flag("--dns-server", names.address.to_string()).start();
    let domain = verified(&server, &names, &json!({ "hostname": "go.example" }));
    let domain = domain["id"].as_str().unwrap();
    let [_, link] = twins(&server);
    let visit = server.request(reqwest::Method::GET, "/twin").header("host", "go.example");
    assert_eq!(visit.send().unwrap().status(), 302);
    server.await_projection();
    let api = server.api();
    let clicks = |domain: &str| {
        let path = format!("/links/{link}/clicks/summary?bots=include&domain={domain}");
        api.get(&path).expect(200).data()["total_clicks"].clone()
    };
    for (name, count) in [("go.example", 1), ("GO.example", 1), (domain, 1), ("other.example", 0)] {
        assert_eq!(clicks(name), count, "{name}");
    }
    let unknown = format!("/analytics?domain={}", domain.replace("dom_0", "dom_1"));
    api.get(&unknown).refuses(400, "VALIDATION_ERROR", &["domain"]);
}

//! Dimensions that a link had when it was clicked, and those of referrers.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{Link, Options, Server, shared, slugline};

fn campaign(server: &Server, name: &str) -> String {
    let made = server.api().post("/campaigns", &json!({ "name": name })).expect(201).data();
    made["id"].as_str().unwrap().to_owned()
}

/// The clicks of a workspace that match the query of a URL.
fn total(server: &Server, query: &str) -> u64 {
    let answer = server.api().get(&format!("/analytics?date_range=all{query}")).expect(200);
    answer.data()["total_clicks"].as_u64().unwrap()
}

/// The number of clicks that match a condition of a query.
fn filtered(server: &Server, dimension: &str, operator: &str, value: &Value) -> u64 {
    let filters = json!({ "dimension": dimension, "operator": operator, "value": value });
    let body = json!({ "date_range": "all", "filters": filters });
    let answer = server.api().post("/analytics/query", &body).expect(200).data();
    answer[0]["metrics"]["clicks"].as_u64().unwrap()
}

fn counts<const N: usize>(expected: [(&str, u64); N]) -> BTreeMap<String, u64> {
    expected.into_iter().map(|(value, clicks)| (value.to_owned(), clicks)).collect()
}

/// The clicks of the workspace as a file.
fn export(server: &Server) -> String {
    server.await_projection();
    server.api().get("/analytics/export?format=ndjson").expect(200).text
}

/// A link with labels and three clicks, which gets others and two more clicks; and a link without.
fn relabelled(server: &Server) -> (Link, [String; 2]) {
    let campaigns = [campaign(server, "Spring"), campaign(server, "Summer")];
    let link = server.api().create(&json!({
        "destination": "https://example.com/", "tags": ["Mail", "größe"],
        "folder": "clients/acme", "campaign": campaigns[0],
    }));
    for _ in 0..3 {
        server.visit(&link).follow();
    }
    let change =
        json!({ "tags": ["print", "MAIL"], "folder": "clients", "campaign": campaigns[1] });
    server.api().patch(&link.path(), &change).expect(200);
    for _ in 0..2 {
        server.visit(&link).follow();
    }
    let plain = server.link();
    server.visit(&plain).follow();
    server.await_clicks(&link, 5);
    (link, campaigns)
}

#[test]
fn clicks_keep_what_their_link_had() {
    let server = Options::new().start();
    server.await_analytics();
    let (link, [spring, summer]) = relabelled(&server);
    // A click counts for each of its tags, and once in totals.
    let tags = counts([("mail", 5), ("größe", 3), ("print", 2)]);
    assert_eq!(server.breakdown_of(&link, "tag"), tags);
    assert_eq!(server.breakdown(&link, "tags"), tags);
    assert_eq!(server.clicks_of(&link, "exclude"), 5);
    let folders = counts([("clients/acme", 3), ("clients", 2)]);
    assert_eq!(server.breakdown_of(&link, "folder"), folders);
    assert_eq!(server.breakdown(&link, "folders"), folders);
    let campaigns = counts([(spring.as_str(), 3), (summer.as_str(), 2)]);
    assert_eq!(server.breakdown_of(&link, "campaign"), campaigns);
    assert_eq!(server.breakdown(&link, "campaigns"), campaigns);
    // The unlabelled link's click is the one of which nothing is known.
    let body = json!({ "date_range": "all", "dimensions": ["tag"], "dedupe": "1h" });
    let rows = server.api().post("/analytics/query", &body).expect(200).data();
    let nulls: Vec<_> = rows.as_array().unwrap().iter().collect();
    assert_eq!(nulls.len(), 4, "{rows}");
    assert!(nulls.iter().any(|row| row["dimensions"]["tag"].is_null()), "{rows}");

    for (query, clicks) in [
        ("", 6),
        ("&tag=mail", 5),
        ("&tag=MAIL,print", 5),
        ("&tag=Gr%C3%B6%C3%9Fe", 3),
        ("&tag=mai", 0),
        ("&tag=", 1),
        ("&folder=clients", 5),
        ("&folder=clients/acme", 3),
        ("&folder=client", 0),
        ("&folder=", 1),
        (&format!("&campaign={spring}"), 3),
        (&format!("&campaign={spring},{summer}"), 5),
        ("&campaign=", 1),
        (&format!("&tag=mail&folder=clients/acme&campaign={summer}"), 0),
    ] {
        assert_eq!(total(&server, query), clicks, "{query}");
    }
    let odd = server.api().get("/analytics?campaign=spring");
    odd.refuses(400, "VALIDATION_ERROR", &["campaign"]);
    for (dimension, operator, value, clicks) in [
        ("tag", "is_not", json!("größe"), 3),
        ("tag", "contains", json!("RIN"), 2),
        ("tag", "matches", json!("^m.*l$"), 5),
        ("tag", "is_set", json!(true), 5),
        ("folder", "is", json!("clients"), 2),
        ("folder", "matches", json!("^clients(/|$)"), 5),
        ("campaign", "is_set", json!(false), 1),
    ] {
        let found = filtered(&server, dimension, operator, &value);
        assert_eq!(found, clicks, "{dimension} {operator} {value}");
    }
    single_clicks_have_them_too(&server, &summer);
}

/// Single clicks, in pages and in files.
fn single_clicks_have_them_too(server: &Server, summer: &str) {
    let clicks = server.api().get("/clicks?limit=6").expect(200).data();
    let last = &clicks[1];
    assert_eq!((&last["tags"], &last["folder"]), (&json!(["print", "MAIL"]), &json!("clients")));
    assert_eq!(last["campaign"], json!(summer));
    let plain = &clicks[0];
    assert_eq!((&plain["tags"], &plain["folder"]), (&json!([]), &Value::Null));
    assert_eq!((&plain["domain"], &plain["utm_term"]), (&json!(server.address()), &Value::Null));
    assert_eq!((&plain["country"], &plain["country_name"]), (&Value::Null, &Value::Null));
    for (filter, count) in
        [("tag=", 1), ("folder=", 1), ("tag=mail&folder=clients", 5), ("country=", 6)]
    {
        let path = format!("/clicks?limit=6&{filter}");
        assert_eq!(
            server.api().get(&path).expect(200).data().as_array().unwrap().len(),
            count,
            "{filter}"
        );
        let path = format!("/analytics/export?format=csv&{filter}");
        assert_eq!(server.api().get(&path).expect(200).text.lines().count(), count + 1, "{filter}");
    }
    let exported: Value = serde_json::from_str(export(server).lines().next().unwrap()).unwrap();
    assert!(exported["tags"].is_array() && exported["utm_term"].is_null(), "{exported}");
}

/// The log alone says what links had: neither their changes nor their deletion changes it.
#[test]
fn a_rebuild_keeps_what_links_had() {
    let options = Options::new();
    let server = options.start();
    server.await_analytics();
    let (link, _) = relabelled(&server);
    server.api().patch(&link.path(), &json!({ "tags": [], "folder": null })).expect(200);
    let before = export(&server);
    assert!(before.contains("\"folder\":\"clients/acme\""), "{before}");
    assert!(server.stop().success());
    let rebuild =
        slugline().args(["rebuild", "analytics", "--data-dir"]).arg(options.data.path()).output();
    assert!(rebuild.unwrap().status.success());
    let server = options.start();
    assert_eq!(export(&server), before);
    let tags = counts([("mail", 5), ("größe", 3), ("print", 2)]);
    assert_eq!(server.breakdown_of(&link, "tag"), tags);
}

/// A referrer is the host as it came; a source is the site that it belongs to.
#[test]
fn sources_are_sites_by_their_names() {
    let server = shared();
    let link = server.link();
    for page in [
        "https://www.google.com/",
        "https://google.de/search?q=x",
        "https://www.google.co.uk/",
        "https://l.facebook.com/l.php?u=x",
        "https://m.facebook.com/",
        "https://t.co/abc",
        "https://de.linkedin.com/in/x",
        "android-app://com.google.android.gm/",
        "https://www.example.org/page",
        "http://192.0.2.1/",
    ] {
        server.visit(&link).referrer(page).follow();
    }
    server.visit(&link).follow();
    server.await_clicks(&link, 11);
    let sources = counts([
        ("Google", 3),
        ("Facebook", 2),
        ("X", 1),
        ("LinkedIn", 1),
        ("Gmail", 1),
        ("example.org", 1),
        ("192.0.2.1", 1),
        ("unknown", 1),
    ]);
    assert_eq!(server.breakdown(&link, "sources"), sources);
    let referrers = server.breakdown(&link, "referrers?source=Google,Facebook");
    let hosts = counts([
        ("google.com", 1),
        ("google.de", 1),
        ("google.co.uk", 1),
        ("l.facebook.com", 1),
        ("m.facebook.com", 1),
    ]);
    assert_eq!(referrers, hosts);
    assert_eq!(server.breakdown(&link, "sources?source="), counts([("unknown", 1)]));
    let path = format!("/clicks?link={}&source=X", link.id);
    let click = server.api().get(&path).expect(200).data();
    assert_eq!((&click[0]["referrer"], &click[0]["source"]), (&json!("t.co"), &json!("X")));
}

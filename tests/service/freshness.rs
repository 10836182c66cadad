//! The offset that a response reflects, and how to wait for a later one.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Options, PATIENCE, Server, shared};

/// The last offset of the click log.
fn log_end(server: &Server) -> u64 {
    server.readiness()["projections"]["clickhouse"]["log_end"].as_u64().unwrap()
}

#[test]
fn each_answer_says_of_which_moment_it_is() {
    let server = shared();
    let link = server.link();
    server.visit(&link).send().expect(302);
    let end = log_end(&server);
    let of_link = [
        "clicks",
        "clicks/summary",
        "countries",
        "cities",
        "devices",
        "browsers",
        "operating-systems",
        "referrers",
        "sources",
        "tags",
    ];
    let paths = of_link.iter().map(|noun| format!("{}/{noun}", link.path()));
    for path in paths.chain(["/analytics".to_owned()]) {
        let answer = server.api().get(&format!("{path}?min_offset={end}")).expect(200).json();
        let as_of = &answer["meta"]["as_of"];
        assert!(as_of["offset"].as_u64().unwrap() >= end, "{path}: {answer}");
        assert!(as_of["lag_ms"].is_u64(), "{path}: {answer}");
        as_of["time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    }
}

/// No waiting or retrying: a response includes everything that was there at the request.
#[test]
fn an_answer_waits_for_what_it_is_to_count() {
    let server = shared();
    let link = server.link();
    for round in 1..=5 {
        for _ in 0..7 {
            server.visit(&link).send().expect(302);
        }
        let path = format!("{}/clicks/summary?min_offset={}", link.path(), log_end(&server));
        let counted = server.api().get(&path).expect(200).data();
        assert_eq!(counted["total_clicks"], 7 * round);
    }
}

#[test]
fn a_change_carries_its_offset_and_that_can_be_waited_for() {
    let server = Options::new().start();
    server.await_analytics();
    let made = server.api().post("/links", &json!({ "destination": "https://example.com" }));
    let made = made.expect(201);
    let mut last = offset_of(&made.json(), made.header("log-offset"));
    let path = format!("/links/{}", made.data()["id"].as_str().unwrap());
    for body in [json!({ "title": "one" }), json!({ "title": "two" })] {
        let changed = server.api().patch(&path, &body).expect(200);
        let offset = offset_of(&changed.json(), changed.header("log-offset"));
        assert!(offset > last);
        last = offset;
    }
    // There are fewer clicks than changes, and none to wait for.
    let asked = Instant::now();
    server.api().get(&format!("{path}/clicks?min_offset={last}")).expect(200);
    assert!(asked.elapsed() < PATIENCE);
    let token = server
        .api()
        .post("/tokens", &json!({ "name": "x", "abilities": ["links:read"] }))
        .expect(201);
    let token_at = offset_of(&token.json(), token.header("log-offset"));
    let gone = server.api().delete(&path).expect(204);
    let gone_at: u64 = gone.header("log-offset").parse().unwrap();
    assert!(last < token_at && token_at < gone_at);
}

#[track_caller]
fn offset_of(body: &Value, header: &str) -> u64 {
    let offset = body["meta"]["offset"].as_u64().unwrap();
    assert_eq!(header, offset.to_string());
    offset
}

#[test]
fn an_offset_that_is_no_offset_of_the_log_is_refused_at_once() {
    let server = shared();
    let asked = Instant::now();
    for path in ["/analytics", "/clicks", "/analytics/export?format=csv"] {
        let mark = if path.contains('?') { '&' } else { '?' };
        let late = server.api().get(&format!("{path}{mark}min_offset=999999999999"));
        late.refuses(400, "VALIDATION_ERROR", &["min_offset"]);
    }
    let late = server.api().get("/analytics/export?format=csv&through=999999999999");
    late.refuses(400, "VALIDATION_ERROR", &["through"]);
    let question = json!({ "metrics": ["clicks"], "min_offset": 999_999_999_999_u64 });
    let late = server.api().post("/analytics/query", &question);
    late.refuses(400, "VALIDATION_ERROR", &["min_offset"]);
    assert!(asked.elapsed() < Duration::from_secs(10), "it was waited for");
    for wrong in ["-1", "x", "1.5", ""] {
        let refused = server.api().get(&format!("/analytics?min_offset={wrong}"));
        refused.refuses(400, "VALIDATION_ERROR", &["min_offset"]);
    }
    let away = Options::links_only().start();
    let link = away.link();
    for path in [format!("{}/clicks", link.path()), "/analytics".to_owned()] {
        let refused = away.api().get(&format!("{path}?min_offset=1"));
        refused.problem(503, "ANALYTICS_UNAVAILABLE");
    }
    // The last offset of the longer log is one; the next is not.
    let made = away.api().post("/links", &json!({ "destination": "https://example.com" }));
    let end: u64 = made.expect(201).header("log-offset").parse().unwrap();
    away.api().get(&format!("/analytics?min_offset={end}")).problem(503, "ANALYTICS_UNAVAILABLE");
    let beyond = away.api().get(&format!("/analytics?min_offset={}", end + 1));
    beyond.refuses(400, "VALIDATION_ERROR", &["min_offset"]);
    assert!(beyond.text.contains(&format!("offset {end}")), "{beyond:?}");
}

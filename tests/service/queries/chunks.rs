//! Clicks of the current day, of which ClickHouse has a whole chunk of the log.

use serde_json::json;

use crate::harness::{Link, Options, Server, eventually};

const CHUNK: u64 = 4_194_304;

/// Each way to read today's clicks: by hour, by link, and by a value.
fn counts(server: &Server, link: &Link) -> Vec<(u64, u64)> {
    let of_link = json!({ "dimension": "link", "operator": "in", "value": [link.id] });
    let today = |extra: serde_json::Value| {
        let mut query = json!({ "date_range": "24h", "bots": "include", "metrics": ["clicks", "unique_visitors"] });
        query.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        query
    };
    let queries = [
        today(json!({})),
        today(json!({ "filters": of_link })),
        today(json!({ "dimensions": ["link"], "filters": of_link })),
        today(json!({ "dimensions": ["trigger"] })),
    ];
    let answer = server.api().post("/analytics/batch", &json!({ "queries": queries })).expect(200);
    let count = |item: &serde_json::Value| {
        assert_eq!(item["status"], 200, "{item}");
        let metrics = &item["answer"]["data"][0]["metrics"];
        let number = |name: &str| metrics[name].as_u64().unwrap_or_default();
        (number("clicks"), number("unique_visitors"))
    };
    answer.data().as_array().unwrap().iter().map(count).collect()
}

/// Clicks a link; they are in ClickHouse afterwards.
fn click(server: &Server, link: &Link, times: u64) {
    for _ in 0..times {
        server.visit(link).send().expect(302);
    }
    server.await_projection();
}

#[test]
fn each_click_counts_once_before_and_after_the_border_of_a_chunk() {
    let options = Options::new();
    let server = options.start();
    let (kept, deleted) = (server.link(), server.link());
    click(&server, &kept, 3);
    click(&server, &deleted, 2);
    assert_eq!(counts(&server, &kept), [(5, 1), (3, 1), (3, 1), (5, 1)]);
    assert!(server.stop().success());
    // With the agent there are six records.
    options.data.renumber_clicks(CHUNK - 5);
    let server = options.start();
    server.await_projection();
    assert_eq!(server.readiness()["projections"]["clickhouse"]["offset"], CHUNK);
    for more in 0..4 {
        let (here, all) = (3 + more, 5 + more);
        assert_eq!(counts(&server, &kept), [(all, 1), (here, 1), (here, 1), (all, 1)], "{more}");
        click(&server, &kept, 1);
    }
    server.api().delete(&format!("/links/{}", deleted.slug)).expect(204);
    eventually("the deleted link's clicks are gone", || {
        (counts(&server, &kept) == [(7, 1), (7, 1), (7, 1), (7, 1)]).then_some(())
    });
    assert_eq!(counts(&server, &deleted)[1], (0, 0));
}

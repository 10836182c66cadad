//! Clicks of the current day, of which ClickHouse has a whole chunk of the log.

use serde_json::{Value, json};

use crate::harness::{Link, Options, Server, eventually};

const CHUNK: u64 = 4_194_304;

/// The clicks of today, read in each way: by hour, by link, and by a value.
fn counts(server: &Server, link: &Link) -> Vec<u64> {
    let of_link = json!({ "dimension": "link", "operator": "in", "value": [link.id] });
    let metrics = ["clicks", "unique_visitors"];
    let queries = json!([
        { "date_range": "24h", "metrics": metrics },
        { "date_range": "24h", "metrics": metrics, "filters": of_link },
        { "date_range": "24h", "metrics": metrics, "filters": of_link, "dimensions": ["link"] },
        { "date_range": "24h", "metrics": metrics, "dimensions": ["trigger"] },
    ]);
    let answer = server.api().post("/analytics/batch", &json!({ "queries": queries })).expect(200);
    let clicks = |item: &Value| {
        assert_eq!(item["status"], 200, "{item}");
        item["answer"]["data"][0]["metrics"]["clicks"].as_u64().unwrap_or_default()
    };
    answer.data().as_array().unwrap().iter().map(clicks).collect()
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
    assert_eq!(counts(&server, &kept), [5, 3, 3, 5]);
    assert!(server.stop().success());
    // With the agent there are six records.
    options.data.renumber_clicks(CHUNK - 5);
    let server = options.start();
    server.await_projection();
    assert_eq!(server.readiness()["projections"]["clickhouse"]["offset"], CHUNK);
    // Of an hour that goes on, only chunks can be read from the rollup.
    let table = || {
        let query = json!({ "date_range": "1h", "metrics": ["clicks"] });
        server.api().post("/analytics/query", &query).expect(200).json()["meta"]["table"].clone()
    };
    assert_eq!(table(), "clicks_hourly");
    for more in 0..4 {
        let (here, all) = (3 + more, 5 + more);
        assert_eq!(counts(&server, &kept), [all, here, here, all], "{more}");
        click(&server, &kept, 1);
    }
    server.api().delete(&format!("/links/{}", deleted.slug)).expect(204);
    eventually("the deleted link's clicks are gone", || {
        (counts(&server, &kept) == [7; 4]).then_some(())
    });
    assert_eq!(counts(&server, &deleted)[1], 0);
}

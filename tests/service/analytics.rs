//! Analytics: the shape and the counts of the responses.

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};
use serde_json::{Value, json};

use crate::harness::agents::SAFARI_ON_IPHONE;
use crate::harness::{Link, Options, Server, address_in, shared};

fn keys(object: &Value) -> Vec<&String> {
    object.as_object().unwrap_or_else(|| panic!("no object: {object}")).keys().collect()
}

fn clicks_over_time(server: &Server, link: &Link, query: &str) -> Value {
    server.api().get(&format!("{}/clicks{query}", link.path())).expect(200).data()
}

/// The label of a bucket: its day, or its start if it is shorter than a day.
fn labels(unit: &str, units: i64, now: &Zoned) -> Vec<String> {
    let first = match unit {
        "minute" => now.with().second(0).subsec_nanosecond(0).build().unwrap(),
        "hour" => now.with().minute(0).second(0).subsec_nanosecond(0).build().unwrap(),
        "day" => now.start_of_day().unwrap(),
        "week" => {
            let monday = i64::from(now.weekday().to_monday_zero_offset());
            now.start_of_day().unwrap().checked_sub(Span::new().days(monday)).unwrap()
        }
        _ => now.first_of_month().unwrap().start_of_day().unwrap(),
    };
    let back = |number: i64| match unit {
        "minute" => Span::new().minutes(number),
        "hour" => Span::new().hours(number),
        "day" => Span::new().days(number),
        "week" => Span::new().weeks(number),
        _ => Span::new().months(number),
    };
    let form = if matches!(unit, "minute" | "hour") { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%d" };
    let starts = (0..units).rev().map(|number| first.checked_sub(back(number)).unwrap());
    starts.map(|start| start.strftime(form).to_string()).collect()
}

/// Asks for a span of time so that no bucket ends between the question and what is expected.
fn asked_within_a_bucket(unit: &str, units: i64, ask: impl Fn() -> Value) -> (Value, Vec<String>) {
    loop {
        let now = || labels(unit, units, &Timestamp::now().to_zoned(TimeZone::UTC));
        let (before, data) = (now(), ask());
        if now() == before {
            return (data, before);
        }
    }
}

/// Every unit has the requested number of buckets, oldest first, with 0 for empty ones.
#[test]
fn clicks_over_time_have_a_bucket_for_each_unit() {
    let server = shared();
    let link = server.link();
    for _ in 0..3 {
        server.visit(&link).follow();
    }
    server.await_clicks(&link, 3);
    for unit in ["minute", "hour", "day", "week", "month"] {
        for units in [1, 7, 365] {
            let query = format!("?unit={unit}&units={units}");
            let ask = || clicks_over_time(&server, &link, &query);
            let (data, expected) = asked_within_a_bucket(unit, units, ask);
            assert_eq!(keys(&data), ["clicks", "unit", "units"]);
            assert_eq!((&data["unit"], &data["units"]), (&json!(unit), &json!(units)));
            let buckets = data["clicks"].as_array().unwrap();
            assert!(buckets.iter().all(|bucket| keys(bucket) == ["clicks", "date"]));
            let dates: Vec<_> = buckets.iter().map(|bucket| bucket["date"].clone()).collect();
            assert_eq!(dates, expected, "{query}");
            // The clicks were made just now: in the current bucket, or in the one before.
            let clicks: Vec<_> =
                buckets.iter().map(|bucket| bucket["clicks"].as_u64().unwrap()).collect();
            let recent: u64 = clicks.iter().rev().take(2).sum();
            assert!(recent == 3 || (units == 1 && recent <= 3), "{query}: {clicks:?}");
            assert!(clicks.iter().rev().skip(2).all(|clicks| *clicks == 0), "{query}: {clicks:?}");
        }
    }
    let (data, expected) = asked_within_a_bucket("day", 7, || clicks_over_time(&server, &link, ""));
    assert_eq!((&data["unit"], &data["units"]), (&json!("day"), &json!(7)));
    assert_eq!(data["clicks"].as_array().unwrap().len(), expected.len());
}

#[test]
fn a_start_alone_reaches_to_now() {
    let server = shared();
    let link = server.link();
    server.visit(&link).follow();
    server.await_clicks(&link, 1);
    let total = |query: &str| {
        let path = format!("{}/clicks/summary?{query}", link.path());
        server.api().get(&path).expect(200).data()["total_clicks"].as_u64().unwrap()
    };
    let today = Timestamp::now().strftime("%Y-%m-%d");
    assert_eq!(total(&format!("start={today}")), 1);
    assert_eq!(total("start=2026-01-01"), 1);
    assert_eq!(total("start=2026-01-01&end=2026-01-31"), 0);
}

#[test]
fn a_summary_is_the_total_of_a_span_of_time() {
    let server = shared();
    let link = server.link();
    for _ in 0..4 {
        server.visit(&link).follow();
    }
    server.await_clicks(&link, 4);
    for (query, unit, units) in
        [("", "month", 1), ("?unit=week&units=2", "week", 2), ("?units=12", "month", 12)]
    {
        let path = format!("{}/clicks/summary{query}", link.path());
        let data = server.api().get(&path).expect(200).data();
        assert_eq!(keys(&data), ["date_range", "total_clicks", "unit", "units"], "{query}");
        assert_eq!((&data["unit"], &data["units"]), (&json!(unit), &json!(units)), "{query}");
    }
    let path = format!("{}/clicks/summary?start=2026-01-01&end=2026-02-01", link.path());
    let data = server.api().get(&path).expect(200).data();
    assert_eq!((&data["unit"], &data["units"]), (&Value::Null, &Value::Null));
    assert_eq!(data["date_range"]["from"], "2026-01-01T00:00:00.000Z");
    assert_eq!(server.clicks_of(&link, "exclude"), 4);
}

/// Each breakdown is a list of `metrics`: what the clicks have in common, and how many they
/// are, the most first.
#[test]
fn breakdowns_are_rows_of_a_value_and_its_clicks() {
    let server = shared();
    let link = server.link();
    let (germany, france) = (address_in("DE"), address_in("FR"));
    for address in [germany, france, france] {
        server.visit(&link).from(address).referrer("https://example.org/").follow();
    }
    server.await_clicks(&link, 3);
    for (noun, key) in [
        ("countries", "country"),
        ("cities", "city"),
        ("devices", "device"),
        ("browsers", "browser"),
        ("operating-systems", "os"),
        ("referrers", "referrer"),
    ] {
        let data = server.api().get(&format!("{}/{noun}", link.path())).expect(200).data();
        assert_eq!(keys(&data), ["metrics"], "{noun}");
        for row in data["metrics"].as_array().unwrap() {
            let name = format!("{key}_name");
            let mut expected = vec!["clicks", key];
            expected.extend((key == "country").then_some(name.as_str()));
            expected.sort_unstable();
            assert_eq!(keys(row), expected, "{noun}");
            // The address has no city.
            let is_unknown = row[key].is_null() && key == "city";
            assert!(row["clicks"].is_u64() && (row[key].is_string() || is_unknown), "{row}");
        }
    }
    let countries = server.api().get(&format!("{}/countries", link.path())).data();
    let expected = json!([
        { "country": "FR", "country_name": "France", "clicks": 2 },
        { "country": "DE", "country_name": "Germany", "clicks": 1 },
    ]);
    assert_eq!(countries["metrics"], expected);
    let devices = server.api().get(&format!("{}/devices?unit=month&units=2", link.path())).data();
    assert_eq!(devices, json!({ "metrics": [{ "device": "desktop", "clicks": 3 }] }));
}

/// `limit` bounds a breakdown to its largest rows.
#[test]
fn a_breakdown_has_as_many_rows_as_asked_for() {
    let server = shared();
    let link = server.link();
    for number in 0..12 {
        for _ in 0..=u32::from(number == 7) {
            server.visit(&link).referrer(&format!("https://site-{number}.example/")).follow();
        }
    }
    server.await_clicks(&link, 13);
    let rows = |query: &str| {
        let path = format!("{}/referrers{query}", link.path());
        server.api().get(&path).expect(200).data()["metrics"].as_array().unwrap().clone()
    };
    assert_eq!(rows("?limit=1"), [json!({ "referrer": "site-7.example", "clicks": 2 })]);
    assert_eq!(rows("?limit=5").len(), 5);
    assert_eq!(rows("?limit=1000").len(), 12);
}

/// A link without clicks has empty analytics, whatever other links have.
#[test]
fn a_link_without_clicks_has_empty_analytics() {
    let server = shared();
    let (empty, other) = (server.link(), server.link());
    server.visit(&other).follow();
    server.await_clicks(&other, 1);
    server.await_clicks(&empty, 0);
    let clicks = clicks_over_time(&server, &empty, "?unit=hour&units=24");
    let buckets = clicks["clicks"].as_array().unwrap();
    assert_eq!(buckets.len(), 24);
    assert!(buckets.iter().all(|bucket| bucket["clicks"] == 0));
    for noun in ["countries", "cities", "devices", "browsers", "operating-systems", "referrers"] {
        let data = server.api().get(&format!("{}/{noun}", empty.path())).expect(200).data();
        assert_eq!(data, json!({ "metrics": [] }), "{noun}");
    }
    for noun in ["clicks", "clicks/summary", "countries", "referrers"] {
        let path = format!("/links/nothing-here/{noun}");
        server.api().get(&path).problem(404, "NOT_FOUND");
    }
}

/// By id as well as by slug; and clicks made before a slug was changed stay the link's.
#[test]
fn analytics_are_of_the_link_whatever_its_slug_is() {
    let server = shared();
    let link = server.link();
    server.visit(&link).follow();
    server.api().patch(&link.path(), &json!({ "slug": "counted-on" })).expect(200);
    let renamed = Link { slug: "counted-on".to_owned(), ..link.clone() };
    server.visit(&renamed).follow();
    server.await_clicks(&renamed, 2);
    let by_id = server.api().get(&format!("/links/{}/devices", link.id)).expect(200).data();
    assert_eq!(by_id["metrics"][0]["clicks"], 2);
}

/// The workspace at a glance: totals, and the links with the most clicks first.
#[test]
fn the_workspace_is_summed_up() {
    let server = Options::new().behind_proxy().start();
    server.await_analytics();
    let nothing = json!({
        "total_clicks": 0, "unique_visitors": 0, "conversions": 0, "revenue": 0.0, "top_links": [],
    });
    let mut data = server.api().get("/analytics").expect(200).data();
    let series = data.as_object_mut().unwrap().remove("timeseries").unwrap();
    let series = series.as_array().unwrap();
    assert_eq!(series.len(), 7);
    assert!(series.iter().all(|bucket| bucket["clicks"] == 0), "{series:?}");
    assert_eq!(data, nothing);

    let links = [server.link_to("https://example.com/a"), server.link_to("https://example.com/b")];
    let address = address_in("DE");
    for (link, clicks) in links.iter().zip([2, 5]) {
        for _ in 0..clicks {
            server.visit(link).from(address).follow();
        }
    }
    server.visit(&links[0]).from(address).agent(SAFARI_ON_IPHONE).follow();
    server.visit_head(&links[0]).send().expect(302);
    let gone = server.link();
    server.visit(&gone).from(address).follow();
    server.await_clicks(&gone, 1);
    let deleted = server.api().delete(&gone.path()).expect(204);
    server.await_projection();

    // The click of the deleted link no longer counts.
    let offset = deleted.header("log-offset");
    let days = format!("/analytics?date_range=7d&min_offset={offset}");
    let data = server.api().get(&days).expect(200).data();
    let expected =
        ["conversions", "revenue", "timeseries", "top_links", "total_clicks", "unique_visitors"];
    assert_eq!(keys(&data), expected);
    assert_eq!((&data["total_clicks"], &data["unique_visitors"]), (&json!(8), &json!(2)));
    let top = |link: &Link, destination: &str, clicks: u64| json!({ "id": link.id, "slug": link.slug, "destination": destination, "clicks": clicks });
    let first = top(&links[1], "https://example.com/b", 5);
    let second = top(&links[0], "https://example.com/a", 3);
    assert_eq!(data["top_links"], json!([first, second]));
    let bots = server.api().get("/analytics?unit=day&units=365&bots=include").expect(200).data();
    assert_eq!(bots["total_clicks"], 9);
}

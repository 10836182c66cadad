//! Scans of QR codes: each counts for its code, and the marker stays with the service.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::agents::{CHROME_ON_WINDOWS, GOOGLEBOT, SAFARI_ON_IPHONE};
use crate::harness::{Answer, Link, Options, Server, address_in, shared, slugline};
use crate::passwords::Form;

const INVALID: &str = "VALIDATION_ERROR";

/// A code as tests need it.
struct Code {
    id: String,
    /// The parameter of the URL in the code: `qr=4c9`.
    marker: String,
}

impl Code {
    #[track_caller]
    fn of(server: &Server, link: &Link) -> Self {
        let made = server.api().post("/qr-codes", &json!({ "link": link.id })).expect(201).data();
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        let (short_url, content) = (text("short_url"), text("content"));
        let marker = content.strip_prefix(&format!("{short_url}?")).unwrap().to_owned();
        assert_eq!(made["total_scans"], 0);
        Self { id: text("id"), marker }
    }

    fn path(&self) -> String {
        format!("/qr-codes/{}", self.id)
    }
}

fn scan(server: &Server, link: &Link, query: &str) -> String {
    server.visit_path(&format!("/{}?{query}", link.slug)).follow()
}

/// The codes of a link's clicks in the log, oldest first: whether it is a scan, and of which code.
fn logged(server: &Server, link: &Link) -> Vec<(bool, Option<String>)> {
    let clicks = server.data.logged_clicks_of(link);
    let code = |click: &Value| click["qr_code"].as_str().map(str::to_owned);
    clicks.iter().map(|click| (click["qr"].as_bool().unwrap(), code(click))).collect()
}

/// Clicks by code, bots included; `-` for none.
fn by_code(server: &Server, filters: &Value) -> BTreeMap<String, u64> {
    let query = json!({
        "dimensions": ["qr_code"], "filters": filters, "date_range": "all", "bots": "include",
    });
    let data = server.api().post("/analytics/query", &query).expect(200).data();
    let code = |row: &Value| row["dimensions"]["qr_code"].as_str().unwrap_or("-").to_owned();
    let rows = data.as_array().unwrap().iter();
    rows.map(|row| (code(row), row["metrics"]["clicks"].as_u64().unwrap())).collect()
}

#[test]
fn each_scan_counts_for_its_code() {
    let server = Options::new().behind_proxy().start();
    let (link, other) = (server.link(), server.link());
    let [one, two, none] = [&link, &link, &other].map(|link| Code::of(&server, link));
    let path = |code: &Code| format!("/{}?{}", link.slug, code.marker);
    for country in ["DE", "DE", "US"] {
        server.visit_path(&path(&one)).from(address_in(country)).follow();
    }
    server.visit_path(&path(&two)).from(address_in("JP")).agent(SAFARI_ON_IPHONE).follow();
    server.visit_path(&path(&two)).agent(GOOGLEBOT).follow();
    server.visit(&link).follow();
    server.await_projection();

    let api = server.api();
    let total = |code: &Code| api.get(&code.path()).expect(200).data()["total_scans"].clone();
    assert_eq!([total(&one), total(&two), total(&none)], [3, 1, 0].map(Value::from));
    let list = api.get("/qr-codes").expect(200).data();
    let listed = list.as_array().unwrap().iter().map(|code| code["total_scans"].as_u64());
    assert_eq!(listed.collect::<Vec<_>>(), [Some(0), Some(1), Some(3)], "newest first");
    let renamed = api.patch(&one.path(), &json!({ "name": "Poster" })).expect(200).data();
    assert_eq!(renamed["total_scans"], Value::Null, "a change waits for no analytics");

    let series = api.get(&format!("{}/scans?unit=day&units=3", one.path())).expect(200).data();
    let days = series["scans"].as_array().unwrap();
    assert_eq!((&series["unit"], &series["units"], days.len()), (&json!("day"), &json!(3), 3));
    assert!(days.is_sorted_by_key(|day| day["date"].as_str().unwrap()), "oldest first: {days:?}");
    assert_eq!(days.iter().map(|day| day["scans"].as_u64().unwrap()).sum::<u64>(), 3);
    let summary =
        |query: &str| api.get(&format!("{}/scans/summary{query}", two.path())).expect(200).data();
    let totals = summary("");
    assert_eq!((&totals["total_scans"], &totals["unique_visitors"]), (&json!(1), &json!(1)));
    assert_eq!(summary("?bots=include")["total_scans"], 2);
    assert_eq!(summary("?date_range=yesterday")["total_scans"], 0);
    assert!(summary("?date_range=yesterday")["date_range"]["from"].is_string());
    let countries = api.get(&format!("{}/countries", one.path())).expect(200).data();
    let expected = json!([
        { "country": "DE", "country_name": "Germany", "scans": 2 },
        { "country": "US", "country_name": "United States", "scans": 1 },
    ]);
    assert_eq!(countries["metrics"], expected);
    for noun in
        ["continents", "regions", "cities", "devices", "browsers", "operating-systems", "languages"]
    {
        let shares = api.get(&format!("{}/{noun}", two.path())).expect(200).data();
        assert_eq!(shares["metrics"][0]["scans"], 1, "{noun}: {shares}");
    }

    is_a_dimension(&server, &link, (&one, &two));

    // Tables that are rebuilt from the log say the same.
    let before = by_code(&server, &json!([]));
    let rebuilt = slugline()
        .args(["rebuild", "analytics", "--data-dir"])
        .arg(server.data.path())
        .output()
        .unwrap();
    assert!(rebuilt.status.success(), "{rebuilt:?}");
    assert_eq!(by_code(&server, &json!([])), before);
    assert_eq!(total(&one), 3);
}

/// The dimension, the filter, single clicks, and files, for a link with three scans of one code, two
/// of another, one of these by a bot, and one other click.
fn is_a_dimension(server: &Server, link: &Link, (one, two): (&Code, &Code)) {
    let api = server.api();
    let of_link = json!({ "dimension": "link", "operator": "is", "value": link.id });
    let expected = [(one.id.clone(), 3), (two.id.clone(), 2), ("-".to_owned(), 1)].into();
    assert_eq!(by_code(server, &of_link), expected);
    let filter = format!("qr_code={},{}", one.id, two.id);
    let overview = api.get(&format!("/analytics?{filter}")).expect(200).data();
    assert_eq!(overview["total_clicks"], 4);
    let clicks = api.get(&format!("/clicks?{filter}&limit=1")).expect(200).data();
    assert_eq!((&clicks[0]["trigger"], &clicks[0]["qr_code"]), (&json!("qr"), &json!(two.id)));
    let csv = api.get("/analytics/export?format=csv&bots=include").expect(200).text;
    assert!(csv.lines().next().unwrap().contains("\"qr_code\""), "{csv}");
    assert_eq!(csv.matches(one.id.as_str()).count(), 3);
    for bad in ["4c9", "qr_", "link"] {
        let path = format!("/analytics?qr_code={},{bad}", one.id);
        api.get(&path).refuses(400, INVALID, &["qr_code"]);
    }
}

#[test]
fn a_marker_that_names_no_code_of_the_link_is_a_scan_of_none() {
    let server = shared();
    let (link, other) = (server.link(), server.link());
    let [own, foreign, deleted] = [&link, &other, &link].map(|link| Code::of(&server, link));
    server.api().delete(&deleted.path()).expect(204);
    let nothing = "qr=zzzzzzzzz".to_owned();
    for marker in [&own.marker, &foreign.marker, &deleted.marker, &nothing] {
        assert_eq!(scan(&server, &link, marker), "https://example.com/landing", "{marker}");
    }
    assert_eq!(scan(&server, &link, "qr=hello!"), "https://example.com/landing?qr=hello!");
    let expected =
        [(true, Some(own.id.clone())), (true, None), (true, None), (true, None), (false, None)];
    assert_eq!(logged(&server, &link), expected);

    // With its link, a code and its scans are hidden; they come back with it, but not the scans.
    server.api().delete(&link.path()).expect(204);
    server.api().get(&format!("{}/scans", own.path())).expect(404);
    server.api().get(&format!("{}/countries", own.path())).expect(404);
    server.api().post(&format!("/links/{}/restore", link.id), &json!({})).expect(200);
    scan(&server, &link, &own.marker);
    server.await_projection();
    assert_eq!(server.api().get(&own.path()).expect(200).data()["total_scans"], 1);
}

/// Whatever answers the visit of a link.
#[test]
fn the_marker_is_not_passed_on() {
    let server = shared();
    let api = server.api();
    let to = |place: &str| json!({ "destination": format!("https://example.com/{place}") });
    let split = json!({ "split": { "variants": [
        { "name": "a", "destination": "https://example.com/split", "weight": 1 },
        { "name": "b", "destination": "https://example.com/split", "weight": 1 },
    ] } });
    for (name, mut body, more, place) in [
        ("plain", json!({}), "", "landing?a=%C3%A4&b=2"),
        (
            "own",
            json!({ "destination": "https://example.com/?qr=1#x" }),
            "",
            "?qr=1&a=%C3%A4&b=2#x",
        ),
        ("rule", json!({ "rules": [{ "target": to("rule") }] }), "", "rule?a=%C3%A4&b=2"),
        ("split", json!({ "rules": [{ "target": split }] }), "", "split?a=%C3%A4&b=2"),
        ("path", json!({ "forward_path": true }), "/deep/x", "landing/deep/x?a=%C3%A4&b=2"),
        ("limit", json!({ "max_clicks": 5 }), "", "landing?a=%C3%A4&b=2"),
        ("moved", json!({ "redirect_status": 301 }), "", "landing?a=%C3%A4&b=2"),
        ("dropped", json!({ "forward_query": false }), "", "landing"),
    ] {
        if body["destination"].is_null() {
            body["destination"] = json!("https://example.com/landing");
        }
        let link = api.create(&body);
        let code = Code::of(&server, &link);
        let path = format!("/{}{more}?a=%C3%A4&{}&b=2", link.slug, code.marker);
        let answer = server.visit_path(&path).send();
        assert!(matches!(answer.status, 301 | 302), "{name}: {answer:?}");
        assert_eq!(answer.header("location"), format!("https://example.com/{place}"), "{name}");
        assert_eq!(logged(&server, &link), [(true, Some(code.id))], "{name}");
    }
}

#[test]
fn a_scan_of_an_app_or_a_page_counts_too() {
    let server = shared();
    let api = server.api();
    let app = api.create(&json!({
        "destination": "https://example.com/landing", "ios_url": "https://app.example/x?y=1",
    }));
    let code = Code::of(&server, &app);
    let path = format!("/{}?{}", app.slug, code.marker);
    let answer = server.visit_path(&path).agent(SAFARI_ON_IPHONE).send().expect(302);
    assert_eq!(answer.header("location"), "https://app.example/x?y=1");
    assert_eq!(logged(&server, &app), [(true, Some(code.id))]);

    for (kind, payload) in [
        ("wifi", json!({ "ssid": "home", "encryption": "WPA2", "password": "secret;pass" })),
        ("vcard", json!({ "name": "Zoë" })),
        ("text", json!({ "text": "treasure" })),
    ] {
        let link = api.create(&json!({ "kind": kind, "payload": payload }));
        let code = Code::of(&server, &link);
        let page = server.visit_path(&format!("/{}?{}", link.slug, code.marker)).follow();
        assert_eq!(page, format!("/l/{}?{}", link.slug, code.marker), "{kind}");
        server.visit_path(&page).send().expect(200);
        assert_eq!(logged(&server, &link), [(true, Some(code.id))], "{kind}");
    }

    // The preview for a social network has the destination alone.
    let shared = api.create(&json!({
        "destination": "https://example.com/landing", "og_title": "Spring", "og_preview": true,
    }));
    let code = Code::of(&server, &shared);
    let path = format!("/{}?{}", shared.slug, code.marker);
    let page = server.visit_path(&path).agent("Twitterbot/1.0").send().expect(200);
    assert!(page.text.contains("example.com/landing") && !page.text.contains(&code.marker));
    assert_eq!(logged(&server, &shared), [(true, Some(code.id))]);
}

#[test]
fn a_scan_counts_once_the_password_is_entered() {
    let server = shared();
    let link = server
        .api()
        .create(&json!({ "destination": "https://example.com/landing", "password": "sesame" }));
    let code = Code::of(&server, &link);
    let path = format!("/{}?a=1&{}", link.slug, code.marker);
    let form = Form::of(&server.visit_path(&path).send().expect(401));
    let rest = format!("?a=1&{}", code.marker);
    let fields = [("password", "sesame"), ("rest", &*rest)];
    let request = form.send(&server, &format!("/l/{}/unlock", link.slug), &fields);
    let unlocked = Answer::to(request).expect(200);
    assert!(unlocked.text.contains(&code.marker), "{}", unlocked.text);
    let cookie = unlocked.header("set-cookie").split(';').next().unwrap().to_owned();
    let request = server.request(Method::GET, &path).header("cookie", cookie);
    let answer = Answer::to(request.header("user-agent", CHROME_ON_WINDOWS)).expect(302);
    assert_eq!(answer.header("location"), "https://example.com/landing?a=1");
    assert_eq!(logged(&server, &link), [(true, Some(code.id))], "the blocked visit is no click");
}

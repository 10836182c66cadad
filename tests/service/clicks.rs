//! Clicks: how a visit is recorded in the log and counted in analytics.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::agents::{
    CHROME_ON_WINDOWS, FIREFOX_ON_LINUX, GOOGLEBOT, SAFARI_ON_IPAD, SAFARI_ON_IPHONE,
};
use crate::harness::{Options, address_in, address_v6_in, eventually, shared};

fn counts<const N: usize>(rows: [(&str, u64); N]) -> BTreeMap<String, u64> {
    rows.map(|(value, clicks)| (value.to_owned(), clicks)).into()
}

/// The country is the client's, as a trusted proxy names it: of both address families, in both
/// headers.
#[test]
fn a_visitors_country_is_known_by_the_address() {
    let server = shared();
    let link = server.link();
    for country in ["DE", "DE", "US", "BR", "JP"] {
        server.visit(&link).from(address_in(country)).follow();
    }
    server.visit(&link).from(address_v6_in("FR")).follow();
    server.visit(&link).from(format!("{}, 127.0.0.1", address_in("IN"))).follow();
    let forwarded = format!("for=\"[{}]:4711\";proto=https", address_v6_in("IT"));
    server.visit(&link).header("forwarded", forwarded).follow();
    server.visit(&link).from("10.1.2.3").follow();
    server.await_clicks(&link, 9);
    let expected = counts([
        ("DE", 2),
        ("US", 1),
        ("BR", 1),
        ("JP", 1),
        ("FR", 1),
        ("IN", 1),
        ("IT", 1),
        ("unknown", 1),
    ]);
    assert_eq!(server.breakdown(&link, "countries"), expected);
    let logged = server.data.logged_clicks_of(&link);
    assert_eq!(logged[0]["country"], "DE");
}

/// Forwarding headers before those of trusted proxies are ignored.
#[test]
fn a_client_behind_a_proxy_cannot_choose_its_country() {
    let server = shared();
    let link = server.link();
    server.visit(&link).from(format!("{}, {}", address_in("US"), address_in("DE"))).follow();
    server.await_clicks(&link, 1);
    assert_eq!(server.breakdown(&link, "countries"), counts([("DE", 1)]));
}

/// Without trusted proxies nobody's headers are believed: the other end of the socket is the
/// visitor.
#[test]
fn a_client_without_a_proxy_cannot_choose_its_address() {
    let server = Options::new().start();
    let link = server.link();
    for (header, value) in [
        ("x-forwarded-for", address_in("US").to_string()),
        ("x-forwarded-for", address_in("DE").to_string()),
        ("forwarded", format!("for={}", address_in("JP"))),
        ("x-real-ip", address_in("FR").to_string()),
    ] {
        server.visit(&link).header(header, value).follow();
    }
    server.await_clicks(&link, 4);
    assert_eq!(server.breakdown(&link, "countries"), counts([("unknown", 4)]));
    assert_eq!(server.api().get(&link.path()).data()["unique_visitors"], 1);
}

/// Browser, operating system and kind of device, by the user agent.
#[test]
fn a_visitors_agent_is_interpreted() {
    let server = shared();
    let link = server.link();
    for agent in [
        CHROME_ON_WINDOWS,
        CHROME_ON_WINDOWS,
        SAFARI_ON_IPHONE,
        SAFARI_ON_IPAD,
        FIREFOX_ON_LINUX,
        "something/1.0 nobody knows",
    ] {
        server.visit(&link).agent(agent).follow();
    }
    server.await_clicks(&link, 6);
    let browsers = counts([("Chrome", 2), ("Safari", 2), ("Firefox", 1), ("unknown", 1)]);
    assert_eq!(server.breakdown(&link, "browsers"), browsers);
    let systems = counts([("Windows", 2), ("iOS", 2), ("Linux", 1), ("unknown", 1)]);
    assert_eq!(server.breakdown(&link, "operating-systems"), systems);
    let devices = counts([("desktop", 3), ("mobile", 1), ("tablet", 1), ("other", 1)]);
    assert_eq!(server.breakdown(&link, "devices"), devices);
}

/// Without `www.`, and nothing else changed; no referrer is a direct visit.
#[test]
fn a_visitors_referrer_is_its_host() {
    let server = shared();
    let link = server.link();
    for page in [
        "https://www.example.org/page?secret=1",
        "https://example.org/other",
        "https://t.co/abc",
        "https://l.facebook.com/l.php?u=x",
        "https://lm.facebook.com/",
        "HTTPS://News.Example.NET:8443/x",
    ] {
        server.visit(&link).referrer(page).follow();
    }
    server.visit(&link).follow();
    server.visit(&link).referrer("no address").follow();
    server.await_clicks(&link, 8);
    let expected = counts([
        ("example.org", 2),
        ("t.co", 1),
        ("l.facebook.com", 1),
        ("lm.facebook.com", 1),
        ("news.example.net", 1),
        ("unknown", 2),
    ]);
    assert_eq!(server.breakdown(&link, "referrers"), expected);
}

#[test]
fn a_visitors_language_is_in_the_click() {
    let server = shared();
    let link = server.link();
    for ranges in ["de-AT, de;q=0.9, en;q=0.5", "en;q=0.3, fr-CA;q=0.8", "*"] {
        server.visit(&link).languages(ranges).follow();
    }
    let logged = server.data.logged_clicks_of(&link);
    let languages: Vec<_> = logged.iter().map(|click| click["language"].as_str()).collect();
    assert_eq!(languages, [Some("de"), Some("fr"), Some("")]);
}

/// Bots' clicks are stored with the reason, and counted on request.
#[test]
fn bots_are_kept_marked_and_left_out_of_the_counts() {
    let server = shared();
    let link = server.link();
    server.visit(&link).follow();
    server.visit(&link).agent(GOOGLEBOT).follow();
    server.visit(&link).agent("curl/8.9.1").follow();
    server.visit_head(&link).send().expect(302);
    server.visit(&link).header("sec-purpose", "prefetch;prerender").follow();
    server.visit(&link).header("purpose", "prefetch").follow();
    server.visit(&link).agent("").follow();
    server.await_clicks(&link, 7);

    for (bots, clicks) in [("exclude", 1), ("include", 7), ("only", 6)] {
        assert_eq!(server.clicks_of(&link, bots), clicks, "{bots}");
        let devices = server.breakdown(&link, &format!("devices?bots={bots}"));
        assert_eq!(devices.values().sum::<u64>(), clicks, "{bots}");
    }
    assert_eq!(server.breakdown(&link, "devices"), counts([("desktop", 1)]));
    let read = server.api().get(&link.path()).data();
    assert_eq!((&read["clicks"], &read["unique_visitors"]), (&json!(1), &json!(1)));

    let logged = server.data.logged_clicks_of(&link);
    let told: Vec<_> = logged
        .iter()
        .map(|click| (click["bot"].as_str().unwrap(), &click["head"], &click["prefetch"]))
        .collect();
    let (yes, no) = (&json!(true), &json!(false));
    let expected = [
        ("", no, no),
        ("pattern", no, no),
        ("pattern", no, no),
        ("head", yes, no),
        ("prefetch", no, yes),
        ("prefetch", no, yes),
        ("no_agent", no, no),
    ];
    assert_eq!(told, expected);
}

/// A visitor is an address and an agent; the same one is counted once.
#[test]
fn visitors_are_counted_once() {
    let server = shared();
    let (one, other) = (server.link(), server.link());
    let (here, there) = (address_in("DE"), address_in("US"));
    for link in [&one, &other] {
        for _ in 0..3 {
            server.visit(link).from(here).follow();
        }
    }
    server.visit(&one).from(there).follow();
    server.visit(&one).from(here).agent(FIREFOX_ON_LINUX).follow();
    server.visit(&one).from(here).referrer("https://example.org/").languages("fr").follow();
    server.await_clicks(&one, 6);
    server.await_clicks(&other, 3);
    let visitors = |link: &crate::harness::Link| {
        server.api().get(&link.path()).data()["unique_visitors"].as_u64().unwrap()
    };
    assert_eq!((visitors(&one), visitors(&other)), (3, 1));
}

/// A click says which version of its link answered.
#[test]
fn each_click_carries_its_links_version() {
    let server = shared();
    let link = server.link();
    server.visit(&link).follow();
    server.visit(&link).follow();
    let change = json!({ "destination": "https://example.com/second" });
    server.api().patch(&link.path(), &change).expect(200);
    server.visit(&link).follow();
    server.api().patch(&link.path(), &json!({ "title": "third" })).expect(200);
    server.visit(&link).follow();
    let logged = server.data.logged_clicks_of(&link);
    let versions: Vec<_> = logged.iter().map(|click| click["link_version"].as_u64()).collect();
    assert_eq!(versions, [Some(1), Some(1), Some(2), Some(3)]);
}

/// A user agent's text is in the log once for all of its clicks, and before the first of them.
#[test]
fn each_user_agent_is_kept_once() {
    let server = Options::new().clickhouse_away().start();
    let link = server.link();
    for _ in 0..5 {
        for agent in [CHROME_ON_WINDOWS, SAFARI_ON_IPHONE, GOOGLEBOT] {
            server.visit(&link).agent(agent).follow();
        }
    }
    let mut seen = HashSet::new();
    let mut texts = Vec::new();
    for record in server.data.dump("clicks") {
        let id = record["agent"].as_str().unwrap().to_owned();
        if record["kind"] == "AgentSeen" {
            assert!(seen.insert(id), "{record}");
            texts.push(record["user_agent"].as_str().unwrap().to_owned());
        } else {
            assert!(seen.contains(&id), "a click before its agent: {record}");
        }
    }
    assert_eq!(texts, [CHROME_ON_WINDOWS, SAFARI_ON_IPHONE, GOOGLEBOT]);
}

/// Two seconds after the redirect, at most, analytics have the click. The best of a few tries
/// counts: a busy machine may be slower now and then.
#[test]
fn a_click_is_in_analytics_within_two_seconds() {
    let server = shared();
    let link = server.link();
    let times: Vec<Duration> = (1..=3)
        .map(|number| {
            server.visit(&link).follow();
            let redirected = Instant::now();
            eventually("the click is counted", || {
                (server.clicks_of(&link, "exclude") == number).then_some(())
            });
            redirected.elapsed()
        })
        .collect();
    assert!(times.iter().min().unwrap() <= &Duration::from_secs(2), "{times:?}");
}

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Mutex;

use http::{HeaderMap, HeaderName};
use prost::Message;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::domain::click::{AgentSeen, BotReason, Click, ClickTarget, Device, kind};
use crate::domain::ids::{LinkId, QrCodeId, WorkspaceId};
use crate::log::NewRecord;

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
const AT_MS: u64 = 1_781_725_900_000;

/// An enricher with a geo database, and the directory of its files.
fn enricher() -> (Enricher, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let geo = directory.path().join("geo.mmdb");
    std::fs::write(&geo, include_bytes!("fixtures/nested-city.mmdb")).unwrap();
    let enricher = Enricher {
        proxies: "10.0.0.0/8".parse().unwrap(),
        geo: GeoReader::new(Some(geo)).unwrap(),
        agents: Arc::new(UserAgentCache::new(
            BotList::from_json(r#"[{"pattern": "examplebot"}]"#).unwrap(),
        )),
        visitors: VisitorSalts::open(directory.path().join("salt"), SaltPeriod::Daily, AT_MS)
            .unwrap(),
        find_code: Box::new(|number| {
            let link = LinkId::new(Uuid::from_u128(number.into()));
            Some((QrCodeId::new(Uuid::from_u128(9)), link))
        }),
    };
    (enricher, directory)
}

fn target() -> ClickTarget {
    let (workspace, link) = (Uuid::from_u128(1), Uuid::from_u128(2));
    ClickTarget::new(WorkspaceId::new(workspace), LinkId::new(link), 3, "go.example", "", "")
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    lines
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
        .collect()
}

fn visit<'a>(peer: &str, headers: &'a HeaderMap) -> Visit<'a> {
    let headers = Headers::of_map(headers);
    Visit { peer: peer.parse().unwrap(), headers, query: None, head: false, at_ms: AT_MS }
}

fn encoded(outcome: &EnrichedVisit<'_>) -> Vec<u8> {
    let mut click = Vec::new();
    outcome.encode(&target(), &mut click);
    click
}

fn click(outcome: &EnrichedVisit<'_>) -> Click {
    Click::decode(encoded(outcome).as_slice()).unwrap()
}

#[test]
fn a_visit_becomes_a_click() {
    let (enricher, _directory) = enricher();
    let headers = headers(&[
        ("user-agent", FIREFOX),
        ("x-forwarded-for", "192.0.2.7, 10.9.9.9"),
        ("referer", "https://t.co/abc?secret=1"),
        ("accept-language", "de-CH,en;q=0.5"),
    ]);
    let geo = enricher.geo.load();
    let visit = visit("10.0.0.1", &headers);
    let outcome = enricher.enrich(&visit, &target().workspace, geo.as_deref());
    let click = click(&outcome);
    let expected = Click {
        at_ms: AT_MS,
        workspace: Uuid::from_u128(1).as_bytes().to_vec(),
        link: Uuid::from_u128(2).as_bytes().to_vec(),
        link_version: 3,
        domain: "go.example".to_owned(),
        agent: outcome.agent.id,
        browser: "Firefox".to_owned(),
        browser_version: "128.0".to_owned(),
        os: "Linux".to_owned(),
        device: Device::Desktop.into(),
        visitor: click.visitor,
        country: "CH".to_owned(),
        region: "Zurich".to_owned(),
        city: "Zurich".to_owned(),
        referrer: "t.co".to_owned(),
        referrer_url: "https://t.co/abc".to_owned(),
        language: "de".to_owned(),
        ..Click::default()
    };
    assert_eq!(click, expected);
    assert_ne!(click.visitor, 0);
    assert_eq!(outcome.bot(), BotReason::Human);
}

#[test]
fn the_agents_bot_reason_overrides_the_visits() {
    let (enricher, _directory) = enricher();
    for (user_agent, head, purpose, reason) in [
        (FIREFOX, false, "", BotReason::Human),
        (FIREFOX, true, "", BotReason::Head),
        (FIREFOX, true, "prefetch", BotReason::Head),
        (FIREFOX, false, "prefetch", BotReason::Prefetch),
        ("examplebot", true, "prefetch", BotReason::Pattern),
        ("somebot/1.0", false, "prefetch", BotReason::Woothee),
        ("", true, "", BotReason::NoAgent),
    ] {
        let headers = headers(&[("user-agent", user_agent), ("sec-purpose", purpose)]);
        let visit = Visit { head, ..visit("192.0.2.7", &headers) };
        let outcome = enricher.enrich(&visit, &target().workspace, None);
        let click = click(&outcome);
        assert_eq!(outcome.bot(), reason, "{user_agent} {head} {purpose}");
        assert_eq!(click.bot(), reason, "{user_agent} {head} {purpose}");
        assert_eq!((click.head, click.prefetch), (head, purpose == "prefetch"));
    }
}

#[test]
fn a_request_without_headers_is_a_click() {
    let (enricher, _directory) = enricher();
    let headers = HeaderMap::new();
    let visit = visit("::1", &headers);
    let click = click(&enricher.enrich(&visit, &target().workspace, None));
    assert_eq!((click.bot(), click.device()), (BotReason::NoAgent, Device::Bot));
    assert_eq!((click.country, click.referrer, click.language), Default::default());
}

#[test]
fn a_scan_counts_for_a_code_of_the_link() {
    let (enricher, _directory) = enricher();
    let headers = HeaderMap::new();
    // The target is link 2.
    for (query, qr, code) in [("qr=2", true, true), ("qr=3", true, false), ("qr", true, false)] {
        let visit = Visit { query: Some(query), ..visit("::1", &headers) };
        let click = click(&enricher.enrich(&visit, &target().workspace, None));
        let expected = if code { Uuid::from_u128(9).as_bytes().to_vec() } else { Vec::new() };
        assert_eq!((click.qr, click.qr_code), (qr, expected), "{query}");
    }
}

#[test]
fn a_click_does_not_contain_the_address() {
    let (enricher, _directory) = enricher();
    let text = "2001:db8:dead:beef:cafe:f00d:1234:5678";
    let address: IpAddr = text.parse().unwrap();
    let IpAddr::V6(octets) = address else { unreachable!() };
    let headers = headers(&[
        ("user-agent", FIREFOX),
        ("x-forwarded-for", text),
        ("forwarded", &format!("for=\"[{text}]\"")),
    ]);
    let geo = enricher.geo.load();
    let visit = visit("10.0.0.1", &headers);
    let outcome = enricher.enrich(&visit, &target().workspace, geo.as_deref());
    let mut batch = ClickBatch::default();
    batch.push(&outcome, &target());
    let mut logged = Vec::new();
    let append = |records: &[NewRecord<'_>]| {
        logged = records.iter().flat_map(|record| record.payload.to_vec()).collect();
        Ok::<_, Infallible>(())
    };
    batch.append_with(append).unwrap();
    let holds = |part: &[u8]| logged.windows(part.len()).any(|window| window == part);
    assert!(holds(b"FR"), "the location was looked up");
    for part in octets.octets().windows(4).chain(text.as_bytes().windows(6)) {
        assert!(!holds(part), "{}", part.escape_ascii());
    }
    assert!(!holds(b"10.0.0.1") && !holds(&[10, 0, 0, 1]), "nor the proxy's");
}

#[test]
fn the_agents_record_precedes_clicks_until_an_append_succeeds() {
    let (enricher, _directory) = enricher();
    let headers = headers(&[("user-agent", FIREFOX)]);
    let append = |result: Result<(), &'static str>| {
        let mut batch = ClickBatch::default();
        let visit = visit("192.0.2.7", &headers);
        let outcome = enricher.enrich(&visit, &target().workspace, None);
        // Two clicks of the same agent add its record once.
        batch.push(&outcome, &target());
        batch.push(&outcome, &target());
        assert_eq!(batch.clicks(), 2);
        let mut record = None;
        let appended = batch.append_with(|records| {
            let (clicks, seen): (Vec<&NewRecord<'_>>, Vec<_>) =
                records.iter().partition(|record| record.kind == kind::CLICK);
            assert_eq!((clicks.len(), seen.len() < 2), (2, true));
            record = seen.first().map(|seen| AgentSeen::decode(seen.payload).unwrap());
            result
        });
        assert_eq!((batch.clicks(), batch.bytes()), (0, 0));
        assert_eq!(appended, result);
        record
    };
    assert!(append(Err("disk full")).is_some());
    let seen = append(Ok(())).unwrap();
    assert_eq!(
        (seen.user_agent.as_str(), seen.browser.as_str(), seen.at_ms),
        (FIREFOX, "Firefox", AT_MS)
    );
    assert_eq!(append(Ok(())), None);
}

/// With concurrent new agents and a log whose appends sometimes fail, every click in the log is
/// preceded by its agent's record.
#[test]
fn no_click_is_logged_before_its_agent() {
    enum Record {
        Agent(u64),
        Click(u64),
    }
    impl Record {
        fn of(record: &NewRecord<'_>) -> Self {
            match record.kind {
                kind::CLICK => Self::Click(Click::decode(record.payload).unwrap().agent),
                _ => Self::Agent(AgentSeen::decode(record.payload).unwrap().id),
            }
        }
    }
    let (enricher, _directory) = enricher();
    let log = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..8_usize {
            let (enricher, log) = (&enricher, &log);
            scope.spawn(move || {
                let mut batch = ClickBatch::default();
                for number in 0..=400 {
                    let headers = headers(&[("user-agent", &format!("agent/{}", number / 4))]);
                    let visit = visit("192.0.2.7", &headers);
                    batch.push(&enricher.enrich(&visit, &target().workspace, None), &target());
                    if number % 5 != 0 {
                        continue;
                    }
                    let _ = batch.append_with(|records| {
                        if (number + thread) % 3 == 0 {
                            return Err(());
                        }
                        log.lock().unwrap().extend(records.iter().map(Record::of));
                        Ok(())
                    });
                }
            });
        }
    });
    let mut seen = HashSet::new();
    for record in log.into_inner().unwrap() {
        match record {
            Record::Agent(id) => {
                seen.insert(id);
            }
            Record::Click(id) => assert!(seen.contains(&id), "a click without its agent"),
        }
    }
    assert_eq!(seen.len(), 101);
}

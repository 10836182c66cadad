//! Old clicks are removed from the log once they are permanently in ClickHouse; no count changes.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use prost::Message;
use serde_json::json;
use slugline::domain::click::{Click, VERSION, kind};
use slugline::log::{DiskStorage, LocalLog, Log, LogOptions, LogView, NewRecord};

use crate::harness::{DataFolder, Link, Options, Server, eventually, slugline};

const OLD_CLICKS: u64 = 900;
const DAY_MS: u64 = 24 * 3_600 * 1_000;

/// Appends clicks of the days before to the log of a service that is stopped: copies of the clicks
/// that are there, in turn, in segments of a few.
fn append_old(folder: &Path) {
    let view = LogView::open(Arc::new(DiskStorage), folder).unwrap();
    let mut reader = view.read_from(0);
    let records = std::iter::from_fn(|| reader.next_record().unwrap());
    let clicks = records.filter(|record| record.kind == kind::CLICK);
    let clicks: Vec<_> =
        clicks.map(|record| Click::decode(record.payload.as_ref()).unwrap()).collect();
    let options = LogOptions { segment_bytes: 4_000 };
    let log = LocalLog::open(Arc::new(DiskStorage), folder, options).unwrap();
    for (number, click) in (0..OLD_CLICKS).zip(clicks.iter().cycle()) {
        let at_ms = click.at_ms - 80 * DAY_MS + number * DAY_MS / 12;
        let payload = Click { at_ms, visitor: number, ..click.clone() }.encode_to_vec();
        log.append(&[NewRecord { kind: kind::CLICK, version: VERSION, payload: &payload }])
            .unwrap();
    }
    log.sync().unwrap();
}

fn clicks_of(server: &Server, link: &Link) -> u64 {
    clicks_by(server, link, "include")
}

/// Clicks of humans and bots alike, of the one or of the other.
fn clicks_by(server: &Server, link: &Link, bots: &str) -> u64 {
    server.await_projection();
    let path = format!("{}/clicks/summary?unit=month&units=12&bots={bots}", link.path());
    server.api().get(&path).expect(200).data()["total_clicks"].as_u64().unwrap()
}

fn run(data: &DataFolder, arguments: &[&str]) -> String {
    let output = slugline().args(arguments).arg("--data-dir").arg(data.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_is_old_leaves_the_log_and_stays_counted() {
    let server = Options::new().start();
    server.await_analytics();
    let (data, link) = (server.data.clone(), server.link());
    server.visit(&link).send().expect(302);
    assert!(server.stop().success());
    let folder = data.path().join("log/clicks");
    append_old(&folder);
    let segments = || {
        let names = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().ends_with(".seg")).count()
    };
    let all = segments();

    let server = Options::at(&data).flag("--clicks-retention", "1h").start();
    eventually("old segments are gone", || folder.join("first").exists().then_some(()));
    eventually("they are all gone", || {
        server.stderr.contains("oldest segments were dropped").then_some(())
    });
    assert!(segments() < all * 3 / 4, "{} of {all} are left", segments());
    assert_eq!(clicks_of(&server, &link), OLD_CLICKS + 1);
    // Killed, it starts with a plan that speaks of a batch of which a part was dropped.
    drop(server);
    let server = Options::at(&data).start();
    assert_eq!(clicks_of(&server, &link), OLD_CLICKS + 1);
    assert!(run(&data, &["log", "verify"]).contains("clicks: sound"));
    // The comparison knows what was dropped, and a rebuild keeps it.
    run(&data, &["verify"]);
    run(&data, &["rebuild", "analytics"]);
    run(&data, &["verify"]);
    assert_eq!(clicks_of(&server, &link), OLD_CLICKS + 1);
    server.visit(&link).send().expect(302);
    assert!(server.stop().success());
    let again = Options::at(&data).start();
    assert_eq!(clicks_of(&again, &link), OLD_CLICKS + 2);
    run(&data, &["verify"]);
}

/// Amendments reach clicks that the log no longer holds, and a rebuild after that keeps them.
#[test]
fn what_has_left_the_log_is_amended_too() {
    let list = |data: &DataFolder, pattern: &str| {
        std::fs::create_dir_all(data.path()).unwrap();
        let path = data.path().join("crawlers.json");
        std::fs::write(&path, format!(r#"[{{"pattern": "{pattern}"}}]"#)).unwrap();
        path
    };
    let options = Options::new();
    let crawlers = list(&options.data, "nothing-at-all");
    let server = options.flag("--crawler-list", &crawlers).start();
    server.await_analytics();
    let (data, links) = (server.data.clone(), [server.link(), server.link(), server.link()]);
    for (link, browser) in
        links.iter().zip(["Firefox/131.0 marked", "Firefox/131.0", "Firefox/131.0"])
    {
        let agent = format!("Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 {browser}");
        server.visit(link).agent(&agent).send().expect(302);
    }
    assert!(server.stop().success());
    append_old(&data.path().join("log/clicks"));

    let options = Options::at(&data).flag("--crawler-list", &crawlers);
    let server = options.flag("--clicks-retention", "1h").start();
    eventually("they are all gone", || {
        server.stderr.contains("oldest segments were dropped").then_some(())
    });
    let each = OLD_CLICKS / 3 + 1;
    let humans = |server: &Server, link: &Link| clicks_by(server, link, "exclude");
    assert_eq!([humans(&server, &links[0]), humans(&server, &links[1])], [each; 2]);
    list(&data, "marked");
    let crawlers = crawlers.to_str().unwrap();
    let since = ["reclassify", "bots", "--since", "all", "--crawler-list", crawlers];
    assert_eq!(run(&data, &since), "1 of 2 user agents reclassified\n");
    server.api().delete(&links[2].path()).expect(204);
    let removed = || removed_of(&data);
    eventually("its clicks are removed", || (removed() == each).then_some(()));
    for _ in 0..2 {
        assert_eq!([humans(&server, &links[0]), humans(&server, &links[1])], [0, each]);
        assert_eq!(clicks_by(&server, &links[0], "only"), each);
        run(&data, &["rebuild", "analytics"]);
        assert_eq!(removed(), each);
    }
}

/// A backup has what only ClickHouse has, with the amendments of it, and a restored service counts
/// the same, whatever interrupts its start.
#[test]
fn what_has_left_the_log_is_backed_up() {
    let server = Options::new().start();
    server.await_analytics();
    let (data, links) = (server.data.clone(), [server.link(), server.link()]);
    for link in &links {
        server.visit(link).send().expect(302);
    }
    assert!(server.stop().success());
    append_old(&data.path().join("log/clicks"));
    let server = Options::at(&data).flag("--clicks-retention", "1h").start();
    eventually("they are all gone", || {
        server.stderr.contains("oldest segments were dropped").then_some(())
    });
    let each = OLD_CLICKS / 2 + 1;
    server.api().delete(&links[1].path()).expect(204);
    eventually("its clicks are removed", || (removed_of(&data) == each).then_some(()));
    assert_eq!(clicks_of(&server, &links[0]), each);
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup").to_str().unwrap().to_owned();
    let made = run(&data, &["backup", &backup]);
    assert!(made.contains("clicks that only ClickHouse has: "), "{made}");
    assert!(made.contains(" 0 files were there already"), "{made}");
    server.visit(&links[0]).send().expect(302);
    server.await_projection();
    let made = run(&data, &["backup", &backup]);
    assert!(!made.contains(" 0 files were there already"), "{made}");
    assert!(!data.path().join("clickhouse.exported").exists());
    assert!(server.stop().success());

    let restored = DataFolder::new();
    run(&restored, &["restore", &backup]);
    let server = Options::at(&restored).start();
    eventually("it restores", || server.stderr.contains("restoring the clicks").then_some(()));
    drop(server);
    for _ in 0..2 {
        let server = Options::at(&restored).start();
        assert_eq!(clicks_of(&server, &links[0]), each + 1);
        assert_eq!(removed_of(&restored), each);
        run(&restored, &["verify"]);
        assert!(!restored.path().join("clickhouse.restored").exists());
        // Killed.
        drop(server);
    }
    // Without a service.
    let made = run(&restored, &["backup", &backup]);
    assert!(made.contains("clicks that only ClickHouse has: "), "{made}");
    let without = run(&restored, &["backup", "--logs-only", &backup]);
    assert!(!without.contains("only ClickHouse"), "{without}");
}

/// The clicks removed with deleted links, which the comparison with the log counts.
fn removed_of(data: &DataFolder) -> u64 {
    let report: serde_json::Value =
        serde_json::from_str(&run(data, &["verify", "--json"])).unwrap();
    let months = report["months"].as_array().unwrap().iter();
    months.map(|month| month["removed"].as_u64().unwrap()).sum()
}

/// Clicks that are older than the analytics may see are in none of the answers.
#[test]
fn analytics_see_as_far_back_as_they_may() {
    let server = Options::new().start();
    server.await_analytics();
    let (data, link) = (server.data.clone(), server.link());
    server.visit(&link).send().expect(302);
    assert!(server.stop().success());
    append_old(&data.path().join("log/clicks"));
    let counts = |server: &Server| {
        server.await_analytics();
        server.await_projection();
        let total = |question: serde_json::Value| {
            let answer = server.api().post("/analytics/query", &question).expect(200).data();
            let rows = answer.as_array().unwrap().iter();
            rows.map(|row| row["metrics"]["clicks"].as_u64().unwrap()).sum::<u64>()
        };
        let bots = "include";
        let time = json!({ "dimensions": ["time"], "date_range": "90d", "bots": bots });
        let was = json!({ "date_range": ["2020-01-01", "2020-02-01"], "bots": bots });
        assert_eq!(total(was), 0);
        let export = server.api().get("/analytics/export?format=ndjson&bots=include").expect(200);
        [
            clicks_of(server, &link),
            total(json!({ "date_range": "all", "bots": bots })),
            total(
                json!({ "date_range": "all", "bots": bots, "dimensions": ["country", "device"] }),
            ),
            total(time),
            export.text.lines().count() as u64,
        ]
    };
    let server = Options::at(&data).flag("--analytics-retention", "all").start();
    assert_eq!(counts(&server), [OLD_CLICKS + 1; 5]);
    assert!(server.stop().success());
    let server = Options::at(&data).flag("--analytics-retention", "20d").start();
    // Twelve a day, of 20 days and of what has passed of the day on which the first are seen.
    let [seen, ..] = counts(&server);
    let last = OLD_CLICKS / 12;
    let days = 20 - (80 - last) + 1;
    assert!((days - 1) * 12 < seen && seen <= days * 12 + 2, "{seen}, {days} days");
    assert_eq!(counts(&server), [seen; 5]);
    assert!(server.stop().success());
    // The same by the plan of the workspace.
    let folder = tempfile::tempdir().unwrap();
    let plans = folder.path().join("plans.toml");
    let text = "default = 'a'\n[[plans]]\nid = 'a'\nname = 'A'\n\
                limits = { analytics_retention_days = 20 }\n";
    fs::write(&plans, text).unwrap();
    let server = Options::at(&data).flag("--plans", &plans).start();
    assert_eq!(counts(&server), [seen; 5]);
}

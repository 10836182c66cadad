//! The clicks of a deleted link disappear from all responses immediately and from ClickHouse soon
//! after, and no rebuild brings them back. Clicks of other links stay counted.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use serde_json::{Value, json};
use slugline::domain::amendment::LinkForgotten;
use slugline::domain::click::{Click, VERSION, kind};
use slugline::domain::ids::LinkId;
use slugline::log::{DiskStorage, LocalLog, Log, LogOptions, LogView, NewRecord};

use crate::harness::{
    ClickHouseServer, DataFolder, Link, Options, Server, eventually, slugline, within,
};

const DAY_MS: u64 = 24 * 3_600 * 1_000;
/// Of these links.
const LINKS: u64 = 3;
/// So many clicks in the past.
const CLICKS: u64 = 3_000;

/// The clicks in a log.
fn logged(folder: &Path) -> Vec<Click> {
    let view = LogView::open(Arc::new(DiskStorage), folder).unwrap();
    let mut reader = view.read_from(0);
    let records = std::iter::from_fn(|| reader.next_record().unwrap());
    let clicks = records.filter(|record| record.kind == kind::CLICK);
    clicks.map(|record| Click::decode(record.payload.as_ref()).unwrap()).collect()
}

/// Appends records to the log of a service that is stopped.
fn append(folder: &Path, records: impl IntoIterator<Item = (u16, Vec<u8>)>) {
    let log = LocalLog::open(Arc::new(DiskStorage), folder, LogOptions::default()).unwrap();
    for (kind, payload) in records {
        log.append(&[NewRecord { kind, version: VERSION, payload: &payload }]).unwrap();
    }
    log.sync().unwrap();
}

/// Clicks of the last 70 days: copies of these with this and that changed.
fn past(clicks: &[Click]) -> impl Iterator<Item = (u16, Vec<u8>)> {
    (0..CLICKS).map(|number| {
        let model = &clicks[(number % LINKS) as usize];
        let click = Click {
            at_ms: model.at_ms - 70 * DAY_MS + number * DAY_MS / 50,
            visitor: number % 411,
            country: ["DE", "FR", "JP", ""][(number % 4) as usize].to_owned(),
            city: format!("city {}", number % 17),
            utm_source: format!("source {}", number % 5),
            bot: i32::from(number % 7 == 0),
            qr: number % 11 == 0,
            qr_code: if number % 11 == 0 { vec![(number % 3) as u8; 16] } else { Vec::new() },
            ..model.clone()
        };
        (kind::CLICK, click.encode_to_vec())
    })
}

/// A service over such clicks.
fn world(options: &Options) -> (Server, Vec<Link>) {
    let server = options.start();
    let links: Vec<_> = (0..LINKS).map(|_| server.link()).collect();
    for link in &links {
        server.visit(link).send().expect(302);
    }
    assert!(server.stop().success());
    let folder = options.data.path().join("log/clicks");
    append(&folder, past(&logged(&folder)));
    let server = options.start();
    server.await_analytics();
    server.await_projection();
    (server, links)
}

/// What is asked: by each kind of table, and what none but single clicks can tell.
fn questions() -> Vec<Value> {
    let metrics = json!(["clicks", "unique_visitors", "bot_clicks", "qr_scans", "last_click_at"]);
    let mut questions = Vec::new();
    for dimensions in [
        json!([]),
        json!(["time"]),
        json!(["link"]),
        json!(["country"]),
        json!(["city"]),
        json!(["time", "utm_source"]),
        json!(["country", "city"]),
    ] {
        for range in ["all", "30d"] {
            questions.push(json!({
                "metrics": metrics, "dimensions": dimensions, "date_range": range,
                "granularity": if dimensions[0] == "time" { json!("day") } else { Value::Null },
                "limit": 1000,
            }));
        }
    }
    let scanned = json!({ "dimension": "qr_code", "operator": "is_set" });
    questions.push(json!({
        "metrics": metrics, "dimensions": ["qr_code"], "date_range": "all", "filters": scanned,
    }));
    questions
}

/// The answers' rows, in a fixed order. `filter` is put to each question, where one is given.
fn ask(server: &Server, filter: Option<&Value>, min_offset: u64) -> Vec<Vec<String>> {
    let answers = questions().into_iter().map(|mut question| {
        let fields = question.as_object_mut().unwrap();
        fields.retain(|_, value| !value.is_null());
        fields.insert("min_offset".to_owned(), min_offset.into());
        if let Some(filter) = filter {
            let own = fields.remove("filters");
            let filters = own.into_iter().chain([filter.clone()]).collect();
            fields.insert("filters".to_owned(), filters);
        }
        let answer = server.api().post("/analytics/query", &question).expect(200).json();
        let rows = answer["data"].as_array().unwrap().iter();
        let mut rows: Vec<_> = rows.map(Value::to_string).collect();
        rows.sort();
        rows
    });
    answers.collect()
}

/// From which tables these questions are answered.
fn tables(server: &Server) -> BTreeSet<String> {
    let tables = questions().into_iter().map(|mut question| {
        question.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let answer = server.api().post("/analytics/query", &question).expect(200).json();
        answer["meta"]["table"].as_str().unwrap().to_owned()
    });
    tables.collect()
}

fn delete(server: &Server, link: &Link) -> u64 {
    let deleted = server.api().delete(&link.path()).expect(204);
    deleted.header("log-offset").parse().unwrap()
}

/// The months in the report of `slugline verify`.
fn verify(data: &DataFolder, options: &Options) -> Vec<Value> {
    let mut command = slugline();
    command.args(["verify", "--json", "--data-dir"]).arg(data.path());
    options.pass_clickhouse_to(&mut command);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let report: Value = serde_json::from_str(&said).unwrap();
    assert!(output.status.success(), "{report}");
    report["months"].as_array().unwrap().clone()
}

fn rebuild(data: &DataFolder) {
    let rebuilt =
        slugline().args(["rebuild", "analytics", "--data-dir"]).arg(data.path()).output().unwrap();
    assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
}

fn removed(months: &[Value]) -> u64 {
    months.iter().map(|month| month["removed"].as_u64().unwrap()).sum()
}

fn others(links: &[Link]) -> Value {
    let ids: Vec<_> = links.iter().map(|link| link.id.clone()).collect();
    json!({ "dimension": "link", "operator": "in", "value": ids })
}

#[test]
fn a_deleted_link_takes_its_clicks_with_it() {
    let clickhouse = ClickHouseServer::start();
    let options = clickhouse.serve(Options::new());
    let (server, links) = world(&options);
    let data = server.data.clone();
    let all_tables = tables(&server);
    assert_eq!(all_tables.len(), 4, "{all_tables:?}");
    let expected = ask(&server, Some(&others(&links[1..])), 0);
    let before = ask(&server, None, 0);
    assert_ne!(before, expected);

    let gone = format!(
        "SELECT count() FROM clicks{{g}} WHERE link_id = '{}'",
        uuid_of(&clickhouse, &links[0])
    );
    let offset = delete(&server, &links[0]);
    assert_eq!(ask(&server, None, offset), expected, "at once");
    let count_gone = |generation: &str| clickhouse.sql(&gone.replace("{g}", generation));
    let exported =
        server.api().get("/analytics/export?format=ndjson&bots=include").expect(200).text;
    assert!(!exported.contains(&links[0].id));
    assert_eq!(exported.lines().count() as u64, (CLICKS + LINKS) * 2 / 3);

    within(Duration::from_secs(60), "it is removed", || (count_gone("") == "0").then_some(()));
    within(Duration::from_secs(60), "rollups are read again", || {
        (tables(&server) == all_tables).then_some(())
    });
    assert_eq!(ask(&server, None, offset), expected, "from the rollups");
    let months = verify(&data, &options);
    assert_eq!(removed(&months), (CLICKS + LINKS) / 3);

    rebuild(&data);
    assert_eq!(count_gone("_g2"), "0");
    assert_eq!(ask(&server, None, 0), expected, "from the rebuilt tables");
    assert_eq!(verify(&data, &options), months);
    assert!(server.stop().success());

    // With the logs alone, all comes out the same.
    let another = ClickHouseServer::start();
    let options = another.serve(Options::at(&data));
    let server = options.start();
    server.await_analytics();
    server.await_projection();
    assert_eq!(ask(&server, None, 0), expected, "from another ClickHouse, at once");
    within(Duration::from_secs(60), "it is removed there", || {
        (another.sql(&gone.replace("{g}", "")) == "0").then_some(())
    });
    within(Duration::from_secs(60), "rollups are read", || {
        (tables(&server) == all_tables).then_some(())
    });
    assert_eq!(ask(&server, None, 0), expected, "from its rollups");
    assert_eq!(verify(&data, &options), months);
}

/// The link's id as ClickHouse has it, by its number of clicks.
fn uuid_of(clickhouse: &ClickHouseServer, link: &Link) -> String {
    let id = link.id.parse::<LinkId>().unwrap().uuid().to_string();
    let there = format!("SELECT count() FROM clicks WHERE link_id = '{id}'");
    assert_ne!(clickhouse.sql(&there), "0");
    id
}

/// Whichever process is killed during removals, in the end exactly those clicks are removed.
#[test]
fn a_removal_that_is_cut_off_is_taken_up() {
    let options = Options::new();
    let (mut server, links) = world(&options);
    let data = server.data.clone();
    let expected = ask(&server, Some(&others(&links[2..])), 0);
    for (round, link) in links[..2].iter().enumerate() {
        let offset = delete(&server, link);
        eventually("the log of clicks has it", || {
            let forgotten =
                data.dump("clicks").iter().filter(|line| line["kind"] == "LinkForgotten").count();
            (forgotten > round).then_some(())
        });
        // About when the removal begins, which takes some hundred milliseconds.
        std::thread::sleep(Duration::from_millis(4_900 + 350 * round as u64));
        server.signal(rustix::process::Signal::KILL);
        drop(server);
        server = options.start();
        server.await_analytics();
        if round == 1 {
            assert_eq!(ask(&server, None, offset), expected);
        }
    }
    within(Duration::from_secs(60), "both are removed", || {
        (tables(&server).len() == 4).then_some(())
    });
    assert_eq!(ask(&server, None, 0), expected);
    assert_eq!(removed(&verify(&data, &options)), (CLICKS + LINKS) * 2 / 3);
}

/// Records of deleted links whose visits were logged only after the deletion, made of one click of
/// each of three links: the first was deleted, the second restored since. The third one's records
/// add up to the click that they are made of: it was deleted and restored twice, the first time by
/// a version of slugline that did not state the link's version.
fn late([gone, back, twice]: [&Click; 3]) -> Vec<(u16, Vec<u8>)> {
    let click = |of: &Click, link_version| {
        (kind::CLICK, Click { link_version, ..of.clone() }.encode_to_vec())
    };
    let forgotten = |through_version| {
        let (workspace, link) = (twice.workspace.clone(), twice.link.clone());
        let forgotten = LinkForgotten { at_ms: twice.at_ms, workspace, link, through_version };
        (kind::LINK_FORGOTTEN, forgotten.encode_to_vec())
    };
    let blocked = Click { block: 1, ..gone.clone() };
    vec![
        click(gone, 1),
        (kind::BLOCKED, blocked.encode_to_vec()),
        click(back, 1),
        forgotten(None),
        click(twice, 3),
        forgotten(Some(4)),
        click(twice, 5),
        click(twice, 1),
        click(back, 1),
        click(gone, 1),
    ]
}

/// Late clicks among these records, and clicks that were logged before their link was deleted.
const LATE: u64 = 5;
const BEFORE: u64 = 4;

#[test]
fn clicks_that_are_logged_after_their_link_was_deleted_do_not_count() {
    let clickhouse = ClickHouseServer::start();
    let options = clickhouse.serve(Options::new());
    let server = options.start();
    let data = server.data.clone();
    server.await_analytics();
    let links: Vec<_> = (0..4).map(|_| server.link()).collect();
    for link in &links {
        server.visit(link).send().expect(302);
    }
    delete(&server, &links[0]);
    delete(&server, &links[1]);
    server.api().post(&format!("/links/{}/restore", links[1].id), &json!({})).expect(200);
    server.visit(&links[1]).send().expect(302);
    within(Duration::from_secs(60), "clicks are removed", || {
        let removed = "SELECT sum(clicks) FROM removed WHERE forgotten_through <= \
             (SELECT max(through) FROM amended WHERE what = 'removal')";
        (clickhouse.sql(removed) == "2").then_some(())
    });
    server.await_projection();
    let expected = ask(&server, None, 0);
    assert!(server.stop().success());

    let folder = data.path().join("log/clicks");
    let clicks = logged(&folder);
    let first_click = |link: &Link| {
        let id = link.id.parse::<LinkId>().unwrap();
        let mut clicks = clicks.iter().filter(|click| click.link == id.as_bytes());
        clicks.find(|click| click.link_version == 1).unwrap()
    };
    append(&folder, late([0, 1, 2].map(|number| first_click(&links[number]))));
    let late_rows = format!(
        "SELECT (SELECT count() FROM clicks{{g}} WHERE NOT (link_id = '{0}' AND link_version = 3) \
              AND NOT (link_id = '{1}' AND link_version = 5) AND link_id != '{2}') \
          + (SELECT count() FROM blocked{{g}})",
        uuid_of(&clickhouse, &links[1]),
        uuid_of(&clickhouse, &links[2]),
        uuid_of(&clickhouse, &links[3]),
    );
    let server = options.start();
    server.await_analytics();
    server.await_projection();
    let await_removal = |clickhouse: &ClickHouseServer, server: &Server| {
        within(Duration::from_secs(60), "late clicks are removed", || {
            assert_eq!(ask(server, None, 0), expected, "at any time");
            (clickhouse.sql(&late_rows.replace("{g}", "")) == "0").then_some(())
        });
        assert_eq!(ask(server, None, 0), expected, "after the removal");
    };
    await_removal(&clickhouse, &server);
    let months = verify(&data, &options);
    assert_eq!(removed(&months), BEFORE + LATE);

    rebuild(&data);
    assert_eq!(clickhouse.sql(&late_rows.replace("{g}", "_g2")), "0");
    assert_eq!(ask(&server, None, 0), expected, "from the rebuilt tables");
    assert_eq!(verify(&data, &options), months);
    assert!(server.stop().success());

    // In one batch, all comes out the same.
    let another = ClickHouseServer::start();
    let options = another.serve(Options::at(&data));
    let server = options.start();
    server.await_analytics();
    server.await_projection();
    await_removal(&another, &server);
    assert_eq!(verify(&data, &options), months);
}

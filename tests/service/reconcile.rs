//! Comparison of the log with ClickHouse, and rebuilding tables that differ.

use std::os::unix::fs::PermissionsExt;
use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::Value;

use crate::harness::{Answer, ClickHouseServer, DataFolder, Options, Server, eventually, slugline};

/// `slugline …` over a data folder, with what a slugline there is started with.
fn command(data: &DataFolder, arguments: &[&str], options: &Options) -> Output {
    let mut command = slugline();
    command.args(arguments).arg("--data-dir").arg(data.path());
    options.pass_clickhouse_to(&mut command);
    command.output().unwrap()
}

/// `slugline verify --json`: whether all is equal, and what it says.
fn verify(data: &DataFolder, options: &Options) -> (bool, Value) {
    let output = command(data, &["verify", "--json"], options);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let report: Value = serde_json::from_str(&said).unwrap_or_else(|error| {
        panic!("{error}: {said}{}", String::from_utf8_lossy(&output.stderr))
    });
    assert_eq!(output.status.success(), report["equal"] == true, "{report}");
    (output.status.success(), report)
}

fn rebuild(data: &DataFolder, options: &Options) {
    let output = command(data, &["rebuild", "analytics"], options);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("rebuilt"));
}

fn clicked(server: &Server, visits: u64) -> crate::harness::Link {
    let link = server.link();
    for _ in 0..visits {
        server.visit(&link).send().expect(302);
    }
    server.await_clicks(&link, visits);
    link
}

#[test]
fn what_differs_is_named_and_a_rebuild_mends_it() {
    let clickhouse = ClickHouseServer::start();
    let options = clickhouse.serve(Options::new());
    let server = options.start();
    server.await_analytics();
    let data = server.data.clone();
    let link = clicked(&server, 20);
    let (equal, report) = verify(&data, &options);
    assert!(equal);
    let month = &report["months"][0];
    assert_eq!(
        (&month["log"], &month["clickhouse"], &month["rollups"]),
        (&20.into(), &20.into(), &20.into())
    );

    let mut generation = String::new();
    let damages = [
        ("ALTER TABLE clicks{g} DELETE WHERE log_offset % 7 = 0", "missing"),
        ("INSERT INTO clicks{g} SELECT * FROM clicks{g} LIMIT 3", "too many"),
        (
            "ALTER TABLE clicks{g} UPDATE log_offset = log_offset + 1 WHERE log_offset = (SELECT max(log_offset) FROM clicks{g})",
            "same ones",
        ),
        ("ALTER TABLE clicks_hourly{g} DELETE WHERE 1", "rollup add up to 0"),
        ("ALTER TABLE clicks_daily_links{g} DELETE WHERE 1", "rollup add up to 0"),
        (
            "INSERT INTO clicks_daily_values{g} SELECT * FROM clicks_daily_values{g}",
            "rollup add up to 40",
        ),
    ];
    for (at, (damage, named)) in damages.iter().enumerate() {
        clickhouse.sql(&damage.replace("{g}", &generation));
        let (equal, report) = verify(&data, &options);
        let difference = report["months"][0]["difference"].as_str().unwrap_or_default();
        assert!(!equal && difference.contains(named), "{damage}: {report}");
        rebuild(&data, &options);
        assert!(verify(&data, &options).0, "{damage}");
        assert_eq!(server.clicks_of(&link, "include"), 20);
        generation = format!("_g{}", at + 2);
    }
    let metrics = server.get("/metrics").expect(200).text;
    assert!(metrics.contains("slugline_reconcile_differences{projection=\"clickhouse\"} 0"));
    // The next start takes up where this one was, with the tables of the last rebuild alone.
    assert!(server.stop().success());
    let again = options.start();
    again.await_clicks(&link, 20);
    let tables = clickhouse.sql("SHOW TABLES LIKE 'clicks%'");
    let tables: Vec<_> = tables.lines().collect();
    let rollups = ["clicks_daily_links", "clicks_daily_values", "clicks_hourly"];
    let feeds = rollups.map(|rollup| format!("{rollup}_feed_g7"));
    let mut expected = vec!["clicks_g7".to_owned(), "clicks_daily_codes_feed_g7".to_owned()];
    expected.extend(feeds);
    expected.extend(rollups.map(|rollup| format!("{rollup}_g7")));
    expected.sort_unstable();
    assert_eq!(tables, expected);
}

/// The check at the start finds it, and the tables are made anew without anybody asking.
#[test]
fn a_difference_at_the_start_is_mended() {
    let clickhouse = ClickHouseServer::start();
    let options = clickhouse.serve(Options::new());
    let server = options.start();
    server.await_analytics();
    let link = clicked(&server, 12);
    assert!(server.stop().success());
    clickhouse.sql("ALTER TABLE clicks DELETE WHERE log_offset % 3 = 0");
    let again = options.start();
    eventually("the tables are made anew", || {
        again.stderr.contains("the rebuilt analytics are in use").then_some(())
    });
    again.await_clicks(&link, 12);
    assert!(verify(&again.data, &options).0);
}

/// An upgrade alters the views; the last batch before it is sent again after it, and so is the last
/// one before a restart.
#[test]
fn altered_views_add_no_batch_twice() {
    let clickhouse = ClickHouseServer::start();
    let options = clickhouse.serve(Options::new());
    let server = options.start();
    server.await_analytics();
    // It looks at the rollups once, and would make them again if they were missing then.
    eventually("the tables have been compared", || {
        server.stderr.contains("reconciled ClickHouse with the log").then_some(())
    });
    // The rollups and their views as earlier versions made them.
    let rollups = include_str!("../../schema/0005_rollups.sql").replace("/*generation*/", "");
    let statements = rollups.split(';').filter_map(|text| Some(&text[text.find("CREATE ")?..]));
    clickhouse.sql("DROP VIEW clicks_daily_codes_feed SYNC");
    for rollup in ["clicks_hourly", "clicks_daily_links", "clicks_daily_values"] {
        clickhouse.sql(&format!("DROP VIEW {rollup}_feed SYNC"));
        clickhouse.sql(&format!("DROP TABLE {rollup} SYNC"));
    }
    statements.for_each(|statement| drop(clickhouse.sql(statement)));
    clickhouse.sql("ALTER TABLE clicks DROP INDEX log_offset_range");
    clickhouse.sql("ALTER TABLE schema_migrations DELETE WHERE name > '0009'");
    let link = clicked(&server, 12);
    assert!(server.stop().success());

    let views = "SELECT countIf(as_select LIKE '%chunk%'), countIf(as_select LIKE '%GROUPING SETS%') \
                 FROM system.tables WHERE database = currentDatabase() AND name LIKE '%_feed'";
    let chunks = "SELECT chunk, sum(clicks) FROM clicks_hourly GROUP BY chunk ORDER BY chunk";
    assert_eq!(clickhouse.sql(views).trim(), "0\t0");
    for more in [0, 1] {
        let again = options.start();
        again.await_clicks(&link, 12 + more);
        assert!(again.stderr.contains("resending a batch that was in flight"));
        assert_eq!(clickhouse.sql(views).trim(), "4\t1");
        let (equal, report) = verify(&again.data, &options);
        assert!(equal, "{report}");
        assert!(!again.stderr.contains("rebuilding them"));
        again.visit(&link).send().expect(302);
        again.await_clicks(&link, 13 + more);
        assert_eq!(clickhouse.sql(chunks).trim(), format!("0\t12\n1\t{}", 1 + more));
        assert!(again.stop().success());
    }
}

/// What another version has made is replaced, and filled from the log.
#[test]
fn tables_of_another_version_are_made_anew() {
    let clickhouse = ClickHouseServer::start();
    let options = clickhouse.serve(Options::new());
    let server = options.start();
    server.await_analytics();
    let link = clicked(&server, 12);
    assert!(server.stop().success());
    clickhouse.sql("ALTER TABLE schema_migrations UPDATE sha256 = 'before' WHERE name = '0002_clicks.sql' SETTINGS mutations_sync = 1");
    let again = options.start();
    again.await_clicks(&link, 12);
    assert!(verify(&again.data, &options).0);
    let tables = clickhouse.sql("SHOW TABLES LIKE 'clicks%'");
    assert!(tables.lines().all(|table| table.ends_with("_g2")), "{tables}");
}

#[test]
fn without_a_service_the_command_looks_by_itself() {
    let server = Options::new().start();
    server.await_analytics();
    let (data, options) = (server.data.clone(), Options::new());
    let link = clicked(&server, 9);
    let file = data.path().join("service.json");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Killed, it leaves its file behind, which must not mislead the command.
    drop(server);
    assert!(file.exists());
    let (equal, report) = verify(&data, &options);
    assert!(equal && report["months"][0]["log"] == 9, "{report}");
    rebuild(&data, &options);
    let again = Options::at(&data).start();
    again.await_clicks(&link, 9);
    assert!(again.stop().success());
    assert!(!file.exists());
    let nothing = DataFolder::new();
    let refused = command(&nothing, &["verify"], &options);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("contains no log"));
}

/// Visits come in, and analytics are asked, all the time that the tables are made anew.
#[test]
fn a_rebuild_does_not_stop_the_service() {
    let server = Options::new().start();
    server.await_analytics();
    let link = clicked(&server, 500);
    let (visits, stop) = (AtomicU64::new(500), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                server.visit(&link).send().expect(302);
                visits.fetch_add(1, Ordering::Relaxed);
            }
        });
        scope.spawn(|| {
            let mut seen = 500;
            while !stop.load(Ordering::Relaxed) {
                let counted = server.clicks_of(&link, "include");
                assert!(counted >= seen, "{counted} after {seen}");
                seen = counted;
            }
        });
        for _ in 0..3 {
            rebuild(&server.data, &Options::new());
        }
        stop.store(true, Ordering::Relaxed);
    });
    server.await_clicks(&link, visits.into_inner());
    assert!(verify(&server.data, &Options::new()).0);
    let failed = server.stop_for_log().into_iter().find(|line| line.contains("doesn't exist"));
    assert_eq!(failed, None, "a table that was not there was attached or dropped");
}

#[test]
fn only_those_who_may_can_look_and_only_the_operator_can_rebuild() {
    let server = Options::new().start();
    server.await_analytics();
    clicked(&server, 2);
    let post = |api: &crate::harness::Api<'_>| {
        Answer::to(api.request(reqwest::Method::POST, "/admin/rebuild/analytics"))
    };
    let owner = server.api();
    owner.get("/admin/reconcile").problem(403, "FORBIDDEN");
    post(&owner).problem(403, "FORBIDDEN");
    owner.get("/admin/rebuild/analytics").problem(403, "FORBIDDEN");
    let every = ["links:read", "links:write", "analytics:read", "user:read", "user:write"];
    let limited = server.api_as(owner.token(&every).1);
    limited.get("/admin/reconcile").problem(403, "FORBIDDEN");
    let nobody = server.api_as("nobody");
    nobody.get("/admin/reconcile").problem(401, "INVALID_API_KEY");
    post(&nobody).problem(401, "INVALID_API_KEY");

    let control = std::fs::read(server.data.path().join("service.json")).unwrap();
    let control: Value = serde_json::from_slice(&control).unwrap();
    let operator = server.api_as(control["key"].as_str().unwrap());
    let seen = operator.get("/admin/reconcile").expect(200).data();
    assert_eq!((&seen["equal"], &seen["months"][0]["log"]), (&true.into(), &2.into()));
    operator.get("/admin/rebuild/nothing").problem(404, "NOT_FOUND");
    assert_eq!(operator.get("/admin/rebuild/analytics").expect(200).data()["state"], "idle");
    post(&operator).expect(202);
    eventually("the rebuild is done", || {
        let state = operator.get("/admin/rebuild/analytics").expect(200).data();
        (state["state"] == "done").then_some(())
    });
    // The operator's key opens nothing else.
    operator.get("/links").problem(401, "INVALID_API_KEY");
}

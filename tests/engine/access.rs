//! Access control of a running engine.

use super::*;

#[test]
fn slugline_has_its_database_and_nothing_beyond() {
    let dir = tempfile::tempdir().unwrap();
    let engine = start(dir.path());
    let at = up(&engine);
    let ok = |parameters: &str, statement: &str| sql(&at, parameters, statement).unwrap();
    assert_eq!(ok("", "SELECT currentUser()"), "slugline");
    ok("", "CREATE DATABASE IF NOT EXISTS slugline");
    ok(
        "",
        &format!(
            "CREATE TABLE {DATABASE}.clicks (a UInt64, at DateTime) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 100"
        ),
    );
    ok(
        "",
        "CREATE TABLE slugline.sums (a UInt64, n UInt64) ENGINE = SummingMergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 100",
    );
    ok(
        "",
        "CREATE MATERIALIZED VIEW slugline.to_sums TO slugline.sums AS SELECT a, 1 AS n FROM slugline.clicks",
    );
    for _ in 0..2 {
        ok("insert_deduplication_token=one", "INSERT INTO slugline.clicks VALUES (1, 0), (2, 0)");
    }
    assert_eq!(ok("database=slugline", "SELECT count() FROM clicks"), "2");
    assert_eq!(ok("", "SELECT sum(n) FROM slugline.sums"), "2");
    assert_eq!(ok("", "SELECT timezone()").trim_start_matches("Etc/"), "UTC");
    let logs =
        "SELECT count() FROM system.tables WHERE database = 'system' AND name LIKE '%\\_log'";
    assert_eq!(ok("", logs), "0", "no log tables that grow");
    ok("", "ALTER TABLE slugline.clicks DELETE WHERE a = 1 SETTINGS mutations_sync = 1");
    ok("", "DROP TABLE slugline.clicks");

    for beyond in [
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "CREATE TABLE slugline.f (l String) ENGINE = File(LineAsString)",
        "CREATE TABLE slugline.u (l String) ENGINE = URL('http://127.0.0.1:1/', LineAsString)",
        "CREATE DATABASE other",
        "CREATE USER other",
        "SYSTEM SHUTDOWN",
        "SYSTEM STOP LISTEN HTTP",
    ] {
        let error = sql(&at, "", beyond).expect_err(beyond);
        assert!(error.contains("ACCESS_DENIED"), "{beyond}: {error}");
    }
    engine.shutdown(Duration::from_secs(5));
}

#[test]
fn nobody_else_is_let_in() {
    let dir = tempfile::tempdir().unwrap();
    let engine = start(dir.path());
    let at = up(&engine);
    sql(&at, "", "CREATE TABLE slugline.t (a UInt64) ENGINE = MergeTree ORDER BY a").unwrap();
    let refused = send(&at.url, "wrong", "SELECT 1").unwrap_err();
    assert!(refused.contains("AUTHENTICATION_FAILED"), "{refused}");

    let client = client();
    let url = |user: &str| format!("{}/{user}", at.url);
    let with = |name: &str, value: &str, user: &str| client.post(url(user)).header(name, value);
    for statement in [
        "SELECT 1",
        "SELECT * FROM slugline.t",
        "SELECT name FROM system.tables WHERE database = 'slugline'",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a",
        "CREATE TEMPORARY TABLE t (l String) ENGINE = File(LineAsString)",
        "SYSTEM STOP LISTEN HTTP",
        "SYSTEM SHUTDOWN",
    ] {
        for request in [
            client.post(url("")),
            client.post(url("?user=default")),
            client.post(url("query?user=default")),
            client.post(url("")).basic_auth("default", Some("")),
            with("X-ClickHouse-User", "default", ""),
            with("X-ClickHouse-User", "slugline", ""),
            with("X-ClickHouse-User", "slugline", "?user=default"),
            with("X-ClickHouse-User", "slugline", "").basic_auth("default", Some("")),
            with("X-ClickHouse-User", "slugline", "").header("X-ClickHouse-User", "default"),
            with("X-ClickHouse-User", "default", "").header("X-ClickHouse-User", "slugline"),
        ] {
            let answer = request.body(statement).send().unwrap();
            let (status, text) = (answer.status().as_u16(), answer.text().unwrap());
            assert!([401, 403, 404].contains(&status), "{statement}: {status} {text}");
            assert!(!text.contains("root:"), "{text}");
        }
    }
    assert_eq!(sql(&at, "", "SELECT count() FROM slugline.t").unwrap(), "0", "still listening");
    engine.shutdown(Duration::from_secs(5));
}

//! Operation: probes, metrics, logs, signals, and startup errors.

use std::fs;
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{DataFolder, Options, Output, TOKEN, eventually, shared};

#[test]
fn probes_tell_how_it_is() {
    let server = shared();
    server.get("/livez").expect(200);
    let ready = server.readiness();
    assert_eq!(ready["status"], "ready");
    for projection in ["index", "clickhouse"] {
        let state = &ready["projections"][projection];
        assert_eq!(state["state"], "up", "{state}");
        for field in ["offset", "log_end", "lag_events", "lag_ms"] {
            assert!(state[field].is_u64(), "{projection} lacks {field}: {state}");
        }
    }
}

#[test]
fn metrics_tell_what_it_does() {
    let server = Options::new().start();
    let link = server.link();
    for _ in 0..3 {
        server.visit(&link).send().expect(302);
    }
    server.get("/no-such-link").expect(404);
    server.get("/api/v1/links").expect(401);
    server.await_projection();
    let metrics = server.get("/metrics").expect(200).text;
    for line in [
        "slugline_redirects_total{visitor=\"human\"} 3",
        "slugline_clicks_lost_total 0",
        "slugline_queue_waiting{queue=\"commands\"} 0",
        "slugline_projection_up{projection=\"clickhouse\"} 1",
        "slugline_projection_lag_events{projection=\"clickhouse\"} 0",
        "slugline_subscription_lag_events{subscription=\"clickhouse\"} 0",
        "slugline_subscription_lag_events{subscription=\"link-deletions\"} 0",
        "slugline_projection_clicks_total 3",
        "slugline_projection_lag_seconds{projection=\"clickhouse\"} 0",
        "slugline_http_responses_total{handler=\"redirect\",status=\"302\"} 3",
        "slugline_http_responses_total{handler=\"api\",status=\"201\"} 1",
        "slugline_http_responses_total{handler=\"api\",status=\"401\"} 1",
        "slugline_http_responses_total{handler=\"other\",status=\"404\"} 1",
    ] {
        assert!(metrics.contains(line), "no {line} in:\n{metrics}");
    }
    for name in [
        "slugline_log_sync_seconds_bucket{log=\"mutations\"",
        "slugline_redirect_sampled_seconds",
        "slugline_build_info{version=\"",
        "process_cpu_seconds_total ",
        "slugline_projection_batch_seconds_count",
    ] {
        assert!(metrics.contains(name), "no {name} in:\n{metrics}");
    }
    for line in metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().unwrap();
        assert!(metrics.contains(&format!("# HELP {name} ")), "{name} has no help text");
    }
}

/// The process's own values, as Prometheus's clients name them, are those of this process now.
#[test]
fn metrics_tell_of_the_process() {
    let server = Options::links_only().start();
    let value = |name: &str| {
        let metrics = server.get("/metrics").expect(200).text;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)).expect(name);
        line.trim().parse::<f64>().unwrap()
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((now - value("process_start_time_seconds ")).abs() < 60.0);
    assert!((1e6..1e10).contains(&value("process_resident_memory_bytes ")));
    let open = value("process_open_fds ");
    let connections: Vec<_> =
        (0..50).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    eventually("the connections are counted", || {
        (value("process_open_fds ") >= open + 50.0).then_some(())
    });
    drop(connections);
    assert!(value("process_max_fds ") > open);
    let before = value("process_cpu_seconds_total ");
    eventually("time passes", || (value("process_cpu_seconds_total ") > before).then_some(()));
}

/// One line per request when asked for, with numbers as numbers, and without what is secret.
#[test]
fn requests_are_logged_by_template_when_asked_for() {
    let server = Options::links_only().env("SLUGLINE_ACCESS_LOG", "true").start();
    let link = server.link();
    server.visit(&link).send().expect(302);
    let request = server.request(Method::GET, &format!("/api/v1/links/{}?q=hidden", link.id));
    request.header("x-request-id", "of-the-test").bearer_auth(TOKEN).send().unwrap();
    server.get("/auth/set-up/secret-of-a-mail").expect(404);
    server.get("/api/v9/secret-of-a-mail").expect(404);
    server.get("/no-such-link").expect(404);
    let lines = server.stop_for_log();
    for line in &lines {
        assert!(!line.contains("secret-of") && !line.contains("hidden"), "{line}");
        assert!(!line.contains(TOKEN), "{line}");
    }
    let lines: Vec<Value> =
        lines.iter().map(|line| serde_json::from_str(line).expect(line)).collect();
    let logged: Vec<_> = lines.iter().filter(|line| line["target"] == "access").collect();
    let access = |method: &str, path: &str, status: u16| {
        let found = logged.iter().find(|line| {
            let fields = &line["fields"];
            fields["http.method"] == method && fields["http.path"] == path
        });
        let found = found.unwrap_or_else(|| panic!("{path}: {logged:#?}"));
        assert_eq!(found["fields"]["http.status"], status);
        assert!(found["fields"]["duration_seconds"].as_f64().unwrap() < 60.0);
        (*found).clone()
    };
    access("POST", "/api/v1/links", 201);
    access("GET", &format!("/{}", link.slug), 302);
    let got = access("GET", "/api/v1/links/{link}", 400);
    assert_eq!(got["span"]["request_id"], "of-the-test");
    access("GET", "/auth/{purpose}/{token}", 404);
    access("GET", "/no-such-link", 404);
    let server = Options::links_only().start();
    server.get("/no-such-link").expect(404);
    assert!(!server.stop_for_log().iter().any(|line| line.contains("\"access\"")));
}

#[test]
fn log_lines_are_json_when_asked_for() {
    let server = Options::links_only().start();
    let lines = server.stop_for_log();
    assert!(!lines.is_empty());
    for line in lines {
        let parsed: Value = serde_json::from_str(&line).expect(&line);
        assert!(parsed["level"].is_string() && parsed["timestamp"].is_string(), "{line}");
    }
}

#[test]
fn log_lines_for_humans_have_no_colors_in_a_pipe() {
    let options = Options::links_only().flag("--log-format", "human");
    let mut process = options.command().stderr(Stdio::piped()).spawn().unwrap();
    let (log, reader) = Output::collect(process.stderr.take().unwrap());
    eventually("slugline is ready", || log.contains("slugline is ready").then_some(()));
    process.kill().unwrap();
    process.wait().unwrap();
    reader.join().unwrap();
    assert!(!log.contains("\u{1b}"), "{}", log.text());
}

/// Also when it has been used, and for the second time.
#[test]
fn a_healthy_service_starts_and_stops_quickly_and_without_warnings() {
    let options = Options::new();
    for start in 1..=2 {
        let server = Options::at(&options.data).start();
        server.await_analytics();
        let link = server.link();
        for _ in 0..50 {
            server.visit(&link).send().expect(302);
        }
        server.await_clicks(&link, 50);
        let log = server.stderr.clone();
        let stopping = Instant::now();
        assert!(server.stop().success());
        let took = stopping.elapsed();
        // Idle, it takes a fraction of a second; other tests run at the time.
        assert!(took < Duration::from_secs(4), "{took:?}");
        let given = "SLUGLINE_BOOTSTRAP_TOKEN is ignored";
        for line in log.lines().iter().filter(|line| start == 1 || !line.contains(given)) {
            assert!(!line.contains("\"WARN\"") && !line.contains("\"ERROR\""), "{line}");
        }
    }
}

#[test]
fn the_geo_database_is_read_again_on_sighup() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("geo.mmdb");
    let fixture = |name: &str| {
        let path = format!("{}/src/clicks/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
        let new = folder.path().join("new.mmdb");
        fs::copy(path, &new).unwrap();
        fs::rename(new, &database).unwrap();
    };
    fixture("flat-country.mmdb");
    let server = Options::new().clickhouse_away().flag("--geo-db", &database).start();
    fixture("nested-city.mmdb");
    server.signal(rustix::process::Signal::HUP);
    eventually("the database was read again", || server.stderr.contains("reloaded").then_some(()));
    fs::write(&database, b"no database").unwrap();
    server.signal(rustix::process::Signal::HUP);
    eventually("a broken one is refused", || {
        server.stderr.contains("keeping the previous one").then_some(())
    });
    server.get("/livez").expect(200);
}

/// Runs `slugline serve` that must fail, and returns what it says.
fn refusal(options: &Options) -> String {
    let ended = options.command().output().unwrap();
    assert!(!ended.status.success());
    String::from_utf8(ended.stderr).unwrap()
}

#[test]
fn two_processes_cannot_share_a_data_folder() {
    let server = Options::links_only().start();
    let said = refusal(&Options::links_only().with_data(&server.data));
    let folder = server.data.path().display().to_string();
    assert!(said.contains(&folder) && said.contains(&server.pid().to_string()), "{said}");
    server.get("/livez").expect(200);
}

#[test]
fn a_wrong_setting_is_named() {
    for (flag, value, named) in [
        ("--visitor-salt", "hourly", "visitor-salt"),
        ("--trusted-proxies", "10.0.0.0/99", "trusted-proxies"),
        ("--geo-db", "/nowhere/geo.mmdb", "/nowhere/geo.mmdb"),
        ("--crawler-list", "/nowhere/crawlers.json", "/nowhere/crawlers.json"),
        ("--geo-db", file!(), "MaxMind"),
        ("--crawler-list", file!(), "crawler list"),
        ("--config", "/nowhere/slugline.toml", "/nowhere/slugline.toml"),
    ] {
        let said = refusal(&Options::new().clickhouse_away().flag(flag, value));
        assert!(said.contains(named), "{flag}: {said}");
    }
    let engine = Options::new().flag("--geo-db", "none").flag("--crawler-list", "none");
    let said = refusal(&engine.flag("--engine-lib", "/nowhere/libchdb.so"));
    assert!(said.contains("--engine-lib") && said.contains("/nowhere/libchdb.so"), "{said}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = refusal(&Options::new().clickhouse_away().flag("--listen", &address));
    assert!(said.contains(&address), "{said}");
}

#[test]
fn settings_come_from_a_file_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("slugline.toml");
    fs::write(&file, "public_url = 'http://sho.rt'\ngeo_db = 'none'\ncrawler_list = 'none'\nclickhouse_url = 'http://127.0.0.1:1'\n").unwrap();
    let server = Options::new().flag("--config", &file).env("SLUGLINE_LOG", "debug");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut server = server.flag("--listen", free.to_string());
    server.listen = Some(free);
    let server = server.start();
    let made =
        server.api().post("/links", &json!({ "destination": "https://example.com", "slug": "a" }));
    assert_eq!(made.expect(201).data()["short_url"], "http://sho.rt/a");
    fs::write(&file, "lissen = '127.0.0.1:0'\n").unwrap();
    assert!(refusal(&Options::new().flag("--config", &file)).contains("lissen"));
}

/// Without npm and without a cache, `/readyz` says what to do.
#[test]
fn what_can_not_be_fetched_can_be_given() {
    let empty = tempfile::tempdir().unwrap();
    let options = Options::new().env("SLUGLINE_CACHE_DIR", empty.path().as_os_str());
    let server = options.env("PATH", "/nowhere").start();
    for (name, flag) in
        [("engine", "--clickhouse-url"), ("geo_db", "--geo-db"), ("crawler_list", "--crawler-list")]
    {
        let reason = eventually("it cannot be fetched", || {
            let download = server.readiness()["downloads"][name].clone();
            (download["state"] == "failed").then(|| download["reason"].to_string())
        });
        assert!(reason.contains("npm is not on the PATH") && reason.contains(flag), "{reason}");
    }
}

#[test]
fn damage_in_the_log_is_reported_and_not_served_over() {
    let server = Options::links_only().start();
    let data: DataFolder = server.data.clone();
    let first = server.link();
    for _ in 0..20 {
        server.link();
    }
    assert!(server.stop().success());
    let sound = data.log_command(&["verify"]);
    assert!(sound.status.success());
    let report: Value =
        serde_json::from_slice(&data.log_command(&["verify", "--json"]).stdout).unwrap();
    assert_eq!(report["mutations"]["kinds"]["LinkCreated"], 21);
    assert_eq!(data.dump("mutations").len(), 24, "a user, a workspace, a token, and the links");

    let segment = data.last_segment("mutations");
    let mut bytes = fs::read(&segment).unwrap();
    let at =
        bytes.windows(first.slug.len()).position(|text| text == first.slug.as_bytes()).unwrap();
    bytes[at] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let damaged = data.log_command(&["verify"]);
    assert!(!damaged.status.success());
    let name = segment.file_name().unwrap().to_string_lossy().into_owned();
    assert!(String::from_utf8_lossy(&damaged.stdout).contains(&name));
    let said = refusal(&Options::links_only().with_data(&data));
    assert!(said.contains(&name) && said.contains("slugline log verify"), "{said}");
}

#[test]
fn the_password_of_the_mail_server_is_not_logged() {
    let url = "smtps://slugline:hunter2@mail.example.com";
    let with_mail = |url: &str| {
        Options::links_only()
            .env("SLUGLINE_SMTP_URL", url)
            .flag("--mail-from", "slugline <links@example.com>")
            .flag("--log", "trace")
    };
    let log = with_mail(url).start().stop_for_log();
    assert!(log.iter().all(|line| !line.contains("hunter2")), "{log:#?}");
    let refused = with_mail("smtp://slugline:hunter2@mail.example.com").command().output().unwrap();
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && error.contains("a password requires TLS"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

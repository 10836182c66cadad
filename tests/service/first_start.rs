//! Starts without the packages: redirects and changes work at once, analytics when the packages are
//! there.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};
use slugline::engine::{Package, Progress, default_cache_dir, fetch};

use crate::harness::agents::GOOGLEBOT;
use crate::harness::{Options, Server, address_in, eventually, slugline};

/// Where nothing listens.
const NOWHERE: &str = "http://127.0.0.1:1";
/// How long a start may take in which nothing is fetched: a fraction of a second, and the rest for
/// other tests that run at the time.
const START_LIMIT: Duration = Duration::from_secs(10);

/// With an empty cache and a registry that cannot be reached.
fn offline(cache: &Path) -> Options {
    Options::new()
        .env("SLUGLINE_CACHE_DIR", cache)
        .env("HTTPS_PROXY", NOWHERE)
        .env("npm_config_registry", NOWHERE)
}

fn downloads(server: &Server) -> Value {
    server.readiness()["downloads"].clone()
}

/// Waits until a download has a state.
fn await_download(server: &Server, name: &str, state: &str) -> Value {
    eventually(state, || {
        Some(downloads(server)[name].clone()).filter(|download| download["state"] == state)
    })
}

/// Fills a cache with the packages, as `slugline fetch` would.
fn fill(cache: &Path) {
    for package in [Package::engine().unwrap(), Package::countries(), Package::crawlers()] {
        let file = fetch(&package, &default_cache_dir().unwrap(), Progress::Shown).unwrap();
        let folder = file.parent().unwrap();
        symlink(folder, cache.join(folder.file_name().unwrap())).unwrap();
    }
}

/// The messages of the log at a level.
fn logged(log: &[String], level: &str) -> Vec<String> {
    let lines = log.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines = lines.filter(|line| line["level"] == level);
    lines.map(|line| line["fields"].to_string()).collect()
}

fn count(messages: &[String], text: &str) -> usize {
    messages.iter().filter(|message| message.contains(text)).count()
}

#[test]
fn without_packages_redirects_work_at_once_and_analytics_when_they_are_there() {
    let cache = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let server = offline(cache.path()).behind_proxy().start();
    let link = server.link();
    let german = address_in("DE");
    server.visit(&link).from(german).send().expect(302);
    let took = started.elapsed();
    assert!(took < START_LIMIT, "{took:?}");
    eprintln!("the first redirect: {took:?} after the start");
    server.visit(&link).agent(GOOGLEBOT).send().expect(302);
    server.api().patch(&link.path(), &json!({ "title": "changed" })).expect(200);

    for (name, hint) in
        [("engine", "--engine-lib"), ("geo_db", "--geo-db"), ("crawler_list", "--crawler-list")]
    {
        let failed = await_download(&server, name, "failed");
        let reason = failed["reason"].as_str().unwrap();
        assert!(reason.contains("ECONNREFUSED") && reason.contains(hint), "{reason}");
        let next: Timestamp = failed["next_try_at"].as_str().unwrap().parse().unwrap();
        assert!(next > Timestamp::now() - jiff::SignedDuration::from_secs(60), "{next}");
    }
    let problem = server.api().get("/analytics").problem(503, "ANALYTICS_UNAVAILABLE");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("the embedded ClickHouse"), "{detail}");
    assert!(detail.contains("Clicks are kept and will be counted"), "{detail}");

    fill(cache.path());
    for name in ["engine", "geo_db", "crawler_list"] {
        let ready = await_download(&server, name, "ready");
        assert!(ready["reason"].is_null(), "{ready}");
    }
    server.visit(&link).from(german).send().expect(302);
    server.await_projection();
    assert_eq!(server.clicks_of(&link, "exclude"), 2);
    assert_eq!(server.clicks_of(&link, "only"), 1, "the list in the program knows the crawler");
    assert_eq!(server.breakdown(&link, "countries")["DE"], 1, "the database came later");

    let log = server.stop_for_log();
    let (infos, warnings) = (logged(&log, "INFO"), logged(&log, "WARN"));
    for item in ["the embedded ClickHouse", "the country database", "the crawler list"] {
        assert_eq!(count(&infos, &format!("fetching {item} in the background")), 1, "{infos:#?}");
        assert_eq!(count(&infos, &format!("{item} is in use")), 1, "{infos:#?}");
        assert!(count(&warnings, &format!("could not fetch {item}")) >= 1, "{warnings:#?}");
    }
    assert!(warnings.iter().all(|warning| warning.contains("ECONNREFUSED")), "{warnings:#?}");
}

#[test]
fn packages_are_fetched_beforehand() {
    let cache = tempfile::tempdir().unwrap();
    let run = |offline: bool| {
        let mut command = slugline();
        command.arg("fetch").env("SLUGLINE_CACHE_DIR", cache.path());
        if offline {
            command.env("npm_config_registry", NOWHERE).env("HTTPS_PROXY", NOWHERE);
        }
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout), text(output.stderr))
    };
    let (succeeded, out, errors) = run(true);
    assert!(!succeeded && out.is_empty(), "{out}");
    for package in ["@chdb/lib-", "geo-whois-asn-country", "crawler-user-agents"] {
        assert!(errors.contains(package) && errors.contains("ECONNREFUSED"), "{errors}");
    }
    fill(cache.path());
    fs::remove_file(cache.path().join("crawler-user-agents@1.x")).unwrap();
    let (succeeded, out, errors) = run(false);
    assert!(succeeded, "{errors}");
    assert_eq!(out.matches("already there: ").count(), 2, "{out}");
    let list = cache.path().join("crawler-user-agents@1.x/crawler-user-agents.json");
    assert!(out.contains("fetched: crawler-user-agents 1."), "{out}");
    assert!(out.contains(&list.display().to_string()) && list.is_file(), "{out}");
    let (succeeded, out, _) = run(true);
    assert!(succeeded);
    assert_eq!(out.matches("already there: ").count(), 3, "{out}");
}

#[test]
fn packages_that_are_there_are_used_from_the_first_click() {
    let server = Options::new().clickhouse_away().behind_proxy().start();
    let link = server.link();
    server.visit(&link).from(address_in("FR")).send().expect(302);
    let ready = downloads(&server);
    assert_eq!(ready["engine"]["state"], "disabled", "{ready}");
    assert_eq!(
        (&ready["geo_db"]["state"], &ready["crawler_list"]["state"]),
        (&json!("ready"), &json!("ready"))
    );
    let click = server.data.logged_clicks_of(&link).remove(0);
    assert_eq!(click["country"], "FR", "{click}");
}

/// A failed fetch is repeated, without a restart; a stop does not wait for a running one.
#[test]
fn fetches_are_retried_and_cut_off_by_a_stop() {
    let (cache, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let npm = bin.path().join("npm");
    // Fails the first time, and hangs the second.
    let script = "#!/bin/sh\n[ -e \"$0.failed\" ] && exec sleep 600\n\
                  touch \"$0.failed\"; echo 'npm error code E503' >&2; exit 1\n";
    fs::write(&npm, script).unwrap();
    fs::set_permissions(&npm, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.path().display(), std::env::var("PATH").unwrap());
    let options = offline(cache.path()).env("PATH", path).clickhouse_away();
    let server = options.flag("--geo-db", "none").start();
    let state = || downloads(&server)["crawler_list"].clone();
    let failed = eventually("the first try fails", || {
        Some(state()).filter(|state| state["state"] == "failed")
    });
    assert!(failed["reason"].as_str().unwrap().contains("E503"), "{failed}");
    eventually("it is tried again", || (state()["state"] == "fetching").then_some(()));
    let stopping = Instant::now();
    assert!(server.stop().success());
    assert!(stopping.elapsed() < Duration::from_secs(5), "{:?}", stopping.elapsed());
}

/// What the cache has may be damaged: it is fetched again, not an error.
#[test]
fn a_damaged_file_in_the_cache_is_fetched_again() {
    let cache = tempfile::tempdir().unwrap();
    let folder = cache.path().join("crawler-user-agents@1.x");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("crawler-user-agents.json"), "[").unwrap();
    let server = offline(cache.path()).clickhouse_away().flag("--geo-db", "none").start();
    let link = server.link();
    server.visit(&link).agent(GOOGLEBOT).send().expect(302);
    assert_ne!(server.data.logged_clicks_of(&link)[0]["bot"], "none");
    let state = || downloads(&server)["crawler_list"]["state"].clone();
    eventually("it cannot be fetched", || (state() == "failed").then_some(()));
    assert!(server.stderr.contains("a cached file is damaged"));
}

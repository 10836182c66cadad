//! The engine as in production: the real library in a child process of the real binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod lifecycle;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reqwest::blocking::Client;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use slugline::engine::{
    DATABASE, Endpoint, Engine, EngineConfig, EngineOptions, Package, Progress, USER,
    default_cache_dir, fetch,
};
use tokio_rustls::rustls;

/// A query that runs for minutes.
const LONG_QUERY: &str = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 7 SETTINGS max_execution_time = 0";

/// The engine's library, fetched once into the user's cache.
fn lib() -> PathBuf {
    fetch(&Package::engine().unwrap(), &default_cache_dir().unwrap(), Progress::Shown).unwrap()
}

fn start(dir: &Path) -> Engine {
    Engine::start(EngineOptions {
        exe: env!("CARGO_BIN_EXE_slugline").into(),
        lib: lib(),
        data_dir: dir.join("clickhouse"),
        run_dir: dir.join("clickhouse-run"),
        config: EngineConfig::default(),
    })
    .unwrap()
}

/// Asks until there is an answer, for at most this time.
fn within<T>(limit: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Where the engine is, once it is up.
fn up(engine: &Engine) -> Endpoint {
    within(Duration::from_secs(60), "the engine is up", || engine.endpoint().borrow().clone())
}

fn alive(pid: Pid) -> bool {
    test_kill_process(pid).is_ok()
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(i32::try_from(number).unwrap()).unwrap()
}

/// A statement as slugline sends it; the answer, or the error.
fn sql(at: &Endpoint, parameters: &str, statement: &str) -> Result<String, String> {
    send(&format!("{}/?{parameters}", at.url), at.password.expose(), statement)
}

fn client() -> Client {
    let _set_already = rustls::crypto::ring::default_provider().install_default();
    Client::new()
}

fn send(url: &str, password: &str, statement: &str) -> Result<String, String> {
    let request = client()
        .post(url)
        .timeout(Duration::from_secs(30))
        .header("X-ClickHouse-User", USER)
        .header("X-ClickHouse-Key", password)
        .body(statement.to_owned());
    let answer = request.send().map_err(|error| error.to_string())?;
    let (status, text) = (answer.status(), answer.text().unwrap());
    if status.is_success() { Ok(text.trim_end().to_owned()) } else { Err(text) }
}

/// Sends a long statement in the background and waits until it runs.
fn run_long(url: &str, password: &str) {
    let (there, key) = (url.to_owned(), password.to_owned());
    std::thread::spawn(move || send(&there, &key, LONG_QUERY));
    within(Duration::from_secs(10), "the long query runs", || {
        let count = "SELECT count() FROM system.processes WHERE query LIKE '%numbers(10000%'";
        (send(url, password, count).unwrap() == "2").then_some(())
    });
}

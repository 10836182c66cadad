//! The engine is killed repeatedly, or ClickHouse is unavailable for some time: redirects and
//! changes never fail, and afterwards each click is in ClickHouse exactly once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use super::Counts;
use super::proxy::{Manner, Proxy};
use crate::chance::Chance;
use crate::harness::{
    ClickHouseServer, Link, Options, Server, eventually, is_alive, slugline, within,
};

const VISITORS: u64 = 3;

/// Kills the engine under load, at a random moment after it came up.
pub fn killed(rounds: u64, seed: u64) -> Counts {
    let (counts, mut chance) = (Counts::default(), Chance::new(seed));
    let server = Options::new().start();
    server.await_analytics();
    let link = server.link();
    under_load(&server, &link, &counts, || {
        for _ in 0..rounds {
            let patience = Duration::from_secs(60);
            let engine = within(patience, "there is an engine", || server.engine_pid());
            std::thread::sleep(Duration::from_millis(chance.below(1_500)));
            kill(engine);
            within(patience, "the engine is gone", || (!is_alive(engine)).then_some(()));
            counts.add("rounds (engine killed)", 1);
        }
    });
    each_click_is_there(&server, &link, &counts);
    counts
}

/// Takes ClickHouse away for a time, and brings it back.
pub fn away(rounds: u64, time: Duration) -> Counts {
    let counts = Counts::default();
    let clickhouse = ClickHouseServer::start();
    let proxy = Proxy::start(&clickhouse.endpoint.url);
    let server = clickhouse.serve_at(&proxy.url(), Options::new()).start();
    server.await_analytics();
    let link = server.link();
    for _ in 0..rounds {
        under_load(&server, &link, &counts, || {
            proxy.set(Manner::Closed);
            let state = || server.readiness()["projections"]["clickhouse"]["state"].clone();
            within(Duration::from_secs(90), "it is noticed", || (state() == "away").then_some(()));
            server.api().get("/analytics").problem(503, "ANALYTICS_UNAVAILABLE");
            std::thread::sleep(time);
            proxy.set(Manner::Open);
            counts.add("rounds (ClickHouse away)", 1);
        });
        each_click_is_there(&server, &link, &counts);
    }
    counts
}

/// Visits and changes go on while something happens, and none may fail.
fn under_load(server: &Server, link: &Link, counts: &Counts, happening: impl FnOnce()) {
    let (stop, visits, changes) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..VISITORS {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    server.visit(link).send().expect(302);
                    visits.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(2));
                }
            });
        }
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let body = json!({ "title": changes.load(Ordering::Relaxed).to_string() });
                server.api().patch(&link.path(), &body).expect(200);
                changes.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let _stopping = Stop(&stop);
        happening();
    });
    counts.add("visits answered", visits.into_inner());
    counts.add("changes answered", changes.into_inner());
}

/// Ends the load, also when a test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn each_click_is_there(server: &Server, link: &Link, counts: &Counts) {
    within(Duration::from_secs(120), "each click is in ClickHouse", || {
        let clickhouse = server.readiness()["projections"]["clickhouse"].clone();
        (clickhouse["state"] == "up" && clickhouse["lag_events"] == 0).then_some(())
    });
    let visits = counts.get("visits answered");
    let counted = eventually("analytics answer", || {
        let path = format!("{}/clicks/summary?unit=month&units=2&bots=include", link.path());
        let answer = server.api().get(&path);
        (answer.status == 200).then(|| answer.data()["total_clicks"].as_u64().unwrap())
    });
    assert_eq!(counted, visits, "clicks were lost or doubled");
    let verified = slugline().arg("verify").arg("--data-dir").arg(server.data.path()).output();
    let verified = verified.unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    counts.add("log = ClickHouse", 1);
}

pub fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    // It may have ended by itself meanwhile.
    let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

//! Links are deleted, and the engine or slugline is killed around the time when their clicks are
//! removed: responses never contain a click of a deleted link and never lack another one; in the
//! end the log and ClickHouse agree.

use std::time::Duration;

use serde_json::json;

use super::Counts;
use super::engine::kill;
use crate::chance::Chance;
use crate::harness::{Link, Options, Server, slugline, within};

/// The number of visits of each link.
const VISITS: u64 = 3;
/// The approximate delay between a deletion and the removal of its clicks.
const REMOVED_AFTER_MS: u64 = 4_900;
const FOR_MS: u64 = 700;

pub fn run(rounds: u64, seed: u64) -> Counts {
    let (counts, mut chance) = (Counts::default(), Chance::new(seed));
    let mut server = Options::new().start();
    let data = server.data.clone();
    server.await_analytics();
    let kept = server.link();
    let visit = |server: &Server, link: &Link| {
        for _ in 0..VISITS {
            server.visit(link).send().expect(302);
        }
        counts.add("visits answered", VISITS);
    };
    for round in 1..=rounds {
        let link = server.link();
        visit(&server, &link);
        visit(&server, &kept);
        server.await_projection();
        let deleted = server.api().delete(&link.path()).expect(204);
        let offset: u64 = deleted.header("log-offset").parse().unwrap();
        counts.add("links deleted", 1);
        assert_eq!(clicks(&server, offset), round * VISITS);
        std::thread::sleep(Duration::from_millis(REMOVED_AFTER_MS + chance.below(FOR_MS)));
        if chance.below(2) == 0 {
            drop(server);
            counts.add("slugline killed", 1);
            server = Options::at(&data).start();
        } else if let Some(engine) = server.engine_pid() {
            kill(engine);
            counts.add("engine killed", 1);
            within(Duration::from_secs(60), "another engine is there", || {
                server.engine_pid().filter(|pid| *pid != engine)
            });
        }
        server.await_analytics();
        assert_eq!(clicks(&server, offset), round * VISITS, "after the kill");
    }
    let removed = within(Duration::from_secs(60), "all is removed", || {
        let removed = removed(&server);
        (removed == rounds * VISITS).then_some(removed)
    });
    counts.add("clicks removed", removed);
    assert_eq!(clicks(&server, 0), rounds * VISITS);
    counts
}

/// All clicks, bots' included.
fn clicks(server: &Server, min_offset: u64) -> u64 {
    let question = json!({ "bots": "include", "date_range": "all", "min_offset": min_offset });
    // ClickHouse may be away once more for a moment.
    within(Duration::from_secs(60), "analytics answer", || {
        let answer = server.api().post("/analytics/query", &question);
        (answer.status == 200).then(|| answer.data()[0]["metrics"]["clicks"].as_u64().unwrap())
    })
}

/// The number of removed clicks reported by `verify`, which must find no differences.
fn removed(server: &Server) -> u64 {
    let verified = slugline()
        .args(["verify", "--json", "--data-dir"])
        .arg(server.data.path())
        .output()
        .unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    let report: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
    let months = report["months"].as_array().unwrap().iter();
    months.map(|month| month["removed"].as_u64().unwrap()).sum()
}

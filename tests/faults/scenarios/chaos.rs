//! Batches across months while the engine and slugline are killed at random, so that batches are
//! sent again with the same bounds. In the end ClickHouse has each offset of the log exactly once.
//!
//! With older plans: now and then a start finds the plan of an earlier moment, as after a restore.
//! Then a batch that was on its way may be in one table and not in the other; the check after the
//! start has to find that and mend it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message;
use slugline::domain::click::{Click, VERSION, kind};
use slugline::log::{DiskStorage, LocalLog, Log, LogOptions, LogView};

use super::Counts;
use super::engine::kill;
use crate::chance::Chance;
use crate::harness::{ClickHouseServer, DataFolder, Options, Server, slugline, within};

const MONTH_MS: u64 = 31 * 24 * 3_600 * 1_000;
const MONTHS: u64 = 5;

pub fn run(batches: u64, seed: u64, with_older_plans: bool) -> Counts {
    let (counts, mut chance) = (Counts::default(), Chance::new(seed));
    let server = Options::new().start();
    server.await_analytics();
    let (data, link) = (server.data.clone(), server.link());
    server.visit(&link).send().expect(302);
    assert!(server.stop().success());
    let offsets = append(&data.path().join("log/clicks"), batches, &mut chance);
    counts.add("batches", batches);
    counts.add("clicks", offsets.len() as u64);

    let end = offsets.last().copied().unwrap();
    let plan = data.path().join("clickhouse.plan");
    let mut older = std::fs::read(&plan).unwrap();
    // The more there is to do, the longer it may go on between two kills.
    let longest = 300.max(batches / 2);
    let began = Instant::now();
    let patience = Duration::from_secs(120) + Duration::from_secs(batches);
    loop {
        assert!(began.elapsed() < patience, "not projected in time: {counts:?}");
        let server = Options::at(&data).start();
        let is_done = disturb(&server, end, longest, &mut chance, &counts);
        drop(server);
        counts.add("slugline killed", 1);
        if is_done {
            break;
        }
        let present = std::fs::read(&plan).unwrap();
        if with_older_plans && chance.below(3) == 0 {
            std::fs::write(&plan, &older).unwrap();
            counts.add("older plans", 1);
        }
        older = present;
    }
    let server = Options::at(&data).start();
    within(Duration::from_secs(120), "all is projected", || is_at(&server, end).then_some(()));
    if with_older_plans {
        within(Duration::from_secs(60), "what differs is mended", || verify(&data).ok());
    }
    verify(&data).unwrap_or_else(|found| panic!("the log and ClickHouse differ: {found}"));
    assert!(server.stop().success());
    compare(&ClickHouseServer::with_data(&data.path().join("clickhouse")), &offsets, &counts);
    counts
}

fn is_at(server: &Server, end: u64) -> bool {
    let clickhouse = server.readiness()["projections"]["clickhouse"].clone();
    clickhouse["state"] == "up" && clickhouse["offset"].as_u64().unwrap() >= end
}

/// Kills the engine some times, at most `longest` milliseconds after it began to take batches. Says
/// whether all batches have arrived.
fn disturb(server: &Server, end: u64, longest: u64, chance: &mut Chance, counts: &Counts) -> bool {
    for _ in 0..=chance.below(3) {
        server.await_analytics();
        let time = Duration::from_millis(5 + chance.below(longest));
        let started = Instant::now();
        while started.elapsed() < time {
            if is_at(server, end) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(3));
        }
        if let Some(engine) = server.engine_pid() {
            kill(engine);
            counts.add("engine killed", 1);
            within(Duration::from_secs(60), "another engine is there", || {
                server.engine_pid().filter(|pid| *pid != engine)
            });
        }
    }
    false
}

/// Appends runs of clicks, each of another month than the one before: each is a batch. Returns
/// the offsets of all clicks in the log.
fn append(folder: &Path, batches: u64, chance: &mut Chance) -> Vec<u64> {
    let storage = Arc::new(DiskStorage);
    let clicks = || {
        let mut reader = LogView::open(Arc::clone(&storage) as _, folder).unwrap().read_from(0);
        std::iter::from_fn(move || reader.next_record().unwrap())
            .filter(|record| record.kind == kind::CLICK)
            .collect::<Vec<_>>()
    };
    let model = Click::decode(clicks().last().unwrap().payload.as_ref()).unwrap();
    let log = LocalLog::open(Arc::clone(&storage) as _, folder, LogOptions::default()).unwrap();
    for batch in 0..batches {
        let month = batch % MONTHS;
        let payloads: Vec<_> = (0..=chance.below(5))
            .map(|number| {
                let at_ms = model.at_ms - month * MONTH_MS - number;
                Click { at_ms, visitor: batch, ..model.clone() }.encode_to_vec()
            })
            .collect();
        log.append_payloads(kind::CLICK, VERSION, &payloads).unwrap();
    }
    log.sync().unwrap();
    drop(log);
    clicks().iter().map(|record| record.offset).collect()
}

/// Each offset once, in the table of clicks and in the sums by hour.
fn compare(clickhouse: &ClickHouseServer, offsets: &[u64], counts: &Counts) {
    let generation = clickhouse.sql("SELECT max(generation) FROM generations");
    let suffix = if generation == "0" { String::new() } else { format!("_g{generation}") };
    let there = format!("SELECT log_offset FROM clicks{suffix} ORDER BY log_offset");
    let there = clickhouse.sql(&there);
    let there: Vec<u64> = there.lines().map(|line| line.parse().unwrap()).collect();
    let distinct: BTreeSet<_> = there.iter().collect();
    let wanted: BTreeSet<_> = offsets.iter().collect();
    let (doubled, gaps) = (there.len() - distinct.len(), wanted.difference(&distinct).count());
    counts.add("duplicates", doubled as u64);
    counts.add("gaps", gaps as u64);
    assert_eq!((doubled, gaps), (0, 0), "duplicates and gaps");
    assert_eq!(there, offsets, "clicks that the log does not have");
    let by_hour: usize =
        clickhouse.sql(&format!("SELECT sum(clicks) FROM clicks_hourly{suffix}")).parse().unwrap();
    assert_eq!(by_hour, offsets.len(), "the sums by hour");
    for (table, each) in [("clicks_daily_links", 1), ("clicks_daily_values", 18)] {
        let sum: usize =
            clickhouse.sql(&format!("SELECT sum(clicks) FROM {table}{suffix}")).parse().unwrap();
        assert_eq!(sum, each * offsets.len(), "{table}");
    }
}

/// Runs `slugline verify`; its output is the error.
fn verify(data: &DataFolder) -> Result<(), String> {
    let verified = slugline().arg("verify").arg("--data-dir").arg(data.path()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let is_equal = verified.status.success();
    is_equal.then_some(()).ok_or_else(|| text(&verified.stdout) + &text(&verified.stderr))
}

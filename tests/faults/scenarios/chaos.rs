//! Batches across months over a way that cuts connections at random, with slugline killed at
//! random too: batches are sent again, under the same bounds or after a restart from an older
//! plan. In the end ClickHouse has each offset of the log once.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message;
use slugline::domain::click::{Click, VERSION, kind};
use slugline::log::{DiskStorage, Log, LogOptions, LogView, NewRecord};

use super::Counts;
use super::proxy::{Manner, Proxy};
use crate::chance::Chance;
use crate::harness::{ClickHouseServer, DataFolder, Options, slugline, within};

/// Of a thousand reads on the way so many are cut.
const CUTS_OF_THOUSAND: u64 = 8;
const MONTH_MS: u64 = 31 * 24 * 3_600 * 1_000;
const MONTHS: u64 = 5;

pub fn run(batches: u64, seed: u64) -> Counts {
    let (counts, mut chance) = (Counts::default(), Chance::new(seed));
    let clickhouse = ClickHouseServer::start();
    let proxy = Proxy::start(&clickhouse.endpoint.url, seed);
    let options = clickhouse.serve_at(&proxy.url(), Options::new());
    let server = options.start();
    server.await_analytics();
    let (data, link) = (server.data.clone(), server.link());
    server.visit(&link).send().expect(302);
    assert!(server.stop().success());
    let offsets = append(&data.path().join("log/clicks"), batches, &mut chance);
    counts.add("batches", batches);
    counts.add("clicks", offsets.len() as u64);

    proxy.set(Manner::Cutting(CUTS_OF_THOUSAND));
    let end = offsets.last().copied().unwrap();
    let is_done = |server: &crate::harness::Server| {
        let clickhouse = server.readiness()["projections"]["clickhouse"].clone();
        clickhouse["offset"].as_u64().unwrap() >= end
    };
    let plan = data.path().join("clickhouse.plan");
    let mut older = std::fs::read(&plan).unwrap();
    let began = Instant::now();
    let patience =
        Duration::from_secs(60) + Duration::from_millis(300) * u32::try_from(batches).unwrap();
    loop {
        assert!(began.elapsed() < patience, "not projected in time: {counts:?}");
        let server = options.clone().over(&data).start();
        let time = Duration::from_millis(500 + chance.below(4_000));
        let started = Instant::now();
        while started.elapsed() < time && !is_done(&server) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let done = is_done(&server);
        if std::env::var("SHOW").is_ok() { for line in server.stderr.lines().iter().rev().take(6).rev() { eprintln!("{}", &line[..line.len().min(330)]); } eprintln!("{}", server.readiness()); }
        drop(server);
        counts.add("slugline killed", 1);
        if done {
            break;
        }
        // Now and then it wakes up with the plan of an earlier moment.
        let present = std::fs::read(&plan).unwrap();
        if chance.below(3) == 0 {
            std::fs::write(&plan, &older).unwrap();
            counts.add("older plans", 1);
        }
        older = present;
    }
    counts.add("connections cut", proxy.cuts());
    proxy.set(Manner::Open);
    let server = options.clone().over(&data).start();
    within(Duration::from_secs(120), "all is projected", || is_done(&server).then_some(()));
    compare(&clickhouse, &offsets, &counts);
    verify(&data);
    drop(server);
    counts
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
    let log = Log::open(Arc::clone(&storage) as _, folder, LogOptions::default()).unwrap();
    for batch in 0..batches {
        let month = batch % MONTHS;
        let payloads: Vec<_> = (0..=chance.below(5))
            .map(|number| {
                let at_ms = model.at_ms - month * MONTH_MS - number;
                Click { at_ms, visitor: batch, ..model.clone() }.encode_to_vec()
            })
            .collect();
        let parts: Vec<[&[u8]; 1]> = payloads.iter().map(|bytes| [bytes.as_slice()]).collect();
        let records: Vec<_> = parts
            .iter()
            .map(|parts| NewRecord { kind: kind::CLICK, version: VERSION, parts })
            .collect();
        log.append(&records).unwrap();
    }
    log.sync().unwrap();
    drop(log);
    clicks().iter().map(|record| record.offset).collect()
}

/// Each offset once, in the table of clicks and in the sums by hour.
fn compare(clickhouse: &ClickHouseServer, offsets: &[u64], counts: &Counts) {
    let there = clickhouse.sql("SELECT log_offset FROM clicks ORDER BY log_offset");
    let there: Vec<u64> = there.lines().map(|line| line.parse().unwrap()).collect();
    let distinct: BTreeSet<_> = there.iter().collect();
    let wanted: BTreeSet<_> = offsets.iter().collect();
    let (doubled, gaps) = (there.len() - distinct.len(), wanted.difference(&distinct).count());
    counts.add("duplicates", doubled as u64);
    counts.add("gaps", gaps as u64);
    assert_eq!((doubled, gaps), (0, 0), "duplicates and gaps");
    assert_eq!(there, offsets, "clicks that the log does not have");
    let by_hour: usize = clickhouse.sql("SELECT sum(clicks) FROM clicks_hourly").parse().unwrap();
    assert_eq!(by_hour, offsets.len(), "the sums by hour");
}

fn verify(data: &DataFolder) {
    let verified = slugline().arg("verify").arg("--data-dir").arg(data.path()).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}

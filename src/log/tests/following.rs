//! Concurrent appends, syncs and reads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::super::{DiskStorage, LogView};
use super::*;

/// Appends `count` records with their writer and number, in batches of up to 3.
fn write_records(log: &dyn Log, writer: u8, count: u32) {
    let mut next = 0_u32;
    while next < count {
        let group = (next % 3 + 1).min(count - next);
        let payloads: Vec<Vec<u8>> = (next..next + group)
            .map(|n| {
                let mut bytes = vec![writer];
                bytes.extend_from_slice(&n.to_le_bytes());
                bytes.resize(5 + (n % 50) as usize, writer);
                bytes
            })
            .collect();
        log.append_payloads(u16::from(writer), 0, &payloads).unwrap();
        next += group;
        if next.is_multiple_of(128) {
            assert!(log.sync().unwrap() >= u64::from(next));
        }
    }
}

/// Checks that each writer's records are complete, in order and intact.
fn check_writers(records: &[Record], writers: u8, count: u32) {
    let mut next = vec![0_u32; usize::from(writers)];
    for (record, offset) in records.iter().zip(1..) {
        assert_eq!(record.offset, offset);
        let writer = record.payload[0];
        let n = &mut next[usize::from(writer)];
        assert_eq!(record.kind, u16::from(writer));
        assert_eq!(record.payload[1..5], n.to_le_bytes());
        assert_eq!(record.payload.len(), 5 + (*n % 50) as usize);
        assert!(record.payload[5..].iter().all(|&b| b == writer));
        *n += 1;
    }
    assert!(next.iter().all(|&n| n == count));
}

#[test]
fn concurrent_appends_are_dense_and_readers_follow_them() {
    const WRITERS: u8 = 4;
    const COUNT: u32 = 1500;
    let total = u64::from(WRITERS) * u64::from(COUNT);
    let temp = tempfile::tempdir().unwrap();
    let options = LogOptions { segment_bytes: 20_000 };
    let log = LocalLog::open(Arc::new(DiskStorage), temp.path(), options).unwrap();
    let view = LogView::open(Arc::new(DiskStorage), temp.path()).unwrap();
    let follow = |mut reader: Reader| {
        let mut records = Vec::new();
        while (records.len() as u64) < total {
            match reader.next_record().unwrap() {
                Some(record) => records.push(record),
                None => thread::yield_now(),
            }
        }
        assert_eq!(reader.next_record().unwrap(), None);
        records
    };
    thread::scope(|scope| {
        let readers = [log.read_from(1).unwrap(), view.read_from(1)];
        let readers = readers.map(|reader| scope.spawn(|| follow(reader)));
        for writer in 0..WRITERS {
            let log = &log;
            scope.spawn(move || write_records(log, writer, COUNT));
        }
        for reader in readers {
            check_writers(&reader.join().unwrap(), WRITERS, COUNT);
        }
    });
    assert_eq!(log.end(), total);
    assert_eq!(log.sync().unwrap(), total);
}

#[test]
fn the_announced_end_never_trails_the_synced_offset() {
    let temp = tempfile::tempdir().unwrap();
    let options = LogOptions { segment_bytes: 1000 };
    let log = LocalLog::open(Arc::new(DiskStorage), temp.path(), options).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let before = log.end();
                    let synced = log.sync().unwrap();
                    assert!(synced >= before && synced <= log.end());
                    assert!(log.synced() >= synced);
                }
            });
        }
        for _ in 0..500 {
            append(&log, 1).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    check_contents(&log);
}

#[test]
fn a_reader_keeps_its_place_at_the_end() {
    let log = open(&SimulatedStorage::default(), 300).unwrap();
    let mut reader = log.read_from(1).unwrap();
    for group in 1..30 {
        assert_eq!(reader.next_record().unwrap(), None);
        let before = log.end();
        append(&log, group % 3 + 1).unwrap();
        let offsets: Vec<u64> =
            drain(&mut reader).unwrap().iter().map(|record| record.offset).collect();
        assert!(offsets.iter().copied().eq(before + 1..=log.end()));
        assert_eq!(reader.next_offset(), log.end() + 1);
    }
}

//! Failing writes, syncs and segment changes.

use std::io::ErrorKind;

use super::super::simulated::{Fault, Op};
use super::super::verify;
use super::*;

const FULL: Fault = Fault::Error(ErrorKind::StorageFull);
/// Segments of this many bytes take the records 1 to 5, and no more.
const SMALL: u64 = 310;
const BROKEN: Fault = Fault::Error(ErrorKind::Other);

fn assert_poisoned(log: &Log) {
    for error in [append(log, 1).unwrap_err(), log.sync().unwrap_err()] {
        assert!(error.is_poisoned() && !error.is_full(), "{error}");
    }
}

#[test]
fn a_full_disk_leaves_the_log_usable() {
    let storage = SimulatedStorage::default();
    let log = open(&storage, 1 << 20).unwrap();
    append(&log, 3).unwrap();
    let before = storage.bytes(&segment_path(1));
    let mut reader = log.read_from(1).unwrap();
    assert_eq!(drain(&mut reader).unwrap().len(), 3);

    storage.fail(Op::Write, 0, FULL);
    assert!(append(&log, 2).unwrap_err().is_full());
    for stored in 1..100 {
        storage.fail(Op::Write, 0, Fault::Short(stored));
        storage.fail(Op::Write, 0, FULL);
        assert!(append(&log, 2).unwrap_err().is_full());
        assert_eq!(storage.bytes(&segment_path(1)), before);
        assert_eq!((log.end(), reader.next_record().unwrap()), (3, None));
    }
    append(&log, 2).unwrap();
    assert_eq!(drain(&mut reader).unwrap().len(), 2);
    check_contents(&log);
}

#[test]
fn a_short_write_without_a_cause_is_completed() {
    let storage = SimulatedStorage::default();
    let log = open(&storage, 1 << 20).unwrap();
    storage.fail(Op::Write, 0, Fault::Short(10));
    storage.fail(Op::Write, 0, Fault::Error(ErrorKind::Interrupted));
    assert_eq!(append(&log, 3).unwrap(), 3);
    check_contents(&log);
}

#[test]
fn an_undone_write_stays_undone_after_a_crash() {
    for seed in 0..200 {
        let storage = SimulatedStorage::default();
        let log = open(&storage, 1 << 20).unwrap();
        append(&log, 2).unwrap();
        storage.fail(Op::Write, 0, Fault::Short(90));
        storage.fail(Op::Write, 0, FULL);
        let refused = NewRecord { kind: 66, version: 1, parts: &[b"refused"] };
        assert!(log.append(&[refused; 4]).unwrap_err().is_full());
        append(&log, 3).unwrap();
        let log = open(&storage.crashed(seed), 1 << 20).unwrap();
        assert!(log.end() >= 2, "the cut was synced, and all before it");
        check_contents(&log);
    }
}

#[test]
fn a_write_that_cannot_be_undone_poisons() {
    for undoing in [Op::SetLen, Op::Sync] {
        let storage = SimulatedStorage::default();
        let log = open(&storage, 1 << 20).unwrap();
        append(&log, 2).unwrap();
        storage.fail(Op::Write, 0, FULL);
        storage.fail(undoing, 0, BROKEN);
        assert!(append(&log, 1).unwrap_err().is_poisoned());
        assert_poisoned(&log);
        check_contents(&log);
    }
}

#[test]
fn a_failed_sync_poisons_for_good() {
    let storage = SimulatedStorage::default();
    let log = open(&storage, 1 << 20).unwrap();
    append(&log, 2).unwrap();
    log.sync().unwrap();
    append(&log, 2).unwrap();
    storage.fail(Op::Sync, 0, BROKEN);
    assert!(log.sync().unwrap_err().is_poisoned());
    assert_poisoned(&log);
    assert_eq!((log.synced(), log.end()), (2, 4));
    check_contents(&log);
    let log = open(&storage.crashed(1), 1 << 20).unwrap();
    assert_eq!(log.end(), 2);
}

#[test]
fn one_failed_sync_fails_all_concurrent_ones() {
    let storage = SimulatedStorage::default();
    let log = open(&storage, 1 << 20).unwrap();
    append(&log, 2).unwrap();
    storage.fail(Op::Sync, 0, BROKEN);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(log.sync().unwrap_err().is_poisoned()));
        }
    });
    assert_eq!(log.synced(), 0);
}

#[test]
fn a_full_disk_when_rolling_leaves_the_log_usable() {
    for (op, fault) in [(Op::Create, FULL), (Op::Write, FULL), (Op::Write, Fault::Short(0))] {
        let storage = SimulatedStorage::default();
        let log = open(&storage, SMALL).unwrap();
        append(&log, 4).unwrap();
        storage.fail(op, 0, fault);
        let error = append(&log, 5).unwrap_err();
        assert_eq!(error.is_full(), fault == FULL, "{error}");
        assert_eq!(segment::list(&storage, dir()).unwrap(), [1]);
        // A smaller group still fits in the old segment; then there is room for a new one.
        append(&log, 1).unwrap();
        assert_eq!(segment::list(&storage, dir()).unwrap(), [1]);
        append(&log, 5).unwrap();
        assert_eq!(segment::list(&storage, dir()).unwrap(), [1, 6]);
        check_contents(&log);
        check_contents(&open(&storage, SMALL).unwrap());
    }
}

#[test]
fn a_torn_segment_header_is_undone() {
    let storage = SimulatedStorage::default();
    let log = open(&storage, SMALL).unwrap();
    append(&log, 4).unwrap();
    storage.fail(Op::Write, 0, Fault::Short(20));
    storage.fail(Op::Write, 0, FULL);
    assert!(append(&log, 5).unwrap_err().is_full());
    append(&log, 1).unwrap();
    for seed in 0..50 {
        let crashed = storage.crashed(seed);
        let end = open(&crashed, SMALL).unwrap().end();
        assert!((4..=5).contains(&end));
        assert!(verify(&crashed, dir()).unwrap().is_sound());
    }
}

#[test]
fn uncertain_failures_when_rolling_poison() {
    // The syncs: of the old segment, of the new one's header, of the folder, of a removal.
    let plans: [&[(Op, u32, Fault)]; 5] = [
        &[(Op::Sync, 0, BROKEN)],
        &[(Op::Sync, 1, BROKEN)],
        &[(Op::SyncDir, 0, BROKEN)],
        &[(Op::Write, 0, FULL), (Op::Remove, 0, BROKEN)],
        &[(Op::Write, 0, FULL), (Op::SyncDir, 0, BROKEN)],
    ];
    for plan in plans {
        let storage = SimulatedStorage::default();
        let log = open(&storage, SMALL).unwrap();
        append(&log, 4).unwrap();
        for &(op, passes, fault) in plan {
            storage.fail(op, passes, fault);
        }
        assert!(append(&log, 5).unwrap_err().is_poisoned());
        assert_poisoned(&log);
        check_contents(&log);
        for seed in 0..50 {
            let log = open(&storage.crashed(seed), SMALL).unwrap();
            assert!(log.end() <= 4);
            check_contents(&log);
        }
    }
}

#[test]
fn a_failing_open_can_be_repeated() {
    for (op, passes) in [(Op::Sync, 0), (Op::SetLen, 0), (Op::SyncDir, 0)] {
        let storage = SimulatedStorage::default();
        let log = open(&storage, 1 << 20).unwrap();
        append(&log, 5).unwrap();
        let mut bytes = storage.bytes(&segment_path(1));
        bytes.truncate(bytes.len() - 3);
        storage.set_bytes(&segment_path(1), bytes);
        storage.fail(op, passes, BROKEN);
        assert!(matches!(open(&storage, 1 << 20).unwrap_err(), LogError::Io { .. }));
        let log = open(&storage, 1 << 20).unwrap();
        assert_eq!(log.end(), 4);
        check_contents(&log);
    }
}

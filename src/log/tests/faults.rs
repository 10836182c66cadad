//! Failing writes, syncs and segment changes.

use std::io::ErrorKind;

use super::super::simulated::{Fault, Op};
use super::super::verify;
use super::*;

const FULL: Fault = Fault::Error(ErrorKind::StorageFull);
/// Segments of this size fit the records 1 to 5.
const SMALL: u64 = 310;
const BROKEN: Fault = Fault::Error(ErrorKind::Other);

fn assert_poisoned(log: &dyn Log) {
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
        let refused = NewRecord { kind: 66, version: 1, payload: b"refused" };
        assert!(log.append(&[refused; 4]).unwrap_err().is_full());
        append(&log, 3).unwrap();
        let log = open(&storage.crashed(seed), 1 << 20).unwrap();
        assert!(log.end() >= 2, "the truncation was synced, and everything before it");
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
        // A smaller batch still fits in the old segment; then a new one can be created.
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
    log.sync().unwrap();
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
fn a_failure_to_undo_a_new_segment_poisons() {
    for undoing in [Op::Remove, Op::SyncDir] {
        let storage = SimulatedStorage::default();
        let log = open(&storage, SMALL).unwrap();
        append(&log, 4).unwrap();
        storage.fail(Op::Write, 0, FULL);
        storage.fail(undoing, 0, BROKEN);
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

/// Appends never wait for the disk: the next sync covers a new segment.
#[test]
fn rolling_syncs_nothing_and_the_next_sync_all() {
    // The syncs: of the old segment, of the new one, of the folder.
    for (op, passes) in [(Op::Sync, 0), (Op::Sync, 1), (Op::SyncDir, 0)] {
        let storage = SimulatedStorage::default();
        let log = open(&storage, SMALL).unwrap();
        append(&log, 4).unwrap();
        log.sync().unwrap();
        append(&log, 1).unwrap();
        storage.fail(op, passes, BROKEN);
        assert_eq!(append(&log, 5).unwrap(), 10);
        assert_eq!(segment::list(&storage, dir()).unwrap(), [1, 6]);
        assert_eq!(log.synced(), 4);
        check_contents(&log);
        let mut ends = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let crashed = storage.crashed(seed);
            let log = open(&crashed, SMALL).unwrap();
            assert!((4..=10).contains(&log.end()));
            ends.insert(log.end());
            check_contents(&log);
        }
        assert!(ends.contains(&4) && ends.len() > 1, "{ends:?}");
        // A killed process loses nothing.
        assert_eq!(open(&storage.copy(), SMALL).unwrap().end(), 10);
        assert!(log.sync().unwrap_err().is_poisoned());
        assert_poisoned(&log);
        assert_eq!(log.synced(), 4);
        check_contents(&open(&storage.crashed(1), SMALL).unwrap());
    }
}

#[test]
fn a_second_roll_waits_for_the_sync_of_the_first() {
    let storage = SimulatedStorage::default();
    let log = open(&storage, SMALL).unwrap();
    for _ in 0..2 {
        append(&log, 5).unwrap();
    }
    assert_eq!(log.synced(), 0);
    append(&log, 5).unwrap();
    assert_eq!((log.synced(), segment::list(&storage, dir()).unwrap().len()), (10, 3));
    for seed in 0..100 {
        let log = open(&storage.crashed(seed), SMALL).unwrap();
        assert!((10..=15).contains(&log.end()));
        check_contents(&log);
    }
    log.sync().unwrap();
    for seed in 0..20 {
        assert_eq!(open(&storage.crashed(seed), SMALL).unwrap().end(), 15);
    }
}

/// The directory entry of the first retained segment may not be durable when others are dropped.
#[test]
fn dropping_makes_the_segment_kept_durable() {
    let storage = SimulatedStorage::default();
    let log = open(&storage, SMALL).unwrap();
    for _ in 0..2 {
        append(&log, 5).unwrap();
    }
    assert_eq!(log.drop_before(6).unwrap(), 6);
    for seed in 0..50 {
        let log = open(&storage.crashed(seed), SMALL).unwrap();
        assert_eq!((log.first(), log.end()), (6, 10));
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

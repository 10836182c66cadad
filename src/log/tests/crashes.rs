//! Any sequence of appends, syncs, faults and crashes leaves a prefix that includes all synced
//! records.

use std::io::ErrorKind;

use proptest::prelude::*;

use super::super::simulated::{Fault, Op};
use super::super::{LogView, verify};
use super::*;

#[derive(Debug, Clone)]
enum Step {
    Append(u64),
    Sync,
    Reopen,
    /// A crash with this seed.
    Crash(u64),
    /// A crash while the log is being opened after another.
    CrashTwice(u64, u64),
    /// The next write stores this many bytes, then the disk is full.
    Full(usize),
    /// This many syncs succeed, then one fails.
    FailSync(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (1..5_u64).prop_map(Step::Append),
        3 => Just(Step::Sync),
        1 => Just(Step::Reopen),
        2 => any::<u64>().prop_map(Step::Crash),
        1 => any::<(u64, u64)>().prop_map(|(a, b)| Step::CrashTwice(a, b)),
        1 => (1..120_usize).prop_map(Step::Full),
        1 => (0..3_u32).prop_map(Step::FailSync),
    ];
    prop::collection::vec(step, 1..60)
}

/// Opens the log after a crash and checks it against what was acknowledged before.
fn recover(storage: &SimulatedStorage, segment_bytes: u64, synced: u64, end: u64) -> LocalLog {
    let report = verify(storage, dir()).unwrap();
    let view = LogView::open(Arc::new(storage.clone()), dir()).unwrap();
    let seen = drain(&mut view.read_from(1)).unwrap().len() as u64;
    assert_eq!(view.tail().unwrap().map_or(0, |tail| tail.last), seen);
    let log = open(storage, segment_bytes).unwrap();
    assert!(report.is_sound());
    assert_eq!((report.records, seen), (log.end(), log.end()));
    assert!(
        (synced..=end).contains(&log.end()),
        "synced {synced}, recovered {}, appended {end}",
        log.end()
    );
    assert_eq!(log.synced(), log.end());
    check_contents(&log);
    log
}

fn run(segment_bytes: u64, steps: Vec<Step>) {
    let mut storage = SimulatedStorage::default();
    let mut log = open(&storage, segment_bytes).unwrap();
    for step in steps {
        let (synced, end) = (log.synced(), log.end());
        match step {
            Step::Append(count) => match append(&log, count) {
                Ok(last) => assert_eq!(last, end + count),
                Err(error) => {
                    assert!(error.is_full() || error.is_poisoned(), "{error}");
                    assert_eq!(log.end(), end);
                }
            },
            Step::Sync => match log.sync() {
                Ok(synced) => assert_eq!(synced, end),
                Err(error) => assert!(error.is_poisoned(), "{error}"),
            },
            Step::Full(stored) => {
                storage.fail(Op::Write, 0, Fault::Short(stored));
                storage.fail(Op::Write, 0, Fault::Error(ErrorKind::StorageFull));
            }
            Step::FailSync(passes) => {
                storage.fail(Op::Sync, passes, Fault::Error(ErrorKind::Other));
            }
            Step::Reopen => {
                // Reopen cleanly only if the disk works. A failed sync is followed by a crash: until then
                // what it lost still seems to be there.
                if append(&log, 1).is_err() || log.sync().is_err() {
                    let (synced, end) = (log.synced(), log.end());
                    storage = storage.crashed(end);
                    log = recover(&storage, segment_bytes, synced, end);
                } else {
                    let end = log.end();
                    drop(log);
                    storage = storage.copy();
                    log = recover(&storage, segment_bytes, end, end);
                }
            }
            Step::Crash(seed) => {
                storage = storage.crashed(seed);
                log = recover(&storage, segment_bytes, synced, end);
            }
            Step::CrashTwice(first, second) => {
                let halfway = storage.crashed(first);
                halfway.fail(Op::Sync, 0, Fault::Error(ErrorKind::Other));
                assert!(open(&halfway, segment_bytes).is_err());
                storage = halfway.crashed(second);
                log = recover(&storage, segment_bytes, synced, end);
            }
        }
        assert!(log.synced() <= log.end());
    }
    check_contents(&log);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn a_crash_leaves_a_prefix_at_least_as_long_as_what_was_synced(
        segment_bytes in 100..1500_u64,
        steps in steps(),
    ) {
        run(segment_bytes, steps);
    }
}

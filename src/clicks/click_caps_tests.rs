use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use uuid::Uuid;

use super::*;
use crate::domain::click::{Click, VERSION};
use crate::log::{DiskStorage, LocalLog, LogOptions};

struct Fixture {
    folder: tempfile::TempDir,
    log: Arc<dyn Log>,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = Arc::new(DiskStorage);
        let log =
            LocalLog::open(storage, &folder.path().join("log"), LogOptions::default()).unwrap();
        Self { folder, log: Arc::new(log) }
    }

    fn caps(&self) -> ClickCaps {
        ClickCaps::open(&self.folder.path().join("limits"), &self.log).unwrap()
    }

    /// Records a visit; returns whether it is admitted.
    fn visit(&self, caps: &ClickCaps, link: LinkId, limit: &ClickLimit, is_counted: bool) -> bool {
        let admitted = caps.admit(link, limit, is_counted, |nth| {
            let click = Click {
                at_ms: 1,
                link: link.as_bytes().to_vec(),
                limited_since: limit.since_version,
                limited_nth: nth.unwrap_or_default(),
                ..Click::default()
            };
            self.log.append_payloads(kind::CLICK, VERSION, &[click.encode_to_vec()]).unwrap();
        });
        admitted == Admission::Through(())
    }
}

fn link(number: u128) -> LinkId {
    LinkId::new(Uuid::from_u128(number))
}

const fn limit(max: u64, since_version: u32) -> ClickLimit {
    ClickLimit { max, since_version, counts_bots: false }
}

#[test]
fn exactly_the_limit_of_concurrent_visits_is_admitted() {
    let fixture = Fixture::new();
    let caps = fixture.caps();
    let admitted_count = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let is_admitted = fixture.visit(&caps, link(1), &limit(777, 1), true);
                    admitted_count.fetch_add(is_admitted.into(), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(admitted_count.into_inner(), 777);
    // The log has them in counting order.
    let mut reader = fixture.log.read_from(1).unwrap();
    for nth in 1..=777 {
        let click = reader.next_record().unwrap().unwrap();
        assert_eq!(ClickView::parse(&click.payload).unwrap().limited_nth, nth);
    }
}

#[test]
fn uncounted_bots_are_admitted_until_the_limit_is_reached() {
    let fixture = Fixture::new();
    let caps = fixture.caps();
    let visits =
        [(false, true), (true, true), (false, true), (true, true), (false, false), (true, false)];
    for (is_counted, is_admitted) in visits {
        assert_eq!(fixture.visit(&caps, link(1), &limit(2, 1), is_counted), is_admitted);
    }
}

#[test]
fn counts_survive_a_restart_with_or_without_the_file_or_with_a_damaged_one() {
    let fixture = Fixture::new();
    let file = fixture.folder.path().join("limits");
    let caps = fixture.caps();
    for _ in 0..3 {
        assert!(fixture.visit(&caps, link(1), &limit(5, 1), true));
    }
    caps.save_if_due(true).unwrap();
    assert!(fixture.visit(&caps, link(1), &limit(5, 1), true));
    assert!(fixture.visit(&caps, link(2), &limit(5, 3), true));
    drop(caps);
    let whole = std::fs::read(&file).unwrap();
    for bytes in [Some(whole.clone()), None, Some(whole[..9].to_vec()), Some(vec![7; 40])] {
        match bytes {
            Some(bytes) => std::fs::write(&file, bytes).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        let caps = fixture.caps();
        assert_eq!(caps.used(link(1), &limit(5, 1)), 4);
        assert_eq!(caps.used(link(2), &limit(5, 3)), 1);
        assert_eq!(caps.used(link(2), &limit(5, 4)), 0, "another limit");
    }
}

#[test]
fn a_new_limit_counts_from_zero_and_a_raised_one_continues() {
    let fixture = Fixture::new();
    let caps = fixture.caps();
    let visit = |limit| fixture.visit(&caps, link(1), &limit, true);
    assert!(visit(limit(1, 1)));
    assert!(!visit(limit(1, 1)));
    assert!(visit(limit(2, 1)), "one more");
    assert!(!visit(limit(2, 1)));
    assert!(visit(limit(1, 4)), "a new limit");
    assert!(!visit(limit(1, 4)));
}

#[test]
fn the_file_is_written_at_the_end_and_not_for_each_click() {
    let fixture = Fixture::new();
    let file = fixture.folder.path().join("limits");
    let caps = fixture.caps();
    for _ in 0..3 {
        assert!(fixture.visit(&caps, link(1), &limit(5, 1), true));
        caps.save_if_due(false).unwrap();
        assert!(!file.exists());
    }
    caps.save_if_due(true).unwrap();
    let written = std::fs::read(&file).unwrap();
    // Clicks of other links change no count.
    assert!(fixture.visit(&caps, link(2), &limit(5, 1), false));
    caps.save_if_due(true).unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), written);
}

#[test]
fn counts_that_are_not_needed_are_removed() {
    let fixture = Fixture::new();
    let caps = fixture.caps();
    for number in 0..1_500 {
        assert!(fixture.visit(&caps, link(number), &limit(2, 1), true));
    }
    let held = || caps.used.read().unwrap().len();
    let is_needed = |id: LinkId| *id.as_bytes() < *link(700).as_bytes();
    let in_use = caps.used_of(*link(800).as_bytes());
    caps.prune(is_needed);
    assert_eq!(held(), 701);
    drop(in_use);
    assert_eq!(caps.used(link(699), &limit(2, 1)), 1);
    assert_eq!(caps.used(link(900), &limit(2, 1)), 0);
    // Below the threshold nothing is pruned.
    caps.prune(|_| false);
    assert_eq!(held(), 701);
    caps.save_if_due(true).unwrap();
    drop(caps);
    assert_eq!(fixture.caps().used.read().unwrap().len(), 701);
}

#[test]
fn a_count_of_a_limit_set_in_the_meantime_is_kept() {
    let fixture = Fixture::new();
    let caps = fixture.caps();
    for number in 0..1_000 {
        assert!(fixture.visit(&caps, link(number), &limit(5, 1), true));
    }
    caps.prune(|id| {
        if id == link(7) {
            assert!(fixture.visit(&caps, id, &limit(5, 3), true));
        }
        false
    });
    assert_eq!(caps.used(link(7), &limit(5, 3)), 1);
    assert_eq!(caps.used.read().unwrap().len(), 1);
}

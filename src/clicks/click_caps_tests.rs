#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use uuid::Uuid;

use super::*;
use crate::domain::click::{Click, VERSION};
use crate::log::{DiskStorage, LogOptions, NewRecord};

struct House {
    folder: tempfile::TempDir,
    log: Log,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = Arc::new(DiskStorage);
        let log = Log::open(storage, &folder.path().join("log"), LogOptions::default()).unwrap();
        Self { folder, log }
    }

    fn limits(&self) -> ClickCaps {
        ClickCaps::open(&self.folder.path().join("limits"), &self.log).unwrap()
    }

    /// As a visit does; whether it goes through.
    fn visit(
        &self,
        limits: &ClickCaps,
        link: LinkId,
        limit: &ClickLimit,
        is_counted: bool,
    ) -> bool {
        let admitted = limits.admit(link, limit, is_counted, |nth| {
            let click = Click {
                at_ms: 1,
                link: link.as_bytes().to_vec(),
                limited_since: limit.since_version,
                limited_nth: nth.unwrap_or_default(),
                ..Click::default()
            };
            let parts = &[&click.encode_to_vec()[..]];
            self.log.append(&[NewRecord { kind: kind::CLICK, version: VERSION, parts }]).unwrap();
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
fn many_at_once_get_exactly_so_many_through() {
    let house = House::new();
    let limits = house.limits();
    let through = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let is_through = house.visit(&limits, link(1), &limit(777, 1), true);
                    through.fetch_add(is_through.into(), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(through.into_inner(), 777);
    // In the log they stand in the order in which they were counted.
    let mut reader = house.log.read_from(1).unwrap();
    for nth in 1..=777 {
        let click = reader.next_record().unwrap().unwrap();
        assert_eq!(ClickView::parse(&click.payload).unwrap().limited_nth, nth);
    }
}

#[test]
fn bots_that_do_not_count_go_through_as_long_as_humans_do() {
    let house = House::new();
    let limits = house.limits();
    let visits =
        [(false, true), (true, true), (false, true), (true, true), (false, false), (true, false)];
    for (is_counted, is_through) in visits {
        assert_eq!(house.visit(&limits, link(1), &limit(2, 1), is_counted), is_through);
    }
}

#[test]
fn counts_outlive_the_process_with_the_file_without_it_and_with_a_broken_one() {
    let house = House::new();
    let file = house.folder.path().join("limits");
    let limits = house.limits();
    for _ in 0..3 {
        assert!(house.visit(&limits, link(1), &limit(5, 1), true));
    }
    limits.save_if_due(&house.log, true).unwrap();
    assert!(house.visit(&limits, link(1), &limit(5, 1), true));
    assert!(house.visit(&limits, link(2), &limit(5, 3), true));
    drop(limits);
    let whole = std::fs::read(&file).unwrap();
    for bytes in [Some(whole.clone()), None, Some(whole[..9].to_vec()), Some(vec![7; 40])] {
        match bytes {
            Some(bytes) => std::fs::write(&file, bytes).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        let limits = house.limits();
        assert_eq!(limits.used(link(1), &limit(5, 1)), 4);
        assert_eq!(limits.used(link(2), &limit(5, 3)), 1);
        assert_eq!(limits.used(link(2), &limit(5, 4)), 0, "another limit");
    }
}

#[test]
fn a_limit_that_begins_anew_counts_from_nothing_and_a_larger_one_counts_on() {
    let house = House::new();
    let limits = house.limits();
    let visit = |limit| house.visit(&limits, link(1), &limit, true);
    assert!(visit(limit(1, 1)));
    assert!(!visit(limit(1, 1)));
    assert!(visit(limit(2, 1)), "one more");
    assert!(!visit(limit(2, 1)));
    assert!(visit(limit(1, 4)), "anew");
    assert!(!visit(limit(1, 4)));
}

#[test]
fn the_file_is_written_at_the_end_and_not_for_each_click() {
    let house = House::new();
    let file = house.folder.path().join("limits");
    let limits = house.limits();
    for _ in 0..3 {
        assert!(house.visit(&limits, link(1), &limit(5, 1), true));
        limits.save_if_due(&house.log, false).unwrap();
        assert!(!file.exists());
    }
    limits.save_if_due(&house.log, true).unwrap();
    let written = std::fs::read(&file).unwrap();
    // Clicks of other links change no count.
    assert!(house.visit(&limits, link(2), &limit(5, 1), false));
    limits.save_if_due(&house.log, true).unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), written);
}

#[test]
fn counts_that_nobody_needs_are_removed() {
    let house = House::new();
    let limits = house.limits();
    for number in 0..1_500 {
        assert!(house.visit(&limits, link(number), &limit(2, 1), true));
    }
    let held = || limits.used.read().unwrap().len();
    let is_needed = |id: LinkId| *id.as_bytes() < *link(700).as_bytes();
    let in_use = limits.used_of(*link(800).as_bytes());
    limits.prune(is_needed);
    assert_eq!(held(), 701);
    drop(in_use);
    assert_eq!(limits.used(link(699), &limit(2, 1)), 1);
    assert_eq!(limits.used(link(900), &limit(2, 1)), 0);
    // Now there are not many more than were needed.
    limits.prune(|_| false);
    assert_eq!(held(), 701);
    limits.save_if_due(&house.log, true).unwrap();
    drop(limits);
    assert_eq!(house.limits().used.read().unwrap().len(), 701);
}

#[test]
fn a_count_of_a_limit_that_is_set_meanwhile_is_kept() {
    let house = House::new();
    let limits = house.limits();
    for number in 0..1_000 {
        assert!(house.visit(&limits, link(number), &limit(5, 1), true));
    }
    limits.prune(|id| {
        if id == link(7) {
            assert!(house.visit(&limits, id, &limit(5, 3), true));
        }
        false
    });
    assert_eq!(limits.used(link(7), &limit(5, 3)), 1);
    assert_eq!(limits.used.read().unwrap().len(), 1);
}

//! An index that fails while in use is repaired without a restart.

use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::super::Compactor;
use super::super::faults::{self, Faults};
use super::super::layers::Damage;
use super::super::store::Changes;
use super::history::of_seed;
use super::*;

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(60), "timed out waiting for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_failed_store_is_replaced() {
    let events = of_seed(20, 120);
    let (early, late) = events.split_at(60);
    for has_base in [false, true] {
        let place = Place::with(early);
        let faults = Arc::new(Faults::default());
        let index = faults::open(&place.index(), &*place.log, &faults, NO_BASES).unwrap();
        if has_base {
            index.compact(&*place.log, &|_, _| true).unwrap();
        }
        faults.gives_up.store(true, Ordering::SeqCst);
        write(&index, &*place.log, late).unwrap();
        let failed = index.layers.load().flush_buffer().unwrap_err();
        assert!(failed.is_full(), "{failed}");

        faults.cannot_open.store(true, Ordering::SeqCst);
        assert!(index.repair(&*place.log).is_err());
        assert_eq!(index.digest().unwrap(), Map::of(&events).digest(), "readers continue");

        faults.cannot_open.store(false, Ordering::SeqCst);
        index.repair(&*place.log).unwrap();
        assert_eq!(index.applied(), place.log.end());
        assert_eq!(index.digest().unwrap(), Map::of(&events).digest());
    }
}

/// The write buffer of a failed store is bounded: then mutations are rejected until a repair.
#[test]
fn the_write_buffer_of_a_failed_store_is_bounded() {
    let events = of_seed(30, 160);
    let (early, late) = events.split_at(60);
    let place = Place::with(early);
    let faults = Arc::new(Faults::default());
    let index = faults::open(&place.index(), &*place.log, &faults, NO_BUFFER).unwrap();
    faults.gives_up.store(true, Ordering::SeqCst);
    write(&index, &*place.log, &late[..30]).unwrap();
    assert!(write(&index, &*place.log, &late[30..]).unwrap_err().is_full());
    assert_eq!(index.applied(), 90);
    assert_eq!(index.digest().unwrap(), Map::of(&events[..90]).digest());
    index.repair(&*place.log).unwrap();
    assert_eq!(index.digest().unwrap(), Map::of(&events).digest());
}

/// While the disk is full, the overlay is in memory, even after a restart; then it moves to disk.
#[test]
fn a_full_disk_is_bridged_in_memory() {
    let events = of_seed(28, 180);
    let third = events.len() / 3;
    for has_base in [false, true] {
        let place = Place::with(&events[..third]);
        let faults = Arc::new(Faults::default());
        let index = faults::open(&place.index(), &*place.log, &faults, NO_BASES).unwrap();
        if has_base {
            index.compact(&*place.log, &|_, _| true).unwrap();
        }
        faults.disk_is_full.store(true, Ordering::SeqCst);
        faults.gives_up.store(true, Ordering::SeqCst);
        write(&index, &*place.log, &events[third..2 * third]).unwrap();
        index.layers.load().flush_buffer().unwrap_err();
        index.repair(&*place.log).unwrap();
        assert!(index.layers.load().is_in_memory);
        write(&index, &*place.log, &events[2 * third..]).unwrap();
        let expected = Map::of(&events).digest();
        assert_eq!(index.digest().unwrap(), expected);
        drop(index);

        let index = faults::open(&place.index(), &*place.log, &faults, NO_BASES).unwrap();
        assert!(index.layers.load().is_in_memory);
        assert_eq!(index.digest().unwrap(), expected);
        let index = Arc::new(index);
        let compactor = Compactor::start(Arc::clone(&index), &place.log).unwrap();
        faults.disk_is_full.store(false, Ordering::SeqCst);
        eventually("disk space", || !index.layers.load().is_in_memory);
        compactor.stop();
        assert_eq!(index.digest().unwrap(), expected);
        assert_eq!(place.names("overlay-").len(), 1);
    }
}

/// A group decided over the old layers is committed to the new ones, unless they include it.
#[test]
fn a_swap_between_deciding_and_committing_changes_nothing() {
    let events = of_seed(21, 150);
    let expected = Map::of(&events).digest();
    let (early, late) = events.split_at(events.len() / 2);
    for swap_after_append in [false, true] {
        let place = Place::with(early);
        let index = place.open(NO_BASES);
        let mut pending = index.begin();
        for event in late {
            pending.apply(event).unwrap();
        }
        if !swap_after_append {
            index.compact(&*place.log, &|_, _| true).unwrap();
        }
        let offset = append(&*place.log, late);
        if swap_after_append {
            index.compact(&*place.log, &|_, _| true).unwrap();
            assert_eq!(index.applied(), offset);
        }
        index.commit(pending, offset).unwrap();
        assert_eq!(index.digest().unwrap(), expected);
    }
}

#[test]
fn a_group_over_another_offset_is_refused_and_repaired() {
    let events = of_seed(22, 150);
    let third = events.len() / 3;
    let place = Place::with(&events[..third]);
    let index = place.open(NO_BASES);
    let mut pending = index.begin();
    for event in &events[third..] {
        pending.apply(event).unwrap();
    }
    write(&index, &*place.log, &events[third..2 * third]).unwrap();
    let offset = append(&*place.log, &events[2 * third..]);
    assert!(matches!(index.commit(pending, offset), Err(IndexError::Broken(_))));
    index.repair(&*place.log).unwrap();
    assert_eq!(index.digest().unwrap(), Map::of(&events).digest());
}

#[test]
fn only_what_is_synced_is_applied() {
    let events = of_seed(23, 60);
    let place = Place::with(&events);
    let index = place.open(NO_BASES);
    let synced = place.log.synced();
    let payload = of_seed(23, 1)[0].encode_to_vec();
    place.log.append(&[NewRecord { kind: 10, version: VERSION, payload: &payload }]).unwrap();
    index.repair(&*place.log).unwrap();
    index.rebuild(&*place.log, &|_, _| {}).unwrap();
    assert_eq!((index.applied(), place.log.end()), (synced, synced + 1));
}

#[test]
fn an_index_ahead_of_its_log_is_not_opened_but_can_be_rebuilt() {
    let events = of_seed(24, 100);
    let half = events.len() / 2;
    for has_base in [false, true] {
        let place = Place::with(&events[..half]);
        // The same log without its end.
        let lost = place.folder.path().join("lost");
        std::fs::create_dir(&lost).unwrap();
        for entry in std::fs::read_dir(place.folder.path().join("log")).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, lost.join(path.file_name().unwrap())).unwrap();
        }
        let index = place.open(NO_BASES);
        write(&index, &*place.log, &events[half..]).unwrap();
        if has_base {
            index.compact(&*place.log, &|_, _| true).unwrap();
        }
        index.flush().unwrap();
        drop(index);
        let log = open_log(&lost);
        let refused = Index::open(&place.index(), &log).map(drop).unwrap_err();
        assert!(matches!(refused, IndexError::AheadOfLog { .. }), "{refused}");
        let text = refused.to_string();
        assert!(text.contains("slugline rebuild index") && text.contains(&format!("{half}")));
        if has_base {
            for path in place.names("overlay-") {
                std::fs::remove_dir_all(path).unwrap();
            }
            assert!(Index::open(&place.index(), &log).is_err(), "the base alone is ahead too");
        }
        let left = std::sync::atomic::AtomicU64::new(u64::MAX);
        let progress = |done, total| left.store(total - done, Ordering::SeqCst);
        let index = Index::rebuild_folder(&place.index(), &log, &progress).unwrap();
        assert_eq!(left.into_inner(), 0, "the progress ends at the total");
        assert_eq!(index.digest().unwrap(), Map::of(&events[..half]).digest());
    }
}

#[test]
fn the_compactor_repairs_damage_found_by_a_reader() {
    let events = of_seed(25, 200);
    let place = Place::with(&events);
    let index = Arc::new(place.open(NO_BASES));
    index.rebuild(&*place.log, &|_, _| {}).unwrap();
    let base = std::fs::OpenOptions::new().write(true).open(&place.names("base-")[0]).unwrap();
    base.write_all_at(&[0xA5; 64], 100).unwrap();
    assert!(index.digest().is_err());
    assert_eq!(index.layers.load().damage(), Damage::Unknown);
    let compactor = Compactor::start(Arc::clone(&index), &place.log).unwrap();
    let expected = Map::of(&events).digest();
    eventually("a repair", || index.digest().is_ok_and(|digest| digest == expected));
    eventually("a tidy folder", || place.names("").len() == 2);
    compactor.stop();
}

#[test]
fn the_compactor_finds_damage_and_builds_bases_when_due() {
    let events = of_seed(26, 400);
    let (early, late) = events.split_at(events.len() / 2);
    let place = Place::with(early);
    let tuning = Tuning { live_events_min: 20, events_max: 20, ..NO_BASES };
    let index = Arc::new(place.open(tuning));
    assert_eq!(index.base(), None);
    let compactor = Compactor::start(Arc::clone(&index), &place.log).unwrap();
    eventually("a base", || index.base().is_some());
    // The writer continues while bases are built and swapped.
    for group in late.chunks(3) {
        write(&index, &*place.log, group).unwrap();
    }
    let is_near = || index.base().is_some_and(|base| base.offset + 20 >= place.log.end());
    eventually("a newer base", is_near);
    assert_eq!(index.digest().unwrap(), Map::of(&events).digest());
    compactor.stop();

    let base = std::fs::OpenOptions::new().write(true).open(&place.names("base-")[0]).unwrap();
    base.write_all_at(&[0xA5; 64], 100).unwrap();
    let before = index.base();
    let compactor = Compactor::start(Arc::clone(&index), &place.log).unwrap();
    eventually("a repair", || index.base() != before);
    assert_eq!(index.digest().unwrap(), Map::of(&events).digest());
    compactor.stop();
}

#[test]
fn a_smaller_overlay_becomes_a_base_once_nothing_changes() {
    let events = of_seed(27, 200);
    let place = Place::new();
    let idle = Duration::from_millis(300);
    let tuning = Tuning { start_events_min: 20, live_events_min: 10_000, idle, ..NO_BASES };
    let index = Arc::new(place.open(tuning));
    let compactor = Compactor::start(Arc::clone(&index), &place.log).unwrap();
    for group in events.chunks(3) {
        write(&index, &*place.log, group).unwrap();
    }
    let end = place.log.end();
    eventually("a base", || index.base().is_some_and(|base| base.offset == end));
    assert_eq!(index.digest().unwrap(), Map::of(&events).digest());
    compactor.stop();
}

/// A failed sled rejects some reads too: they wait for the repair.
#[test]
fn a_reader_waits_for_the_repair_and_fails_without_one() {
    let events = of_seed(29, 300);
    let place = Place::with(&events);
    let faults = Arc::new(Faults::default());
    let index = faults::open(&place.index(), &*place.log, &faults, NO_BASES).unwrap();
    let index = Arc::new(index);
    let wanted = Map::of(&events);
    let (key, value) = wanted.0.iter().find(|(key, _)| key[0] == b'l').unwrap();
    faults.gives_up.store(true, Ordering::SeqCst);
    faults.gives_up_reads.store(true, Ordering::SeqCst);
    let fail = || {
        let layers = index.layers.load();
        layers.apply(Changes::new(), place.log.end() + 1);
        layers.flush_buffer().unwrap_err();
    };
    fail();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| index.get(key));
        index.repair(&*place.log).unwrap();
        assert_eq!(reader.join().unwrap().unwrap().as_ref(), Some(value));
    });
    faults.gives_up.store(true, Ordering::SeqCst);
    fail();
    assert!(index.get(key).is_err());
}

#[test]
fn cached_redirects_work_while_the_store_fails() {
    let events = of_seed(27, 100);
    let place = Place::with(&events);
    let faults = Arc::new(Faults::default());
    let index = faults::open(&place.index(), &*place.log, &faults, NO_BASES).unwrap();
    let slugs: Vec<_> = (0..200).map(|number| format!("slug-{number}")).collect();
    let there = |slug: &&String| index.redirect("", slug).unwrap().is_some();
    let known: Vec<_> = slugs.iter().filter(there).collect();
    assert!(!known.is_empty());
    faults.reads_fail.store(true, Ordering::SeqCst);
    assert!(known.iter().all(|slug| index.redirect("", slug).unwrap().is_some()));
    assert!(index.redirect("", "another").is_err());
}

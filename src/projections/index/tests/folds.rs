//! However events are grouped, wherever bases are made: the same fold.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::store;
use super::history::{Standing, Wish, of_seed, wish, workspace};
use super::*;
use crate::domain::ids::LinkId;

#[derive(Debug, Clone)]
enum Step {
    Event(Wish),
    Commit,
    /// What was applied goes into the overlay.
    Settle,
    /// A new base of the old one and what came since.
    Renew,
    /// A new base of the log alone.
    Rebuild,
    /// A fresh overlay over the same base.
    Repair,
    Reopen,
    /// Opened where few events are too many for an overlay.
    ReopenIntoBase,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        100 => wish().prop_map(Step::Event),
        10 => Just(Step::Commit),
        4 => Just(Step::Settle),
        2 => Just(Step::Renew),
        1 => Just(Step::Rebuild),
        1 => Just(Step::Repair),
        1 => Just(Step::Reopen),
        1 => Just(Step::ReopenIntoBase),
    ]
}

/// What was done with an index, and what ought to be in it.
struct Course {
    place: Place,
    index: Option<Index>,
    standing: Standing,
    group: Vec<Envelope>,
    events: Vec<Envelope>,
}

impl Course {
    fn take(&mut self, step: &Step) {
        if let Step::Event(wish) = step {
            self.group.extend(self.standing.next(wish));
            return;
        }
        let log = Arc::clone(&self.place.log);
        let index = self.index.as_ref().unwrap();
        write(index, &log, &self.group).unwrap();
        self.events.append(&mut self.group);
        match step {
            Step::Event(_) | Step::Commit => {}
            Step::Settle => index.layers.load().settle().unwrap(),
            Step::Renew => index.renew(&log, &|_, _| true).unwrap(),
            Step::Rebuild => index.rebuild(&log, &|_, _| {}).unwrap(),
            Step::Repair => index.repair(&log).unwrap(),
            Step::Reopen => {
                drop(self.index.take());
                self.index = Some(self.place.open(NO_BASES));
            }
            Step::ReopenIntoBase => {
                drop(self.index.take());
                let tuning = Tuning { start_events_min: 3, events_max: 3, ..NO_BASES };
                self.index = Some(self.place.open(tuning));
            }
        }
        let index = self.index.as_ref().unwrap();
        assert_eq!(index.applied(), log.end());
        assert_eq!(index.digest().unwrap(), Map::of(&self.events).digest(), "after {step:?}");
    }

    fn check_reads(&self) {
        let index = self.index.as_ref().unwrap();
        let standing = &self.standing;
        for (id, (owner, state)) in &standing.links {
            let link = index.link(LinkId::from_bytes(id).unwrap()).unwrap().unwrap();
            assert_eq!((link.workspace, link.version), (*owner, state.version));
            assert_eq!(index.slug("", &state.slug).unwrap(), Some(link.id));
            let redirect = index.redirect("", &state.slug).unwrap().unwrap();
            assert_eq!(redirect.way.location.as_str(), state.destination);
        }
        let slugs: BTreeSet<_> = standing.links.values().map(|(_, link)| &link.slug).collect();
        for slug in (0..200).map(|number| format!("slug-{number}")) {
            assert_eq!(index.redirect("", &slug).unwrap().is_some(), slugs.contains(&slug));
        }
        for owner in (0..3).map(workspace) {
            let of_owner = standing.links.iter().filter(|(_, (other, _))| *other == owner);
            let newest_first: Vec<_> = of_owner.map(|(id, _)| id.clone()).rev().collect();
            assert_eq!(index.link_count(owner).unwrap(), newest_first.len() as u64);
            let all = index.links(owner, None, 0, usize::MAX).unwrap();
            let ids: Vec<_> = all.iter().map(|link| link.id.as_bytes().to_vec()).collect();
            assert_eq!(ids, newest_first);
            if let Some(third) = all.get(2) {
                let after = index.links(owner, Some(third.id), 1, 2).unwrap();
                assert_eq!(after, all.iter().skip(4).take(2).cloned().collect::<Vec<_>>());
            }
        }
        for owner in (0..3).map(workspace) {
            let of_owner = standing.reports.iter().filter(|(_, (other, _))| *other == owner);
            let newest_first: Vec<_> = of_owner.map(|(id, _)| id.clone()).rev().collect();
            let all = index.reports(owner, None, usize::MAX).unwrap();
            let ids: Vec<_> = all.iter().map(|report| report.id.as_bytes().to_vec()).collect();
            assert_eq!(ids, newest_first);
            if let Some(second) = all.get(1) {
                let after = index.reports(owner, Some(second.id), 2).unwrap();
                assert_eq!(after, all.iter().skip(2).take(2).cloned().collect::<Vec<_>>());
            }
            for report in &all {
                let open = all.iter().filter(|other| other.link == report.link).count();
                assert_eq!(index.open_reports(report.link).unwrap(), open as u64);
            }
        }
        let tokens: Vec<_> = index.tokens(workspace(0)).unwrap();
        let tokens: Vec<_> = tokens.iter().map(|token| token.id.as_bytes().to_vec()).collect();
        assert_eq!(tokens, standing.tokens.keys().cloned().collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn every_way_leads_to_the_same_index(steps in prop::collection::vec(step(), 1..200)) {
        let place = Place::new();
        let index = Some(place.open(NO_BASES));
        let mut standing = Standing::default();
        let group = vec![standing.begin()];
        let mut course = Course { place, index, standing, group, events: Vec::new() };
        for step in steps.iter().chain([&Step::Commit]) {
            course.take(step);
        }
        course.check_reads();
        // Nothing that was swapped out lies about.
        drop(course.index.take());
        course.index = Some(course.place.open(NO_BASES));
        prop_assert_eq!(course.place.names("overlay-").len(), 1);
        prop_assert!(course.place.names("base-").len() <= 1);
        prop_assert_eq!(course.place.names("").len(), 1 + course.place.names("base-").len());
    }
}

/// Idempotency keys that expire in the thousands, through the window that a build looks at.
#[test]
fn a_build_forgets_the_keys_that_an_overlay_forgets() {
    let mut standing = Standing::default();
    let mut events = vec![standing.begin()];
    for number in 0..30_000_u64 {
        let mut envelope = standing.next(&Wish::CreateToken).unwrap();
        envelope.at_ms += if number < 20_000 { number % 50 } else { 90_000_000 + number };
        let key = format!("{}", number % 17_000);
        let request_sha256 = Vec::new();
        envelope.idempotency = Some(crate::domain::event::Idempotency { key, request_sha256 });
        events.push(envelope);
    }
    let expected = Map::of(&events).digest();
    let place = Place::with(&events);
    for memtable_bytes in [256 << 10, 64 << 20] {
        let tuning = Tuning { start_events_min: 1, events_max: 1, memtable_bytes, ..NO_BASES };
        let index = place.open(tuning);
        assert_eq!(index.digest().unwrap(), expected);
        drop(index);
        std::fs::remove_dir_all(place.index()).unwrap();
    }
}

/// A scan is of the moment when it was begun: what settles meanwhile is neither missed nor met
/// twice.
#[test]
fn a_scan_across_a_settle_is_whole() {
    let events = of_seed(31, 300);
    let (early, late) = events.split_at(150);
    let all: Vec<_> = Map::of(&events).0.into_iter().collect();
    for is_back in [false, true] {
        for settle_at in [0, 1, all.len() / 2, all.len() - 1] {
            let place = Place::with(early);
            let index = place.open(NO_BASES);
            write(&index, &place.log, late).unwrap();
            let layers = index.layers.load_full();
            assert!(layers.unsettled() > 100);
            let mut rows = layers.rows(store::prefixed(&[]), is_back);
            let mut seen: Vec<_> = rows.by_ref().take(settle_at).map(Result::unwrap).collect();
            layers.settle().unwrap();
            assert_eq!(layers.unsettled(), 0);
            seen.extend(rows.map(Result::unwrap));
            if is_back {
                seen.reverse();
            }
            assert_eq!(seen, all, "settled after {settle_at}");
        }
    }
}

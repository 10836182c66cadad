//! The same fold, however events are grouped and bases built.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::store;
use super::super::{Group, ReadDomains, ReadUsers, ReadWorkspaces, Scan, Span};
use super::history::{Model, Op, campaign, of_seed, op, user_id, workspace};
use super::*;
use crate::domain::event::LinkState;
use crate::domain::ids::{LinkId, WorkspaceId};
use crate::domain::preset::{UtmPresetId, UtmPresetKind};

#[derive(Debug, Clone)]
enum Step {
    Event(Op),
    Commit,
    /// Flushes the write buffer.
    FlushBuffer,
    /// Builds a base from the old one and the events since.
    Compact,
    /// Builds a base from the log alone.
    Rebuild,
    /// Starts a new overlay over the same base.
    Repair,
    Reopen,
    /// Reopens with a threshold that makes a base due.
    ReopenIntoBase,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        100 => op().prop_map(Step::Event),
        10 => Just(Step::Commit),
        4 => Just(Step::FlushBuffer),
        2 => Just(Step::Compact),
        1 => Just(Step::Rebuild),
        1 => Just(Step::Repair),
        1 => Just(Step::Reopen),
        1 => Just(Step::ReopenIntoBase),
    ]
}

/// A test run: the index and its expected content.
struct Course {
    place: Place,
    index: Option<Index>,
    model: Model,
    group: Vec<Envelope>,
    events: Vec<Envelope>,
}

impl Course {
    fn take(&mut self, step: &Step) {
        if let Step::Event(op) = step {
            self.group.extend(self.model.next(op));
            return;
        }
        let log = Arc::clone(&self.place.log);
        let index = self.index.as_ref().unwrap();
        write(index, &*log, &self.group).unwrap();
        self.events.append(&mut self.group);
        match step {
            Step::Event(_) | Step::Commit => {}
            Step::FlushBuffer => index.layers.load().flush_buffer().unwrap(),
            Step::Compact => index.compact(&*log, &|_, _| true).unwrap(),
            Step::Rebuild => index.rebuild(&*log, &|_, _| {}).unwrap(),
            Step::Repair => index.repair(&*log).unwrap(),
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
        let model = &self.model;
        for (id, (owner, state)) in &model.links {
            let link = index.link(LinkId::from_bytes(id).unwrap()).unwrap().unwrap();
            assert_eq!((link.workspace, link.version), (*owner, state.version));
            assert_eq!(index.slug("", &state.slug).unwrap(), Some(link.id));
            let redirect = index.redirect("", &state.slug).unwrap().unwrap();
            assert_eq!(redirect.target.location.as_str(), state.destination);
        }
        let slugs: BTreeSet<_> = model.links.values().map(|(_, link)| &link.slug).collect();
        for slug in (0..200).map(|number| format!("slug-{number}")) {
            assert_eq!(index.redirect("", &slug).unwrap().is_some(), slugs.contains(&slug));
        }
        for owner in (0..3).map(workspace) {
            let of_owner = model.links.iter().filter(|(_, (other, _))| *other == owner);
            let newest_first: Vec<_> = of_owner.map(|(id, _)| id.clone()).rev().collect();
            assert_eq!(index.link_count(owner).unwrap(), newest_first.len() as u64);
            let scan = index.scan();
            let back = Span { is_back: true, beyond: None };
            assert_eq!(ids(scan.all(owner, back)), newest_first);
            if let Some(third) = newest_first.get(2) {
                let third = LinkId::from_bytes(third).unwrap();
                let after = scan.all(owner, Span { beyond: Some(third), ..back });
                assert_eq!(ids(after), newest_first[3..]);
                let before = scan.all(owner, Span { is_back: false, beyond: Some(third) });
                let newer: Vec<_> = newest_first[..2].iter().rev().cloned().collect();
                assert_eq!(ids(before), newer);
            }
            self.check_loads(&scan, owner, &newest_first);
            self.check_groups(&scan, owner);
        }
        for owner in (0..3).map(workspace) {
            let of_owner = model.reports.iter().filter(|(_, (other, _))| *other == owner);
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
        self.check_past(index);
        let tokens: Vec<_> = index.tokens(workspace(0)).unwrap();
        let tokens: Vec<_> = tokens.iter().map(|token| token.id.as_bytes().to_vec()).collect();
        assert_eq!(tokens, model.tokens.keys().cloned().collect::<Vec<_>>());
        self.check_accounts(index);
        model.check_qr_codes(index, &self.events);
        for number in 0..8 {
            let id = UtmPresetId::Campaign(campaign(number));
            let found = index.preset(workspace(0), id).unwrap();
            let expected = model.campaigns.get(&number);
            assert_eq!(found.map(|it| it.name), expected.map(|it| it.name.clone()));
            let name = format!("CAMPAIGN {number}");
            let named = index.preset_named(workspace(0), UtmPresetKind::Campaign, &name).unwrap();
            let holder = model.campaigns.iter().find(|(_, it)| it.name.ends_with(&name[9..]));
            assert_eq!(named, holder.map(|(number, _)| UtmPresetId::Campaign(campaign(*number))));
        }
    }

    /// Users are found by their ids and addresses, members from both sides.
    fn check_accounts(&self, index: &Index) {
        let model = &self.model;
        let found: Vec<_> = index.users().unwrap().iter().map(|user| user.session_epoch).collect();
        assert_eq!(found, model.users.values().copied().collect::<Vec<_>>());
        for user in 0..4 {
            let id = user_id(user);
            let state = index.user(id).unwrap();
            let by_email = state.map(|state| index.user_by_email(&state.email_hash).unwrap());
            assert_eq!(by_email, model.users.contains_key(&user).then_some(Some(id)));
            for number in 0..3_u8 {
                let is_member = model.members.contains(&(number, user));
                let of = workspace(number.into());
                assert_eq!(index.member(of, id).unwrap().is_some(), is_member);
                assert_eq!(index.workspaces_of(id).unwrap().contains(&of), is_member);
            }
        }
    }

    /// However links are read, by range or one by one.
    fn check_loads(&self, scan: &Scan, owner: WorkspaceId, newest_first: &[Vec<u8>]) {
        let every: Vec<_> = newest_first.iter().map(|id| LinkId::from_bytes(id).unwrap()).collect();
        let oldest_first: Vec<_> = every.iter().rev().copied().collect();
        let few: Vec<_> = every.iter().step_by(7).copied().collect();
        for wanted in [&every, &oldest_first, &few] {
            for is_sparse in [false, true] {
                let (loaded, _) = scan.load(owner, wanted, is_sparse).unwrap();
                let mut found: Vec<_> = loaded.iter().map(|link| link.id).collect();
                assert_eq!(found, *wanted);
                found.clear();
                for link in loaded {
                    let (_, state) = &self.model.links[&link.id.as_bytes().to_vec()];
                    assert_eq!(link.state(), state.encode_to_vec());
                }
            }
        }
        let other = workspace((0..3).find(|number| workspace(*number) != owner).unwrap());
        assert!(scan.load(other, &every, false).unwrap().0.is_empty());
    }

    /// Each group has its links, newest first, and its count.
    fn check_groups(&self, scan: &Scan, owner: WorkspaceId) {
        let labels = |state: &LinkState| state.labels.clone().unwrap_or_default();
        let of_owner = || self.model.links.values().filter(|(other, _)| *other == owner);
        let among = |holds: &dyn Fn(&LinkState) -> bool| -> Vec<Vec<u8>> {
            let those = of_owner().rev().filter(|(_, state)| holds(state));
            those.map(|(_, state)| state.id.clone()).collect()
        };
        let check = |group: &Group, expected: &[Vec<u8>]| {
            assert_eq!(scan.group_count(owner, group).unwrap(), expected.len() as u64, "{group:?}");
            let whole = Span { is_back: true, beyond: None };
            assert_eq!(ids(scan.members(owner, group, whole)), expected, "{group:?}");
        };
        for number in 0..4 {
            let has = |tag: &String| tag.eq_ignore_ascii_case(&format!("tag {number}"));
            let expected = among(&|state| labels(state).tags.iter().any(has));
            check(&Group::Tag(format!("TAG {number}")), &expected);
        }
        for folder in ["a", "a/b", "a/b/c", "ab"] {
            let is_in = |state: &LinkState, below: bool| {
                let of = labels(state).folder.unwrap_or_default();
                of == folder || below && of.starts_with(&format!("{folder}/"))
            };
            check(&Group::Folder(folder.to_owned()), &among(&|state| is_in(state, false)));
            let tree = among(&|state| is_in(state, true));
            assert_eq!(scan.tree_count(owner, folder).unwrap(), tree.len() as u64);
            let whole = Span { is_back: true, beyond: None };
            let found = scan.in_tree(owner, folder, whole).unwrap();
            assert_eq!(ids(found.into_iter().map(Ok)), tree);
        }
        for number in 0..8 {
            let id = campaign(number);
            let expected = among(&|state| labels(state).campaign() == Some(id));
            check(&Group::Campaign(id), &expected);
        }
        let archived = |state: &LinkState| state.gates.as_ref().is_some_and(|it| it.archived);
        check(&Group::Archived, &among(&archived));
        for number in 0..16 {
            let name = format!("ext-{number}");
            let expected = among(&|state| labels(state).external_id.as_ref() == Some(&name));
            let found = scan.external(owner, &name).unwrap();
            assert_eq!(
                found.map(|id| id.as_bytes().to_vec()).into_iter().collect::<Vec<_>>(),
                expected
            );
        }
        let names = scan.names(owner, &Group::Tag(String::new())).map(Result::unwrap);
        let mut tags: Vec<_> = of_owner()
            .flat_map(|(_, state)| labels(state).tags)
            .map(|tag| tag.to_lowercase())
            .collect();
        tags.sort();
        tags.dedup();
        assert_eq!(names.map(|named| named.name.to_lowercase()).collect::<Vec<_>>(), tags);
    }
}

fn ids(found: impl Iterator<Item = Result<LinkId, IndexError>>) -> Vec<Vec<u8>> {
    found.map(|id| id.unwrap().as_bytes().to_vec()).collect()
}

impl Course {
    /// Versions, deleted links and the audit log match the log.
    fn check_past(&self, index: &Index) {
        let model = &self.model;
        let alive = model.links.iter().map(|(id, (_, state))| (id, state.version));
        let dead = model.deleted.iter().map(|(id, (_, state, _))| (id, state.version));
        for (id, newest) in alive.chain(dead) {
            let made = (1..).zip(&self.events).filter(|(_, envelope)| {
                let event = envelope.event.as_ref().unwrap();
                // A report has a link as its subject, but does not change it.
                event.subject() == id.as_slice() && !matches!(event, Event::LinkReported(_))
            });
            let mut made: Vec<u64> = made.map(|(offset, _)| offset).collect();
            made.reverse();
            let id = LinkId::from_bytes(id).unwrap();
            let versions = index.versions(id.as_bytes(), newest, usize::MAX).unwrap();
            assert_eq!(versions.iter().map(|one| one.offset).collect::<Vec<_>>(), made);
            for version in &versions {
                let then = index.version_at(id, newest, version.at_ms).unwrap().unwrap();
                assert!(then.at_ms == version.at_ms && then.number >= version.number);
                assert_eq!(index.version(id.as_bytes(), version.number).unwrap(), Some(*version));
            }
            assert_eq!(index.version_at(id, newest, 0).unwrap(), None);
        }
        let mut audited = 0;
        for owner in (0..3).map(workspace) {
            let of_owner = model.deleted.iter().filter(|(_, (other, ..))| *other == owner);
            let kept = of_owner.filter(|(_, (.., until_ms))| *until_ms > model.now_ms);
            let kept: Vec<_> =
                kept.map(|(id, (_, state, _))| (id.clone(), state.version)).collect();
            let all = (None, 0, usize::MAX);
            let found = index.tombstones(owner, all, model.now_ms).unwrap();
            let ids = found.iter().rev();
            let ids = ids.map(|found| (found.link.id.as_bytes().to_vec(), found.link.version));
            assert_eq!(ids.collect::<Vec<_>>(), kept);
            let every = index.tombstones(owner, all, 0).unwrap().len() as u64;
            assert_eq!(index.tombstone_count(owner).unwrap(), every);
            let (events, next) = index.audited(owner, None, (10_000, 10_000), |_| true).unwrap();
            assert_eq!(next, None);
            audited += events.len() as u64;
        }
        assert_eq!(audited, model.audited);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn every_way_leads_to_the_same_index(steps in prop::collection::vec(step(), 1..200)) {
        let place = Place::new();
        let index = Some(place.open(NO_BASES));
        let mut model = Model::default();
        let group = vec![model.begin()];
        let mut course = Course { place, index, model, group, events: Vec::new() };
        for step in steps.iter().chain([&Step::Commit]) {
            course.take(step);
        }
        course.check_reads();
        // No replaced files are left.
        drop(course.index.take());
        course.index = Some(course.place.open(NO_BASES));
        prop_assert_eq!(course.place.names("overlay-").len(), 1);
        prop_assert!(course.place.names("base-").len() <= 1);
        prop_assert_eq!(course.place.names("").len(), 1 + course.place.names("base-").len());
    }
}

/// Thousands of expiring idempotency keys, more than a build holds in memory.
#[test]
fn a_build_forgets_the_keys_that_an_overlay_forgets() {
    let mut model = Model::default();
    let mut events = vec![model.begin()];
    for number in 0..30_000_u64 {
        let mut envelope = model.next(&Op::CreateToken).unwrap();
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

/// Each entry expires at the deadline of its event, or after the former default if it has none.
#[test]
fn entries_expire_at_the_deadlines_of_their_events() {
    const DAY_MS: u64 = 24 * 3_600 * 1_000;
    let kept = |events: &[Envelope], letter: &[u8]| {
        Map::of(events).0.keys().filter(|key| key.starts_with(letter)).count()
    };
    for days in [None, Some(1), Some(2), Some(400)] {
        let mut model = Model::default();
        let begun = model.begin();
        let made = Op::Create { slug: 1, key: Some(1), labels: None };
        let mut created = model.next(&made).unwrap();
        let mut deleted = model.next(&Op::Delete { link: 0 }).unwrap();
        let stated = days.map(|days| model.now_ms + days * DAY_MS);
        created.idempotency_until_ms = stated;
        let Some(Event::LinkDeleted(deletion)) = &mut deleted.event else { panic!("no deletion") };
        deletion.restorable_until_ms = stated;
        let events = [begun, created, deleted, model.next(&Op::CreateToken).unwrap()];
        for (letter, unstated_days) in [(&b"i"[..], 1), (keys::TOMBSTONES, 30)] {
            let deadline_ms = model.now_ms + days.unwrap_or(unstated_days) * DAY_MS;
            let mut events = events.clone();
            events[3].at_ms = deadline_ms - 1;
            assert_eq!(kept(&events, letter), 1, "{days:?}");
            events[3].at_ms = deadline_ms;
            assert_eq!(kept(&events, letter), 0, "{days:?}");
        }
    }
}

/// A scan returns each key once, even if the write buffer is flushed meanwhile.
#[test]
fn a_scan_across_a_settle_is_whole() {
    let events = of_seed(31, 300);
    let (early, late) = events.split_at(150);
    let all: Vec<_> = Map::of(&events).0.into_iter().collect();
    for is_back in [false, true] {
        for settle_at in [0, 1, all.len() / 2, all.len() - 1] {
            let place = Place::with(early);
            let index = place.open(NO_BASES);
            write(&index, &*place.log, late).unwrap();
            let layers = index.layers.load_full();
            assert!(layers.unflushed() > 100);
            let mut rows = layers.rows(store::prefixed(&[]), is_back);
            let mut seen: Vec<_> = rows.by_ref().take(settle_at).map(Result::unwrap).collect();
            layers.flush_buffer().unwrap();
            assert_eq!(layers.unflushed(), 0);
            seen.extend(rows.map(Result::unwrap));
            if is_back {
                seen.reverse();
            }
            assert_eq!(seen, all, "settled after {settle_at}");
        }
    }
}

//! QR codes, logos and brand defaults: random events, and what the index has then.

use super::super::ReadQrCodes;
use super::history::{Model, Op, nth, workspace};
use super::*;
use crate::domain::event::{
    LogoDeleted, LogoStored, QrCodeDeleted, QrCodeState, QrDefaultsChanged,
};
use crate::domain::ids::{LinkId, LogoId, QrCodeId, WorkspaceId};
use crate::domain::qr::MAX_CODES_PER_LINK;
use crate::domain::qr::state::LookState;

/// A code and its workspace.
pub type Code = (WorkspaceId, QrCodeState);

fn logo(number: u64) -> Vec<u8> {
    vec![u8::try_from(number % 4).unwrap(); 16]
}

impl Model {
    /// An event of QR codes: the kind of event, and a number that chooses the link or the code.
    pub(super) fn qr_event(&mut self, kind: u8, number: u16) -> Option<(WorkspaceId, Event)> {
        let made = self.made;
        let look = LookState {
            size: Some(u32::from(number)),
            logo: made.is_multiple_of(2).then(|| logo(made / 2)),
            ..LookState::default()
        };
        let live = || -> Vec<_> {
            let codes = self.codes.iter();
            codes.filter(|(_, (_, code))| self.links.contains_key(&code.link)).collect()
        };
        let chosen = |codes: Vec<(&Vec<u8>, &Code)>| {
            let place = usize::from(number) % codes.len().max(1);
            codes.get(place).map(|(id, code)| ((*id).clone(), (*code).clone()))
        };
        Some(match kind {
            0..=3 => {
                let (link, (owner, _)) = nth(&self.links, number)?;
                let id = (u128::from(made) | 1 << 100).to_be_bytes().to_vec();
                let look = Some(look);
                let dialect = (kind == 0).then(|| "lens".to_owned());
                let code =
                    QrCodeState { id, link, look, dialect, version: 1, ..QrCodeState::default() };
                self.codes.insert(code.id.clone(), (owner, code.clone()));
                (owner, Event::QrCodeCreated(code))
            }
            4 | 5 => {
                let (id, (owner, before)) = chosen(live())?;
                let version = before.version + 1;
                let reverted_to = made.is_multiple_of(3).then_some(1);
                let code = QrCodeState { look: Some(look), version, reverted_to, ..before };
                self.codes.insert(id, (owner, code.clone()));
                (owner, Event::QrCodeChanged(code))
            }
            6 => {
                let (id, (owner, _)) = chosen(live())?;
                self.codes.remove(&id);
                (owner, Event::QrCodeDeleted(QrCodeDeleted { id }))
            }
            7 => {
                let id = logo(made);
                self.logos.insert(id.clone()).then_some(())?;
                let image = vec![7; 10];
                let stored = LogoStored { id, image, content_type: "image/png".to_owned() };
                (workspace(0), Event::LogoStored(stored))
            }
            8 => {
                let id = logo(made);
                self.logos.remove(&id).then_some(())?;
                (workspace(0), Event::LogoDeleted(LogoDeleted { id }))
            }
            _ => {
                let look = number.is_multiple_of(4).then_some(look);
                let domain = if number.is_multiple_of(3) { vec![5; 16] } else { Vec::new() };
                (workspace(0), Event::QrDefaultsChanged(QrDefaultsChanged { domain, look }))
            }
        })
    }

    /// Codes are listed, found by number and by link, and counted, unless their link is deleted.
    pub(super) fn check_qr_codes(&self, index: &Index, events: &[Envelope]) {
        let created = |id: &[u8]| {
            let is_created = |event: &Envelope| match &event.event {
                Some(Event::QrCodeCreated(code)) => code.id == id,
                _ => false,
            };
            events.iter().position(is_created).unwrap() as u64 + 1
        };
        for (id, (owner, state)) in &self.codes {
            let id = QrCodeId::from_bytes(id).unwrap();
            let link = LinkId::from_bytes(&state.link).unwrap();
            let number = created(id.as_bytes());
            let is_live = self.links.contains_key(&state.link);
            let found = index.linked_qr_code(*owner, id).unwrap();
            assert_eq!(found.is_some(), is_live);
            if let Some(found) = found {
                let expected = state.clone().into_code(*owner).unwrap();
                assert_eq!((found.code, found.number, found.link.id), (expected, number, link));
                assert!(index.qr_code_ids(link).unwrap().contains(&id));
                assert_eq!(index.qr_code_numbered(number).unwrap(), Some((id, link)));
                let newest = index.versions(id.as_bytes(), u32::MAX, 1).unwrap()[0];
                assert_eq!(newest.number, state.version);
            } else if !self.deleted.contains_key(&state.link) {
                assert_eq!(index.stored_qr_code(id).unwrap(), None, "of a purged link");
                assert_eq!(index.qr_code_numbered(number).unwrap(), None);
                assert!(index.qr_code_ids(link).unwrap().is_empty());
            }
            for other in (0..3).map(workspace).filter(|other| other != owner) {
                assert_eq!(index.linked_qr_code(other, id).unwrap(), None);
            }
        }
        for owner in (0..3).map(workspace) {
            let mut listed: Vec<_> = self
                .codes
                .iter()
                .filter(|(_, (of, code))| *of == owner && self.links.contains_key(&code.link))
                .map(|(id, _)| QrCodeId::from_bytes(id).unwrap())
                .collect();
            listed.reverse();
            let found = index.qr_codes(owner, (None, 0, usize::MAX)).unwrap().0;
            assert_eq!(found.iter().map(|one| one.code.id).collect::<Vec<_>>(), listed);
            assert_eq!(index.qr_code_count(owner).unwrap(), listed.len() as u64);
            let is_lens = |id: &QrCodeId| self.codes[&id.as_bytes()[..]].1.dialect.is_some();
            let lens: Vec<_> = listed.iter().filter(|id| is_lens(id)).copied().collect();
            let (found, total) = index.qr_codes_of_dialect(owner, "lens", (1, 2)).unwrap();
            let expected: Vec<_> = lens.iter().skip(1).take(2).copied().collect();
            assert_eq!(found.iter().map(|one| one.code.id).collect::<Vec<_>>(), expected);
            assert_eq!(total, lens.len() as u64);
            if let Some(second) = listed.get(1) {
                let after = index.qr_codes(owner, (Some(*second), 0, 1)).unwrap().0;
                assert_eq!(after.first().map(|one| one.code.id), listed.get(2).copied());
            }
        }
        let logos = index.logos(workspace(0)).unwrap();
        assert_eq!(logos.len(), self.logos.len());
        assert_eq!(index.logo_count(workspace(0)).unwrap(), self.logos.len() as u64);
    }
}

/// The uses of a logo by codes and defaults are counted, those of restorable links too.
#[test]
fn uses_of_logos_are_counted() {
    let mut model = Model::default();
    let begun = model.begin();
    let id = LogoId::from_bytes(&[7; 16]).unwrap();
    let stored = LogoStored { id: vec![7; 16], image: vec![1], ..LogoStored::default() };
    let look = Some(LookState { logo: Some(vec![7; 16]), ..LookState::default() });
    model.made = 2;
    let link = model.next(&Op::Create { slug: 1, key: None, labels: None }).unwrap();
    let Some(Event::LinkCreated(of_link)) = &link.event else { panic!("{link:?}") };
    let code = |version, look| QrCodeState {
        id: vec![1; 16],
        link: of_link.id.clone(),
        version,
        look,
        ..QrCodeState::default()
    };
    let defaults = |look| QrDefaultsChanged { domain: Vec::new(), look };
    let domain_defaults = QrDefaultsChanged { domain: vec![5; 16], look: look.clone() };
    let of = |event| Envelope { event: Some(event), ..begun.clone() };
    let mut events = vec![begun.clone(), of(Event::LogoStored(stored)), link.clone()];
    let mut map = Map::of(&events);
    let mut after = |event: Envelope| {
        events.push(event);
        fold(&mut map, events.len() as u64, events.last().unwrap()).unwrap();
        map.logo(workspace(0), id).unwrap().unwrap().uses
    };
    assert_eq!(after(of(Event::QrCodeCreated(code(1, look.clone())))), 1);
    assert_eq!(after(of(Event::QrCodeChanged(code(2, look.clone())))), 1);
    assert_eq!(after(of(Event::QrDefaultsChanged(defaults(look.clone())))), 2);
    assert_eq!(after(of(Event::QrDefaultsChanged(defaults(look.clone())))), 2);
    assert_eq!(after(of(Event::QrDefaultsChanged(domain_defaults))), 3);
    assert_eq!(after(of(Event::QrDefaultsChanged(defaults(None)))), 2);
    assert_eq!(after(of(Event::QrCodeChanged(code(3, None)))), 1);
    assert_eq!(after(of(Event::QrCodeChanged(code(4, look)))), 2);
    let deleted = model.next(&Op::Delete { link: 0 }).unwrap();
    assert_eq!(after(deleted), 2, "it can be restored");
    let mut later = of(Event::LogoDeleted(LogoDeleted { id: vec![8; 16] }));
    later.at_ms += 1_000 * 86_400_000;
    assert_eq!(after(later), 1, "it can't be restored any more");
    assert!(map.0.keys().all(|key| !key.starts_with(b"Q") && !key.starts_with(b"O")));
}

/// A link with as many codes as it may have is deleted and restored as a whole.
#[test]
fn a_link_takes_all_its_codes_along() {
    let mut model = Model::default();
    let mut events = vec![model.begin()];
    model.made = 2;
    events.push(model.next(&Op::Create { slug: 1, key: None, labels: None }).unwrap());
    for _ in 0..MAX_CODES_PER_LINK {
        events.push(model.next(&Op::Qr { kind: 0, number: 0 }).unwrap());
    }
    let owner = WorkspaceId::from_bytes(&events[1].workspace).unwrap();
    let full = Map::of(&events);
    assert_eq!(full.qr_code_count(owner).unwrap(), MAX_CODES_PER_LINK as u64);
    events.push(model.next(&Op::Delete { link: 0 }).unwrap());
    assert_eq!(Map::of(&events).qr_code_count(owner).unwrap(), 0);
    let number = events.len() as u64 - 1;
    assert!(Map::of(&events).qr_code_numbered(number).unwrap().is_some());
    events.push(model.next(&Op::Restore { link: 0, slug: 1 }).unwrap());
    assert_eq!(Map::of(&events).qr_code_count(owner).unwrap(), MAX_CODES_PER_LINK as u64);
    events.push(model.next(&Op::Purge { link: 0, is_deleted: false }).unwrap());
    let purged = Map::of(&events);
    assert_eq!(purged.qr_code_count(owner).unwrap(), 0);
    assert_eq!(purged.qr_code_numbered(number).unwrap(), None);
}

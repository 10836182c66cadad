//! Domains and links on them, through all operations of an index.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::history::workspace;
use super::*;
use crate::domain::domains::state::{DomainRemoved, DomainState};
use crate::domain::event::{LinkDeleted, LinkState};
use crate::domain::ids::{DomainId, LinkId, WorkspaceId};
use crate::projections::index::ReadDomains;

const HOSTS: u8 = 4;
const SLUGS: [&str; 4] = ["promo", "Promo", "PROMO", "other"];

/// An operation; ignored if the model does not allow it.
#[derive(Debug, Clone)]
enum Op {
    Add { host: u8, owner: u8 },
    Verify { host: u8, owner: u8 },
    Set { host: u8, owner: u8, folds: bool, default: bool },
    Remove { host: u8, owner: u8 },
    Link { id: u8, host: u8, slug: u8 },
    Unlink { id: u8 },
    Commit,
    Compact,
    Rebuild,
    Repair,
    Reopen,
}

fn op() -> impl Strategy<Value = Op> {
    let (host, owner) = (0..HOSTS, 0..2_u8);
    prop_oneof![
        6 => (host.clone(), owner.clone()).prop_map(|(host, owner)| Op::Add { host, owner }),
        6 => (host.clone(), owner.clone()).prop_map(|(host, owner)| Op::Verify { host, owner }),
        4 => (host.clone(), owner.clone(), any::<bool>(), any::<bool>()).prop_map(
            |(host, owner, folds, default)| Op::Set { host, owner, folds, default }),
        3 => (host.clone(), owner).prop_map(|(host, owner)| Op::Remove { host, owner }),
        16 => (0..12_u8, host, 0..4_u8).prop_map(|(id, host, slug)| Op::Link { id, host, slug }),
        4 => (0..12_u8).prop_map(|id| Op::Unlink { id }),
        6 => Just(Op::Commit),
        1 => Just(Op::Compact),
        1 => Just(Op::Rebuild),
        1 => Just(Op::Repair),
        1 => Just(Op::Reopen),
    ]
}

/// The expected state.
#[derive(Default)]
struct Model {
    made: u64,
    domains: BTreeMap<(u8, u8), DomainState>,
    links: BTreeMap<u8, LinkState>,
}

impl Model {
    fn holder(&self, host: u8) -> Option<(u8, &DomainState)> {
        let mut all = self.domains.iter();
        let found = all.find(|((of, _), domain)| *of == host && domain.verified_at_ms.is_some());
        found.map(|((_, owner), domain)| (*owner, domain))
    }

    fn links_on(&self, host: u8) -> u64 {
        self.links.values().filter(|link| link.domain == name(host)).count() as u64
    }

    fn form(&self, host: u8, slug: &str) -> String {
        let folds = self.holder(host).is_some_and(|(_, domain)| domain.case_insensitive);
        if folds { slug.to_lowercase() } else { slug.to_owned() }
    }

    fn next(&mut self, op: &Op) -> Option<Envelope> {
        self.made += 1;
        let (owner, event) = match *op {
            Op::Add { host, owner } => (owner, self.add(host, owner)?),
            Op::Verify { host, owner } => {
                if self.holder(host).is_some() {
                    return None;
                }
                let domain = self.domains.get_mut(&(host, owner))?;
                domain.verified_at_ms = Some(self.made);
                (owner, Event::DomainVerified(domain.clone()))
            }
            Op::Set { host, owner, folds, default } => {
                (owner, self.set(host, owner, folds, default)?)
            }
            Op::Remove { host, owner } => {
                let is_used = self.links_on(host) > 0;
                let domain = self.domains.get(&(host, owner))?;
                if domain.verified_at_ms.is_some() && is_used {
                    return None;
                }
                let removed = DomainRemoved { domain: domain.id.clone() };
                self.domains.remove(&(host, owner));
                (owner, Event::DomainRemoved(removed))
            }
            Op::Link { id, host, slug } => {
                let (owner, _) = self.holder(host)?;
                (owner, self.link(id, host, SLUGS[usize::from(slug)], owner)?)
            }
            Op::Unlink { id } => {
                let link = self.links.remove(&id)?;
                let owner = link.title.as_deref()?.parse().ok()?;
                (owner, Event::LinkDeleted(LinkDeleted { link: link.id, ..LinkDeleted::default() }))
            }
            _ => return None,
        };
        Some(Envelope {
            debit: None,
            reservation: Vec::new(),
            at_ms: self.made,
            workspace: owner_id(owner).as_bytes().to_vec(),
            token: vec![9; 16],
            user: Vec::new(),
            idempotency: None,
            idempotency_until_ms: None,
            event: Some(event),
        })
    }

    fn add(&mut self, host: u8, owner: u8) -> Option<Event> {
        if self.domains.contains_key(&(host, owner)) {
            return None;
        }
        let domain = DomainState {
            id: u128::from(self.made).to_be_bytes().to_vec(),
            hostname: name(host),
            challenge: format!("challenge {}", self.made),
            assetlinks: Some("[]".to_owned()),
            ..DomainState::default()
        };
        self.domains.insert((host, owner), domain.clone());
        Some(Event::DomainAdded(domain))
    }

    fn set(&mut self, host: u8, owner: u8, folds: bool, default: bool) -> Option<Event> {
        let is_used = self.links_on(host) > 0;
        let domain = self.domains.get_mut(&(host, owner))?;
        let is_verified = domain.verified_at_ms.is_some();
        if !(is_used && is_verified) {
            domain.case_insensitive = folds;
        }
        domain.is_default = default && is_verified;
        domain.root_redirect = Some(format!("https://example.com/{}", self.made));
        let domain = domain.clone();
        if domain.is_default {
            let others = self.domains.iter_mut().filter(|((_, other), _)| *other == owner);
            others.for_each(|((of, _), other)| other.is_default = *of == host);
        }
        Some(Event::DomainChanged(domain))
    }

    /// A new link, or one that moves; `None` if the slug is taken.
    fn link(&mut self, id: u8, host: u8, slug: &str, owner: u8) -> Option<Event> {
        let form = self.form(host, slug);
        let is_taken = self.links.iter().any(|(other, link)| {
            *other != id && link.domain == name(host) && self.form(host, &link.slug) == form
        });
        let before = self.links.get(&id);
        let is_others =
            before.is_some_and(|link| link.title.as_deref() != Some(&owner.to_string()));
        if is_taken || is_others {
            return None;
        }
        let version = before.map_or(1, |link| link.version + 1);
        let link = LinkState {
            id: u128::from(id).to_be_bytes().to_vec(),
            domain: name(host),
            slug: slug.to_owned(),
            destination: format!("https://example.com/{}", self.made),
            title: Some(owner.to_string()),
            version,
            ..LinkState::default()
        };
        self.links.insert(id, link.clone());
        Some(if version == 1 { Event::LinkCreated(link) } else { Event::LinkChanged(link) })
    }

    fn check(&self, index: &Index) {
        for host in 0..HOSTS {
            let (name, hosts) = (name(host), index.hosts());
            let holder = self.holder(host);
            let settings = hosts.find(&name);
            assert_eq!(settings.map(|host| host.workspace), holder.map(|(of, _)| owner_id(of)));
            assert_eq!(
                settings.and_then(|host| host.root_redirect.clone()),
                holder.and_then(|(_, domain)| domain.root_redirect.clone())
            );
            for slug in SLUGS {
                let form = self.form(host, slug);
                let link = self
                    .links
                    .values()
                    .find(|link| link.domain == name && self.form(host, &link.slug) == form);
                let found = index.slug(&name, slug).unwrap();
                assert_eq!(found.map(|id| id.as_bytes().to_vec()), link.map(|l| l.id.clone()));
                let redirect = index.redirect(&name, &form).unwrap();
                let leads = redirect.map(|redirect| redirect.target.location.as_str().to_owned());
                assert_eq!(leads, link.map(|link| link.destination.clone()), "{name}/{slug}");
            }
            let claims = index.claims(&name, 10).unwrap();
            assert_eq!(claims.len(), self.domains.keys().filter(|(of, _)| *of == host).count());
        }
        for owner in 0..2 {
            let mut ids = Vec::new();
            for ((host, _), domain) in self.domains.iter().filter(|((_, of), _)| *of == owner) {
                let id = DomainId::from_bytes(&domain.id).unwrap();
                let read = index.domain(owner_id(owner), id).unwrap().unwrap();
                assert_eq!(DomainState::from(&read), *domain);
                let links = domain.verified_at_ms.map_or(0, |_| self.links_on(*host));
                assert_eq!(index.links_on(&read).unwrap(), links);
                assert!(index.domain(owner_id(1 - owner), id).unwrap().is_none());
                ids.push(id);
            }
            ids.sort();
            ids.reverse();
            let listed = index.domains(owner_id(owner), None, 0, 100).unwrap();
            assert_eq!(listed.iter().map(|domain| domain.id).collect::<Vec<_>>(), ids);
            assert_eq!(index.domain_count(owner_id(owner)).unwrap(), ids.len() as u64);
        }
        for link in self.links.values() {
            assert!(index.link(LinkId::from_bytes(&link.id).unwrap()).unwrap().is_some());
        }
    }
}

fn owner_id(owner: u8) -> WorkspaceId {
    workspace(u64::from(owner))
}

fn name(host: u8) -> String {
    format!("host-{host}.example")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn every_way_leads_to_the_same_domains(ops in prop::collection::vec(op(), 1..250)) {
        let place = Place::new();
        let mut index = place.open(NO_BASES);
        let (mut model, mut group, mut events) = (Model::default(), Vec::new(), Vec::new());
        for op in ops.iter().chain([&Op::Commit]) {
            let event = model.next(op);
            if event.is_some() {
                group.extend(event);
                continue;
            }
            write(&index, &*place.log, &group).unwrap();
            events.append(&mut group);
            match op {
                Op::Compact => index.compact(&*place.log, &|_, _| true).unwrap(),
                Op::Rebuild => index.rebuild(&*place.log, &|_, _| {}).unwrap(),
                Op::Repair => index.repair(&*place.log).unwrap(),
                Op::Reopen => {
                    drop(index);
                    index = place.open(NO_BASES);
                }
                _ => {}
            }
            prop_assert_eq!(index.digest().unwrap(), Map::of(&events).digest());
            model.check(&index);
        }
    }
}

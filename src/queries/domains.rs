//! Domains as the index has them.

use std::sync::Arc;

use super::links::LinksError;
use crate::domain::command::DomainRef;
use crate::domain::domains::Domain;
use crate::domain::hostname::split_port;
use crate::domain::ids::{DomainId, WorkspaceId};
pub use crate::projections::index::{HostSettings, Hosts};
use crate::projections::index::{Index, ReadDomains};

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DomainsPart {
    /// 1-indexed.
    Page(usize),
    /// The domains added before this one.
    Before(DomainId),
}

/// A part of a workspace's domains, newest first.
#[derive(Debug)]
pub struct DomainList {
    /// The domains, each with how many links are on it.
    pub domains: Vec<(Domain, u64)>,
    /// How many the workspace has in all.
    pub total: u64,
    /// Where the list goes on; `None` at its end.
    pub next: Option<DomainId>,
}

/// Reads of domains. Cheap to clone.
#[derive(Clone)]
pub struct Domains {
    index: Arc<Index>,
}

impl Domains {
    /// Over this index.
    pub const fn new(index: Arc<Index>) -> Self {
        Self { index }
    }

    /// The verified domain that a request to this authority is for; `None`: the default one.
    pub fn host(&self, authority: &str) -> Option<HostSettings> {
        self.index.hosts().find(authority).cloned()
    }

    /// A domain of a workspace, as a path names it, and how many links are on it.
    pub fn get(
        &self,
        workspace: WorkspaceId,
        named: &DomainRef,
    ) -> Result<Option<(Domain, u64)>, LinksError> {
        let domain = self.index.domain_in(workspace, named)?;
        domain.map(|domain| self.counted(domain)).transpose()
    }

    /// How many links are on a domain that is at hand.
    pub fn links_on(&self, domain: &Domain) -> Result<u64, LinksError> {
        Ok(self.index.links_on(domain)?)
    }

    fn counted(&self, domain: Domain) -> Result<(Domain, u64), LinksError> {
        let links = self.links_on(&domain)?;
        Ok((domain, links))
    }

    /// A part of a workspace's domains, newest first.
    pub fn list(
        &self,
        workspace: WorkspaceId,
        part: DomainsPart,
        limit: usize,
    ) -> Result<DomainList, LinksError> {
        let (before, skip) = match part {
            DomainsPart::Page(page) => (None, page.saturating_sub(1).saturating_mul(limit)),
            DomainsPart::Before(id) => (Some(id), 0),
        };
        // One more than asked tells whether the list goes on.
        let mut domains = self.index.domains(workspace, before, skip, limit + 1)?;
        let goes_on = domains.len() > limit;
        domains.truncate(limit);
        let next = domains.last().filter(|_| goes_on).map(|domain| domain.id);
        let domains = domains.into_iter().map(|domain| self.counted(domain));
        let domains = domains.collect::<Result<_, _>>()?;
        Ok(DomainList { domains, total: self.index.domain_count(workspace)?, next })
    }

    /// The whole of the domain that a request to this authority is for.
    pub fn verified(&self, authority: &str) -> Result<Option<Domain>, LinksError> {
        let Some(host) = self.host(authority) else { return Ok(None) };
        Ok(self.index.domain(host.workspace, host.id)?)
    }

    /// What the service itself shows at a host that is claimed and not verified: the claim's
    /// proof, as long as there is one claim alone. Where workspaces compete, whoever rules over
    /// the host has to say by a record or a file of his own which of them it belongs to.
    pub fn shown_proof(&self, authority: &str) -> Result<Option<String>, LinksError> {
        let authority = authority.to_ascii_lowercase();
        let host = split_port(&authority).0;
        for name in [authority.as_str(), host.strip_suffix('.').unwrap_or(host)] {
            match self.index.claims(name, 2)?.as_slice() {
                [] => {}
                [claim] if claim.verified_at_ms.is_none() => return Ok(Some(claim.proof())),
                _ => return Ok(None),
            }
        }
        Ok(None)
    }
}

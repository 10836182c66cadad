//! Reads domains from the index.

use std::sync::Arc;

use crate::domain::command::DomainRef;
use crate::domain::domains::Domain;
use crate::domain::error::Result;
use crate::domain::hostname::split_port;
use crate::domain::ids::{DomainId, WorkspaceId};
pub use crate::projections::index::{HostSettings, Hosts};
use crate::projections::index::{Index, ReadDomains};

/// Which part of a list to return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DomainsPart {
    /// 1-indexed.
    Page(usize),
    /// The domains added before this one.
    Before(DomainId),
}

/// A page of a workspace's domains, newest first.
#[derive(Debug)]
pub struct DomainList {
    /// The domains, each with its number of links.
    pub domains: Vec<(Domain, u64)>,
    /// The total number of domains in the workspace.
    pub total: u64,
    /// The cursor of the next page; `None` on the last.
    pub next: Option<DomainId>,
}

/// Reads domains. Cheap to clone.
#[derive(Clone)]
pub struct Domains {
    index: Arc<Index>,
}

impl Domains {
    /// Creates a reader over this index.
    pub const fn new(index: Arc<Index>) -> Self {
        Self { index }
    }

    /// The verified domain that serves this authority; `None` for the default domain.
    pub fn host(&self, authority: &str) -> Option<HostSettings> {
        self.index.hosts().find(authority).cloned()
    }

    /// The verified domains of all workspaces, by name, and their owners.
    pub fn all_verified(&self) -> Vec<(String, WorkspaceId)> {
        let hosts = self.index.hosts();
        let mut verified: Vec<_> =
            hosts.owners().map(|(name, owner)| (name.to_owned(), owner)).collect();
        verified.sort();
        verified
    }

    /// A domain of a workspace and its number of links.
    pub fn get(&self, workspace: WorkspaceId, named: &DomainRef) -> Result<Option<(Domain, u64)>> {
        let domain = self.index.domain_in(workspace, named)?;
        domain.map(|domain| self.counted(domain)).transpose()
    }

    /// The number of links on a domain.
    pub fn links_on(&self, domain: &Domain) -> Result<u64> {
        Ok(self.index.links_on(domain)?)
    }

    fn counted(&self, domain: Domain) -> Result<(Domain, u64)> {
        let links = self.links_on(&domain)?;
        Ok((domain, links))
    }

    /// A page of a workspace's domains, newest first.
    pub fn list(
        &self,
        workspace: WorkspaceId,
        part: DomainsPart,
        limit: usize,
    ) -> Result<DomainList> {
        let (before, skip) = match part {
            DomainsPart::Page(page) => (None, page.saturating_sub(1).saturating_mul(limit)),
            DomainsPart::Before(id) => (Some(id), 0),
        };
        // Fetch one more than requested, to learn whether there is a next page.
        let mut domains = self.index.domains(workspace, before, skip, limit + 1)?;
        let has_more = domains.len() > limit;
        domains.truncate(limit);
        let next = domains.last().filter(|_| has_more).map(|domain| domain.id);
        let domains = domains.into_iter().map(|domain| self.counted(domain));
        let domains = domains.collect::<Result<_, _>>()?;
        Ok(DomainList { domains, total: self.index.domain_count(workspace)?, next })
    }

    /// The full domain that serves this authority.
    pub fn verified(&self, authority: &str) -> Result<Option<Domain>> {
        let Some(host) = self.host(authority) else { return Ok(None) };
        Ok(self.index.domain(host.workspace, host.id)?)
    }

    /// The verification token that the service itself serves at a claimed, unverified host, if
    /// there is only one claim. If workspaces compete, the owner has to publish a record or a file
    /// to decide between them.
    pub fn shown_proof(&self, authority: &str) -> Result<Option<String>> {
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

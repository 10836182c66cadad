//! Domains in the index: folding and reading.

use prost::Message;

use super::encoding::{number, split_workspace, with_workspace};
use super::group::Group;
use super::read::Read;
use super::state::{State, add_to};
use super::{IndexError, keys, qr_codes};
use crate::domain::command::{DomainRef, LinkRef};
use crate::domain::domains::Domain;
use crate::domain::domains::state::DomainState;
use crate::domain::error::Unreadable;
use crate::domain::event::Event;
use crate::domain::hostname::{Hostname, split_port};
use crate::domain::ids::{DomainId, LinkId, WorkspaceId};
use crate::domain::link::Link;

/// Reads domains, and links by the slugs on them.
pub trait ReadDomains: Read {
    /// The link at a slug of a domain (empty: the default domain). Normalizes the slug as the
    /// domain requires.
    fn slug(&self, domain: &str, slug: &str) -> Result<Option<LinkId>, IndexError> {
        self.slug_at(domain, &self.slug_form(domain, slug)?)
    }

    /// A link by its ID, slug or external ID, if it belongs to this workspace.
    fn link_in(&self, workspace: WorkspaceId, named: &LinkRef) -> Result<Option<Link>, IndexError> {
        let id = match named {
            LinkRef::Id(id) => Some(*id),
            LinkRef::Slug(domain, slug) => self.slug(domain, slug.as_str())?,
            LinkRef::ExternalId(external_id) => self.external(workspace, external_id)?,
        };
        let link = id.map(|id| self.link(id)).transpose()?.flatten();
        Ok(link.filter(|link| link.workspace == workspace))
    }

    /// A domain by its ID, if it belongs to this workspace.
    fn domain(&self, workspace: WorkspaceId, id: DomainId) -> Result<Option<Domain>, IndexError> {
        let Some(value) = self.get(&keys::domain(workspace, id))? else { return Ok(None) };
        let state = DomainState::decode(value.as_slice()).map_err(IndexError::from);
        let state = state.map_err(|error| self.report_damage(error))?;
        let is_default = self.default_domain(workspace)? == Some(id);
        Ok(Some(Domain { is_default, ..state.into_domain(workspace)? }))
    }

    /// A domain by its ID or hostname, if it belongs to this workspace.
    fn domain_in(
        &self,
        workspace: WorkspaceId,
        named: &DomainRef,
    ) -> Result<Option<Domain>, IndexError> {
        let id = match named {
            DomainRef::Id(id) => Some(*id),
            DomainRef::Hostname(name) => self.claim(workspace, name)?,
        };
        Ok(id.map(|id| self.domain(workspace, id)).transpose()?.flatten())
    }

    /// The domain of a workspace's claim to a host.
    fn claim(
        &self,
        workspace: WorkspaceId,
        hostname: &Hostname,
    ) -> Result<Option<DomainId>, IndexError> {
        self.domain_id(&keys::claim(hostname.as_str(), workspace))
    }

    /// The domain for a workspace's links that specify none.
    fn default_domain(&self, workspace: WorkspaceId) -> Result<Option<DomainId>, IndexError> {
        self.domain_id(&keys::default_domain(workspace))
    }

    /// The domain ID at a key.
    fn domain_id(&self, key: &[u8]) -> Result<Option<DomainId>, IndexError> {
        let id = self.get(key)?.map(|bytes| DomainId::from_bytes(&bytes));
        id.transpose().map_err(|_| self.report_damage(IndexError::Broken("a domain's id")))
    }

    /// The verified domain of a host, without its documents.
    fn verified(&self, hostname: &str) -> Result<Option<Domain>, IndexError> {
        let value = self.get(&keys::verified(hostname))?;
        let domain = value.map(|value| decode_verified(&value)).transpose();
        domain.map_err(|error| self.report_damage(error))
    }

    /// Whether an authority (`go.example:8443`, in lower case) is that of a verified domain.
    fn is_hosted(&self, authority: &str) -> Result<bool, IndexError> {
        for name in [authority, split_port(authority).0] {
            if self.get(&keys::verified(name))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The number of links on a domain. They belong to the workspace that verified the host; other
    /// claims have none.
    fn links_on(&self, domain: &Domain) -> Result<u64, IndexError> {
        let group = Group::Domain(domain.hostname.to_string());
        self.group_count(domain.workspace, &group)
    }

    /// The number of domains of a workspace.
    fn domain_count(&self, workspace: WorkspaceId) -> Result<u64, IndexError> {
        Ok(self.get(&keys::domain_count(workspace))?.as_deref().map_or(0, number))
    }

    /// Normalizes a slug for a domain (empty: the default domain): lower case if the domain is
    /// case-insensitive.
    fn slug_form(&self, domain: &str, slug: &str) -> Result<String, IndexError> {
        let folds = |domain: Domain| domain.fields.case_insensitive;
        let is_folded = !domain.is_empty() && self.verified(domain)?.is_some_and(folds);
        Ok(if is_folded { slug.to_ascii_lowercase() } else { slug.to_owned() })
    }
}

impl<R: Read + ?Sized> ReadDomains for R {}

/// Decodes the value of a verified host.
pub fn decode_verified(value: &[u8]) -> Result<Domain, IndexError> {
    let (workspace, state) = split_workspace(value)?;
    Ok(DomainState::decode(state)?.into_domain(workspace)?)
}

/// Folds an event of a domain.
pub fn fold<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    event: &Event,
) -> Result<(), IndexError> {
    match event {
        Event::DomainAdded(domain)
        | Event::DomainChanged(domain)
        | Event::DomainVerified(domain) => insert(state, workspace, domain),
        Event::DomainRemoved(removed) => remove(state, workspace, &removed.domain),
        _ => Err(IndexError::Broken("an event that is not of a domain")),
    }
}

/// Inserts or updates a domain of the workspace.
fn insert<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    domain: &DomainState,
) -> Result<(), IndexError> {
    let id = domain_id(&domain.id)?;
    let key = keys::domain(workspace, id);
    if state.get(&key)?.is_none() {
        state.put(keys::claim(&domain.hostname, workspace), id.as_bytes().to_vec());
        add_to(state, keys::domain_count(workspace), 1)?;
    }
    state.put(key, domain.encode_to_vec());
    if domain.is_default {
        state.put(keys::default_domain(workspace), id.as_bytes().to_vec());
    } else if state.default_domain(workspace)? == Some(id) {
        state.remove(keys::default_domain(workspace));
    }
    if domain.verified_at_ms.is_some() {
        let bare =
            DomainState { apple_app_site_association: None, assetlinks: None, ..domain.clone() };
        state.put(keys::verified(&domain.hostname), with_workspace(workspace, &bare));
    }
    state.touch_domains();
    Ok(())
}

/// Removes a domain of the workspace. It has no links.
fn remove<S: State>(state: &mut S, workspace: WorkspaceId, id: &[u8]) -> Result<(), IndexError> {
    let id = domain_id(id)?;
    let Some(domain) = state.domain(workspace, id)? else { return Ok(()) };
    let hostname = domain.hostname.as_str();
    state.remove(keys::domain(workspace, id));
    qr_codes::set_defaults(state, workspace, Some(id), None)?;
    state.remove(keys::claim(hostname, workspace));
    add_to(state, keys::domain_count(workspace), -1)?;
    if domain.is_default {
        state.remove(keys::default_domain(workspace));
    }
    if domain.verified_at_ms.is_some() {
        state.remove(keys::verified(hostname));
    }
    state.touch_domains();
    Ok(())
}

fn domain_id(bytes: &[u8]) -> Result<DomainId, Unreadable> {
    DomainId::from_bytes(bytes).map_err(|_| Unreadable("domain id"))
}

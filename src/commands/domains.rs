//! Decides domain commands, and resolves the domain of a link.

use std::cell::Cell;

use rand::Rng;
use uuid::Uuid;

use super::decide::{CommandHandler, Decision};
use crate::domain::command::{DomainRef, Outcome};
use crate::domain::domains::state::{DomainRemoved, DomainState};
use crate::domain::domains::{AcceptedDomain, Domain, DomainInput, MAX_DOMAINS};
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::event::Event;
use crate::domain::ids::DomainId;
use crate::domain::link::{Field, WriteMode};
use crate::projections::index::{ReadDomains, ReadRanges};

impl<R: ReadRanges> CommandHandler<'_, R> {
    /// The hostname of a link's domain as logged (empty: the service's own), or why it is invalid. A
    /// link without a domain goes to the workspace's default one; a changed link keeps its domain.
    pub(super) fn domain_of(
        &self,
        requested: &Field<String>,
        mode: WriteMode<'_>,
    ) -> Result<Result<String, String>> {
        match (requested, mode) {
            (Field::Value(name), _) => self.domain_named(name),
            (Field::Absent, WriteMode::Update(link)) => Ok(Ok(link.fields.domain.clone())),
            (Field::Absent | Field::Null, _) => Ok(Ok(self.default_hostname()?)),
        }
    }

    /// Runs a check with a lookup of whether a host is a domain of this service. New destinations
    /// must not be: they could loop, or hide where they lead.
    pub(super) fn with_host_lookup<T>(
        &self,
        check: impl FnOnce(&dyn Fn(&str) -> bool) -> T,
    ) -> Result<T> {
        let failed = Cell::new(None);
        let checked = check(&|host| {
            self.state.is_hosted(host).unwrap_or_else(|error| {
                failed.set(Some(error));
                true
            })
        });
        failed.into_inner().map_or(Ok(checked), |error| Err(error.into()))
    }

    /// Resolves a domain name as [`Self::domain_of`] does.
    pub(super) fn domain_named(&self, name: &str) -> Result<Result<String, String>> {
        let own = self.policies.links.own_hosts.first();
        if own.is_some_and(|host| host.eq_ignore_ascii_case(name)) {
            return Ok(Ok(String::new()));
        }
        let named = DomainRef::parse(name);
        let domain =
            named.map(|named| self.state.domain_in(self.actor.workspace, &named)).transpose()?;
        Ok(match domain.flatten() {
            Some(domain) if domain.verified_at_ms.is_some() => Ok(domain.hostname.to_string()),
            Some(domain) => {
                Err(format!("`{name}` is not verified yet: see /api/v1/domains/{}", domain.id))
            }
            None => {
                Err(format!("`{name}` is not a domain of this workspace: add and verify it first"))
            }
        })
    }

    fn default_hostname(&self) -> Result<String> {
        let workspace = self.actor.workspace;
        let Some(id) = self.state.default_domain(workspace)? else { return Ok(String::new()) };
        let domain = self.state.domain(workspace, id)?;
        Ok(domain.map(|domain| domain.hostname.to_string()).unwrap_or_default())
    }

    pub(super) fn add_domain(&self, input: DomainInput) -> Result<Decision> {
        let accepted = self
            .with_host_lookup(|is_hosted| input.accept(None, &self.policies.links, is_hosted))??;
        let AcceptedDomain { hostname, is_default, fields } = accepted;
        let workspace = self.actor.workspace;
        if self.state.claim(workspace, &hostname)?.is_some() {
            return Err(conflict(format!("`{hostname}` is already a domain of this workspace.")));
        }
        if self.state.domain_count(workspace)? >= MAX_DOMAINS {
            return Err(conflict(format!("A workspace has at most {MAX_DOMAINS} domains.")));
        }
        let mut random = [0; 16];
        rand::rng().fill_bytes(&mut random);
        let domain = Domain {
            id: DomainId::new(Uuid::now_v7()),
            workspace,
            hostname,
            challenge: format!("{:032x}", u128::from_be_bytes(random)),
            verified_at_ms: None,
            is_default,
            fields,
            created_at_ms: self.now_ms,
            updated_at_ms: self.now_ms,
        };
        Ok((Some(Event::DomainAdded(DomainState::from(&domain))), Outcome::Domain(domain.into())))
    }

    pub(super) fn change_domain(&self, named: &DomainRef, input: DomainInput) -> Result<Decision> {
        let before = self.current_domain(named)?;
        let accepted = self.with_host_lookup(|is_hosted| {
            input.accept(Some(&before), &self.policies.links, is_hosted)
        })??;
        let AcceptedDomain { is_default, fields, .. } = accepted;
        if before.is_default == is_default && before.fields == fields {
            return Ok((None, Outcome::Domain(before.into())));
        }
        let hostname = &before.hostname;
        // The index has the slugs of its links in their normalized form.
        if before.fields.case_insensitive != fields.case_insensitive && self.has_links(&before)? {
            let text = format!("`case_insensitive` cannot be changed while {hostname} has links.");
            return Err(conflict(text));
        }
        let updated_at_ms = self.now_ms.max(before.updated_at_ms);
        let domain = Domain { is_default, fields, updated_at_ms, ..before };
        Ok((Some(Event::DomainChanged(DomainState::from(&domain))), Outcome::Domain(domain.into())))
    }

    /// Of the workspaces that claim a host, the first to verify it gets it.
    pub(super) fn verify_domain(&self, id: DomainId, challenge: &str) -> Result<Decision> {
        let before = self.current_domain(&DomainRef::Id(id))?;
        if before.verified_at_ms.is_some() {
            return Ok((None, Outcome::Domain(before.into())));
        }
        if self.state.verified(before.hostname.as_str())?.is_some() {
            let text = format!("`{}` is a verified domain of another workspace.", before.hostname);
            return Err(conflict(text));
        }
        // The domain was removed and added again during the check, which then proves nothing.
        if before.challenge != challenge {
            return Err(ServiceError::not_found("domain"));
        }
        let updated_at_ms = self.now_ms.max(before.updated_at_ms);
        let domain = Domain { verified_at_ms: Some(self.now_ms), updated_at_ms, ..before };
        let verified = DomainState::from(&domain);
        Ok((Some(Event::DomainVerified(verified)), Outcome::Domain(domain.into())))
    }

    pub(super) fn remove_domain(&self, named: &DomainRef) -> Result<Decision> {
        let domain = self.current_domain(named)?;
        if self.has_links(&domain)? {
            let text = format!("`{}` has links: delete or move them first.", domain.hostname);
            return Err(conflict(text));
        }
        let removed = DomainRemoved { domain: domain.id.as_bytes().to_vec() };
        Ok((Some(Event::DomainRemoved(removed)), Outcome::Gone))
    }

    fn has_links(&self, domain: &Domain) -> Result<bool> {
        Ok(self.state.links_on(domain)? > 0)
    }

    fn current_domain(&self, named: &DomainRef) -> Result<Domain> {
        let domain = self.state.domain_in(self.actor.workspace, named)?;
        domain.ok_or_else(|| ServiceError::not_found("domain"))
    }
}

fn conflict(text: String) -> ServiceError {
    ServiceError::new(ErrorCode::Conflict, text)
}

//! Links and tokens as the index has them.

use std::sync::Arc;

use crate::domain::command::LinkRef;
use crate::domain::ids::{LinkId, ReportId, WorkspaceId};
use crate::domain::link::Link;
use crate::domain::report::Report;
use crate::domain::token::{Actor, Token};
pub use crate::projections::index::{App, Redirect, Special, Way};
use crate::projections::index::{Index, IndexError, Read};

/// The index could not be read; the text is for the operator.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct LinksError(#[from] IndexError);

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// 1-indexed.
    Page(usize),
    /// The links made before this one.
    Before(LinkId),
}

/// A part of a workspace's links, newest first.
#[derive(Debug)]
pub struct LinkList {
    /// The links.
    pub links: Vec<Link>,
    /// How many the workspace has in all.
    pub total: u64,
    /// Where the list goes on; `None` at its end.
    pub next: Option<LinkId>,
}

/// Reads of links.
#[derive(Clone)]
pub struct Links {
    index: Arc<Index>,
}

impl Links {
    /// Over this index.
    pub const fn new(index: Arc<Index>) -> Self {
        Self { index }
    }

    /// What a redirect needs of the link at a slug of a domain (empty: the default one).
    pub fn redirect(&self, domain: &str, slug: &str) -> Result<Option<Arc<Redirect>>, LinksError> {
        Ok(self.index.redirect(domain, slug)?)
    }

    /// A link of a workspace, as a path names it.
    pub fn get(&self, workspace: WorkspaceId, named: &LinkRef) -> Result<Option<Link>, LinksError> {
        Ok(self.index.link_in(workspace, named)?)
    }

    /// The link at a slug of a domain (empty: the default one), whosever it is: for visitors.
    pub fn at(&self, domain: &str, slug: &str) -> Result<Option<Link>, LinksError> {
        let id = self.index.slug(domain, slug)?;
        Ok(id.map(|id| self.index.link(id)).transpose()?.flatten())
    }

    /// A workspace's reports that are not dealt with, newest first, and where the list goes on.
    pub fn reports(
        &self,
        workspace: WorkspaceId,
        before: Option<ReportId>,
        limit: usize,
    ) -> Result<(Vec<Report>, Option<ReportId>), LinksError> {
        // One more than asked tells whether the list goes on.
        let mut reports = self.index.reports(workspace, before, limit + 1)?;
        let goes_on = reports.len() > limit;
        reports.truncate(limit);
        let next = reports.last().filter(|_| goes_on).map(|report| report.id);
        Ok((reports, next))
    }

    /// A part of a workspace's links, newest first.
    pub fn list(
        &self,
        workspace: WorkspaceId,
        part: Part,
        limit: usize,
    ) -> Result<LinkList, LinksError> {
        let (before, skip) = match part {
            Part::Page(page) => (None, page.saturating_sub(1).saturating_mul(limit)),
            Part::Before(id) => (Some(id), 0),
        };
        // One more than asked tells whether the list goes on.
        let mut links = self.index.links(workspace, before, skip, limit + 1)?;
        let goes_on = links.len() > limit;
        links.truncate(limit);
        let next = links.last().filter(|_| goes_on).map(|link| link.id);
        Ok(LinkList { links, total: self.index.link_count(workspace)?, next })
    }

    /// A workspace's tokens, oldest first.
    pub fn tokens(&self, workspace: WorkspaceId) -> Result<Vec<Token>, LinksError> {
        Ok(self.index.tokens(workspace)?)
    }

    /// Whose secret this is.
    pub fn actor(&self, secret_sha256: &[u8; 32]) -> Result<Option<Actor>, LinksError> {
        let token = self.index.token_by_secret(secret_sha256)?;
        Ok(token.map(|token| Actor {
            workspace: token.workspace,
            token: token.id,
            abilities: token.abilities,
        }))
    }

    /// The offset of the mutation log that these answers reflect.
    pub fn applied(&self) -> u64 {
        self.index.applied()
    }
}

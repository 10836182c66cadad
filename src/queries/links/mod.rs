//! Reads links and tokens from the index, and searches links.

mod filter;
mod names;
mod ranking;
mod search;

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use filter::{Archived, LinkFilter, Word};
pub use names::{Names, NamesOf, UtmPresetCount};
pub use ranking::{Clicks, Cursor, MAX_RANKED, Sort};
pub use search::LinkQuery;

use super::workspace_limiter::WorkspaceLimiter;
use crate::domain::command::LinkRef;
use crate::domain::domains::MAX_DOMAINS;
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::ids::{LinkId, ReportId, TokenId, WorkspaceId};
use crate::domain::link::Link;
use crate::domain::report::Report;
use crate::domain::slug::Slug;
use crate::domain::token::Token;
use crate::limits::{SEARCH_CONCURRENCY, SEARCH_CONCURRENCY_PER_WORKSPACE, SEARCH_QUEUE_TIMEOUT};
pub use crate::projections::index::{App, LinkFeatures, Redirect, RedirectTarget};
use crate::projections::index::{
    Hosts, Index, Read, ReadDomains, ReadRanges, ReadWorkspaces, Scan,
};
use search::Search;

/// Which part of a list to return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// 1-indexed.
    Page(usize),
    /// The links after this many.
    Skip(usize),
    /// The links after this one.
    After(Cursor),
}

/// A page of a workspace's links.
#[derive(Debug)]
pub struct LinkList {
    /// The links.
    pub links: Vec<Link>,
    /// The total number of links; `None` if not counted.
    pub total: Option<u64>,
    /// The cursor of the next page; `None` on the last.
    pub next: Option<Cursor>,
}

/// Reads of links.
#[derive(Clone)]
pub struct Links {
    index: Arc<Index>,
    limiter: WorkspaceLimiter,
    permits: Arc<Semaphore>,
}

/// Cancels the work of a request when dropped.
#[derive(Default)]
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Links {
    /// Creates a reader over this index.
    pub fn new(index: Arc<Index>) -> Self {
        let permits = Arc::new(Semaphore::new(SEARCH_CONCURRENCY));
        Self { index, limiter: WorkspaceLimiter::new(SEARCH_CONCURRENCY_PER_WORKSPACE), permits }
    }

    /// The hosts of verified domains.
    pub fn hosts(&self) -> impl Deref<Target = Arc<Hosts>> {
        self.index.hosts()
    }

    /// The redirect data of the link at a slug of a domain (empty: the default domain), in the
    /// domain's normalized spelling.
    pub fn redirect(&self, domain: &str, slug: &str) -> Result<Option<Arc<Redirect>>> {
        Ok(self.index.redirect(domain, slug)?)
    }

    /// A link of a workspace.
    pub fn get(&self, workspace: WorkspaceId, named: &LinkRef) -> Result<Option<Link>> {
        Ok(self.index.link_in(workspace, named)?)
    }

    /// Whether a request with this idempotency key is answered with the result of an earlier one, if
    /// it is run within a minute.
    pub fn is_known_key(&self, workspace: WorkspaceId, key: &str) -> Result<bool> {
        let first = self.index.idempotent(workspace, key)?;
        let until_ms = (Timestamp::now().as_millisecond() + 60_000).unsigned_abs();
        Ok(first.is_some_and(|first| first.idempotency_expires_at_ms() > until_ms))
    }

    /// The link at a slug of a domain (empty: the default domain), in any workspace: for visitors.
    /// The slug is normalized as the domain requires.
    pub fn at(&self, domain: &str, slug: &str) -> Result<Option<Link>> {
        let id = self.index.slug(domain, slug)?;
        Ok(id.map(|id| self.index.link(id)).transpose()?.flatten())
    }

    /// A link of a workspace by its slug: on the domain on which its links are created by default,
    /// else on the service's own, else on another one of the workspace.
    pub fn by_slug(&self, workspace: WorkspaceId, slug: &Slug) -> Result<Option<Link>> {
        let default = self.index.default_domain(workspace)?;
        let default = default.map(|id| self.index.domain(workspace, id)).transpose()?.flatten();
        if let Some(domain) = default
            && let Some(link) = self.at(domain.hostname.as_str(), slug.as_str())?
            && link.workspace == workspace
        {
            return Ok(Some(link));
        }
        if let Some(link) = self.get(workspace, &LinkRef::Slug(String::new(), slug.clone()))? {
            return Ok(Some(link));
        }
        let all = usize::try_from(MAX_DOMAINS).unwrap_or(usize::MAX);
        for domain in self.index.domains(workspace, None, 0, all)? {
            let found = self.at(domain.hostname.as_str(), slug.as_str())?;
            if let Some(link) = found.filter(|link| link.workspace == workspace) {
                return Ok(Some(link));
            }
        }
        Ok(None)
    }

    /// The numeric id of a link: the offset of its creation in the mutation log.
    pub fn number(&self, link: LinkId) -> Result<u64> {
        let first = self.index.version(link.as_bytes(), 1)?;
        let first = first.ok_or_else(|| ServiceError::internal("a link without a version"))?;
        Ok(first.offset)
    }

    /// A workspace's open reports, newest first, and the cursor of the next page.
    pub fn reports(
        &self,
        workspace: WorkspaceId,
        before: Option<ReportId>,
        limit: usize,
    ) -> Result<(Vec<Report>, Option<ReportId>)> {
        // Fetch one more than requested, to learn whether there is a next page.
        let mut reports = self.index.reports(workspace, before, limit + 1)?;
        let has_more = reports.len() > limit;
        reports.truncate(limit);
        let next = reports.last().filter(|_| has_more).map(|report| report.id);
        Ok((reports, next))
    }

    /// A page of a workspace's links that match a filter.
    ///
    /// # Errors
    /// `Overloaded` if too many searches are running.
    pub async fn search(&self, query: LinkQuery) -> Result<LinkList> {
        let (workspace, is_light) = (query.workspace, query.is_light());
        let work = move |scan: &Scan, is_canceled: &AtomicBool| {
            let now_ms = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
            let search = Search { scan, query: &query, now_ms, is_canceled };
            let found = search.run()?;
            let mut links = Vec::with_capacity(found.ids.len());
            for id in &found.ids {
                // A link deleted in the meantime is skipped.
                links.extend(scan.link(*id)?);
            }
            Ok(LinkList { links, total: found.total, next: found.next })
        };
        if is_light {
            return self.work(None, work).await;
        }
        self.with_permit(workspace, work).await
    }

    /// Runs `work` with a permit of the workspace.
    async fn with_permit<T: Send + 'static>(
        &self,
        workspace: WorkspaceId,
        work: impl FnOnce(&Scan, &AtomicBool) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let permits = async {
            let permit = self.limiter.acquire(workspace).await;
            Some((permit?, Arc::clone(&self.permits).acquire_owned().await.ok()?))
        };
        if let Ok(Some(permit)) = tokio::time::timeout(SEARCH_QUEUE_TIMEOUT, permits).await {
            return self.work(Some(permit), work).await;
        }
        let message = "Too many searches are running; please try again.";
        Err(ServiceError::unavailable(ErrorCode::Overloaded, message))
    }

    /// Runs `work` on a blocking thread. The permits are held until it is done.
    async fn work<T: Send + 'static>(
        &self,
        permit: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
        work: impl FnOnce(&Scan, &AtomicBool) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let cancel = CancelOnDrop::default();
        let (is_canceled, index) = (Arc::clone(&cancel.0), Arc::clone(&self.index));
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&index.scan(), &is_canceled);
            drop(permit);
            done
        });
        done.await.unwrap_or_else(|error| Err(ServiceError::internal(error)))
    }

    /// A workspace's tokens, oldest first.
    pub fn tokens(&self, workspace: WorkspaceId) -> Result<Vec<Token>> {
        Ok(self.index.tokens(workspace)?)
    }

    /// The token with this secret, which may have expired.
    pub fn token_by_secret(&self, secret_sha256: &[u8; 32]) -> Result<Option<Token>> {
        Ok(self.index.token_by_secret(secret_sha256)?)
    }

    /// The shared workspaces and their names, oldest first, without deleted ones.
    pub fn workspaces(&self) -> Result<Vec<(WorkspaceId, String)>> {
        let all = self.index.workspaces()?.into_iter();
        let shared = all.filter(|(id, one)| one.purged_at_ms.is_none() && !one.is_personal(*id));
        Ok(shared.map(|(id, workspace)| (id, workspace.name)).collect())
    }

    /// The workspace that a token belongs to.
    pub fn workspace_of(&self, token: TokenId) -> Result<Option<WorkspaceId>> {
        for (workspace, _) in self.index.workspaces()? {
            if self.index.token(workspace, token)?.is_some() {
                return Ok(Some(workspace));
            }
        }
        Ok(None)
    }

    /// A token of a workspace.
    pub fn token(&self, workspace: WorkspaceId, id: TokenId) -> Result<Option<Token>> {
        Ok(self.index.token(workspace, id)?)
    }

    /// The offset of the mutation log up to which the index is applied.
    pub fn applied(&self) -> u64 {
        self.index.applied()
    }
}

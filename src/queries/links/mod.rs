//! Links and tokens as the index has them, and what links are found by.

mod filter;
mod names;
mod ranking;
mod search;

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use filter::{Archived, LinkFilter, Word};
pub use names::{Names, NamesOf, PresetCount};
pub use ranking::{Clicks, Cursor, MAX_RANKED, Sort};
pub use search::LinkQuery;

use super::workspace_limiter::WorkspaceLimiter;
use crate::domain::command::LinkRef;
use crate::domain::ids::{ReportId, TokenId, WorkspaceId};
use crate::domain::link::Link;
use crate::domain::report::Report;
use crate::domain::token::Token;
pub use crate::projections::index::{App, LinkFeatures, Redirect, Way};
use crate::projections::index::{Hosts, Index, IndexError, Read, ReadTokens, Scan};
use search::Search;

/// How many searches go through links at once; the others wait.
const AT_ONCE: usize = 4;
/// How many of these are of one workspace: others have their turn.
const AT_ONCE_OF_WORKSPACE: usize = 2;
/// How long one waits for its turn.
const TURN_WAIT: Duration = Duration::from_secs(10);

/// Why links could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LinksError {
    /// The index could not be read; the text is for the operator.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// Too many searches are under way.
    #[error("too many searches are under way")]
    Busy,
    /// Who asked is gone.
    #[error("nobody waits for the answer")]
    GivenUp,
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// 1-indexed.
    Page(usize),
    /// What comes after the last link that was seen.
    After(Cursor),
}

/// A part of a workspace's links.
#[derive(Debug)]
pub struct LinkList {
    /// The links.
    pub links: Vec<Link>,
    /// How many there are in all; `None` where nobody has counted.
    pub total: Option<u64>,
    /// Where the list goes on; `None` at its end.
    pub next: Option<Cursor>,
}

/// Reads of links.
#[derive(Clone)]
pub struct Links {
    index: Arc<Index>,
    turns: WorkspaceLimiter,
    places: Arc<Semaphore>,
}

/// Tells whoever works for a request that it was given up.
#[derive(Default)]
struct GivenUp(Arc<AtomicBool>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Links {
    /// Over this index.
    pub fn new(index: Arc<Index>) -> Self {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        Self { index, turns: WorkspaceLimiter::of(AT_ONCE_OF_WORKSPACE), places }
    }

    /// The hosts of verified domains.
    pub fn hosts(&self) -> impl Deref<Target = Arc<Hosts>> {
        self.index.hosts()
    }

    /// What a redirect needs of the link at a slug of a domain (empty: the default one), in the
    /// form in which the domain compares slugs.
    pub fn redirect(&self, domain: &str, slug: &str) -> Result<Option<Arc<Redirect>>, LinksError> {
        Ok(self.index.redirect(domain, slug)?)
    }

    /// A link of a workspace, as a path names it.
    pub fn get(&self, workspace: WorkspaceId, named: &LinkRef) -> Result<Option<Link>, LinksError> {
        Ok(self.index.link_in(workspace, named)?)
    }

    /// The link at a slug of a domain (empty: the default one), however it is spelled where the
    /// domain makes no difference, whosever it is: for visitors.
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

    /// A part of those links of a workspace that a filter holds of.
    ///
    /// # Errors
    /// [`LinksError::Busy`] when too many look through links already.
    pub async fn search(&self, query: LinkQuery) -> Result<LinkList, LinksError> {
        let (workspace, is_light) = (query.workspace, query.is_light());
        let work = move |scan: &Scan, is_given_up: &AtomicBool| {
            let now_ms = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
            let search = Search { scan, query: &query, now_ms, is_given_up };
            let found = search.run()?;
            let mut links = Vec::with_capacity(found.ids.len());
            for id in &found.ids {
                // Deleted between the two looks: no longer there.
                links.extend(scan.link(*id)?);
            }
            Ok(LinkList { links, total: found.total, next: found.next })
        };
        if is_light {
            return self.work(None, work).await;
        }
        self.in_turn(workspace, work).await
    }

    /// Works in the workspace's turn.
    async fn in_turn<T: Send + 'static>(
        &self,
        workspace: WorkspaceId,
        work: impl FnOnce(&Scan, &AtomicBool) -> Result<T, LinksError> + Send + 'static,
    ) -> Result<T, LinksError> {
        let both = async {
            let turn = self.turns.take(workspace).await;
            Some((turn?, Arc::clone(&self.places).acquire_owned().await.ok()?))
        };
        match tokio::time::timeout(TURN_WAIT, both).await {
            Ok(Some(turn)) => self.work(Some(turn), work).await,
            Ok(None) | Err(_) => Err(LinksError::Busy),
        }
    }

    /// Works on a thread on which no request waits. A turn lasts as long as the work does.
    async fn work<T: Send + 'static>(
        &self,
        turn: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
        work: impl FnOnce(&Scan, &AtomicBool) -> Result<T, LinksError> + Send + 'static,
    ) -> Result<T, LinksError> {
        let given_up = GivenUp::default();
        let (is_given_up, index) = (Arc::clone(&given_up.0), Arc::clone(&self.index));
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&index.scan(), &is_given_up);
            drop(turn);
            done
        });
        done.await.unwrap_or(Err(LinksError::Index(IndexError::Broken("a search panicked"))))
    }

    /// A workspace's tokens, oldest first.
    pub fn tokens(&self, workspace: WorkspaceId) -> Result<Vec<Token>, LinksError> {
        Ok(self.index.tokens(workspace)?)
    }

    /// The token with this secret, which may have expired.
    pub fn token_by_secret(&self, secret_sha256: &[u8; 32]) -> Result<Option<Token>, LinksError> {
        Ok(self.index.token_by_secret(secret_sha256)?)
    }

    /// The workspaces and their names, oldest first.
    pub fn workspaces(&self) -> Result<Vec<(WorkspaceId, String)>, LinksError> {
        Ok(self.index.workspaces()?)
    }

    /// The workspace of a token.
    pub fn workspace_of(&self, token: TokenId) -> Result<Option<WorkspaceId>, LinksError> {
        for (workspace, _) in self.index.workspaces()? {
            if self.index.token(workspace, token)?.is_some() {
                return Ok(Some(workspace));
            }
        }
        Ok(None)
    }

    /// The offset of the mutation log that these answers reflect.
    pub fn applied(&self) -> u64 {
        self.index.applied()
    }
}

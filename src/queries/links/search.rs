//! Link search: takes candidate IDs in order of creation, reads and filters the links, and returns
//! one page.
//!
//! The candidates come from the smallest group that the filter names, else from the whole
//! workspace. If the index keys alone decide, no link is read. The time is proportional to the
//! number of candidates, so searches run on blocking threads, with a limit per workspace.

use std::iter::Peekable;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Part;
use super::filter::{Archived, LinkFilter};
use super::ranking::{Clicks, Cursor, Rank, Sort, TopN, key_of};
use crate::domain::error::{Result, ServiceError};
use crate::domain::ids::{LinkId, WorkspaceId};
use crate::domain::link::LinkSummaryRef;
use crate::projections::index::{Encoded, Group, Ids, IndexError, Read, Scan, Span};

/// The number of links to read at a time: few at first, since they may fill a page.
const FIRST_CHUNK: usize = 64;
const CHUNK: usize = 512;
/// If links lie far apart, this many chunks are read with point lookups.
const SPARSE_FOR: usize = 16;

/// A search query.
#[derive(Debug, Clone)]
pub struct LinkQuery {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The filter.
    pub filter: LinkFilter,
    /// The sort key.
    pub sort: Sort,
    /// Whether the largest come first.
    pub is_descending: bool,
    /// The page.
    pub part: Part,
    /// The maximum number of links.
    pub limit: usize,
    /// Whether to count all matches, however long that takes.
    pub counts_all: bool,
    /// The click counts, for sorting by clicks.
    pub clicks: Option<Clicks>,
}

impl LinkQuery {
    /// All links of a workspace except archived ones, newest first.
    pub fn of(workspace: WorkspaceId) -> Self {
        Self {
            workspace,
            filter: LinkFilter::default(),
            sort: Sort::Created,
            is_descending: true,
            part: Part::Page(1),
            limit: 20,
            counts_all: true,
            clicks: None,
        }
    }

    /// Whether index keys alone answer the query, in negligible time.
    pub(super) fn is_light(&self) -> bool {
        self.filter.is_plain() && self.sort == Sort::Created
    }

    /// How many links to skip, and how many to take: one more than requested, to learn whether
    /// there is a next page.
    fn extent(&self) -> (usize, usize) {
        let skip = match &self.part {
            Part::Page(page) => page.saturating_sub(1).saturating_mul(self.limit),
            Part::Skip(skipped) => *skipped,
            Part::After(_) => 0,
        };
        (skip, self.limit.saturating_add(1))
    }

    fn cursor(&self) -> Option<&Cursor> {
        match &self.part {
            Part::After(cursor) => Some(cursor),
            Part::Page(_) | Part::Skip(_) => None,
        }
    }
}

/// The result of a search.
pub(super) struct Found {
    pub ids: Vec<LinkId>,
    /// The total number of matches, if known.
    pub total: Option<u64>,
    pub next: Option<Cursor>,
}

/// Where candidate IDs come from.
enum Source {
    All,
    Group(Group),
    Tree(String),
    One(Option<LinkId>),
}

/// A search over one view of the index.
pub(super) struct Search<'a> {
    pub scan: &'a Scan,
    pub query: &'a LinkQuery,
    pub now_ms: u64,
    /// The client disconnected.
    pub is_canceled: &'a AtomicBool,
}

impl Source {
    /// Whether all candidates match the filter, so that no link has to be read.
    fn answers(&self, filter: &LinkFilter) -> bool {
        let (answered, knows_archived) = match self {
            Self::All => (0, filter.archived != Archived::Only),
            Self::Group(Group::Archived) => (0, filter.archived == Archived::Only),
            Self::Group(_) | Self::Tree(_) | Self::One(_) => (1, filter.archived == Archived::Any),
        };
        knows_archived && filter.conditions() == answered
    }
}

impl Search<'_> {
    pub fn run(&self) -> Result<Found> {
        let source = self.source()?;
        if self.query.sort != Sort::Created {
            return self.ranked(&source);
        }
        let span = Span {
            is_back: self.query.is_descending,
            beyond: self.query.cursor().map(|cursor| cursor.id),
        };
        if source.answers(&self.query.filter) {
            self.by_keys(&source, span)
        } else {
            self.by_scan(&source, span)
        }
    }

    /// The smallest group that contains all matches.
    fn source(&self) -> Result<Source> {
        let LinkQuery { workspace, filter, .. } = self.query;
        if let Some(external_id) = &filter.external_id {
            return Ok(Source::One(self.scan.external(*workspace, external_id)?));
        }
        let groups = (filter.tags.iter().cloned().map(Group::Tag))
            .chain(filter.campaign.map(Group::Campaign))
            .chain(filter.domain.clone().filter(|domain| !domain.is_empty()).map(Group::Domain))
            .chain((filter.archived == Archived::Only).then_some(Group::Archived))
            .map(Source::Group);
        let mut smallest = (u64::MAX, Source::All);
        for source in groups.chain(filter.folder.clone().map(Source::Tree)) {
            let count = self.count(&source)?;
            if count < smallest.0 {
                smallest = (count, source);
            }
        }
        Ok(smallest.1)
    }

    /// The number of links in a source.
    fn count(&self, source: &Source) -> Result<u64, IndexError> {
        let LinkQuery { workspace, filter, .. } = self.query;
        match source {
            Source::All => {
                let all = self.scan.link_count(*workspace)?;
                let archived = match filter.archived {
                    Archived::No => self.scan.group_count(*workspace, &Group::Archived)?,
                    Archived::Only | Archived::Any => 0,
                };
                Ok(all.saturating_sub(archived))
            }
            Source::Group(group) => self.scan.group_count(*workspace, group),
            Source::Tree(folder) => self.scan.tree_count(*workspace, folder),
            Source::One(id) => Ok(u64::from(id.is_some())),
        }
    }

    fn ids<'s>(&'s self, source: &Source, span: Span) -> Result<Ids<'s>, IndexError> {
        let LinkQuery { workspace, filter, .. } = self.query;
        Ok(match source {
            Source::All if filter.archived == Archived::No => {
                let archived = self.scan.members(*workspace, &Group::Archived, span);
                let all = self.scan.all(*workspace, span);
                Box::new(Excluding { all, excluded: archived.peekable(), is_back: span.is_back })
            }
            Source::All => self.scan.all(*workspace, span),
            Source::Group(group) => self.scan.members(*workspace, group, span),
            Source::Tree(folder) => {
                Box::new(self.scan.in_tree(*workspace, folder, span)?.into_iter().map(Ok))
            }
            Source::One(id) => {
                let is_beyond = |id: &LinkId| match span.beyond {
                    Some(last) => {
                        if span.is_back {
                            *id < last
                        } else {
                            *id > last
                        }
                    }
                    None => true,
                };
                Box::new(id.filter(is_beyond).into_iter().map(Ok))
            }
        })
    }

    /// For a source whose links all match.
    fn by_keys(&self, source: &Source, span: Span) -> Result<Found> {
        let (skip, wanted) = self.query.extent();
        let ids = self.ids(source, span)?.skip(skip).take(wanted);
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        Ok(self.found(ids, Some(self.count(source)?)))
    }

    /// Reads each candidate, in order of creation.
    fn by_scan(&self, source: &Source, span: Span) -> Result<Found> {
        let (skip, wanted) = self.query.extent();
        let counts_all = self.query.counts_all && self.query.cursor().is_none();
        let (mut total, mut ids) = (0_usize, Vec::new());
        self.each(source, span, |id, _| {
            total += 1;
            if total > skip && ids.len() < wanted {
                ids.push(id);
            }
            counts_all || ids.len() < wanted
        })?;
        Ok(self.found(ids, counts_all.then_some(total as u64)))
    }

    fn found(&self, mut ids: Vec<LinkId>, total: Option<u64>) -> Found {
        let has_more = ids.len() > self.query.limit;
        ids.truncate(self.query.limit);
        let last = ids.last().filter(|_| has_more);
        let next = last.map(|id| Cursor::new(Sort::Created, *id, Vec::new(), None));
        Found { ids, total, next }
    }

    /// Sorts all matches by a key other than the time of creation.
    fn ranked(&self, source: &Source) -> Result<Found> {
        let LinkQuery { sort, is_descending, .. } = *self.query;
        let (skip, wanted) = self.query.extent();
        let clicks = self.query.clicks.as_ref();
        let last = self.query.cursor().map(|cursor| {
            let Cursor { key, id, .. } = cursor.clone();
            Rank { key, id, is_descending }
        });
        let (mut first, mut total) = (TopN::of(skip.saturating_add(wanted)), 0_u64);
        self.each(source, Span { is_back: true, beyond: None }, |id, link| {
            total += 1;
            let rank = Rank { key: key_of(sort, link, id, clicks), id, is_descending };
            if last.as_ref().is_none_or(|last| rank > *last) {
                first.push(rank);
            }
            true
        })?;
        let mut ranks: Vec<_> = first.into_sorted().into_iter().skip(skip).collect();
        let has_more = ranks.len() > self.query.limit;
        ranks.truncate(self.query.limit);
        let ids = ranks.iter().map(|rank| rank.id).collect();
        let last = ranks.pop().filter(|_| has_more);
        let next = last.map(|rank| Cursor::new(sort, rank.id, rank.key, clicks));
        Ok(Found { ids, total: Some(total), next })
    }

    /// Calls `visit` with each match until it returns `false`.
    fn each(
        &self,
        source: &Source,
        span: Span,
        mut visit: impl FnMut(LinkId, &LinkSummaryRef<'_>) -> bool,
    ) -> Result<()> {
        let filter = &self.query.filter;
        let mut ids = self.ids(source, span)?;
        let (mut size, mut sparse_for) = (FIRST_CHUNK, 0);
        loop {
            if self.is_canceled.load(Ordering::Relaxed) {
                return Err(ServiceError::internal("the client disconnected"));
            }
            let chunk = ids.by_ref().take(size).collect::<Result<Vec<_>, _>>()?;
            if chunk.is_empty() {
                return Ok(());
            }
            let (links, is_sparse) =
                self.scan.load(self.query.workspace, &chunk, sparse_for > 0)?;
            sparse_for = if is_sparse { SPARSE_FOR } else { sparse_for.saturating_sub(1) };
            size = (2 * size).min(CHUNK);
            for link in links.iter().filter(|link| filter.may_hold(link.state())) {
                let summary = self.summary(link)?;
                if filter.holds(&summary, self.now_ms) && !visit(link.id, &summary) {
                    return Ok(());
                }
            }
        }
    }

    fn summary<'l>(&self, link: &'l Encoded) -> Result<LinkSummaryRef<'l>, IndexError> {
        let summary = LinkSummaryRef::parse(link.state());
        summary.map_err(|_| self.scan.report_damage(IndexError::Broken("a link in the index")))
    }
}

/// An ordered list of IDs without those of another list in the same order.
struct Excluding<'a> {
    all: Ids<'a>,
    excluded: Peekable<Ids<'a>>,
    is_back: bool,
}

impl Iterator for Excluding<'_> {
    type Item = Result<LinkId, IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let id = match self.all.next()? {
                Ok(id) => id,
                failed => return Some(failed),
            };
            let is_passed = |other: &LinkId| if self.is_back { *other > id } else { *other < id };
            while self.excluded.next_if(|other| other.as_ref().is_ok_and(is_passed)).is_some() {}
            match self.excluded.peek() {
                Some(Ok(other)) if *other == id => {}
                Some(Err(_)) => return self.excluded.next(),
                _ => return Some(Ok(id)),
            }
        }
    }
}

//! Finding links: the ids of those that may be meant, in the order they were made; of each what it
//! is, read where it stands; and of those that are meant, the part that is asked for.
//!
//! The ids come from the smallest of the groups that the filter names, else from all of the
//! workspace's. Where keys alone tell what is meant, no link is read. It takes as long as there
//! are links to look at: so it runs on threads of its own, a few of one workspace at once.

use std::iter::Peekable;
use std::sync::atomic::{AtomicBool, Ordering};

use super::filter::{Archived, LinkFilter};
use super::ranking::{Clicks, Cursor, First, Place, Sort, key_of};
use super::{LinksError, Part};
use crate::domain::ids::{LinkId, WorkspaceId};
use crate::domain::link::LinkSummaryRef;
use crate::projections::index::{Encoded, Group, Ids, IndexError, Read, Scan, Span};

/// How many links are read at a time: few at first, since a page may be full of them.
const FIRST_CHUNK: usize = 64;
const CHUNK: usize = 512;
/// Where links lie far apart, they are looked up one by one for so many chunks.
const SPARSE_FOR: usize = 16;

/// What is asked.
#[derive(Debug, Clone)]
pub struct LinkQuery {
    /// Whose links.
    pub workspace: WorkspaceId,
    /// Which of them.
    pub filter: LinkFilter,
    /// In which order.
    pub sort: Sort,
    /// Whether the largest come first.
    pub is_descending: bool,
    /// Which part of the list.
    pub part: Part,
    /// How many links it has at most.
    pub limit: usize,
    /// Whether all are to be counted, however long that takes.
    pub counts_all: bool,
    /// For the order by clicks.
    pub clicks: Option<Clicks>,
}

impl LinkQuery {
    /// All links of a workspace, the newest first, but for those that are put away.
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

    /// Whether keys alone answer it, so that it takes no time worth mentioning.
    pub(super) fn is_light(&self) -> bool {
        self.filter.is_plain() && self.sort == Sort::Created
    }

    /// How many are passed over, and how many more are looked for: one more than asked tells
    /// whether the list goes on.
    fn extent(&self) -> (usize, usize) {
        let skip = match &self.part {
            Part::Page(page) => page.saturating_sub(1).saturating_mul(self.limit),
            Part::After(_) => 0,
        };
        (skip, self.limit.saturating_add(1))
    }

    fn cursor(&self) -> Option<&Cursor> {
        match &self.part {
            Part::After(cursor) => Some(cursor),
            Part::Page(_) => None,
        }
    }
}

/// What was found.
pub(super) struct Found {
    pub ids: Vec<LinkId>,
    /// How many there are in all, where that is known.
    pub total: Option<u64>,
    pub next: Option<Cursor>,
}

/// Where ids come from.
enum Source {
    All,
    Group(Group),
    Tree(String),
    One(Option<LinkId>),
}

/// One search, over one view of the index.
pub(super) struct Search<'a> {
    pub scan: &'a Scan,
    pub query: &'a LinkQuery,
    pub now_ms: u64,
    /// Nobody waits for it any more.
    pub is_given_up: &'a AtomicBool,
}

impl Source {
    /// Whether its links are just those that the filter is of, so that none has to be read.
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
    pub fn run(&self) -> Result<Found, LinksError> {
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
            self.by_look(&source, span)
        }
    }

    /// The smallest of the groups that all links are in that may be meant.
    fn source(&self) -> Result<Source, LinksError> {
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

    /// How many links a source has.
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
                Box::new(Without { all, left_out: archived.peekable(), is_back: span.is_back })
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

    /// Where the source's links are the ones that are meant.
    fn by_keys(&self, source: &Source, span: Span) -> Result<Found, LinksError> {
        let (skip, wanted) = self.query.extent();
        let ids = self.ids(source, span)?.skip(skip).take(wanted);
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        Ok(self.found(ids, Some(self.count(source)?)))
    }

    /// Where each link has to be looked at, in the order they were made.
    fn by_look(&self, source: &Source, span: Span) -> Result<Found, LinksError> {
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
        let goes_on = ids.len() > self.query.limit;
        ids.truncate(self.query.limit);
        let last = ids.last().filter(|_| goes_on);
        let next = last.map(|id| Cursor::new(Sort::Created, *id, Vec::new(), None));
        Found { ids, total, next }
    }

    /// Where all that are meant have to be put in another order.
    fn ranked(&self, source: &Source) -> Result<Found, LinksError> {
        let LinkQuery { sort, is_descending, .. } = *self.query;
        let (skip, wanted) = self.query.extent();
        let clicks = self.query.clicks.as_ref();
        let last = self.query.cursor().map(|cursor| {
            let Cursor { key, id, .. } = cursor.clone();
            Place { key, id, is_descending }
        });
        let (mut first, mut total) = (First::of(skip.saturating_add(wanted)), 0_u64);
        self.each(source, Span { is_back: true, beyond: None }, |id, link| {
            total += 1;
            let place = Place { key: key_of(sort, link, id, clicks), id, is_descending };
            if last.as_ref().is_none_or(|last| place > *last) {
                first.offer(place);
            }
            true
        })?;
        let mut places: Vec<_> = first.in_order().into_iter().skip(skip).collect();
        let goes_on = places.len() > self.query.limit;
        places.truncate(self.query.limit);
        let ids = places.iter().map(|place| place.id).collect();
        let last = places.pop().filter(|_| goes_on);
        let next = last.map(|place| Cursor::new(sort, place.id, place.key, clicks));
        Ok(Found { ids, total: Some(total), next })
    }

    /// Shows each link that is meant, until told that it is enough.
    fn each(
        &self,
        source: &Source,
        span: Span,
        mut see: impl FnMut(LinkId, &LinkSummaryRef<'_>) -> bool,
    ) -> Result<(), LinksError> {
        let filter = &self.query.filter;
        let mut ids = self.ids(source, span)?;
        let (mut size, mut sparse_for) = (FIRST_CHUNK, 0);
        loop {
            if self.is_given_up.load(Ordering::Relaxed) {
                return Err(LinksError::GivenUp);
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
                let glance = self.glance(link)?;
                if filter.holds(&glance, self.now_ms) && !see(link.id, &glance) {
                    return Ok(());
                }
            }
        }
    }

    fn glance<'l>(&self, link: &'l Encoded) -> Result<LinkSummaryRef<'l>, IndexError> {
        let glance = LinkSummaryRef::parse(link.state());
        glance.map_err(|_| self.scan.met(IndexError::Broken("a link in the index")))
    }
}

/// Ids in order but for some, which are in the same order.
struct Without<'a> {
    all: Ids<'a>,
    left_out: Peekable<Ids<'a>>,
    is_back: bool,
}

impl Iterator for Without<'_> {
    type Item = Result<LinkId, IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let id = match self.all.next()? {
                Ok(id) => id,
                failed => return Some(failed),
            };
            let is_passed = |other: &LinkId| if self.is_back { *other > id } else { *other < id };
            while self.left_out.next_if(|other| other.as_ref().is_ok_and(is_passed)).is_some() {}
            match self.left_out.peek() {
                Some(Ok(other)) if *other == id => {}
                Some(Err(_)) => return self.left_out.next(),
                _ => return Some(Ok(id)),
            }
        }
    }
}

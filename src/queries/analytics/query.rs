//! The question: what is counted of which clicks, by what, over which time.
//!
//! Every way in comes to this one type, and [`sql`](crate::queries::sql) makes one statement of it.

use jiff::tz::TimeZone;

use super::buckets::Granularity;
use super::dimension::Dimension;
use super::filter::Filter;
use super::metric::Metric;
use super::range::{Compare, Period};
use crate::domain::ids::WorkspaceId;

/// How many dimensions a question may have.
pub const MAX_DIMENSIONS: usize = 3;
/// How many rows one answer may have: the statistics of 10,000 links in one request.
pub const MAX_ROWS: u32 = 10_000;
/// How many rows one answer has unless it is said.
pub const DEFAULT_ROWS: u32 = 100;
/// How many rows may be left out before the first.
pub const MAX_SKIPPED: u32 = 1_000_000;

/// Which visitors count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bots {
    /// Humans.
    #[default]
    Exclude,
    /// All.
    Include,
    /// Bots.
    Only,
}

impl Bots {
    /// Each choice there is.
    pub const EVERY: &'static [Self] = &[Self::Exclude, Self::Include, Self::Only];

    /// The choice's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exclude => "exclude",
            Self::Include => "include",
            Self::Only => "only",
        }
    }
}

/// Which clicks of the same visitor on the same link count as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dedupe {
    /// None: each click counts.
    #[default]
    None,
    /// All that fall into one row of the answer.
    Visitor,
    /// Those of the same hour (UTC).
    Hour,
}

impl Dedupe {
    /// Each choice there is.
    pub const EVERY: &'static [Self] = &[Self::None, Self::Visitor, Self::Hour];

    /// The choice's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Visitor => "visitor",
            Self::Hour => "1h",
        }
    }
}

/// What rows are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A metric of the question.
    Metric(Metric),
    /// A dimension of the question.
    Dimension(Dimension),
}

/// How rows are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// By what.
    pub key: Key,
    /// The largest first.
    pub is_descending: bool,
}

/// A question.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalyticsQuery {
    /// Whose clicks.
    pub workspace: WorkspaceId,
    /// What is counted; at least one.
    pub metrics: Vec<Metric>,
    /// By what; each at most once, at most [`MAX_DIMENSIONS`].
    pub dimensions: Vec<Dimension>,
    /// Which clicks; all when absent.
    pub filter: Option<Filter>,
    /// Of when.
    pub period: Period,
    /// The time zone in which buckets of time begin.
    pub zone: TimeZone,
    /// How long these are; chosen by the span when absent.
    pub granularity: Option<Granularity>,
    /// The order of the rows. Without: by time, else by the first metric, the largest first.
    pub order: Vec<Order>,
    /// How many rows at most.
    pub limit: u32,
    /// How many rows are left out before.
    pub offset: u32,
    /// What each row is compared with.
    pub compare: Option<Compare>,
    /// Whose clicks count.
    pub bots: Bots,
    /// Which clicks count as one.
    pub dedupe: Dedupe,
}

impl AnalyticsQuery {
    /// The clicks of a workspace in a span of time, all counted together.
    pub fn of(workspace: WorkspaceId, metrics: &[Metric], period: Period) -> Self {
        Self {
            workspace,
            metrics: metrics.to_vec(),
            dimensions: Vec::new(),
            filter: None,
            period,
            zone: TimeZone::UTC,
            granularity: None,
            order: Vec::new(),
            limit: DEFAULT_ROWS,
            offset: 0,
            compare: None,
            bots: Bots::default(),
            dedupe: Dedupe::default(),
        }
    }

    /// Whether buckets of time are asked for.
    pub fn is_over_time(&self) -> bool {
        self.dimensions.contains(&Dimension::Time)
    }

    /// The order that holds: the one that is asked for, or the usual one.
    pub fn ordered_by(&self) -> Vec<Order> {
        if !self.order.is_empty() {
            return self.order.clone();
        }
        if self.is_over_time() {
            return vec![Order { key: Key::Dimension(Dimension::Time), is_descending: false }];
        }
        let first = self.metrics.first().map(|metric| Key::Metric(*metric));
        first.into_iter().map(|key| Order { key, is_descending: true }).collect()
    }
}

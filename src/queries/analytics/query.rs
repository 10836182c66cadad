//! The query: which clicks to count, by which dimensions, over which time.
//!
//! Every API makes this one type, and [`sql`](crate::queries::sql) compiles it to one statement.

use jiff::tz::TimeZone;

use super::buckets::Granularity;
use super::dimension::Dimension;
use super::filter::Filter;
use super::metric::Metric;
use super::period::Period;
use super::range::Compare;
use crate::domain::ids::WorkspaceId;
use crate::domain::named_enum;

/// The maximum number of dimensions.
pub const MAX_DIMENSIONS: usize = 3;
/// The maximum number of rows: the statistics of 10,000 links in one request.
pub const MAX_ROWS: u32 = 10_000;
/// The default number of rows.
pub const DEFAULT_ROWS: u32 = 100;
/// The maximum number of rows to skip.
pub const MAX_SKIPPED: u32 = 1_000_000;

named_enum! {
    /// Which kind of visitors to count.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub enum Bots {
        /// Humans.
        #[default]
        Exclude => "exclude",
        /// All visitors.
        Include => "include",
        /// Bots.
        Only => "only",
    }
}

named_enum! {
    /// Which clicks by the same visitor on the same link count as one.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub enum Dedupe {
        /// None: each click counts.
        #[default]
        None => "none",
        /// All clicks in the same row of the result.
        Visitor => "visitor",
        /// Clicks in the same hour (UTC).
        Hour => "1h",
    }
}

/// What rows are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A metric of the query.
    Metric(Metric),
    /// A dimension of the query.
    Dimension(Dimension),
}

/// A sort order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// The sort key.
    pub key: Key,
    /// Whether the largest come first.
    pub is_descending: bool,
}

/// A query.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalyticsQuery {
    /// The workspace whose clicks to count.
    pub workspace: WorkspaceId,
    /// The metrics; at least one.
    pub metrics: Vec<Metric>,
    /// The dimensions to group by; each at most once, at most [`MAX_DIMENSIONS`].
    pub dimensions: Vec<Dimension>,
    /// The clicks to count; all if absent.
    pub filter: Option<Filter>,
    /// The time range.
    pub period: Period,
    /// The time zone of the buckets.
    pub zone: TimeZone,
    /// The length of the buckets; chosen by the time range if absent.
    pub granularity: Option<Granularity>,
    /// The order of the rows. Default: by time, else by the first metric, largest first.
    pub order: Vec<Order>,
    /// The maximum number of rows.
    pub limit: u32,
    /// The number of rows to skip.
    pub offset: u32,
    /// The time range to compare each row with.
    pub compare: Option<Compare>,
    /// Whether to count bots.
    pub bots: Bots,
    /// Which clicks count as one.
    pub dedupe: Dedupe,
}

impl AnalyticsQuery {
    /// A query for the totals of a workspace over a time range.
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

    /// Whether the query groups by time.
    pub fn is_over_time(&self) -> bool {
        self.dimensions.contains(&Dimension::Time)
    }

    /// The effective order: the requested one, or the default.
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

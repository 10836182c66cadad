//! Clicks, counted: any metrics, by any dimensions, of any clicks, over any time, up to one offset
//! of the log.
//!
//! Every way in makes an [`AnalyticsQuery`] and gets a [`Report`]. Clicks are counted exactly, and
//! of one moment: each click up to an offset and no other. Bots are kept in the data and left out
//! of the counts unless asked for. A visitor is the same one for as long as the key of the hash
//! lives (a day, by default), so over several days somebody who comes daily counts once a day.

mod batch;
mod blocked;
mod buckets;
mod clicks;
mod dimension;
mod execute;
mod filter;
mod metric;
mod query;
mod range;
mod report;
mod run;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use uuid::Uuid;

pub use blocked::Blocked;
pub use buckets::{Granularity, MAX_BUCKETS};
pub use clicks::{ClickKey, Export, Format};
pub use dimension::{Dimension, Value};
pub use execute::Limit;
pub use filter::{Condition, Filter, MAX_CONDITIONS, MAX_DEPTH, MAX_TEXT_BYTES, MAX_VALUES, Test};
pub use metric::{Metric, Number};
pub use query::{
    AnalyticsQuery, Bots, DEFAULT_ROWS, Dedupe, Key, MAX_DIMENSIONS, MAX_ROWS, MAX_SKIPPED, Order,
};
pub use range::{Compare, DateRange, Edge, Period, RANGES};
pub use report::{Cost, Report, Row};

use super::workspace_limiter::WorkspaceLimiter;
use crate::domain::ids::{LinkId, WorkspaceId};
pub use crate::projections::clickhouse::AsOf;
use crate::projections::clickhouse::ClickHouse;

/// How long a link's own counts may keep an answer waiting that is not about analytics.
const COUNTS_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a question waits for what it wants to be counted.
const FRESHNESS_TIMEOUT: Duration = Duration::from_secs(10);
/// How many questions ClickHouse works on at once; the others wait.
const AT_ONCE: usize = 8;
/// How many of these are of one workspace: others have their turn.
const AT_ONCE_OF_WORKSPACE: usize = 4;
const DAY_SECONDS: u64 = 24 * 3_600;
/// How many exports are under way at once; the others wait.
const EXPORTS_AT_ONCE: usize = 2;
/// How long a query waits for its turn, and then for a place, before it is refused.
const PLACE_WAIT: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AnalyticsError {
    /// ClickHouse is away; the clicks wait in the log.
    #[error("analytics are not available at the moment")]
    Away,
    /// Too many others are working, and have been for some seconds.
    #[error("too many analytics queries are waiting")]
    Overloaded,
    /// What was to be counted was not in time.
    #[error("the analytics did not reach offset {wanted} in time; they are at {reached}")]
    Behind {
        /// The offset that was asked for.
        wanted: u64,
        /// The offset that is counted.
        reached: u64,
    },
    /// The question exceeds what one may cost.
    #[error("the question costs too much")]
    TooCostly(Limit),
    /// The answer has too many rows to be filled up and sorted.
    #[error("the answer has too many rows")]
    TooManyRows,
    /// The span of time has too many buckets; the text says so.
    #[error("{0}")]
    TooManyBuckets(String),
    /// The click after which an export is to go on is none of its clicks.
    #[error("there is no such click in this export")]
    NoSuchClick,
    /// An offset is waited for that neither log has.
    #[error("the log ends at offset {end}")]
    Beyond {
        /// The last offset that there is.
        end: u64,
    },
    /// ClickHouse doesn't take a pattern.
    #[error("a pattern is not one that RE2 takes")]
    BadPattern,
    /// ClickHouse refused the question; the text is for the operator.
    #[error("analytics failed: {0}")]
    Failed(String),
}

/// Clicks and who made them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// How many clicks.
    pub clicks: u64,
    /// How many visitors, each counted once.
    pub visitors: u64,
}

/// Reads of clicks.
#[derive(Clone)]
pub struct Analytics {
    clickhouse: ClickHouse,
    /// How far back clicks are seen, in whole days; `None`: to the first one.
    retention: Option<Duration>,
    pool: Arc<Semaphore>,
    exports: Arc<Semaphore>,
    turns: WorkspaceLimiter,
}

impl Analytics {
    /// Over this ClickHouse. Nobody sees clicks that are older than `retention`, where one is given.
    pub fn new(clickhouse: ClickHouse, retention: Option<Duration>) -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        let (pool, exports) = (places(AT_ONCE), places(EXPORTS_AT_ONCE));
        Self {
            clickhouse,
            retention,
            pool,
            exports,
            turns: WorkspaceLimiter::of(AT_ONCE_OF_WORKSPACE),
        }
    }

    /// The question about those of its clicks that may be seen.
    fn seen<'a>(&self, query: &'a AnalyticsQuery) -> Cow<'a, AnalyticsQuery> {
        let Some(retention) = self.retention else { return Cow::Borrowed(query) };
        let days = i64::try_from(retention.as_secs() / DAY_SECONDS).unwrap_or(i64::MAX);
        let today = Timestamp::now().as_second().div_euclid(DAY_SECONDS.cast_signed());
        let first = today.saturating_sub(days).max(0).saturating_mul(DAY_SECONDS.cast_signed());
        let Period { from, to } = query.period;
        let first = Timestamp::from_second(first).unwrap_or_default().min(to);
        if from.is_some_and(|from| from >= first) {
            return Cow::Borrowed(query);
        }
        Cow::Owned(AnalyticsQuery { period: Period { from: Some(first), to }, ..query.clone() })
    }

    /// What an answer reflects that is asked for now, after a wait for `min_offset`.
    ///
    /// An offset that one of the logs has stands for all that both logs had up to it: one that
    /// came with a change (`changes` is how far these are) needs no more clicks than there are, but
    /// those of links that were deleted by then have to be gone.
    ///
    /// # Errors
    /// [`AnalyticsError::Beyond`] for an offset that neither log has; [`AnalyticsError::Behind`]
    /// after ten seconds.
    pub async fn as_of(
        &self,
        min_offset: Option<u64>,
        changes: u64,
    ) -> Result<AsOf, AnalyticsError> {
        if let Some(wanted) = min_offset {
            let end = self.log_end().max(changes);
            if wanted > end {
                return Err(AnalyticsError::Beyond { end });
            }
            if self.clickhouse.reading().is_none() {
                return Err(AnalyticsError::Away);
            }
            if !self.reached(wanted, changes).await {
                let reached = self.clickhouse.as_of().offset;
                return Err(AnalyticsError::Behind { wanted, reached });
            }
        }
        Ok(self.clickhouse.as_of())
    }

    /// The last offset of the click log.
    pub fn log_end(&self) -> u64 {
        self.clickhouse.log_end()
    }

    /// Waits until a link's deletion, the change at an offset, is in the log of clicks; `false` when
    /// that takes too long.
    pub async fn has_forgotten(&self, change: u64) -> bool {
        self.clickhouse.forgotten_by(change, FRESHNESS_TIMEOUT).await.is_some()
    }

    async fn reached(&self, wanted: u64, changes: u64) -> bool {
        let mut clicks = wanted;
        if wanted <= changes {
            let forgotten = self.clickhouse.forgotten_by(wanted, FRESHNESS_TIMEOUT).await;
            let Some(forgotten) = forgotten else { return false };
            clicks = wanted.min(self.log_end()).max(forgotten);
        }
        self.clickhouse.reached(clicks, FRESHNESS_TIMEOUT).await
    }

    /// The counts of some links; those never clicked are not in it. `None` while ClickHouse is
    /// away: a link can be read and changed without its counts.
    pub async fn counts(
        &self,
        workspace: WorkspaceId,
        links: &[LinkId],
    ) -> Option<HashMap<LinkId, Counts>> {
        let as_of = self.clickhouse.as_of();
        let ids = links.iter().map(|link| link.uuid()).collect();
        let condition = Condition { dimension: Dimension::Link, test: Test::Links(ids) };
        let period = DateRange::All.period(&jiff::tz::TimeZone::UTC, Timestamp::now()).ok()?;
        let metrics = [Metric::Clicks, Metric::UniqueVisitors];
        let query = AnalyticsQuery {
            dimensions: vec![Dimension::Link],
            filter: Some(Filter::Is(condition)),
            limit: MAX_ROWS,
            ..AnalyticsQuery::of(workspace, &metrics, period)
        };
        let asked = tokio::time::timeout(COUNTS_TIMEOUT, self.run(&query, as_of));
        let report = asked.await.ok()?.ok()?;
        Some(report.rows.iter().filter_map(counts_of_link).collect())
    }

    /// How often each link of a workspace was clicked, without bots; those never clicked are not
    /// in it.
    ///
    /// # Errors
    /// [`AnalyticsError::TooManyRows`] where more links were clicked than can be put in order.
    pub async fn clicks_by_link(
        &self,
        workspace: WorkspaceId,
        as_of: AsOf,
    ) -> Result<HashMap<LinkId, u64>, AnalyticsError> {
        let period = DateRange::All.period(&jiff::tz::TimeZone::UTC, Timestamp::now());
        let period = period.map_err(AnalyticsError::Failed)?;
        let query = AnalyticsQuery {
            dimensions: vec![Dimension::Link],
            ..AnalyticsQuery::of(workspace, &[Metric::Clicks], period)
        };
        let rows = self.run_unfilled(&query, as_of).await?.rows;
        let count = |row: &Row| match (row.dimensions.as_slice(), row.metrics.as_slice()) {
            ([Value::Text(link)], [Number::Count(clicks)]) => {
                Some((LinkId::new(Uuid::parse_str(link).ok()?), *clicks))
            }
            _ => None,
        };
        Ok(rows.iter().filter_map(count).collect())
    }
}

/// Waits for a place among those that work, within a limit.
async fn place<T>(limit: Duration, free: impl Future<Output = T>) -> Result<T, AnalyticsError> {
    tokio::time::timeout(limit, free).await.map_err(|_| AnalyticsError::Overloaded)
}

fn counts_of_link(row: &Row) -> Option<(LinkId, Counts)> {
    match (row.dimensions.as_slice(), row.metrics.as_slice()) {
        ([Value::Text(link)], [Number::Count(clicks), Number::Count(visitors)]) => {
            let link = LinkId::new(Uuid::parse_str(link).ok()?);
            Some((link, Counts { clicks: *clicks, visitors: *visitors }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_for_a_place_is_bounded_and_no_fault_of_the_query() {
        let limit = Duration::from_millis(1);
        let busy = place(limit, std::future::pending::<()>()).await;
        assert!(matches!(busy, Err(AnalyticsError::Overloaded)), "{busy:?}");
        assert!(place(limit, std::future::ready(())).await.is_ok());
    }
}

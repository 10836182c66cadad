//! Click analytics: any metrics, by any dimensions, with any filter, over any time, up to an offset
//! of the log.
//!
//! Every API makes an [`AnalyticsQuery`] and gets a [`Report`]. Clicks are counted exactly and from
//! one snapshot: each click up to an offset and no other. Bots are stored, and excluded from counts
//! by default. A visitor ID is stable for as long as its hash key lives (a day, by default), so
//! over several days a daily visitor counts once a day.

mod batch;
mod blocked;
mod buckets;
mod clicks;
mod dimension;
mod execute;
mod filter;
mod metric;
mod period;
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
pub use filter::{
    Condition, Filter, MAX_CONDITIONS, MAX_DEPTH, MAX_TEXT_BYTES, MAX_VALUES, Test, in_or_below,
};
pub use metric::{Metric, Number};
pub use period::Period;
pub use query::{
    AnalyticsQuery, Bots, DEFAULT_ROWS, Dedupe, Key, MAX_DIMENSIONS, MAX_ROWS, MAX_SKIPPED, Order,
};
pub use range::{Compare, DateRange, Edge, RANGES, RangeError};
pub use report::{Cost, Report, Row};

use super::plans::Plans;
use super::workspace_limiter::WorkspaceLimiter;
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::ids::{LinkId, QrCodeId, WorkspaceId};
use crate::domain::plan::Limit;
use crate::limits::{
    COUNTS_TIMEOUT, EXPORT_CONCURRENCY, FRESHNESS_TIMEOUT, QUERY_CONCURRENCY,
    QUERY_CONCURRENCY_PER_WORKSPACE,
};
pub use crate::projections::clickhouse::AsOf;
use crate::projections::clickhouse::ClickHouse;

const DAY_SECONDS: u64 = 24 * 3_600;

/// ClickHouse is unavailable; the clicks stay in the log. `absence` says why, if that is known.
pub fn unavailable(absence: Option<String>) -> ServiceError {
    let message = absence.unwrap_or_else(|| {
        "Analytics are unavailable at the moment; clicks are kept and will be counted.".to_owned()
    });
    ServiceError::unavailable(ErrorCode::AnalyticsUnavailable, message)
}

/// The requested offset is not in the log yet.
pub fn beyond_log_end(field: &str, end: u64) -> ServiceError {
    let rule = format!("must not be beyond the end of the log, which is offset {end}");
    ServiceError::field(field, rule)
}

/// Counts of clicks and of visitors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Clicks.
    pub clicks: u64,
    /// Visitors, each counted once.
    pub visitors: u64,
}

/// Reads of clicks.
#[derive(Clone)]
pub struct Analytics {
    clickhouse: ClickHouse,
    /// How far back clicks are visible, in whole days; `None` for no limit.
    retention: Option<Duration>,
    /// The plans, whose retention may be shorter.
    plans: Option<Plans>,
    pool: Arc<Semaphore>,
    exports: Arc<Semaphore>,
    limiter: WorkspaceLimiter,
}

impl Analytics {
    /// Creates a reader that hides clicks older than `retention`, if given, or than a workspace's
    /// plan allows.
    pub fn new(clickhouse: ClickHouse, retention: Option<Duration>, plans: Option<Plans>) -> Self {
        let semaphore = |count| Arc::new(Semaphore::new(count));
        let (pool, exports) = (semaphore(QUERY_CONCURRENCY), semaphore(EXPORT_CONCURRENCY));
        Self {
            clickhouse,
            retention,
            plans,
            pool,
            exports,
            limiter: WorkspaceLimiter::new(QUERY_CONCURRENCY_PER_WORKSPACE),
        }
    }

    /// The error while ClickHouse is unavailable.
    pub fn unavailable(&self) -> ServiceError {
        unavailable(self.clickhouse.status.absence())
    }

    /// The query, with its period limited to the retention: the only place that does so.
    fn visible<'a>(&self, query: &'a AnalyticsQuery) -> Result<Cow<'a, AnalyticsQuery>> {
        let plan = self.plans.as_ref().map(|plans| plans.of(query.workspace)).transpose()?;
        let of_plan = plan.and_then(|plan| plan.limits().get(Limit::AnalyticsRetentionDays));
        let of_service = self.retention.map(|retention| retention.as_secs() / DAY_SECONDS);
        let Some(days) = of_plan.into_iter().chain(of_service).min() else {
            return Ok(Cow::Borrowed(query));
        };
        let days = i64::try_from(days).unwrap_or(i64::MAX);
        let today = Timestamp::now().as_second().div_euclid(DAY_SECONDS.cast_signed());
        let first = today.saturating_sub(days).max(0).saturating_mul(DAY_SECONDS.cast_signed());
        let Period { from, to } = query.period;
        let first = Timestamp::from_second(first).unwrap_or_default().min(to);
        if from.is_some_and(|from| from >= first) {
            return Ok(Cow::Borrowed(query));
        }
        let period = Period { from: Some(first), to };
        Ok(Cow::Owned(AnalyticsQuery { period, ..query.clone() }))
    }

    /// The snapshot of a query that starts now, after waiting for `min_offset`.
    ///
    /// An offset covers everything that both logs contained up to it. The offset of a mutation
    /// (`changes` is the end of their log) waits for no clicks that do not exist yet, but for the
    /// removal of the clicks of links deleted by then.
    ///
    /// # Errors
    /// `Invalid` for an offset that is in neither log; `AnalyticsBehind` after ten seconds.
    pub async fn as_of(&self, min_offset: Option<u64>, changes: u64) -> Result<AsOf> {
        if let Some(wanted) = min_offset {
            let end = self.log_end().max(changes);
            if wanted > end {
                return Err(beyond_log_end("min_offset", end));
            }
            if self.clickhouse.reading().is_none() {
                return Err(self.unavailable());
            }
            if !self.reached(wanted, changes).await {
                let reached = self.clickhouse.as_of().offset;
                let message = format!(
                    "The analytics did not reach offset {wanted} in time; they are at {reached}."
                );
                return Err(ServiceError::new(ErrorCode::AnalyticsBehind, message));
            }
        }
        Ok(self.clickhouse.as_of())
    }

    /// The last offset of the click log.
    pub fn log_end(&self) -> u64 {
        self.clickhouse.log_end()
    }

    /// Waits until a link's deletion, the mutation at an offset, is in the click log; `false` on
    /// timeout.
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
        self.clickhouse.status.reached(clicks, FRESHNESS_TIMEOUT).await
    }

    /// The counts of some links, without those never clicked. `None` while ClickHouse is
    /// unavailable: a link can be read and changed without its counts.
    pub async fn counts(
        &self,
        workspace: WorkspaceId,
        links: &[LinkId],
    ) -> Option<HashMap<LinkId, Counts>> {
        let ids = links.iter().map(|link| link.uuid()).collect();
        let links = Condition { dimension: Dimension::Link, test: Test::Links(ids) };
        let metrics = [Metric::Clicks, Metric::UniqueVisitors];
        let rows = self.count_each(workspace, links, &metrics).await?;
        Some(rows.iter().filter_map(counts_of_link).collect())
    }

    /// The number of scans of some QR codes, without those never scanned. `None` while ClickHouse is
    /// unavailable.
    pub async fn scans(
        &self,
        workspace: WorkspaceId,
        codes: &[QrCodeId],
    ) -> Option<HashMap<QrCodeId, u64>> {
        let ids = codes.iter().map(QrCodeId::to_string).collect();
        let codes = Condition { dimension: Dimension::QrCode, test: Test::In(ids) };
        let rows = self.count_each(workspace, codes, &[Metric::Clicks]).await?;
        let scans = |row: &Row| match (row.dimensions.as_slice(), row.metrics.as_slice()) {
            ([Value::Text(code)], [Number::Count(scans)]) => Some((code.parse().ok()?, *scans)),
            _ => None,
        };
        Some(rows.iter().filter_map(scans).collect())
    }

    /// Counts for each of a dimension's values that meet a condition, over all time and without
    /// bots. `None` while ClickHouse is unavailable.
    async fn count_each(
        &self,
        workspace: WorkspaceId,
        values: Condition,
        metrics: &[Metric],
    ) -> Option<Vec<Row>> {
        let as_of = self.clickhouse.as_of();
        let period = DateRange::All.period(&jiff::tz::TimeZone::UTC, Timestamp::now()).ok()?;
        let query = AnalyticsQuery {
            dimensions: vec![values.dimension],
            filter: Some(Filter::Is(values)),
            limit: MAX_ROWS,
            ..AnalyticsQuery::of(workspace, metrics, period)
        };
        let report = tokio::time::timeout(COUNTS_TIMEOUT, self.run(&query, as_of));
        Some(report.await.ok()?.ok()?.rows)
    }

    /// The number of clicks of a workspace since a time, without bots, however long its plan keeps
    /// them visible. `None` while ClickHouse is unavailable.
    pub async fn clicks_since(&self, workspace: WorkspaceId, from: Timestamp) -> Option<u64> {
        let now = DateRange::All.period(&jiff::tz::TimeZone::UTC, Timestamp::now()).ok()?;
        let period = Period { from: Some(from), ..now };
        let query = AnalyticsQuery::of(workspace, &[Metric::Clicks], period);
        let unbounded = Self { retention: None, plans: None, ..self.clone() };
        let report = unbounded.run(&query, self.clickhouse.as_of());
        let report = tokio::time::timeout(COUNTS_TIMEOUT, report).await.ok()?.ok()?;
        match report.rows.first().map(|row| row.metrics.as_slice()) {
            Some([Number::Count(clicks)]) => Some(*clicks),
            Some(_) => None,
            None => Some(0),
        }
    }

    /// The number of clicks of each link of a workspace, without bots and without links never
    /// clicked.
    ///
    /// # Errors
    /// `TooCostly` if more links were clicked than can be sorted.
    pub async fn clicks_by_link(
        &self,
        workspace: WorkspaceId,
        as_of: AsOf,
    ) -> Result<HashMap<LinkId, u64>> {
        let period = DateRange::All.period(&jiff::tz::TimeZone::UTC, Timestamp::now());
        let period = period.map_err(ServiceError::internal)?;
        let query = AnalyticsQuery {
            dimensions: vec![Dimension::Link],
            ..AnalyticsQuery::of(workspace, &[Metric::Clicks], period)
        };
        let rows = self.run_raw(&query, as_of).await?.rows;
        let count = |row: &Row| match (row.dimensions.as_slice(), row.metrics.as_slice()) {
            ([Value::Text(link)], [Number::Count(clicks)]) => {
                Some((LinkId::new(Uuid::parse_str(link).ok()?), *clicks))
            }
            _ => None,
        };
        Ok(rows.iter().filter_map(count).collect())
    }
}

/// Waits for a permit, within a limit.
async fn acquire<T>(limit: Duration, free: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(limit, free).await.map_err(|_| {
        let message = "Too many queries are waiting; please try again.";
        ServiceError::unavailable(ErrorCode::Overloaded, message)
    })
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
        let busy = acquire(limit, std::future::pending::<()>()).await;
        assert_eq!(busy.unwrap_err().code, ErrorCode::Overloaded);
        assert!(acquire(limit, std::future::ready(())).await.is_ok());
    }
}

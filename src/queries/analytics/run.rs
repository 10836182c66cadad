//! Runs a query and builds its report.

use std::collections::HashMap;
use std::time::Instant;

use jiff::Timestamp;
use uuid::Uuid;

use super::buckets::{self, Granularity};
use super::dimension::{Dimension, Value};
use super::execute::too_many_rows;
use super::filter::{Condition, Filter, Test};
use super::metric::{Metric, Number};
use super::query::{AnalyticsQuery, Key, Order};
use super::report::{Cost, Report, Row, fill, sort};
use super::{Analytics, AsOf, acquire};
use crate::domain::error::{Result, ServiceError};
use crate::limits::QUERY_QUEUE_TIMEOUT;
use crate::projections::clickhouse::DeletionEpoch;
use crate::queries::plan::ReadSnapshot;
use crate::queries::sql;

/// How old a time range must be to count as sealed: a click carries its time of arrival, and
/// reaches the log and ClickHouse a moment later.
const UNSEALED_MS: u64 = 60_000;
/// The maximum number of values for which visitors are merged in a second query.
const MAX_TOP: u32 = 1_000;
/// The maximum number of rows that ClickHouse returns, to be filled up and sorted here.
pub(super) const MAX_FETCHED: u32 = 100_000;
/// The maximum number of rows of a time series before it is cut to the requested page.
const MAX_FILLED: usize = 200_000;

/// A result, and the starts of its time buckets.
struct Found {
    rows: Vec<Row>,
    total: u64,
    rows_read: u64,
    table: &'static str,
    granularity: Option<Granularity>,
    starts: Vec<i64>,
}

/// Rows as ClickHouse returns them, without the empty time buckets.
pub(super) struct RawRows {
    pub(super) rows: Vec<Row>,
    pub(super) cost: Cost,
    pub(super) granularity: Option<Granularity>,
    pub(super) starts: Vec<i64>,
}

/// Which form of the result is wanted.
#[derive(Clone, Copy)]
enum Wanted {
    Report,
    RawRows,
}

impl Analytics {
    /// Runs a query over the clicks up to and including the offset of `as_of`.
    ///
    /// Sealed time ranges are read without a filter on offsets, and from rollups; the rest from
    /// rollups by chunk of the log, and from single clicks. If clicks in a sealed range arrived
    /// meanwhile, or a removal began, the query runs again without what no longer holds.
    ///
    /// # Errors
    /// `TooCostly` if it exceeds a limit; else if ClickHouse is unavailable or
    /// rejects it.
    pub async fn run(&self, query: &AnalyticsQuery, as_of: AsOf) -> Result<Report> {
        let (found, cost) = self.run_consistent(query, as_of, Wanted::Report).await?;
        let Found { rows, total, granularity, .. } = found;
        Ok(Report { rows, total, cost, period: query.period, granularity })
    }

    /// As [`run`](Self::run), with the rows as ClickHouse returns them: all of them, in the query's
    /// order.
    pub(super) async fn run_raw(&self, query: &AnalyticsQuery, as_of: AsOf) -> Result<RawRows> {
        let (found, cost) = self.run_consistent(query, as_of, Wanted::RawRows).await?;
        let Found { rows, granularity, starts, .. } = found;
        Ok(RawRows { rows, cost, granularity, starts })
    }

    async fn run_consistent(
        &self,
        query: &AnalyticsQuery,
        as_of: AsOf,
        wanted: Wanted,
    ) -> Result<(Found, Cost)> {
        let started = Instant::now();
        let _permit = acquire(QUERY_QUEUE_TIMEOUT, self.limiter.acquire(query.workspace)).await?;
        let sealed_ms = as_of.at_ms.saturating_sub(UNSEALED_MS);
        let (mut snapshot, epoch) = self.snapshot(query, as_of, sealed_ms);
        let found = loop {
            let found = self.find_in_form(query, snapshot, wanted).await?;
            let status = &self.clickhouse.status;
            let is_removing = snapshot.is_removing || self.deletion_epoch(query) != epoch;
            let is_sealed = status.is_sealed(snapshot.through, snapshot.sealed_ms);
            let sealed_ms = if is_sealed { snapshot.sealed_ms } else { 0 };
            let again = ReadSnapshot { sealed_ms, is_removing, ..snapshot };
            if again == snapshot {
                break found;
            }
            // At most twice: each repetition assumes less.
            snapshot = again;
        };
        let Found { table, rows_read, .. } = found;
        Ok((found, Cost { table, rows_read, elapsed: started.elapsed() }))
    }

    /// The snapshot of a read that starts now, and the deletion epoch of the workspace. If the
    /// epoch differs after the read, the read has to be repeated.
    pub(super) fn snapshot(
        &self,
        query: &AnalyticsQuery,
        as_of: AsOf,
        sealed_ms: u64,
    ) -> (ReadSnapshot, DeletionEpoch) {
        let epoch = self.deletion_epoch(query);
        let is_removing = epoch.is_removing;
        let (through, chunks) = (as_of.offset, self.clickhouse.chunks_through(as_of.offset));
        (ReadSnapshot { through, sealed_ms, chunks, is_removing }, epoch)
    }

    fn deletion_epoch(&self, query: &AnalyticsQuery) -> DeletionEpoch {
        self.clickhouse.status.removing.of(query.workspace.uuid())
    }

    async fn find_in_form(
        &self,
        query: &AnalyticsQuery,
        snapshot: ReadSnapshot,
        wanted: Wanted,
    ) -> Result<Found> {
        if matches!(wanted, Wanted::RawRows) {
            return self.find_raw(query, snapshot).await;
        }
        let mut found = self.find(query, snapshot).await?;
        if let Some(compare) = query.compare
            && let Some(period) = compare.period(query.period, &query.zone)
        {
            let before = AnalyticsQuery { period, ..query.clone() };
            self.compare(before, &mut found, snapshot).await?;
        }
        Ok(found)
    }

    async fn find(&self, query: &AnalyticsQuery, snapshot: ReadSnapshot) -> Result<Found> {
        if query.is_over_time() {
            let mut found = self.find_raw(query, snapshot).await?;
            (found.rows, found.total) = query.finish(&found.starts, found.rows)?;
            return Ok(found);
        }
        if let Some(dimension) = top_with_visitors(query) {
            return self.find_top(query, dimension, snapshot).await;
        }
        let answer = self.execute(sql::analytics(&*self.visible(query)?, &[], snapshot)).await?;
        let (rows, total) = (answer.rows(query)?, answer.total());
        let (rows_read, table) = (answer.rows_read(), answer.table);
        Ok(Found { rows, total, rows_read, table, granularity: None, starts: vec![] })
    }

    /// All rows. The caller adds the empty buckets, sorts and pages ([`AnalyticsQuery::finish`]).
    async fn find_raw(&self, query: &AnalyticsQuery, snapshot: ReadSnapshot) -> Result<Found> {
        let (mut granularity, mut starts) = (None, Vec::new());
        if query.is_over_time() {
            let from = match query.period.from {
                Some(from) => from,
                None => self.first_click(query, snapshot).await?.unwrap_or(query.period.to),
            };
            let seconds = query.period.to.as_second() - from.as_second();
            let fitting = query.granularity.unwrap_or(Granularity::auto(seconds));
            let found = buckets::starts(query.period, from, fitting, &query.zone);
            let too_many = |reason| {
                let rule = format!("{reason}: choose a coarser one or a shorter date_range");
                ServiceError::field("granularity", rule)
            };
            (granularity, starts) = (Some(fitting), found.map_err(too_many)?);
        }
        let all = AnalyticsQuery { limit: MAX_FETCHED, offset: 0, ..query.clone() };
        let answer = self.execute(sql::analytics(&*self.visible(&all)?, &starts, snapshot)).await?;
        let rows = answer.rows(query)?;
        if rows.len() >= MAX_FETCHED as usize {
            return Err(too_many_rows());
        }
        let (total, rows_read, table) = (rows.len() as u64, answer.rows_read(), answer.table);
        Ok(Found { rows, total, rows_read, table, granularity, starts })
    }

    /// Finds the values with the most clicks first, and counts the visitors of those only: merging
    /// visitor states is the slow part.
    async fn find_top(
        &self,
        query: &AnalyticsQuery,
        dimension: Dimension,
        snapshot: ReadSnapshot,
    ) -> Result<Found> {
        let first = AnalyticsQuery { metrics: vec![Metric::Clicks], ..query.clone() };
        let answer = self.execute(sql::analytics(&*self.visible(&first)?, &[], snapshot)).await?;
        let values = answer.rows(&first)?;
        if values.is_empty() {
            let (total, rows_read, table) = (answer.total(), answer.rows_read(), answer.table);
            let (rows, starts) = (Vec::new(), Vec::new());
            return Ok(Found { rows, total, rows_read, table, granularity: None, starts });
        }
        let values = among(dimension, values.iter().filter_map(|row| row.dimensions.first()));
        let filter = query.filter.iter().cloned().chain(values.map(Filter::Is)).collect();
        let these =
            AnalyticsQuery { filter: Some(Filter::And(filter)), offset: 0, ..query.clone() };
        let with_visitors =
            self.execute(sql::analytics(&*self.visible(&these)?, &[], snapshot)).await?;
        Ok(Found {
            rows: with_visitors.rows(&these)?,
            total: answer.total(),
            rows_read: answer.rows_read() + with_visitors.rows_read(),
            table: with_visitors.table,
            granularity: None,
            starts: Vec::new(),
        })
    }

    /// The time of the first click that matches the query.
    async fn first_click(
        &self,
        query: &AnalyticsQuery,
        snapshot: ReadSnapshot,
    ) -> Result<Option<Timestamp>> {
        let first =
            self.execute(sql::first_click(&*self.visible(query)?, snapshot)).await?.timestamp()?;
        Ok(first.and_then(|at_ms| Timestamp::from_millisecond(at_ms).ok()))
    }

    /// Adds to each row the metrics of the comparison range. Time buckets are matched by position:
    /// the third day with the third day.
    async fn compare(
        &self,
        before: AnalyticsQuery,
        now: &mut Found,
        snapshot: ReadSnapshot,
    ) -> Result<()> {
        // Restricts the query to the rows shown, by one condition per dimension.
        let shown = before.dimensions.iter().enumerate().filter_map(|(at, dimension)| {
            among(*dimension, now.rows.iter().filter_map(|row| row.dimensions.get(at)))
        });
        let filter = before.filter.iter().cloned().chain(shown.map(Filter::Is)).collect();
        let before = AnalyticsQuery {
            filter: Some(Filter::And(filter)),
            granularity: now.granularity,
            order: Vec::new(),
            offset: 0,
            limit: MAX_FETCHED,
            ..before
        };
        let was = self.find(&before, snapshot).await?;
        now.rows_read += was.rows_read;
        let key = |row: &Row, starts: &[i64]| -> Vec<Value> {
            let position = |value: &Value| match value {
                Value::Time(start) => starts
                    .binary_search(start)
                    .ok()
                    .and_then(|index| i64::try_from(index).ok().map(Value::Time)),
                text @ Value::Text(_) => Some(text.clone()),
            };
            row.dimensions.iter().filter_map(position).collect()
        };
        let mut known: HashMap<_, _> =
            was.rows.into_iter().map(|row| (key(&row, &was.starts), row.metrics)).collect();
        let zeros: Vec<_> = before.metrics.iter().map(|metric| Number::zero(*metric)).collect();
        for row in &mut now.rows {
            let metrics = known.remove(&key(row, &now.starts));
            row.comparison = Some(metrics.unwrap_or_else(|| zeros.clone()));
        }
        Ok(())
    }
}

impl AnalyticsQuery {
    /// The requested page of all rows, with empty buckets and sorted; and the total before paging.
    pub(super) fn finish(&self, starts: &[i64], mut rows: Vec<Row>) -> Result<(Vec<Row>, u64)> {
        if self.is_over_time() {
            let filled = fill(self, starts, rows, MAX_FILLED);
            rows = filled.ok_or_else(too_many_rows)?;
            sort(self, &mut rows);
        }
        let total = rows.len() as u64;
        let rows = rows.into_iter().skip(self.offset as usize).take(self.limit as usize);
        Ok((rows.collect(), total))
    }
}

/// The dimension, if the query asks for its values with the most clicks, with visitors.
fn top_with_visitors(query: &AnalyticsQuery) -> Option<Dimension> {
    let needs_visitors = [Metric::UniqueVisitors, Metric::ClicksPerVisitor]
        .iter()
        .any(|one| query.metrics.contains(one));
    let [dimension] = query.dimensions.as_slice() else { return None };
    let by_clicks = Order { key: Key::Metric(Metric::Clicks), is_descending: true };
    let is_top = query.ordered_by() == [by_clicks] && query.metrics.contains(&Metric::Clicks);
    // A query with a filter is fast enough.
    let is_open = query.filter.is_none();
    let has_many = !matches!(
        dimension,
        Dimension::Device
            | Dimension::Browser
            | Dimension::Os
            | Dimension::Continent
            | Dimension::Trigger
            | Dimension::Bot
            | Dimension::BotReason
    );
    let is_worth_it = is_open && has_many && query.limit <= MAX_TOP;
    (needs_visitors && is_top && is_worth_it).then_some(*dimension)
}

/// The condition that a dimension has one of these values; `None` for time.
fn among<'a>(dimension: Dimension, values: impl Iterator<Item = &'a Value>) -> Option<Condition> {
    let mut texts: Vec<_> = values
        .filter_map(|value| match value {
            Value::Time(_) => None,
            Value::Text(text) => Some(text.clone()),
        })
        .collect();
    texts.sort();
    texts.dedup();
    let test = match dimension {
        Dimension::Time => return None,
        Dimension::Link => {
            Test::Links(texts.iter().filter_map(|text| Uuid::parse_str(text).ok()).collect())
        }
        _ => Test::In(texts),
    };
    Some(Condition { dimension, test })
}

//! From a question to its answer.

use std::collections::HashMap;
use std::time::Instant;

use jiff::Timestamp;
use uuid::Uuid;

use super::buckets::{self, Granularity};
use super::dimension::{Dimension, Value};
use super::filter::{Condition, Filter, Test};
use super::metric::{Metric, Number};
use super::query::{AnalyticsQuery, Key, Order};
use super::report::{Cost, Report, Row, fill, sort};
use super::{Analytics, AnalyticsError, AsOf, PLACE_WAIT, place};
use crate::projections::clickhouse::DeletionEpoch;
use crate::queries::sql::{self, ReadSnapshot};

/// How long ago a time has to be that is taken to be past: clicks carry the time at which they
/// came, and are in the log and sent a moment later.
const UNSEALED_MS: u64 = 60_000;
/// How many values have their visitors merged after the others.
const MAX_TOP: u32 = 1_000;
/// How many rows ClickHouse hands over at most, to be filled up and sorted here.
pub(super) const MAX_FETCHED: u32 = 100_000;
/// How many rows an answer over time may have before it is cut to what is asked for.
const MAX_FILLED: usize = 200_000;

/// An answer, and the starts of its buckets of time.
struct Found {
    rows: Vec<Row>,
    total: u64,
    rows_read: u64,
    table: &'static str,
    granularity: Option<Granularity>,
    starts: Vec<i64>,
}

/// Rows as ClickHouse has them, without the buckets in which nothing was.
pub(super) struct Unfilled {
    pub(super) rows: Vec<Row>,
    pub(super) cost: Cost,
    pub(super) granularity: Option<Granularity>,
    pub(super) starts: Vec<i64>,
}

/// What a read is to come to.
#[derive(Clone, Copy)]
enum Wanted {
    Answer,
    Unfilled,
}

impl Analytics {
    /// Answers a question, of each click up to and with the offset of `as_of`.
    ///
    /// What is long past is read without a look at the clicks' offsets, and from rollups; should
    /// clicks of that time have come in meanwhile, the question is asked again without that.
    ///
    /// # Errors
    /// [`AnalyticsError::TooCostly`] where it asks for too much; else where ClickHouse is away or
    /// refuses it.
    pub async fn run(&self, query: &AnalyticsQuery, as_of: AsOf) -> Result<Report, AnalyticsError> {
        let (found, cost) = self.settled(query, as_of, Wanted::Answer).await?;
        let Found { rows, total, granularity, .. } = found;
        Ok(Report { rows, total, cost, period: query.period, granularity })
    }

    /// The same, as ClickHouse has the rows: all of them, in the question's order.
    pub(super) async fn run_unfilled(
        &self,
        query: &AnalyticsQuery,
        as_of: AsOf,
    ) -> Result<Unfilled, AnalyticsError> {
        let (found, cost) = self.settled(query, as_of, Wanted::Unfilled).await?;
        let Found { rows, granularity, starts, .. } = found;
        Ok(Unfilled { rows, cost, granularity, starts })
    }

    async fn settled(
        &self,
        query: &AnalyticsQuery,
        as_of: AsOf,
        wanted: Wanted,
    ) -> Result<(Found, Cost), AnalyticsError> {
        let started = Instant::now();
        let _turn = place(PLACE_WAIT, self.turns.take(query.workspace)).await?;
        let sealed_ms = as_of.at_ms.saturating_sub(UNSEALED_MS);
        let (mut cut, standing) = self.cut(query, as_of, sealed_ms);
        let mut found = self.answer(query, cut, wanted).await?;
        if self.removing(query) != standing {
            cut.is_removing = true;
            found = self.answer(query, cut, wanted).await?;
        }
        if !self.clickhouse.status().is_sealed(cut.through, cut.sealed_ms) {
            found = self.answer(query, ReadSnapshot { sealed_ms: 0, ..cut }, wanted).await?;
        }
        let Found { table, rows_read, .. } = found;
        Ok((found, Cost { table, rows_read, elapsed: started.elapsed() }))
    }

    /// How far a read goes that begins now, and how it stands with removals in the question's
    /// workspace: where that is another one after the read, it has to be done again.
    pub(super) fn cut(
        &self,
        query: &AnalyticsQuery,
        as_of: AsOf,
        sealed_ms: u64,
    ) -> (ReadSnapshot, DeletionEpoch) {
        let standing = self.removing(query);
        let is_removing = standing.is_removing;
        (ReadSnapshot { through: as_of.offset, sealed_ms, is_removing }, standing)
    }

    fn removing(&self, query: &AnalyticsQuery) -> DeletionEpoch {
        self.clickhouse.status().removing.of(query.workspace.uuid())
    }

    async fn answer(
        &self,
        query: &AnalyticsQuery,
        cut: ReadSnapshot,
        wanted: Wanted,
    ) -> Result<Found, AnalyticsError> {
        if matches!(wanted, Wanted::Unfilled) {
            return self.find_unfilled(query, cut).await;
        }
        let mut found = self.find(query, cut).await?;
        if let Some(compare) = query.compare
            && let Some(period) = compare.period(query.period, &query.zone)
        {
            let before = AnalyticsQuery { period, ..query.clone() };
            self.compare(before, &mut found, cut).await?;
        }
        Ok(found)
    }

    async fn find(
        &self,
        query: &AnalyticsQuery,
        cut: ReadSnapshot,
    ) -> Result<Found, AnalyticsError> {
        if query.is_over_time() {
            let mut found = self.find_unfilled(query, cut).await?;
            (found.rows, found.total) = query.finish(&found.starts, found.rows)?;
            return Ok(found);
        }
        if let Some(dimension) = top_with_visitors(query) {
            return self.find_top(query, dimension, cut).await;
        }
        let answer = self.ask(sql::analytics(&self.seen(query), &[], cut)).await?;
        let (rows, total) = (answer.rows(query)?, answer.total());
        let (rows_read, table) = (answer.rows_read(), answer.table);
        Ok(Found { rows, total, rows_read, table, granularity: None, starts: vec![] })
    }

    /// Each row that there is. Empty buckets have their place among them: so these are to be filled
    /// up, sorted and cut to what is asked for [thereafter](AnalyticsQuery::finish).
    async fn find_unfilled(
        &self,
        query: &AnalyticsQuery,
        cut: ReadSnapshot,
    ) -> Result<Found, AnalyticsError> {
        let (mut granularity, mut starts) = (None, Vec::new());
        if query.is_over_time() {
            let from = match query.period.from {
                Some(from) => from,
                None => self.first_click(query, cut).await?.unwrap_or(query.period.to),
            };
            let seconds = query.period.to.as_second() - from.as_second();
            let fitting = query.granularity.unwrap_or(Granularity::auto(seconds));
            let found = buckets::starts(query.period, from, fitting, &query.zone);
            (granularity, starts) = (Some(fitting), found.map_err(AnalyticsError::TooManyBuckets)?);
        }
        let all = AnalyticsQuery { limit: MAX_FETCHED, offset: 0, ..query.clone() };
        let answer = self.ask(sql::analytics(&self.seen(&all), &starts, cut)).await?;
        let rows = answer.rows(query)?;
        if rows.len() >= MAX_FETCHED as usize {
            return Err(AnalyticsError::TooManyRows);
        }
        let (total, rows_read, table) = (rows.len() as u64, answer.rows_read(), answer.table);
        Ok(Found { rows, total, rows_read, table, granularity, starts })
    }

    /// First which values have the most clicks, then who made these: to merge visitors is what
    /// takes long, and most values are not asked for.
    async fn find_top(
        &self,
        query: &AnalyticsQuery,
        dimension: Dimension,
        cut: ReadSnapshot,
    ) -> Result<Found, AnalyticsError> {
        let first = AnalyticsQuery { metrics: vec![Metric::Clicks], ..query.clone() };
        let answer = self.ask(sql::analytics(&self.seen(&first), &[], cut)).await?;
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
        let with_visitors = self.ask(sql::analytics(&self.seen(&these), &[], cut)).await?;
        Ok(Found {
            rows: with_visitors.rows(&these)?,
            total: answer.total(),
            rows_read: answer.rows_read() + with_visitors.rows_read(),
            table: with_visitors.table,
            granularity: None,
            starts: Vec::new(),
        })
    }

    /// When the first of the clicks was that the question is about.
    async fn first_click(
        &self,
        query: &AnalyticsQuery,
        cut: ReadSnapshot,
    ) -> Result<Option<Timestamp>, AnalyticsError> {
        let first = self.ask(sql::first_click(&self.seen(query), cut)).await?.moment()?;
        Ok(first.and_then(|at_ms| Timestamp::from_millisecond(at_ms).ok()))
    }

    /// Adds to each row what the same question comes to of the span before. Buckets of time are
    /// compared by their place: the third day with the third day.
    async fn compare(
        &self,
        before: AnalyticsQuery,
        now: &mut Found,
        cut: ReadSnapshot,
    ) -> Result<(), AnalyticsError> {
        // Of the rows that are shown, and no others: one condition for each dimension.
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
        let was = self.find(&before, cut).await?;
        now.rows_read += was.rows_read;
        let key = |row: &Row, starts: &[i64]| -> Vec<Value> {
            let place = |value: &Value| match value {
                Value::Time(start) => starts
                    .binary_search(start)
                    .ok()
                    .and_then(|place| i64::try_from(place).ok().map(Value::Time)),
                text @ Value::Text(_) => Some(text.clone()),
            };
            row.dimensions.iter().filter_map(place).collect()
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
    /// All rows of an answer as they are asked for: with the buckets in which nothing was, in order,
    /// and cut to those that are wanted. Returns how many there were before the cut, too.
    pub(super) fn finish(
        &self,
        starts: &[i64],
        mut rows: Vec<Row>,
    ) -> Result<(Vec<Row>, u64), AnalyticsError> {
        if self.is_over_time() {
            let filled = fill(self, starts, rows, MAX_FILLED);
            rows = filled.ok_or(AnalyticsError::TooManyRows)?;
            sort(self, &mut rows);
        }
        let total = rows.len() as u64;
        let rows = rows.into_iter().skip(self.offset as usize).take(self.limit as usize);
        Ok((rows.collect(), total))
    }
}

/// The dimension of which those values are asked for that have the most clicks, with visitors.
fn top_with_visitors(query: &AnalyticsQuery) -> Option<Dimension> {
    let needs_visitors = [Metric::UniqueVisitors, Metric::ClicksPerVisitor]
        .iter()
        .any(|one| query.metrics.contains(one));
    let [dimension] = query.dimensions.as_slice() else { return None };
    let by_clicks = Order { key: Key::Metric(Metric::Clicks), is_descending: true };
    let is_top = query.ordered_by() == [by_clicks] && query.metrics.contains(&Metric::Clicks);
    // What is asked for by its values already is as short as it gets.
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

/// The condition that a dimension has one of these values; nothing for time.
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

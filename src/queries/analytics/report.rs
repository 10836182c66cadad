//! The result of a query.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::time::Duration;

use super::buckets::Granularity;
use super::dimension::{Dimension, Value};
use super::metric::{Metric, Number};
use super::period::Period;
use super::query::{AnalyticsQuery, Key, Order};

/// The result of an [`AnalyticsQuery`].
#[derive(Debug, Clone)]
pub struct Report {
    /// The rows, in order.
    pub rows: Vec<Row>,
    /// The total number of rows; `rows` may be a part of them.
    pub total: u64,
    /// What the query cost.
    pub cost: Cost,
    /// The time range of the query.
    pub period: Period,
    /// The length of the time buckets, if any.
    pub granularity: Option<Granularity>,
}

/// What a query cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// The table that was read: `clicks` or a rollup.
    pub table: &'static str,
    /// The number of rows that ClickHouse read.
    pub rows_read: u64,
    /// The elapsed time, including all waiting.
    pub elapsed: Duration,
}

/// The metrics of the clicks with the same dimension values.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The values of the query's dimensions, in their order.
    pub dimensions: Vec<Value>,
    /// The values of the metrics, in their order.
    pub metrics: Vec<Number>,
    /// The metrics of the comparison range.
    pub comparison: Option<Vec<Number>>,
}

/// Adds rows for empty time buckets, for each combination of the other dimensions' values (or for
/// the total, if there are none). `None` if that makes more than `max` rows.
pub fn fill(
    query: &AnalyticsQuery,
    starts: &[i64],
    rows: Vec<Row>,
    max: usize,
) -> Option<Vec<Row>> {
    let at = query.dimensions.iter().position(|one| *one == Dimension::Time)?;
    let mut series: HashMap<Vec<Value>, HashMap<i64, Row>> = HashMap::new();
    if query.dimensions.len() == 1 {
        series.insert(Vec::new(), HashMap::new());
    }
    for row in rows {
        let mut others = row.dimensions.clone();
        if let Value::Time(start) = others.remove(at) {
            series.entry(others).or_default().insert(start, row);
        }
    }
    if series.len().saturating_mul(starts.len()) > max {
        return None;
    }
    let zeros: Vec<_> = query.metrics.iter().map(|metric| Number::zero(*metric)).collect();
    let mut filled = Vec::with_capacity(series.len() * starts.len());
    for (others, mut found) in series {
        for start in starts {
            filled.push(found.remove(start).unwrap_or_else(|| {
                let mut dimensions = others.clone();
                dimensions.insert(at, Value::Time(*start));
                Row { dimensions, metrics: zeros.clone(), comparison: None }
            }));
        }
    }
    Some(filled)
}

/// Sorts rows in the query's order; ties are sorted by the dimension values.
pub fn sort(query: &AnalyticsQuery, rows: &mut [Row]) {
    let order = query.ordered_by();
    rows.sort_unstable_by(|one, other| {
        let by = order.iter().map(|order| compare(query, *order, one, other));
        by.fold(Ordering::Equal, Ordering::then).then_with(|| one.dimensions.cmp(&other.dimensions))
    });
}

fn compare(query: &AnalyticsQuery, order: Order, one: &Row, other: &Row) -> Ordering {
    let ascending = match order.key {
        Key::Metric(metric) => {
            let at = query.metrics.iter().position(|each| *each == metric);
            let size = |row: &Row| at.and_then(|at| row.metrics.get(at)).map_or(0.0, |n| n.size());
            size(one).total_cmp(&size(other))
        }
        Key::Dimension(dimension) => {
            let at = query.dimensions.iter().position(|each| *each == dimension);
            let value = |row: &'_ Row| at.and_then(|at| row.dimensions.get(at)).cloned();
            let (one, other) = (value(one), value(other));
            // A version is a decimal number: the longer text is the larger number.
            let len = |value: &Option<Value>| match value {
                Some(Value::Text(text)) if dimension == Dimension::LinkVersion => text.len(),
                _ => 0,
            };
            len(&one).cmp(&len(&other)).then_with(|| one.cmp(&other))
        }
    };
    if order.is_descending { ascending.reverse() } else { ascending }
}

/// The counts that ClickHouse returns, from which metrics are computed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Counted {
    /// Clicks.
    pub clicks: u64,
    /// Visitors, each counted once.
    pub visitors: u64,
    /// Clicks by bots.
    pub bots: u64,
    /// Clicks that came from a QR code.
    pub qr: u64,
    /// The time of the last click, in milliseconds since the Unix epoch; 0 for none.
    pub last_at_ms: u64,
}

impl Counted {
    /// The value of a metric.
    #[allow(clippy::cast_precision_loss, reason = "a ratio is not exact")]
    pub fn metric(&self, metric: Metric) -> Number {
        match metric {
            Metric::Clicks => Number::Count(self.clicks),
            Metric::UniqueVisitors => Number::Count(self.visitors),
            Metric::BotClicks => Number::Count(self.bots),
            Metric::QrScans => Number::Count(self.qr),
            Metric::ClicksPerVisitor if self.visitors > 0 => {
                Number::Ratio(self.clicks as f64 / self.visitors as f64)
            }
            Metric::LastClickAt => Number::At(Some(self.last_at_ms).filter(|at| *at > 0)),
            other => Number::zero(other),
        }
    }
}

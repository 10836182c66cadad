//! The answer to a question.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::time::Duration;

use super::buckets::Granularity;
use super::dimension::{Dimension, Value};
use super::metric::{Metric, Number};
use super::query::{AnalyticsQuery, Key, Order};
use super::range::Period;

/// The answer to an [`AnalyticsQuery`].
#[derive(Debug, Clone)]
pub struct Report {
    /// The rows, in order.
    pub rows: Vec<Row>,
    /// How many rows there are in all; `rows` may be a part of them.
    pub total: u64,
    /// How the answer was found.
    pub cost: Cost,
    /// The time that was asked about.
    pub period: Period,
    /// How long the buckets of time are, where there are any.
    pub granularity: Option<Granularity>,
}

/// What an answer took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Which table was read: `clicks`, or a rollup.
    pub table: &'static str,
    /// How many rows ClickHouse read.
    pub rows_read: u64,
    /// How long it took, with all waits.
    pub elapsed: Duration,
}

/// What clicks with the same values of the dimensions come to.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The values of the question's dimensions, in their order.
    pub dimensions: Vec<Value>,
    /// The values of its metrics, in their order.
    pub metrics: Vec<Number>,
    /// The same of the span that this one is compared with.
    pub comparison: Option<Vec<Number>>,
}

/// Adds the buckets in which nothing was, for each combination of the other dimensions' values
/// that there is; with no other dimension, for the whole. `None` where that makes more than `max`.
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

/// Puts rows in the question's order; what is equal in it, in that of the dimensions' values.
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
            // A version is a number, of which the longer is the larger.
            let len = |value: &Option<Value>| match value {
                Some(Value::Text(text)) if dimension == Dimension::LinkVersion => text.len(),
                _ => 0,
            };
            len(&one).cmp(&len(&other)).then_with(|| one.cmp(&other))
        }
    };
    if order.is_descending { ascending.reverse() } else { ascending }
}

/// What ClickHouse counts, of which the metrics follow.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Counted {
    /// Clicks, as often as they count.
    pub clicks: u64,
    /// Visitors, each once.
    pub visitors: u64,
    /// Clicks of bots.
    pub bots: u64,
    /// Clicks that began with a QR code.
    pub qr: u64,
    /// When the last click was, in milliseconds since the Unix epoch; 0 for never.
    pub last_at_ms: u64,
}

impl Counted {
    /// What a metric comes to.
    #[allow(clippy::cast_precision_loss, reason = "a ratio is no exact number")]
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

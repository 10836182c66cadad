//! Results of queries.

use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::AsOfView;
use super::links::name_of;
use crate::domain::ids::LinkId;
use crate::http::native::iso8601;
use crate::queries::analytics::{
    AnalyticsQuery, AsOf, Dimension, Granularity, Number, Period, Report, Row, Value,
};

/// The result of a query.
#[derive(Debug, Serialize, ToSchema)]
pub struct QueryResult {
    /// The rows.
    data: Vec<RowView>,
    /// What the rows reflect, and how they were computed.
    meta: QueryMeta,
}

/// The metrics of the clicks that share their dimensions.
#[derive(Debug, Serialize, ToSchema)]
pub struct RowView {
    /// The value of each dimension; null if unknown, which for a referrer or source means a direct
    /// visit. Codes of countries and continents are followed by their names (`country_name`).
    #[schema(value_type = Object)]
    dimensions: Map<String, Json>,
    /// The value of each metric.
    #[schema(value_type = Object)]
    metrics: Map<String, Json>,
    /// The metrics of the earlier period, and the change since.
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<ComparisonView>,
}

/// A row in an earlier period.
#[derive(Debug, Serialize, ToSchema)]
pub struct ComparisonView {
    /// The value of each metric.
    #[schema(value_type = Object)]
    metrics: Map<String, Json>,
    /// The growth of each metric since, in percent; null if it was 0.
    #[schema(value_type = Object)]
    change: Map<String, Json>,
}

/// How a result was computed.
#[derive(Debug, Serialize, ToSchema)]
pub struct QueryMeta {
    as_of: AsOfView,
    /// The number of rows in total; `data` holds at most `limit` of them.
    total_rows: u64,
    /// The date range.
    date_range: RangeView,
    /// The time zone.
    timezone: String,
    /// The length of the buckets of time; null if there are none.
    #[schema(value_type = Option<Granularity>)]
    granularity: Option<&'static str>,
    /// The table that was read: `clicks`, or a rollup.
    table: &'static str,
    /// The number of rows read.
    rows_read: u64,
    /// The execution time.
    elapsed_ms: u64,
}

/// The date range of a result.
#[derive(Debug, Serialize, ToSchema)]
pub struct RangeView {
    /// The start; null for all time.
    #[schema(format = DateTime)]
    from: Option<String>,
    /// The end, exclusive.
    #[schema(format = DateTime)]
    to: String,
}

impl From<Period> for RangeView {
    fn from(period: Period) -> Self {
        let text = |at: jiff::Timestamp| iso8601(u64::try_from(at.as_millisecond()).unwrap_or(0));
        Self { from: period.from.map(text), to: text(period.to) }
    }
}

impl QueryResult {
    /// The result of a report; `host` is the name of the default domain.
    pub fn new(query: &AnalyticsQuery, report: Report, as_of: AsOf, host: &str) -> Self {
        let Report { rows, total, cost, period, granularity } = report;
        let view = View { query, granularity, host };
        Self {
            data: rows.iter().map(|row| view.row(row)).collect(),
            meta: QueryMeta {
                as_of: as_of.into(),
                total_rows: total,
                date_range: period.into(),
                timezone: query.zone.iana_name().unwrap_or("UTC").to_owned(),
                granularity: granularity.map(Granularity::as_str),
                table: cost.table,
                rows_read: cost.rows_read,
                elapsed_ms: u64::try_from(cost.elapsed.as_millis()).unwrap_or(u64::MAX),
            },
        }
    }
}

struct View<'a> {
    query: &'a AnalyticsQuery,
    granularity: Option<Granularity>,
    host: &'a str,
}

impl View<'_> {
    fn row(&self, row: &Row) -> RowView {
        let mut dimensions = Map::new();
        for (dimension, value) in self.query.dimensions.iter().zip(&row.dimensions) {
            dimensions.insert(dimension.as_str().to_owned(), self.value(*dimension, value));
            if let Value::Text(code) = value
                && let Some((field, name)) = name_of(*dimension, code)
            {
                dimensions.insert(field.to_owned(), json!(name));
            }
        }
        RowView {
            dimensions,
            metrics: self.metrics(&row.metrics),
            comparison: row.comparison.as_ref().map(|before| ComparisonView {
                metrics: self.metrics(before),
                change: self.changes(before, &row.metrics),
            }),
        }
    }

    fn metrics(&self, numbers: &[Number]) -> Map<String, Json> {
        let names = self.query.metrics.iter().map(|metric| metric.as_str().to_owned());
        names.zip(numbers.iter().map(|number| shown(*number))).collect()
    }

    fn changes(&self, before: &[Number], now: &[Number]) -> Map<String, Json> {
        let each = self.query.metrics.iter().zip(before.iter().zip(now));
        let change = |was: &Number, is: &Number| match (was, is) {
            (Number::At(_), _) | (_, Number::At(_)) => Json::Null,
            _ if was.size() <= 0.0 => Json::Null,
            _ => json!(((is.size() / was.size() - 1.0) * 1_000.0).round() / 10.0),
        };
        each.map(|(metric, (was, is))| (metric.as_str().to_owned(), change(was, is))).collect()
    }

    fn value(&self, dimension: Dimension, value: &Value) -> Json {
        match (dimension, value) {
            (_, Value::Time(start)) => {
                json!(self.granularity.map(|one| one.label(*start, &self.query.zone)))
            }
            (Dimension::Link, Value::Text(id)) => {
                json!(Uuid::parse_str(id).ok().map(|id| LinkId::new(id).to_string()))
            }
            (Dimension::Domain, Value::Text(domain)) if domain.is_empty() => json!(self.host),
            (Dimension::Bot, Value::Text(is)) => json!(is == "true"),
            (Dimension::LinkVersion, Value::Text(number)) => json!(number.parse::<u64>().ok()),
            (_, Value::Text(text)) if text.is_empty() => Json::Null,
            (_, Value::Text(text)) => json!(text),
        }
    }
}

fn shown(number: Number) -> Json {
    match number {
        Number::Count(count) => json!(count),
        Number::Ratio(ratio) => json!((ratio * 10_000.0).round() / 10_000.0),
        Number::At(at) => json!(at.map(iso8601)),
    }
}

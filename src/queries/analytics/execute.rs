//! Runs statements in ClickHouse, within limits.

use clickhouse::error::Error;
use serde::Deserialize;
use serde_json::Value as Json;

use super::dimension::{Dimension, Value};
use super::query::AnalyticsQuery;
use super::report::{Counted, Row};
use super::{Analytics, acquire, unavailable};
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::limits::{QUERY_QUEUE_TIMEOUT, QUERY_TIMEOUT};
use crate::queries::sql::{Count, Statement};

const TOO_LONG: &str = "It takes too long: narrow the date range, or filter by link.";

/// ClickHouse's format `JSONCompact`.
#[derive(Debug, Deserialize)]
struct Body {
    data: Vec<Vec<Json>>,
    rows_before_limit_at_least: Option<u64>,
    statistics: Statistics,
}

#[derive(Debug, Deserialize)]
struct Statistics {
    rows_read: u64,
}

/// The result of a statement.
#[derive(Debug)]
pub struct QueryResult {
    body: Body,
    counts: Vec<Count>,
    /// The table that was read.
    pub table: &'static str,
}

impl Analytics {
    /// Runs a statement in ClickHouse. A bounded number runs at once; the others wait.
    pub(super) async fn execute(&self, statement: Statement) -> Result<QueryResult> {
        let reading = self.clickhouse.reading().ok_or_else(|| self.unavailable())?;
        // Waiting for a permit does not count towards the query's time.
        let _permit = acquire(QUERY_QUEUE_TIMEOUT, self.pool.acquire()).await?;
        let running_query = async {
            let mut bytes = statement.query(&reading).fetch_bytes("JSONCompact")?;
            bytes.collect().await
        };
        let bytes = match tokio::time::timeout(QUERY_TIMEOUT, running_query).await {
            Err(_) => return Err(too_costly(TOO_LONG)),
            Ok(Err(error)) => return Err(failed(&error)),
            Ok(Ok(bytes)) => bytes,
        };
        let body = serde_json::from_slice(&bytes);
        let body = body.map_err(ServiceError::internal)?;
        let Statement { counts, table, .. } = statement;
        Ok(QueryResult { body, counts, table })
    }
}

/// Maps a ClickHouse error. The codes are those of its `ErrorCodes.cpp`.
pub(super) fn failed(error: &Error) -> ServiceError {
    let text = match error {
        Error::Network(_) | Error::TimedOut => return unavailable(None),
        other => other.to_string(),
    };
    let code = text.split_once("Code: ").and_then(|(_, rest)| rest.split_once('.'));
    match code.and_then(|(code, _)| code.parse().ok()).unwrap_or(0_u32) {
        159 | 160 => too_costly(TOO_LONG),
        241 | 173 => too_costly(
            "It takes too much memory: ask for fewer dimensions, a shorter date range, or no \
             dedupe.",
        ),
        158 | 307 | 396 => too_costly("It reads too many clicks: narrow the date range."),
        427 => ServiceError::field("filters", "hold a pattern that is not a valid RE2 expression"),
        _ => {
            tracing::error!(error = text, "analytics query failed");
            ServiceError::internal(text)
        }
    }
}

fn too_costly(message: &'static str) -> ServiceError {
    ServiceError::new(ErrorCode::TooCostly, message)
}

/// The result has too many rows to be filled up and sorted.
pub(super) fn too_many_rows() -> ServiceError {
    too_costly(
        "It has too many rows: filter by one of the dimensions, or choose a coarser granularity.",
    )
}

impl QueryResult {
    /// How many rows ClickHouse read.
    pub const fn rows_read(&self) -> u64 {
        self.body.statistics.rows_read
    }

    /// The number of rows without the limit.
    pub fn total(&self) -> u64 {
        self.body.rows_before_limit_at_least.unwrap_or(self.body.data.len() as u64)
    }

    /// The raw rows.
    pub(super) fn into_rows(self) -> Vec<Vec<Json>> {
        self.body.data
    }

    /// The single timestamp that was selected; `None` if it is zero.
    pub(super) fn timestamp(&self) -> Result<Option<i64>> {
        let moment = self.body.data.first().and_then(|row| row.first()).and_then(Json::as_i64);
        let moment = moment.ok_or_else(|| unexpected("no timestamp"))?;
        Ok(Some(moment).filter(|at| *at > 0))
    }

    /// The rows, with the query's metrics.
    pub(super) fn rows(&self, query: &AnalyticsQuery) -> Result<Vec<Row>> {
        self.body.data.iter().map(|row| self.row(query, row)).collect()
    }

    fn row(&self, query: &AnalyticsQuery, row: &[Json]) -> Result<Row> {
        let (dimensions, numbers) = row
            .split_at_checked(query.dimensions.len())
            .ok_or_else(|| unexpected("too few columns"))?;
        let dimensions = query.dimensions.iter().zip(dimensions);
        let dimensions = dimensions.map(|(dimension, value)| value_of(*dimension, value));
        let mut counted = Counted::default();
        for (count, number) in self.counts.iter().zip(numbers) {
            let number = number.as_u64().ok_or_else(|| unexpected("a count"))?;
            let slot = match count {
                Count::Clicks => &mut counted.clicks,
                Count::Visitors => &mut counted.visitors,
                Count::Bots => &mut counted.bots,
                Count::Qr => &mut counted.qr,
                Count::LastAt => &mut counted.last_at_ms,
            };
            *slot = number;
        }
        Ok(Row {
            dimensions: dimensions.collect::<Result<_, _>>()?,
            metrics: query.metrics.iter().map(|metric| counted.metric(*metric)).collect(),
            comparison: None,
        })
    }
}

fn value_of(dimension: Dimension, value: &Json) -> Result<Value> {
    match (dimension, value) {
        (Dimension::Time, value) => {
            value.as_i64().map(Value::Time).ok_or_else(|| unexpected("a bucket's start"))
        }
        (_, Json::String(text)) => Ok(Value::Text(text.clone())),
        (_, Json::Number(number)) => Ok(Value::Text(number.to_string())),
        _ => Err(unexpected("a dimension's value")),
    }
}

fn unexpected(what: &str) -> ServiceError {
    ServiceError::internal(format!("unexpected response from ClickHouse: {what}"))
}

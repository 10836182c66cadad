//! Asking ClickHouse, within bounds.

use std::time::Duration;

use clickhouse::error::Error;
use serde::Deserialize;
use serde_json::Value as Json;

use super::dimension::{Dimension, Value};
use super::query::AnalyticsQuery;
use super::report::{Counted, Row};
use super::{Analytics, AnalyticsError, PLACE_WAIT, place};
use crate::queries::sql::{Count, Statement};

/// How long an answer may take, ClickHouse's own limit included.
const TIMEOUT: Duration = Duration::from_secs(25);

/// What ClickHouse's format `JSONCompact` says.
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

/// What ClickHouse answered.
#[derive(Debug)]
pub struct Answer {
    body: Body,
    counts: Vec<Count>,
    /// What was read.
    pub table: &'static str,
}

impl Analytics {
    /// Puts a statement to ClickHouse; few at once, the others wait.
    pub(super) async fn ask(&self, statement: Statement) -> Result<Answer, AnalyticsError> {
        let reading = self.clickhouse.reading().ok_or(AnalyticsError::Away)?;
        // The wait is no part of what the query costs.
        let _place = place(PLACE_WAIT, self.pool.acquire()).await?;
        let asking = async {
            let mut bytes = statement.query(&reading).fetch_bytes("JSONCompact")?;
            bytes.collect().await
        };
        let bytes = match tokio::time::timeout(TIMEOUT, asking).await {
            Err(_) => return Err(AnalyticsError::TooCostly(Limit::Time)),
            Ok(Err(error)) => return Err(failed(&error)),
            Ok(Ok(bytes)) => bytes,
        };
        let body = serde_json::from_slice(&bytes);
        let body = body.map_err(|error| AnalyticsError::Failed(error.to_string()))?;
        let Statement { counts, table, .. } = statement;
        Ok(Answer { body, counts, table })
    }
}

/// What a question may not exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// It took too long.
    Time,
    /// It took too much memory.
    Memory,
    /// It read too many rows.
    Rows,
}

/// What became of a question that failed. ClickHouse's codes are those of its `ErrorCodes.cpp`.
pub(super) fn failed(error: &Error) -> AnalyticsError {
    let text = match error {
        Error::Network(_) | Error::TimedOut => return AnalyticsError::Away,
        other => other.to_string(),
    };
    let code = text.split_once("Code: ").and_then(|(_, rest)| rest.split_once('.'));
    match code.and_then(|(code, _)| code.parse().ok()).unwrap_or(0_u32) {
        159 | 160 => AnalyticsError::TooCostly(Limit::Time),
        241 | 173 => AnalyticsError::TooCostly(Limit::Memory),
        158 | 307 | 396 => AnalyticsError::TooCostly(Limit::Rows),
        427 => AnalyticsError::BadPattern,
        _ => {
            tracing::error!(error = text, "an analytics question failed");
            AnalyticsError::Failed(text)
        }
    }
}

impl Answer {
    /// How many rows ClickHouse read.
    pub const fn rows_read(&self) -> u64 {
        self.body.statistics.rows_read
    }

    /// How many rows there are without a limit.
    pub fn total(&self) -> u64 {
        self.body.rows_before_limit_at_least.unwrap_or(self.body.data.len() as u64)
    }

    /// The rows as they came.
    pub(super) fn into_rows(self) -> Vec<Vec<Json>> {
        self.body.data
    }

    /// The one moment that was asked for; `None` where there was none.
    pub(super) fn moment(&self) -> Result<Option<i64>, AnalyticsError> {
        let moment = self.body.data.first().and_then(|row| row.first()).and_then(Json::as_i64);
        let moment = moment.ok_or_else(|| odd("no moment"))?;
        Ok(Some(moment).filter(|at| *at > 0))
    }

    /// The rows, with the question's metrics.
    pub(super) fn rows(&self, query: &AnalyticsQuery) -> Result<Vec<Row>, AnalyticsError> {
        self.body.data.iter().map(|row| self.row(query, row)).collect()
    }

    fn row(&self, query: &AnalyticsQuery, row: &[Json]) -> Result<Row, AnalyticsError> {
        let (dimensions, numbers) =
            row.split_at_checked(query.dimensions.len()).ok_or_else(|| odd("too few columns"))?;
        let dimensions = query.dimensions.iter().zip(dimensions);
        let dimensions = dimensions.map(|(dimension, value)| value_of(*dimension, value));
        let mut counted = Counted::default();
        for (count, number) in self.counts.iter().zip(numbers) {
            let number = number.as_u64().ok_or_else(|| odd("a count"))?;
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

fn value_of(dimension: Dimension, value: &Json) -> Result<Value, AnalyticsError> {
    match (dimension, value) {
        (Dimension::Time, value) => {
            value.as_i64().map(Value::Time).ok_or_else(|| odd("a bucket's start"))
        }
        (_, Json::String(text)) => Ok(Value::Text(text.clone())),
        (_, Json::Number(number)) => Ok(Value::Text(number.to_string())),
        _ => Err(odd("a dimension's value")),
    }
}

fn odd(what: &str) -> AnalyticsError {
    AnalyticsError::Failed(format!("ClickHouse's answer is not as it should be: {what}"))
}

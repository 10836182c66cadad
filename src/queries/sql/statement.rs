//! A statement, the values that it is asked with, and what it may cost.

use clickhouse::query::Query;
use serde::Serialize;

use super::Count;
use crate::projections::clickhouse::Reading;

/// What one question may cost: one that goes further is ended by ClickHouse itself.
const LIMITS: &[(&str, &str)] = &[
    ("max_execution_time", "20"),
    ("max_memory_usage", "1000000000"),
    ("max_rows_to_read", "2000000000"),
    ("max_threads", "4"),
    ("exact_rows_before_limit", "1"),
    ("output_format_json_quote_64bit_integers", "0"),
    ("date_time_output_format", "iso"),
    // The last one: nothing may be set after it.
    ("readonly", "1"),
];

/// What an export may cost: it goes on for as long as somebody takes it.
const EXPORT_LIMITS: &[(&str, &str)] = &[
    ("max_execution_time", "0"),
    ("max_memory_usage", "1000000000"),
    ("optimize_read_in_order", "1"),
    ("date_time_output_format", "iso"),
    ("output_format_json_quote_64bit_integers", "0"),
    ("output_format_json_escape_forward_slashes", "0"),
    ("output_format_parquet_string_as_string", "1"),
    ("output_format_arrow_string_as_string", "1"),
    ("readonly", "1"),
];

/// How much of a list goes into one parameter, in bytes; one more text may follow.
const MAX_PARAMETER_BYTES: usize = 64 << 10;

/// A value that a statement is asked with.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Value {
    Number(u64),
    Signed(i64),
    Text(String),
    Numbers(Vec<i64>),
    Texts(Vec<String>),
}
/// A statement and its values.
#[derive(Debug)]
pub struct Statement {
    pub(super) sql: String,
    values: Vec<Value>,
    /// What the columns after those of the dimensions are.
    pub counts: Vec<Count>,
    /// Which table it reads, as answers tell it.
    pub table: &'static str,
    limits: &'static [(&'static str, &'static str)],
}

impl Statement {
    pub(super) const fn new(counts: Vec<Count>, table: &'static str) -> Self {
        Self { sql: String::new(), values: Vec::new(), counts, table, limits: LIMITS }
    }

    pub(super) fn export() -> Self {
        Self { limits: EXPORT_LIMITS, ..Self::new(Vec::new(), "clicks") }
    }

    /// The statement over the tables in use.
    pub fn query(&self, reading: &Reading) -> Query {
        let mut query = reading.client.query(&self.sql);
        for (name, value) in self.limits {
            query = query.with_setting(*name, *value);
        }
        let tables = reading.generation;
        query = query
            .param("clicks", tables.clicks())
            .param("hourly", tables.clicks_hourly())
            .param("links", tables.clicks_daily_links())
            .param("values", tables.clicks_daily_values())
            .param("blocked", tables.blocked())
            .param("forgotten", tables.forgotten());
        for (number, value) in self.values.iter().enumerate() {
            query = query.param(&format!("p{number}"), value);
        }
        query
    }

    /// Where a value goes that has this type in ClickHouse.
    pub(super) fn bind(&mut self, kind: &'static str, value: Value) -> String {
        self.values.push(value);
        format!("{{p{}:{kind}}}", self.values.len() - 1)
    }

    /// Where a list goes. ClickHouse takes no more than 128 KiB in one parameter, so a long list
    /// is put together of some.
    pub(super) fn list(
        &mut self,
        kind: &'static str,
        texts: impl Iterator<Item = String>,
    ) -> String {
        let (mut parts, mut part, mut bytes) = (Vec::new(), Vec::new(), 0);
        for text in texts {
            let escaped = text.bytes().filter(|byte| b"\\'`\t\n".contains(byte)).count();
            bytes += text.len() + escaped + 3;
            part.push(text);
            if bytes > MAX_PARAMETER_BYTES {
                parts.push(self.bind(kind, Value::Texts(std::mem::take(&mut part))));
                bytes = 0;
            }
        }
        parts.push(self.bind(kind, Value::Texts(part)));
        match parts.as_slice() {
            [one] => one.clone(),
            _ => format!("arrayConcat({})", parts.join(", ")),
        }
    }

    pub(super) fn text(&mut self, text: &str) -> String {
        self.bind("String", Value::Text(text.to_owned()))
    }
}

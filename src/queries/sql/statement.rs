//! A statement with its bound values and limits.

use clickhouse::query::Query;
use serde::Serialize;

use super::count::Count;
use crate::projections::clickhouse::Reading;

/// The limits of a query, enforced by ClickHouse.
const LIMITS: &[(&str, &str)] = &[
    ("max_execution_time", "20"),
    ("max_memory_usage", "1000000000"),
    ("max_rows_to_read", "2000000000"),
    ("max_threads", "4"),
    ("exact_rows_before_limit", "1"),
    ("output_format_json_quote_64bit_integers", "0"),
    ("date_time_output_format", "iso"),
    // Must be last: no setting can follow it.
    ("readonly", "1"),
];

/// The limits of an export. It runs for as long as the client reads.
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

/// The maximum size of a list in one parameter, in bytes; one more text may follow.
const MAX_PARAMETER_BYTES: usize = 64 << 10;

/// A bound value.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Value {
    Number(u64),
    Signed(i64),
    Text(String),
    Numbers(Vec<i64>),
    Texts(Vec<String>),
}
/// A statement and its bound values.
#[derive(Debug)]
pub struct Statement {
    pub(super) sql: String,
    values: Vec<Value>,
    /// The columns after those of the dimensions.
    pub counts: Vec<Count>,
    /// The table that it reads, for reports.
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

    /// The statement over the current tables.
    pub fn query(&self, reading: &Reading) -> Query {
        let mut query = reading.generation.query(&reading.client, &self.sql);
        for (name, value) in self.limits {
            query = query.with_setting(*name, *value);
        }
        for (number, value) in self.values.iter().enumerate() {
            query = query.param(&format!("p{number}"), value);
        }
        query
    }

    /// Binds a value of this ClickHouse type and returns its placeholder.
    pub(super) fn bind(&mut self, kind: &'static str, value: Value) -> String {
        self.values.push(value);
        format!("{{p{}:{kind}}}", self.values.len() - 1)
    }

    /// Binds a list. ClickHouse accepts at most 128 KiB in one parameter, so a long list is
    /// concatenated from several.
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

    pub(super) fn number(&mut self, number: u64) -> String {
        self.bind("UInt64", Value::Number(number))
    }

    pub(super) fn text(&mut self, text: &str) -> String {
        self.bind("String", Value::Text(text.to_owned()))
    }
}

//! The only analytic SQL. Values are bound, never spliced; what is put together here are constants
//! of this file and the names of the parameters that hold the values.

use std::fmt::Write as _;

use clickhouse::query::Query;
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::analytics::{
    AnalyticsQuery, Bots, Condition, Dedupe, Dimension, Filter, Key, Metric, Order, Period, Test,
};
use super::plan::{Rollup, Source};
use crate::projections::clickhouse::Reading;

/// What one question may cost: one that goes further is ended by ClickHouse itself.
const LIMITS: &[(&str, &str)] = &[
    ("max_execution_time", "20"),
    ("max_memory_usage", "1000000000"),
    ("max_rows_to_read", "2000000000"),
    ("exact_rows_before_limit", "1"),
    ("output_format_json_quote_64bit_integers", "0"),
    // The last one: nothing may be set after it.
    ("readonly", "1"),
];

/// How much of a list goes into one parameter, in bytes; one more text may follow.
const MAX_PARAMETER_BYTES: usize = 64 << 10;

/// The year 2100, in milliseconds since the Unix epoch: ClickHouse's days end in 2149, and no click
/// is of a later time, nor of one before the epoch.
const LAST_MS: i64 = 4_102_444_800_000;

/// What ClickHouse is asked to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Clicks.
    Clicks,
    /// Visitors, each once.
    Visitors,
    /// Clicks of bots.
    Bots,
    /// Clicks that began with a QR code.
    Qr,
    /// When the last click was, in milliseconds since the Unix epoch.
    LastAt,
}

/// A value that a statement is asked with.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
enum Value {
    Number(u64),
    Signed(i64),
    Text(String),
    Numbers(Vec<i64>),
    Texts(Vec<String>),
}

/// A statement and its values.
#[derive(Debug)]
pub struct Statement {
    sql: String,
    values: Vec<Value>,
    /// What the columns after those of the dimensions are.
    pub counts: Vec<Count>,
    /// Which table it reads, as answers tell it.
    pub table: &'static str,
}

impl Statement {
    pub(super) const fn new(counts: Vec<Count>, table: &'static str) -> Self {
        Self { sql: String::new(), values: Vec::new(), counts, table }
    }

    /// The statement over the tables in use.
    pub fn query(&self, reading: &Reading) -> Query {
        let mut query = reading.client.query(&self.sql);
        for (name, value) in LIMITS {
            query = query.with_setting(*name, *value);
        }
        let tables = reading.generation;
        query = query
            .param("clicks", tables.clicks())
            .param("hourly", tables.clicks_hourly())
            .param("links", tables.clicks_daily_links())
            .param("values", tables.clicks_daily_values());
        for (number, value) in self.values.iter().enumerate() {
            query = query.param(&format!("p{number}"), value);
        }
        query
    }

    /// Where a value goes that has this type in ClickHouse.
    fn bind(&mut self, kind: &'static str, value: Value) -> String {
        self.values.push(value);
        format!("{{p{}:{kind}}}", self.values.len() - 1)
    }

    /// Where a list goes. ClickHouse takes no more than 128 KiB in one parameter, so a long list
    /// is put together of some.
    fn list(&mut self, kind: &'static str, texts: impl Iterator<Item = String>) -> String {
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

    fn text(&mut self, text: &str) -> String {
        self.bind("String", Value::Text(text.to_owned()))
    }

    /// The clicks that the question is about, of a part of its time, up to an offset.
    fn clicks_of(&mut self, query: &AnalyticsQuery, period: Period, through: u64) -> String {
        let sealed = self.sealed_clicks_of(query, period);
        let through = self.bind("UInt64", Value::Number(through));
        format!("{sealed} AND log_offset <= {through}")
    }

    /// The same, whatever their offsets.
    fn sealed_clicks_of(&mut self, query: &AnalyticsQuery, period: Period) -> String {
        let workspace = self.workspace(query);
        let mut sql = format!("FROM {{clicks:Identifier}} WHERE workspace_id = {workspace}");
        let from = period.from.map(|from| (">=", from));
        for (sign, moment) in from.into_iter().chain([("<", period.to)]) {
            let at_ms = moment.as_millisecond().clamp(0, LAST_MS);
            let moment = self.bind("Int64", Value::Signed(at_ms));
            let moment = format!("fromUnixTimestamp64Milli({moment}, 'UTC')");
            // The day is in the table's order; ClickHouse doesn't see by itself that it follows.
            let days = sign.trim_end_matches('=');
            let _infallible =
                write!(sql, " AND ts {sign} {moment} AND toDate(ts) {days}= toDate({moment})");
        }
        if let Some(filter) = &query.filter {
            let filter = self.filter(filter, &column);
            let _infallible = write!(sql, " AND {filter}");
        }
        sql
    }

    fn workspace(&mut self, query: &AnalyticsQuery) -> String {
        self.bind("UUID", Value::Text(query.workspace.uuid().to_string()))
    }

    /// The values of the dimensions, named `d0`, `d1`, …; `time` is the expression of a row's time
    /// in seconds, `column` those of the others.
    fn dimensions(
        &mut self,
        query: &AnalyticsQuery,
        starts: &[i64],
        time: &str,
        column: Column<'_>,
    ) -> String {
        let mut columns = String::new();
        for (number, dimension) in query.dimensions.iter().enumerate() {
            let column = match dimension {
                Dimension::Time => {
                    let starts = self.bind("Array(Int64)", Value::Numbers(starts.to_vec()));
                    format!("roundDown(toInt64({time}), {starts})")
                }
                other => column(*other).to_owned(),
            };
            let _infallible = write!(columns, "{column} AS d{number}, ");
        }
        columns
    }

    /// Single clicks, for counts that don't add up.
    fn single_clicks(&mut self, query: &AnalyticsQuery, starts: &[i64], cut: Cut) -> String {
        let dimensions = self.dimensions(query, starts, "toUnixTimestamp(ts)", &column);
        let clicks = self.clicks_of(query, query.period, cut.through);
        let bots = bots_condition(query);
        format!(
            "SELECT {dimensions}bot != '' AS is_bot, link_id, visitor_id, ts, qr {clicks}{bots}"
        )
    }

    /// Rows that add up to the answer: from a rollup, from the sealed clicks beside it, and from
    /// those after, by their offsets.
    fn parts(
        &mut self,
        query: &AnalyticsQuery,
        starts: &[i64],
        source: &Source,
        cut: Cut,
    ) -> String {
        let Period { from, to } = query.period;
        let sealed = Timestamp::from_millisecond(cut.sealed_ms.try_into().unwrap_or(i64::MAX))
            .unwrap_or(Timestamp::MAX)
            .min(to);
        let is_before_sealed = from.is_none_or(|from| from < sealed);
        let mut parts = Vec::new();
        let mut sealed_periods = Vec::new();
        if let Source::Rollup { rollup, from: first, to: last } = source {
            parts.push(self.rolled_up(query, starts, *rollup, *first, *last));
            if let Some(first) = *first
                && from.is_none_or(|from| from < first)
            {
                sealed_periods.push(Period { from, to: first });
            }
            if *last < sealed {
                sealed_periods.push(Period { from: Some(*last), to: sealed });
            }
        } else if is_before_sealed && cut.sealed_ms > 0 {
            sealed_periods.push(Period { from, to: sealed });
        }
        for period in sealed_periods {
            let clicks = |statement: &mut Self| statement.sealed_clicks_of(query, period);
            parts.push(self.part(query, starts, clicks));
        }
        if sealed < to || cut.sealed_ms == 0 {
            let from = if cut.sealed_ms == 0 { from } else { from.max(Some(sealed)) };
            let clicks =
                |statement: &mut Self| statement.clicks_of(query, Period { from, to }, cut.through);
            parts.push(self.part(query, starts, clicks));
        }
        parts.join(" UNION ALL ")
    }

    /// A part of single clicks.
    fn part(
        &mut self,
        query: &AnalyticsQuery,
        starts: &[i64],
        clicks: impl FnOnce(&mut Self) -> String,
    ) -> String {
        let mut columns = self.dimensions(query, starts, "toUnixTimestamp(ts)", &column);
        columns.push_str("bot != '' AS is_bot");
        for column in self.part_columns() {
            let aggregate = match column {
                "part_clicks" => "count()",
                "part_scans" => "countIf(qr)",
                "part_last_at" => "max(ts)",
                _ => "uniqCombinedState(14)(visitor_id)",
            };
            let _infallible = write!(columns, ", {aggregate} AS {column}");
        }
        let clicks = clicks(self);
        let (bots, groups) = (bots_condition(query), groups(query));
        format!("SELECT {columns} {clicks}{bots} GROUP BY {groups}")
    }

    /// A part of a rollup's rows, between two of its hours or days.
    fn rolled_up(
        &mut self,
        query: &AnalyticsQuery,
        starts: &[i64],
        rollup: Rollup,
        from: Option<Timestamp>,
        to: Timestamp,
    ) -> String {
        let of = |dimension: Dimension| match rollup {
            Rollup::Values(_) => "value",
            Rollup::Hours | Rollup::Links => column(dimension),
        };
        let mut columns = self.dimensions(query, starts, rollup.time(), &of);
        columns.push_str("is_bot");
        for column in self.part_columns() {
            let aggregate = match column {
                "part_clicks" => "sum(clicks)",
                "part_scans" => "sum(scans)",
                "part_last_at" => "max(last_at)",
                _ => "uniqCombinedMergeState(14)(visitors)",
            };
            let _infallible = write!(columns, ", {aggregate} AS {column}");
        }
        let workspace = self.workspace(query);
        let mut sql = format!(
            "SELECT {columns} FROM {{{}:Identifier}} WHERE workspace_id = {workspace}",
            rollup.parameter()
        );
        if let Rollup::Values(dimension) = rollup {
            let dimension = self.text(dimension.as_str());
            let _infallible = write!(sql, " AND dimension = {dimension}");
        }
        for (sign, moment) in from.map(|from| (">=", from)).into_iter().chain([("<", to)]) {
            let moment = self.bind("Int64", Value::Signed(moment.as_second()));
            let bound = rollup.bound(&moment);
            let _infallible = write!(sql, " AND {} {sign} {bound}", rollup.column());
        }
        if let Some(filter) = &query.filter {
            let filter = self.filter(filter, &of);
            let _infallible = write!(sql, " AND {filter}");
        }
        match bots_condition(query) {
            " AND bot = ''" => sql.push_str(" AND NOT is_bot"),
            "" => {}
            _ => sql.push_str(" AND is_bot"),
        }
        let _infallible = write!(sql, " GROUP BY {}", groups(query));
        sql
    }

    /// The columns of a part that the counts need.
    fn part_columns(&self) -> Vec<&'static str> {
        let mut columns: Vec<_> = self
            .counts
            .iter()
            .map(|count| match count {
                Count::Clicks | Count::Bots => "part_clicks",
                Count::Visitors => "part_visitors",
                Count::Qr => "part_scans",
                Count::LastAt => "part_last_at",
            })
            .collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    fn filter(&mut self, filter: &Filter, column: Column<'_>) -> String {
        match filter {
            Filter::Is(condition) => self.condition(condition, column),
            Filter::Not(one) => format!("NOT {}", self.filter(one, column)),
            Filter::And(each) => self.joined(each, column, " AND ", "true"),
            Filter::Or(each) => self.joined(each, column, " OR ", "false"),
        }
    }

    fn joined(&mut self, each: &[Filter], column: Column<'_>, word: &str, of_none: &str) -> String {
        let each: Vec<_> = each.iter().map(|filter| self.filter(filter, column)).collect();
        if each.is_empty() { of_none.to_owned() } else { format!("({})", each.join(word)) }
    }

    fn condition(&mut self, condition: &Condition, column: Column<'_>) -> String {
        let column = column(condition.dimension);
        match &condition.test {
            Test::In(values) => {
                let values = self.list("Array(String)", values.iter().cloned());
                format!("({column} IN {values})")
            }
            Test::Links(links) => {
                let links = self.list("Array(UUID)", links.iter().map(Uuid::to_string));
                format!("(link_id IN {links})")
            }
            Test::Contains(text) => {
                format!("(positionCaseInsensitiveUTF8({column}, {}) > 0)", self.text(text))
            }
            Test::Matches(pattern) => format!("match({column}, {})", self.text(pattern)),
            Test::IsSet if condition.dimension.is_text() => format!("({column} != '')"),
            Test::IsSet => "true".to_owned(),
        }
    }
}

/// What the rows of a part are told apart by.
fn groups(query: &AnalyticsQuery) -> String {
    let dimensions = (0..query.dimensions.len()).map(|number| format!("d{number}, "));
    dimensions.collect::<String>() + "is_bot"
}

/// What a dimension is of a row.
type Column<'a> = &'a dyn Fn(Dimension) -> &'static str;

/// What a dimension is of a click.
const fn column(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Time => "toUnixTimestamp(ts)",
        Dimension::Link => "link_id",
        Dimension::Domain => "domain",
        // Links have none of these yet.
        Dimension::Tag | Dimension::Folder | Dimension::Campaign | Dimension::Rule => "''",
        Dimension::Destination => "destination",
        Dimension::LinkVersion => "toString(link_version)",
        Dimension::Continent => "continent",
        Dimension::Country => "country",
        Dimension::Region => "region",
        Dimension::City => "city",
        Dimension::Device => "device",
        Dimension::Browser => "browser",
        Dimension::BrowserVersion => "browser_version",
        Dimension::Os => "os",
        Dimension::OsVersion => "os_version",
        Dimension::Bot => "if(bot = '', 'false', 'true')",
        Dimension::BotReason => "bot",
        Dimension::Referrer => "referrer",
        Dimension::ReferrerUrl => "referrer_url",
        Dimension::Language => "language",
        Dimension::UtmSource => "utm_source",
        Dimension::UtmMedium => "utm_medium",
        Dimension::UtmCampaign => "utm_campaign",
        Dimension::UtmContent => "utm_content",
        Dimension::UtmTerm => "utm_term",
        Dimension::Trigger => "if(qr, 'qr', 'link')",
    }
}

/// What has to be counted for a question's metrics.
fn counts(query: &AnalyticsQuery) -> Vec<Count> {
    let mut counts = Vec::new();
    for metric in &query.metrics {
        let needed: &[Count] = match metric {
            Metric::Clicks => &[Count::Clicks],
            Metric::UniqueVisitors => &[Count::Visitors],
            Metric::BotClicks => &[Count::Bots],
            Metric::QrScans => &[Count::Qr],
            Metric::ClicksPerVisitor => &[Count::Clicks, Count::Visitors],
            Metric::LastClickAt => &[Count::LastAt],
            Metric::Conversions
            | Metric::Leads
            | Metric::Sales
            | Metric::Revenue
            | Metric::ConversionRate => &[],
        };
        for count in needed {
            if !counts.contains(count) {
                counts.push(*count);
            }
        }
    }
    counts
}

/// The name of a count's column.
const fn alias(count: Count) -> &'static str {
    match count {
        Count::Clicks => "clicks",
        Count::Visitors => "visitors",
        Count::Bots => "bots",
        Count::Qr => "scans",
        Count::LastAt => "last_at",
    }
}

/// How far a read goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Each click up to and with this offset, and no other.
    pub through: u64,
    /// Clicks before this time, in milliseconds since the Unix epoch, are there up to that offset
    /// and no others: so these are read without a look at their offsets, and from rollups. 0 where
    /// nothing is known of any time. The reader has to [make sure](
    /// crate::projections::clickhouse::Status::is_sealed) of it afterwards.
    pub sealed_ms: u64,
}

/// The rows of the answer: the dimensions' values, then the counts. `starts` are those of the
/// buckets of time.
pub fn analytics(query: &AnalyticsQuery, starts: &[i64], cut: Cut) -> Statement {
    let source = Source::of(query, starts, cut);
    let mut statement = Statement::new(counts(query), source.table());
    let groups: Vec<_> = (0..query.dimensions.len()).map(|number| format!("d{number}")).collect();
    let mut columns = groups.clone();
    let parts = if query.dedupe == Dedupe::None {
        for count in &statement.counts {
            columns.push(format!("{} AS {}", merged(*count, query), alias(*count)));
        }
        statement.parts(query, starts, &source, cut)
    } else {
        for count in &statement.counts {
            columns.push(format!("{} AS {}", distinct(*count, query), alias(*count)));
        }
        statement.single_clicks(query, starts, cut)
    };
    if columns.is_empty() {
        // One row, also of nothing.
        columns.push("count() AS nothing".to_owned());
    }
    let mut sql = format!("SELECT {} FROM ({parts})", columns.join(", "));
    if !groups.is_empty() {
        let mut order: Vec<_> =
            query.ordered_by().iter().filter_map(|order| ordering(query, *order)).collect();
        order.extend(groups.iter().cloned());
        let (groups, order) = (groups.join(", "), order.join(", "));
        let _infallible = write!(sql, " GROUP BY {groups} ORDER BY {order}");
    }
    let limit = statement.bind("UInt32", Value::Number(query.limit.into()));
    let offset = statement.bind("UInt32", Value::Number(query.offset.into()));
    let _infallible = write!(sql, " LIMIT {limit} OFFSET {offset}");
    statement.sql = sql;
    statement
}

/// A count, added up of [parts](Statement::parts).
fn merged(count: Count, query: &AnalyticsQuery) -> String {
    let bots = match count {
        Count::Bots => Bots::Only,
        _ => query.bots,
    };
    let of = |function: &str, parameters: &str, column: &str| match bots {
        Bots::Include => format!("{function}{parameters}({column})"),
        Bots::Exclude => format!("{function}If{parameters}({column}, NOT is_bot)"),
        Bots::Only => format!("{function}If{parameters}({column}, is_bot)"),
    };
    match count {
        Count::Clicks | Count::Bots => of("sum", "", "part_clicks"),
        Count::Qr => of("sum", "", "part_scans"),
        Count::Visitors => of("uniqCombinedMerge", "(14)", "part_visitors"),
        Count::LastAt => format!("toUnixTimestamp64Milli({})", of("max", "", "part_last_at")),
    }
}

/// A count of single clicks, of which some count as one.
fn distinct(count: Count, query: &AnalyticsQuery) -> String {
    let who = match query.dedupe {
        Dedupe::None | Dedupe::Visitor => "link_id, visitor_id",
        Dedupe::Hour => "link_id, visitor_id, toStartOfHour(ts)",
    };
    let is_counted = match query.bots {
        Bots::Include => "true",
        Bots::Exclude => "NOT is_bot",
        Bots::Only => "is_bot",
    };
    match count {
        Count::Clicks => format!("uniqExactIf({who}, {is_counted})"),
        Count::Bots => format!("uniqExactIf({who}, is_bot)"),
        Count::Qr => format!("uniqExactIf({who}, {is_counted} AND qr)"),
        Count::Visitors => format!("uniqCombinedIf(14)(visitor_id, {is_counted})"),
        Count::LastAt => format!("toUnixTimestamp64Milli(maxIf(ts, {is_counted}))"),
    }
}

/// How rows are ordered by one key; `None` where it is the same for all.
fn ordering(query: &AnalyticsQuery, order: Order) -> Option<String> {
    let by = match order.key {
        Key::Dimension(dimension) => {
            let number = query.dimensions.iter().position(|each| *each == dimension)?;
            match dimension {
                // ClickHouse compares the second half of a UUID first.
                Dimension::Link => format!("toString(d{number})"),
                Dimension::LinkVersion => format!("toUInt32(d{number})"),
                _ => format!("d{number}"),
            }
        }
        Key::Metric(metric) => match metric {
            Metric::Clicks => "clicks".to_owned(),
            Metric::UniqueVisitors => "visitors".to_owned(),
            Metric::BotClicks => "bots".to_owned(),
            Metric::QrScans => "scans".to_owned(),
            Metric::ClicksPerVisitor => "if(visitors = 0, 0, clicks / visitors)".to_owned(),
            Metric::LastClickAt => "last_at".to_owned(),
            Metric::Conversions
            | Metric::Leads
            | Metric::Sales
            | Metric::Revenue
            | Metric::ConversionRate => return None,
        },
    };
    Some(format!("{by} {}", if order.is_descending { "DESC" } else { "ASC" }))
}

/// One row: when the first click was that the question counts, be it a bot's beside the others, in
/// milliseconds since the Unix epoch; 0 where there is none.
pub fn first_click(query: &AnalyticsQuery, cut: Cut) -> Statement {
    let mut statement = Statement::new(Vec::new(), "clicks");
    let bots = bots_condition(query);
    let clicks = statement.clicks_of(query, query.period, cut.through);
    statement.sql = format!("SELECT toUnixTimestamp64Milli(min(ts)) {clicks}{bots}");
    statement
}

/// The condition that leaves out what no metric counts.
fn bots_condition(query: &AnalyticsQuery) -> &'static str {
    let counts_bots = query.metrics.contains(&Metric::BotClicks);
    match query.bots {
        Bots::Exclude if !counts_bots => " AND bot = ''",
        Bots::Only => " AND bot != ''",
        Bots::Include | Bots::Exclude => "",
    }
}

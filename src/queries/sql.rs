//! The only analytic SQL. Values are bound, never spliced; what is put together here are constants
//! of this file and the names of the parameters that hold the values.

use std::fmt::Write as _;

use clickhouse::query::Query;
use serde::Serialize;
use uuid::Uuid;

use super::analytics::{
    AnalyticsQuery, Bots, Condition, Dedupe, Dimension, Filter, Key, Metric, Order, Test,
};
use crate::projections::clickhouse::Reading;

/// How visitors are counted, each once: exactly while there are few, and within about 0.8 %
/// (one standard error) beyond some thousand. What it counts can be added up over links, days
/// and dimensions.
pub const UNIQUES: &str = "uniqCombined64(14)";

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
    /// The statement over the tables in use.
    pub fn query(&self, reading: &Reading) -> Query {
        let mut query = reading.client.query(&self.sql);
        for (name, value) in LIMITS {
            query = query.with_setting(*name, *value);
        }
        query = query.param("clicks", reading.generation.clicks());
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

    /// The clicks that the question is about.
    fn clicks_of(&mut self, query: &AnalyticsQuery, through: u64) -> String {
        let workspace = self.bind("UUID", Value::Text(query.workspace.uuid().to_string()));
        let through = self.bind("UInt64", Value::Number(through));
        let mut sql = format!(
            "FROM {{clicks:Identifier}} WHERE workspace_id = {workspace} AND log_offset <= {through}"
        );
        let from = query.period.from.map(|from| (">=", from));
        for (sign, moment) in from.into_iter().chain([("<", query.period.to)]) {
            let moment = self.bind("Int64", Value::Signed(moment.as_millisecond()));
            let _infallible =
                write!(sql, " AND ts {sign} fromUnixTimestamp64Milli({moment}, 'UTC')");
        }
        if let Some(filter) = &query.filter {
            let filter = self.filter(filter);
            let _infallible = write!(sql, " AND {filter}");
        }
        sql
    }

    fn filter(&mut self, filter: &Filter) -> String {
        match filter {
            Filter::Is(condition) => self.condition(condition),
            Filter::Not(one) => format!("NOT {}", self.filter(one)),
            Filter::And(each) => self.joined(each, " AND ", "true"),
            Filter::Or(each) => self.joined(each, " OR ", "false"),
        }
    }

    fn joined(&mut self, each: &[Filter], word: &str, of_none: &str) -> String {
        let each: Vec<_> = each.iter().map(|filter| self.filter(filter)).collect();
        if each.is_empty() { of_none.to_owned() } else { format!("({})", each.join(word)) }
    }

    fn condition(&mut self, condition: &Condition) -> String {
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

/// The clicks that count, of those that are read.
const fn counted(bots: Bots) -> Option<&'static str> {
    match bots {
        Bots::Include => None,
        Bots::Exclude => Some("bot = ''"),
        Bots::Only => Some("bot != ''"),
    }
}

/// Whether bots are counted beside humans who are counted alone.
fn counts_bots_beside(query: &AnalyticsQuery) -> bool {
    query.bots == Bots::Exclude && query.metrics.contains(&Metric::BotClicks)
}

/// A count over clicks, of those for which all of the conditions hold.
fn aggregate(count: Count, dedupe: Dedupe, is_counted: Option<&'static str>) -> String {
    let of = |function: &str, arguments: &str, conditions: &[Option<&str>]| {
        let conditions: Vec<_> = conditions.iter().copied().flatten().collect();
        // A function's own parameters stand between its name and its arguments.
        let (name, parameters) = function.split_at(function.find('(').unwrap_or(function.len()));
        if conditions.is_empty() {
            return format!("{function}({arguments})");
        }
        let separator = if arguments.is_empty() { "" } else { ", " };
        format!("{name}If{parameters}({arguments}{separator}{})", conditions.join(" AND "))
    };
    let clicks = |conditions: &[Option<&str>]| match dedupe {
        Dedupe::None => of("count", "", conditions),
        Dedupe::Visitor => of("uniqExact", "link_id, visitor_id", conditions),
        Dedupe::Hour => of("uniqExact", "link_id, visitor_id, toStartOfHour(ts)", conditions),
    };
    match count {
        Count::Clicks => clicks(&[is_counted]),
        Count::Visitors => of(UNIQUES, "visitor_id", &[is_counted]),
        Count::Bots => clicks(&[Some("bot != ''")]),
        Count::Qr => clicks(&[is_counted, Some("qr")]),
        Count::LastAt => format!("toUnixTimestamp64Milli({})", of("max", "ts", &[is_counted])),
    }
}

/// The rows of the answer: the dimensions' values, then the counts. `starts` are those of the
/// buckets of time; clicks up to and with the offset `through`.
pub fn analytics(query: &AnalyticsQuery, starts: &[i64], through: u64) -> Statement {
    let counts = counts(query);
    let mut statement = Statement {
        sql: String::new(),
        values: Vec::new(),
        counts: counts.clone(),
        table: "clicks",
    };
    // Bots are left out by the condition on the rows, unless they are counted beside the others.
    let counts_bots = counts_bots_beside(query);
    let is_counted = counted(query.bots).filter(|_| counts_bots);
    let mut columns = Vec::new();
    for (number, dimension) in query.dimensions.iter().enumerate() {
        let column = match dimension {
            Dimension::Time => {
                let starts = statement.bind("Array(Int64)", Value::Numbers(starts.to_vec()));
                format!("roundDown(toInt64(toUnixTimestamp(ts)), {starts})")
            }
            other => column(*other).to_owned(),
        };
        columns.push(format!("{column} AS d{number}"));
    }
    let groups: Vec<_> = (0..query.dimensions.len()).map(|number| format!("d{number}")).collect();
    for count in &counts {
        columns.push(format!(
            "{} AS {}",
            aggregate(*count, query.dedupe, is_counted),
            alias(*count)
        ));
    }
    if columns.is_empty() {
        columns.push("count() AS rows".to_owned());
    }
    let mut from_where = statement.clicks_of(query, through);
    if let Some(condition) = counted(query.bots).filter(|_| !counts_bots) {
        let _infallible = write!(from_where, " AND {condition}");
    }
    let mut sql = format!("SELECT {} {from_where}", columns.join(", "));
    if !groups.is_empty() {
        let _infallible = write!(sql, " GROUP BY {}", groups.join(", "));
        let mut order: Vec<_> =
            query.ordered_by().iter().filter_map(|order| ordering(query, *order)).collect();
        order.extend(groups);
        let _infallible = write!(sql, " ORDER BY {}", order.join(", "));
    }
    let limit = statement.bind("UInt32", Value::Number(query.limit.into()));
    let offset = statement.bind("UInt32", Value::Number(query.offset.into()));
    let _infallible = write!(sql, " LIMIT {limit} OFFSET {offset}");
    statement.sql = sql;
    statement
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
pub fn first_click(query: &AnalyticsQuery, through: u64) -> Statement {
    let mut statement =
        Statement { sql: String::new(), values: Vec::new(), counts: Vec::new(), table: "clicks" };
    let from_where = statement.clicks_of(query, through);
    let condition = counted(query.bots).filter(|_| !counts_bots_beside(query));
    let bots = condition.map(|condition| format!(" AND {condition}"));
    statement.sql =
        format!("SELECT toUnixTimestamp64Milli(min(ts)) {from_where}{}", bots.unwrap_or_default());
    statement
}

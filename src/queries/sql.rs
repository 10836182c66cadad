//! All analytics SQL. Values are bound as parameters, never spliced; statements are assembled from
//! constants of this module and parameter names.

mod clicks;
mod count;
mod filters;
mod parts;
mod statement;

use std::fmt::Write as _;

pub use self::clicks::{blocked, click_columns, export, key, newest, progress};
pub use self::count::Count;
use self::parts::{bots_condition, counts_bots_apart};
pub use self::statement::Statement;
use self::statement::Value;
use super::analytics::{AnalyticsQuery, Bots, Dedupe, Dimension, Key, Metric, Order};
use super::plan::{ReadSnapshot, SealedRange};

/// The rows of a report: the dimension values, then the counts. `starts` are those of the time
/// buckets.
pub fn analytics(query: &AnalyticsQuery, starts: &[i64], snapshot: ReadSnapshot) -> Statement {
    let whole = SealedRange::of(query, starts, snapshot);
    let mut statement = Statement::new(counts(query), SealedRange::table(whole.as_ref()));
    let groups: Vec<_> = (0..query.dimensions.len()).map(|number| format!("d{number}")).collect();
    let mut columns = groups.clone();
    let parts = if query.dedupe == Dedupe::None {
        for count in &statement.counts {
            columns.push(format!("{} AS {}", merged(*count, query), alias(*count)));
        }
        statement.parts(query, starts, whole, snapshot)
    } else {
        for count in &statement.counts {
            columns.push(format!("{} AS {}", distinct(*count, query), alias(*count)));
        }
        statement.single_clicks(query, starts, snapshot)
    };
    if columns.is_empty() {
        // One row, even without clicks.
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
/// The counts that a query's metrics need.
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
/// A count, merged from [parts](Statement::parts).
fn merged(count: Count, query: &AnalyticsQuery) -> String {
    let bots = match count {
        Count::Bots => Bots::Only,
        _ => query.bots,
    };
    let of = |function: &str, parameters: &str, column: &str| match bots {
        // Without bot counts, other rows are not read.
        _ if !counts_bots_apart(query) => format!("{function}{parameters}({column})"),
        Bots::Include => format!("{function}{parameters}({column})"),
        Bots::Exclude => format!("{function}If{parameters}({column}, NOT is_bot)"),
        Bots::Only => format!("{function}If{parameters}({column}, is_bot)"),
    };
    match count {
        Count::Clicks | Count::Bots => of("sum", "", "part_clicks"),
        Count::Qr => of("sum", "", "part_scans"),
        Count::Visitors => of("uniqCombinedMerge", "(12)", "part_visitors"),
        Count::LastAt => format!("toUnixTimestamp64Milli({})", of("max", "", "part_last_at")),
    }
}

/// A count of single clicks, deduplicated.
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
        Count::Visitors => format!("uniqCombinedIf(12)(visitor_id, {is_counted})"),
        Count::LastAt => format!("toUnixTimestamp64Milli(maxIf(ts, {is_counted}))"),
    }
}
/// The `ORDER BY` term of a sort key; `None` if the key is the same for all rows.
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
/// One row: the time of the first click that matches (including bots if both are counted), in
/// milliseconds since the Unix epoch; 0 if there is none.
pub fn first_click(query: &AnalyticsQuery, snapshot: ReadSnapshot) -> Statement {
    let mut statement = Statement::new(Vec::new(), "clicks");
    let bots = bots_condition(query);
    let clicks = statement.clicks_of(query, query.period, snapshot);
    statement.sql = format!("SELECT toUnixTimestamp64Milli(min(ts)) {clicks}{bots}");
    statement
}

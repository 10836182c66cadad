//! Single clicks: pages of them, newest first, and exports.

use std::fmt::Write as _;

use super::ReadSnapshot;
use super::filters::column;
use super::parts::bots_condition;
use super::statement::{Statement, Value};
use crate::domain::csv_cell::FORMULA_PATTERN;
use crate::queries::analytics::{AnalyticsQuery, ClickKey, Dimension};

/// A link's ID in the API: `link_` and Crockford's base32.
const LINK: &str = "concat('link_', arrayStringConcat(arrayMap(shift -> \
     substring('0123456789abcdefghjkmnpqrstvwxyz', \
         toUInt8(bitAnd(bitShiftRight(reinterpretAsUInt128(reverse(UUIDStringToNum(toString(link_id)))), shift), 31)) + 1, 1), \
     range(125, -1, -5))))";

/// The columns of a click: name, expression (that of the dimension if empty), and whether the text
/// comes from outside.
const COLUMNS: &[(&str, &str, bool)] = &[
    ("offset", "log_offset", false),
    ("time", "ts", false),
    ("link", LINK, false),
    ("link_version", "link_version", false),
    ("domain", "domain", true),
    ("tags", "tags", true),
    ("folder", "folder", true),
    ("campaign", "campaign", false),
    ("destination", "destination", true),
    ("continent", "continent", false),
    ("country", "country", true),
    ("region", "region", true),
    ("city", "city", true),
    ("device", "device", false),
    ("browser", "browser", true),
    ("browser_version", "browser_version", true),
    ("os", "os", true),
    ("os_version", "os_version", true),
    ("bot_reason", "bot", false),
    ("referrer", "referrer", true),
    ("referrer_url", "referrer_url", true),
    ("source", "", true),
    ("language", "language", true),
    ("utm_source", "utm_source", true),
    ("utm_medium", "utm_medium", true),
    ("utm_campaign", "utm_campaign", true),
    ("utm_content", "utm_content", true),
    ("utm_term", "utm_term", true),
    ("rule", "rule", false),
    ("variant", "variant", true),
    ("trigger", "if(qr, 'qr', 'link')", false),
    ("qr_code", "qr_code", false),
    ("visitor", "lower(hex(visitor_id))", false),
];

/// The column names of a click.
pub fn click_columns() -> impl Iterator<Item = &'static str> {
    COLUMNS.iter().map(|(name, ..)| *name)
}

/// The columns that always have a value.
const ALWAYS_SET: [&str; 6] = ["offset", "time", "link", "link_version", "trigger", "visitor"];

/// The column list, of a subquery that filters and orders: there, a name is what is stored, not what is
/// shown under the same name. For spreadsheets, an unknown value is empty, tags are joined, and text that looks
/// like a formula is escaped as in [`crate::domain::csv_cell`]; else an unknown value is null, and
/// tags are a list.
fn columns(is_for_spreadsheets: bool) -> String {
    let pattern = FORMULA_PATTERN.replace('\\', "\\\\").replace('\'', "\\'");
    let mut columns = String::new();
    for (name, expression, is_foreign) in COLUMNS {
        let separator = if columns.is_empty() { "" } else { ", " };
        let expression = match Dimension::named(name) {
            Some(dimension) if expression.is_empty() => column(dimension),
            _ => expression,
        };
        let expression = match *name {
            _ if is_for_spreadsheets && *is_foreign => format!(
                "if(match({expression}, '{pattern}'), concat('\\'', {expression}), \
                 toString({expression}))"
            ),
            name if is_for_spreadsheets || ALWAYS_SET.contains(&name) => expression.to_owned(),
            "tags" => "arrayFilter(tag -> tag != '', splitByChar(',', tags))".to_owned(),
            _ => format!("nullIf(toString({expression}), '')"),
        };
        let _infallible = write!(columns, "{separator}{expression} AS `{name}`");
    }
    columns
}

/// A page of clicks, newest first, optionally only those before an offset.
pub fn newest(query: &AnalyticsQuery, before: Option<u64>, snapshot: ReadSnapshot) -> Statement {
    let mut statement = Statement::new(Vec::new(), "clicks");
    let through =
        before.map_or(snapshot.through, |before| snapshot.through.min(before.saturating_sub(1)));
    let clicks = statement.clicks_of(query, query.period, ReadSnapshot { through, ..snapshot });
    let bots = bots_condition(query);
    let limit = statement.bind("UInt32", Value::Number(query.limit.into()));
    let columns = columns(false);
    let newest = format!("SELECT * {clicks}{bots} ORDER BY log_offset DESC LIMIT {limit}");
    statement.sql = format!("SELECT {columns} FROM ({newest})");
    statement
}

/// The position of a click in an [`export`]: one row with its link and its time in milliseconds, or
/// none.
pub fn key(query: &AnalyticsQuery, offset: u64, snapshot: ReadSnapshot) -> Statement {
    let mut statement = Statement::new(Vec::new(), "clicks");
    let clicks = statement.clicks_of(query, query.period, snapshot);
    let offset = statement.bind("UInt64", Value::Number(offset));
    statement.sql = format!(
        "SELECT toString(link_id), toUnixTimestamp64Milli(ts) {clicks} AND log_offset = {offset} LIMIT 1"
    );
    statement
}

/// All clicks by day, link and time, which is the order on disk, so memory is bounded. Optionally
/// only those after a click.
pub fn export(
    query: &AnalyticsQuery,
    after: Option<&ClickKey>,
    is_for_spreadsheets: bool,
    snapshot: ReadSnapshot,
) -> Statement {
    let mut statement = Statement::export();
    let mut clicks = statement.clicks_of(query, query.period, snapshot);
    clicks.push_str(bots_condition(query));
    if let Some(ClickKey { offset, link, at_ms }) = after {
        let at = statement.bind("Int64", Value::Signed(*at_ms));
        let link = statement.bind("UUID", Value::Text(link.to_string()));
        let offset = statement.bind("UInt64", Value::Number(*offset));
        let at = format!("fromUnixTimestamp64Milli({at}, 'UTC')");
        let _infallible = write!(
            clicks,
            " AND day >= toDate({at}) \
             AND (day, link_id, ts, log_offset) > (toDate({at}), {link}, {at}, {offset})"
        );
    }
    let columns = columns(is_for_spreadsheets);
    let order = "ORDER BY day, link_id, ts, log_offset";
    statement.sql = format!("SELECT {columns} FROM (SELECT * {clicks} {order})");
    statement
}

/// Blocked visits: one row per reason with the number of humans and bots, the most frequent first.
pub fn blocked(query: &AnalyticsQuery, snapshot: ReadSnapshot) -> Statement {
    let mut statement = Statement::new(Vec::new(), "blocked");
    let rows = statement.rows_of("{blocked:Identifier}", query, query.period, snapshot);
    let through = statement.bind("UInt64", Value::Number(snapshot.through));
    statement.sql = format!(
        "SELECT reason, countIf(bot = '') AS humans, countIf(bot != '') AS bots \
         {rows} AND log_offset <= {through} GROUP BY reason ORDER BY humans DESC, reason"
    );
    statement
}

/// The fraction of rows that a running statement has read: one row, or none.
pub fn progress(id: &str) -> Statement {
    let mut statement = Statement::new(Vec::new(), "system.processes");
    let id = statement.text(id);
    statement.sql = format!(
        "SELECT read_rows / greatest(total_rows_approx, read_rows, 1) \
         FROM system.processes WHERE query_id = {id}"
    );
    statement
}

//! The only analytic SQL. Values are bound by name, never spliced; what is put together here
//! are constants of this file.

use clickhouse::query::Query;
use jiff::Timestamp;

use super::analytics::{Dimension, Scope};
use super::window::Unit;
use crate::projections::clickhouse::Reading;

/// What one question may cost: a question that takes longer is ended by ClickHouse itself.
const LIMITS: &[(&str, &str)] = &[("max_execution_time", "20"), ("readonly", "1")];

/// Restricts to a workspace, perhaps a link, a span of time, a kind of visitor and what was there
/// at an offset. A bound constant that is not used costs nothing.
const FROM_WHERE: &str = "FROM {clicks:Identifier} WHERE workspace_id = {workspace:UUID} \
     AND log_offset <= {through:UInt64} \
     AND ({link:String} = '' OR link_id = toUUIDOrZero({link:String})) \
     AND ts >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') \
     AND ({bots:String} = 'include' OR (bot != '') = ({bots:String} = 'only'))";

const fn bucket(unit: Unit) -> &'static str {
    match unit {
        Unit::Minute => "toStartOfMinute(ts)",
        Unit::Hour => "toStartOfHour(ts)",
        Unit::Day => "toStartOfDay(ts)",
        Unit::Week => "toStartOfDay(toMonday(ts))",
        Unit::Month => "toStartOfDay(toStartOfMonth(ts))",
    }
}

const fn column(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Country => "country",
        Dimension::City => "city",
        Dimension::Device => "device",
        Dimension::Browser => "browser",
        Dimension::OperatingSystem => "os",
        Dimension::Referrer => "referrer",
    }
}

fn scoped(reading: &Reading, sql: &str, scope: &Scope) -> Query {
    let mut query = reading.client.query(sql);
    for (name, value) in LIMITS {
        query = query.with_setting(*name, *value);
    }
    query
        .param("clicks", reading.generation.clicks())
        .param("through", scope.through)
        .param("workspace", scope.workspace.uuid().to_string())
        .param("link", scope.link.map_or_else(String::new, |link| link.uuid().to_string()))
        .param("from", scope.from.map_or(0, Timestamp::as_millisecond))
        .param("bots", scope.bots.as_str())
}

/// Rows `(start of the bucket in seconds, clicks)`, without empty buckets.
pub fn clicks_by_time(reading: &Reading, scope: &Scope, unit: Unit) -> Query {
    let bucket = bucket(unit);
    let sql = format!(
        "SELECT toInt64(toUnixTimestamp({bucket})) AS bucket, count() AS clicks \
         {FROM_WHERE} GROUP BY bucket"
    );
    scoped(reading, &sql, scope)
}

/// One row `(clicks, unique visitors)`.
pub fn totals(reading: &Reading, scope: &Scope) -> Query {
    let sql = format!("SELECT count() AS clicks, uniqExact(visitor_id) AS visitors {FROM_WHERE}");
    scoped(reading, &sql, scope)
}

/// Rows `(value, clicks)`, most clicked first.
pub fn breakdown(reading: &Reading, scope: &Scope, dimension: Dimension, size: u16) -> Query {
    let column = column(dimension);
    let sql = format!(
        "SELECT toString({column}) AS value, count() AS clicks {FROM_WHERE} \
         GROUP BY value ORDER BY clicks DESC, value ASC LIMIT {{size:UInt16}}"
    );
    scoped(reading, &sql, scope).param("size", size)
}

/// Rows `(link, clicks)`, most clicked first.
pub fn top_links(reading: &Reading, scope: &Scope, size: u16) -> Query {
    let sql = format!(
        "SELECT link_id, count() AS clicks {FROM_WHERE} \
         GROUP BY link_id ORDER BY clicks DESC, link_id ASC LIMIT {{size:UInt16}}"
    );
    scoped(reading, &sql, scope).param("size", size)
}

/// Rows `(link, clicks, unique visitors)` of these links, without those never clicked.
pub fn counts(reading: &Reading, scope: &Scope, links: &[String]) -> Query {
    let sql = format!(
        "SELECT link_id, count() AS clicks, uniqExact(visitor_id) AS visitors {FROM_WHERE} \
         AND link_id IN (SELECT arrayJoin({{links:Array(UUID)}})) GROUP BY link_id"
    );
    scoped(reading, &sql, scope).param("links", links)
}

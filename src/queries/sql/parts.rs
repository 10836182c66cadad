//! The sources of a statement: single clicks and rollups, in parts that add up to the result.

use std::fmt::Write as _;

use super::count::Count;
use super::filters::{Column, SOURCE_OF_VALUE, column};
use super::statement::{Statement, Value};
use crate::projections::clickhouse::{WholeChunks, is_forgotten};
use crate::queries::analytics::{AnalyticsQuery, Bots, Dimension, Metric, Period};
use crate::queries::plan::{ReadSnapshot, Rollup, SealedRange};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// The year 2100, in milliseconds since the Unix epoch. ClickHouse's days end in 2149; no click is
/// later than 2100 or before the epoch.
const LAST_MS: i64 = 4_102_444_800_000;

impl Statement {
    /// The matching clicks in a part of the range, up to an offset.
    pub(super) fn clicks_of(
        &mut self,
        query: &AnalyticsQuery,
        period: Period,
        snapshot: ReadSnapshot,
    ) -> String {
        let sealed = self.sealed_clicks_of(query, period, snapshot);
        let through = self.number(snapshot.through);
        format!("{sealed} AND log_offset <= {through}")
    }

    /// As [`clicks_of`](Self::clicks_of), with any offset.
    fn sealed_clicks_of(
        &mut self,
        query: &AnalyticsQuery,
        period: Period,
        snapshot: ReadSnapshot,
    ) -> String {
        self.rows_of("{clicks:Identifier}", query, period, snapshot)
    }

    /// Rows of the table of clicks, or of blocked visits, which has the same key.
    pub(super) fn rows_of(
        &mut self,
        table: &str,
        query: &AnalyticsQuery,
        period: Period,
        snapshot: ReadSnapshot,
    ) -> String {
        let workspace = self.workspace(query);
        let mut sql = format!("FROM {table} WHERE workspace_id = {workspace}");
        let edges = [period.from.map(|from| (">", from)), Some(("<", period.to))];
        for (sign, moment) in edges.into_iter().flatten() {
            let at_ms = moment.as_millisecond().clamp(0, LAST_MS);
            let moment = self.bind("Int64", Value::Signed(at_ms));
            let moment = format!("fromUnixTimestamp64Milli({moment}, 'UTC')");
            // If a range ends at midnight, the column `ts` need not be read.
            let is_midnight = at_ms % DAY_MS == 0;
            let _infallible = match (sign, is_midnight) {
                (">", true) => write!(sql, " AND day >= toDate({moment})"),
                (">", false) => write!(sql, " AND day >= toDate({moment}) AND ts >= {moment}"),
                (_, true) => write!(sql, " AND day < toDate({moment})"),
                (_, false) => write!(sql, " AND day <= toDate({moment}) AND ts < {moment}"),
            };
        }
        if let Some(filter) = &query.filter {
            let filter = self.filter(filter, &column);
            let _infallible = write!(sql, " AND {filter}");
        }
        sql + &self.without_deleted(query, snapshot)
    }

    /// The condition that excludes the clicks of deleted links, while some of them are still there.
    fn without_deleted(&mut self, query: &AnalyticsQuery, snapshot: ReadSnapshot) -> String {
        if !snapshot.is_removing {
            return String::new();
        }
        let workspace = self.workspace(query);
        // Covers all deletions ever, applied or not, so it does not matter when they are applied.
        format!(" AND NOT {}", is_forgotten(&format!("workspace_id = {workspace}")))
    }

    /// The deleted links.
    fn deleted_links(&mut self, query: &AnalyticsQuery) -> String {
        let workspace = self.workspace(query);
        format!("(SELECT link_id FROM {{forgotten:Identifier}} WHERE workspace_id = {workspace})")
    }

    fn workspace(&mut self, query: &AnalyticsQuery) -> String {
        self.bind("UUID", Value::Text(query.workspace.uuid().to_string()))
    }

    /// The dimension values, named `d0`, `d1`, …. `time` is the expression of a row's time in
    /// seconds, `column` maps the other dimensions.
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

    /// Single clicks, for counts that cannot be merged.
    pub(super) fn single_clicks(
        &mut self,
        query: &AnalyticsQuery,
        starts: &[i64],
        snapshot: ReadSnapshot,
    ) -> String {
        let dimensions = self.dimensions(query, starts, "toUnixTimestamp(ts)", &column);
        let clicks = self.clicks_of(query, query.period, snapshot);
        let bots = bots_condition(query);
        format!(
            "SELECT {dimensions}bot != '' AS is_bot, link_id, visitor_id, ts, qr {clicks}{bots}"
        )
    }

    /// Rows that add up to the result: sealed whole hours or days, from a rollup or not, and the
    /// whole chunks after them; the clicks before; and the other clicks after, filtered by offset.
    pub(super) fn parts(
        &mut self,
        query: &AnalyticsQuery,
        starts: &[i64],
        whole: Option<SealedRange>,
        snapshot: ReadSnapshot,
    ) -> String {
        let Period { from, to } = query.period;
        let mut parts = Vec::new();
        if let Some(whole) = whole {
            let sealed = Period { from: whole.from, to: whole.to };
            if let Some(rollup) = whole.rollup {
                parts.push(self.rolled_up(query, starts, (rollup, whole), snapshot));
                if snapshot.is_removing {
                    // The rollup rows of deleted links are excluded, so add their remaining clicks.
                    parts.push(self.part(query, starts, |parts| {
                        parts.remaining_of_deleted(query, whole, snapshot)
                    }));
                }
            } else {
                let clicks = |parts: &mut Self| parts.sealed_clicks_of(query, sealed, snapshot);
                parts.push(self.part(query, starts, clicks));
            }
            if let Some(first) = whole.from.filter(|first| from.is_none_or(|from| from < *first)) {
                let head = Period { from, to: first };
                parts.push(self.part(query, starts, |parts| {
                    if whole.is_head_sealed {
                        parts.sealed_clicks_of(query, head, snapshot)
                    } else {
                        parts.clicks_of(query, head, snapshot)
                    }
                }));
            }
        }
        let tail = Period { from: whole.map_or(from, |whole| Some(whole.to)), to };
        // An empty range is read too: it has a result.
        if parts.is_empty() || tail.from.is_none_or(|from| from < to) {
            let chunks = whole.and_then(|whole| whole.chunks);
            parts.push(self.part(query, starts, |parts| {
                let clicks = parts.clicks_of(query, tail, snapshot);
                let Some(WholeChunks { end, .. }) = chunks else { return clicks };
                format!("{clicks} AND log_offset >= {}", parts.number(end))
            }));
        }
        parts.join(" UNION ALL ")
    }

    /// The clicks of deleted links that are still there, in the range of a rollup.
    fn remaining_of_deleted(
        &mut self,
        query: &AnalyticsQuery,
        whole: SealedRange,
        snapshot: ReadSnapshot,
    ) -> String {
        let SealedRange { from, to: sealed, chunks, .. } = whole;
        let mut clicks = match chunks {
            None => self.sealed_clicks_of(query, Period { from, to: sealed }, snapshot),
            Some(WholeChunks { end, .. }) => {
                let to = query.period.to;
                let clicks = self.sealed_clicks_of(query, Period { from, to }, snapshot);
                let sealed = self.bind("Int64", Value::Signed(sealed.as_millisecond()));
                let end = self.number(end);
                format!(
                    "{clicks} AND (ts < fromUnixTimestamp64Milli({sealed}, 'UTC') \
                     OR log_offset < {end})"
                )
            }
        };
        let deleted = self.deleted_links(query);
        let _infallible = write!(clicks, " AND link_id IN {deleted}");
        clicks
    }

    /// A part from single clicks.
    fn part(
        &mut self,
        query: &AnalyticsQuery,
        starts: &[i64],
        clicks: impl FnOnce(&mut Self) -> String,
    ) -> String {
        let mut columns = self.dimensions(query, starts, time_of(query, starts), &column);
        if counts_bots_apart(query) {
            columns.push_str("bot != '' AS is_bot, ");
        }
        columns.push_str(&self.part_columns(|column| match column {
            "part_clicks" => "count()",
            "part_scans" => "countIf(qr)",
            "part_last_at" => "max(ts)",
            _ => "uniqCombinedState(12)(visitor_id)",
        }));
        let clicks = clicks(self);
        let (bots, groups) = (bots_condition(query), grouped(query));
        format!("SELECT {columns} {clicks}{bots}{groups}")
    }

    /// A part from a rollup: some of its hours or days, and the whole chunks after them.
    fn rolled_up(
        &mut self,
        query: &AnalyticsQuery,
        starts: &[i64],
        (rollup, whole): (Rollup, SealedRange),
        snapshot: ReadSnapshot,
    ) -> String {
        let of = |dimension: Dimension| match rollup {
            Rollup::Values(Dimension::Source) => SOURCE_OF_VALUE.as_str(),
            Rollup::Values(_) => "value",
            Rollup::Hours | Rollup::Links => column(dimension),
        };
        let mut columns = self.dimensions(query, starts, rollup.time(), &of);
        if counts_bots_apart(query) {
            columns.push_str("is_bot, ");
        }
        columns.push_str(&self.part_columns(|column| match column {
            "part_clicks" => "sum(clicks)",
            "part_scans" => "sum(scans)",
            "part_last_at" => "max(last_at)",
            _ => "uniqCombinedMergeState(12)(visitors)",
        }));
        let workspace = self.workspace(query);
        let mut sql = format!(
            "SELECT {columns} FROM {{{}:Identifier}} WHERE workspace_id = {workspace}",
            rollup.parameter()
        );
        if let Rollup::Values(dimension) = rollup {
            let stored = match dimension {
                Dimension::Source => Dimension::Referrer,
                other => other,
            };
            let dimension = self.text(stored.as_str());
            let _infallible = write!(sql, " AND dimension = {dimension}");
        }
        let mut edge = |sign: &str, moment: jiff::Timestamp| {
            let moment = self.bind("Int64", Value::Signed(moment.as_second()));
            format!("{} {sign} {}", rollup.column(), rollup.bound(&moment))
        };
        if let Some(from) = whole.from {
            let _infallible = write!(sql, " AND {}", edge(">=", from));
        }
        let sealed = edge("<", whole.to);
        let _infallible = match whole.chunks {
            None => write!(sql, " AND {sealed}"),
            Some(WholeChunks { last, .. }) => {
                write!(sql, " AND ({sealed} OR chunk <= {})", self.number(last))
            }
        };
        if let Some(filter) = &query.filter {
            let filter = self.filter(filter, &of);
            let _infallible = write!(sql, " AND {filter}");
        }
        if snapshot.is_removing {
            let forgotten = self.deleted_links(query);
            let _infallible = write!(sql, " AND link_id NOT IN {forgotten}");
        }
        match bots_condition(query) {
            " AND bot = ''" => sql.push_str(" AND NOT is_bot"),
            "" => {}
            _ => sql.push_str(" AND is_bot"),
        }
        sql + &grouped(query)
    }

    /// The columns of a part that the counts need; `aggregate` gives the expression in a table.
    fn part_columns(&self, aggregate: impl Fn(&str) -> &'static str) -> String {
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
        let columns = columns.iter().map(|column| format!("{} AS {column}", aggregate(column)));
        let columns: Vec<_> = columns.collect();
        if columns.is_empty() { "count() AS part_rows".to_owned() } else { columns.join(", ") }
    }
}

/// Whether humans and bots are counted separately.
pub(super) fn counts_bots_apart(query: &AnalyticsQuery) -> bool {
    query.metrics.contains(&Metric::BotClicks)
}

/// A click's time in seconds, as precise as the buckets need.
fn time_of(query: &AnalyticsQuery, starts: &[i64]) -> &'static str {
    let from = query.period.from.map_or(i64::MIN, jiff::Timestamp::as_second);
    let is_by_day = starts.iter().all(|start| start % (DAY_MS / 1_000) == 0 || *start <= from);
    if is_by_day { Rollup::Links.time() } else { "toUnixTimestamp(ts)" }
}

/// The `GROUP BY` clause of a part.
fn grouped(query: &AnalyticsQuery) -> String {
    let dimensions = (0..query.dimensions.len()).map(|number| format!("d{number}"));
    let is_bot = counts_bots_apart(query).then(|| "is_bot".to_owned());
    let groups: Vec<_> = dimensions.chain(is_bot).collect();
    if groups.is_empty() { String::new() } else { format!(" GROUP BY {}", groups.join(", ")) }
}

/// The condition that excludes clicks that no metric counts.
pub(super) fn bots_condition(query: &AnalyticsQuery) -> &'static str {
    match query.bots {
        Bots::Exclude if !counts_bots_apart(query) => " AND bot = ''",
        Bots::Only => " AND bot != ''",
        Bots::Include | Bots::Exclude => "",
    }
}

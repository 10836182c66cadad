//! What is read: single clicks and rollups, in parts that add up to the answer.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::filters::{Column, column};
use super::statement::{Statement, Value};
use super::{Count, Cut};
use crate::queries::analytics::{AnalyticsQuery, Bots, Dimension, Metric, Period};
use crate::queries::plan::{Rollup, Source};

/// The year 2100, in milliseconds since the Unix epoch: ClickHouse's days end in 2149, and no click
/// is of a later time, nor of one before the epoch.
const LAST_MS: i64 = 4_102_444_800_000;

impl Statement {
    /// The clicks that the question is about, of a part of its time, up to an offset.
    pub(super) fn clicks_of(
        &mut self,
        query: &AnalyticsQuery,
        period: Period,
        through: u64,
    ) -> String {
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
    pub(super) fn single_clicks(
        &mut self,
        query: &AnalyticsQuery,
        starts: &[i64],
        cut: Cut,
    ) -> String {
        let dimensions = self.dimensions(query, starts, "toUnixTimestamp(ts)", &column);
        let clicks = self.clicks_of(query, query.period, cut.through);
        let bots = bots_condition(query);
        format!(
            "SELECT {dimensions}bot != '' AS is_bot, link_id, visitor_id, ts, qr {clicks}{bots}"
        )
    }

    /// Rows that add up to the answer: from a rollup, from the sealed clicks beside it, and from
    /// those after, by their offsets.
    pub(super) fn parts(
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
}

/// What the rows of a part are told apart by.
fn groups(query: &AnalyticsQuery) -> String {
    let dimensions = (0..query.dimensions.len()).map(|number| format!("d{number}, "));
    dimensions.collect::<String>() + "is_bot"
}
/// The condition that leaves out what no metric counts.
pub(super) fn bots_condition(query: &AnalyticsQuery) -> &'static str {
    let counts_bots = query.metrics.contains(&Metric::BotClicks);
    match query.bots {
        Bots::Exclude if !counts_bots => " AND bot = ''",
        Bots::Only => " AND bot != ''",
        Bots::Include | Bots::Exclude => "",
    }
}

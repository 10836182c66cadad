//! A removal: deletes the clicks of deleted links from each table.
//!
//! It deletes the clicks of deleted versions, including [late](super::late) ones. Other clicks only
//! exist if the link was restored since, and are kept.
//!
//! It runs in steps between batches. First it records what will be deleted. Then it deletes single
//! clicks, blocked visits and the links' days, and recomputes the days of kept clicks. Then, some
//! days at a time, it recomputes the workspaces' hours and days from the remaining clicks. Each
//! step can be repeated, so an interrupted removal resumes where it was recorded.
//!
//! Readers do not wait: during a removal, they exclude deleted links themselves (see
//! [`deletion_epoch`](super::deletion_epoch)).

use std::collections::VecDeque;

use clickhouse::query::Query;
use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ProjectionError;
use super::deletion_epoch::is_forgotten;
use super::generation::Generation;

/// The approximate number of clicks recomputed per step; batches wait meanwhile.
const MAX_STEP_CLICKS: u64 = 1_000_000;
/// The maximum number of days per step.
const MAX_STEP_DAYS: usize = 31;
/// A running removal.
pub struct Removal {
    /// The prefix of the query IDs of this log's removals.
    name: String,
    /// Applies the deletions up to this offset.
    through: u64,
    /// The days to recompute.
    steps: VecDeque<Days>,
}

/// Days of one workspace and one month.
struct Days {
    workspace: Uuid,
    /// As `2026-11-21`.
    days: Vec<String>,
}

/// What is deleted of one day.
#[derive(Row, Serialize, Deserialize)]
struct Removed {
    forgotten_through: u64,
    #[serde(with = "clickhouse::serde::uuid")]
    workspace_id: Uuid,
    day: u16,
    clicks: u64,
    offsets: u64,
    squares: u64,
}

#[derive(Row, Deserialize)]
struct DaySize {
    #[serde(with = "clickhouse::serde::uuid")]
    workspace_id: Uuid,
    month: u32,
    day: String,
    clicks: u64,
}

#[derive(Row, Deserialize)]
struct Kept {
    link: String,
}

/// The deletions that a removal applies.
const FORGOTTEN: &str = "log_offset > {after:UInt64} AND log_offset <= {through:UInt64}";

/// The number of links with kept clicks that are recomputed per statement.
const LINKS_AT_ONCE: usize = 1_000;

/// The links of a removal.
fn links() -> String {
    format!(
        "(workspace_id, link_id) IN (SELECT workspace_id, link_id \
         FROM {{forgotten:Identifier}} WHERE {FORGOTTEN})"
    )
}

impl Removal {
    /// Starts with the deletions up to an offset, or resumes an interrupted removal.
    pub async fn begin(
        client: &Client,
        tables: Generation,
        through: u64,
        log_id: [u8; 16],
    ) -> Result<Self, ProjectionError> {
        let name = format!("slugline-removal-{}-", Uuid::from_bytes(log_id).simple());
        // Statements of an earlier attempt must not finish after those of this one.
        let kill = "KILL QUERY WHERE startsWith(query_id, {id:String}) SYNC FORMAT Null";
        client.query(kill).param("id", &name).execute().await?;
        let done = "SELECT max(through) FROM {amended:Identifier} WHERE what = 'removal'";
        let done = tables.query(client, done).fetch_one::<u64>().await?;
        let begun = "SELECT max(forgotten_through) FROM {removed:Identifier}";
        let begun = tables.query(client, begun).fetch_one::<u64>().await?;
        let gone = format!("{} AND {}", links(), is_forgotten(FORGOTTEN));
        let about = |sql: &str| {
            let sql = sql.replace("GONE", &gone).replace("LINKS", &links());
            statement(client, tables, &name, &sql).param("after", done)
        };
        let through = if begun > done {
            begun
        } else {
            let count = "SELECT {through:UInt64} AS forgotten_through, workspace_id, day, \
                 count() AS clicks, sum(log_offset) AS offsets, \
                 sum(log_offset * log_offset) AS squares \
                 FROM {clicks:Identifier} WHERE GONE GROUP BY workspace_id, day";
            let mut rows = about(count).param("through", through).fetch_all::<Removed>().await?;
            let (workspace_id, day) = (Uuid::nil(), 0);
            let (clicks, offsets, squares, forgotten_through) = (0, 0, 0, through);
            rows.push(Removed { forgotten_through, workspace_id, day, clicks, offsets, squares });
            let mut insert = client
                .insert::<Removed>(&tables.table("removed"))
                .await?
                .with_setting("insert_deduplication_token", format!("{name}{through}"))
                .with_setting("async_insert", "0");
            for row in &rows {
                insert.write(row).await?;
            }
            insert.end().await?;
            through
        };
        tracing::info!(through, "removing the clicks of deleted links");
        for delete in [
            "DELETE FROM {clicks:Identifier} WHERE GONE",
            "DELETE FROM {links:Identifier} WHERE LINKS",
            "DELETE FROM {blocked:Identifier} WHERE GONE",
        ] {
            about(delete).param("through", through).execute().await?;
        }
        let kept = "SELECT DISTINCT toString(link_id) AS link FROM {clicks:Identifier} WHERE LINKS";
        let kept = about(kept).param("through", through).fetch_all::<Kept>().await?;
        for some in kept.chunks(LINKS_AT_ONCE) {
            let some: Vec<_> = some.iter().map(|kept| format!("\\'{}\\'", kept.link)).collect();
            let only = format!("link_id IN ({})", some.join(", "));
            let rollup = ("clicks_daily_links", "clicks_daily_links_feed");
            add_to_rollup(client, tables, &name, rollup, &only).await?;
        }
        let steps = steps(client, tables, through).await?;
        Ok(Self { name, through, steps })
    }

    /// Recomputes some days. Returns whether all is done.
    pub async fn step(
        &mut self,
        client: &Client,
        tables: Generation,
    ) -> Result<bool, ProjectionError> {
        if let Some(step) = self.steps.front() {
            let value_feeds = ["clicks_daily_values_feed", "clicks_daily_codes_feed"];
            let rollups: [(_, &[&str], _); 2] = [
                ("clicks_hourly", &["clicks_hourly_feed"], "toDate(hour)"),
                ("clicks_daily_values", &value_feeds, "day"),
            ];
            for rollup in rollups {
                step.recompute(client, tables, &self.name, rollup).await?;
            }
            self.steps.pop_front();
        }
        if !self.steps.is_empty() {
            return Ok(false);
        }
        let done = "INSERT INTO {amended:Identifier} (what, through) \
             VALUES ('removal', {through:UInt64})";
        tables.query(client, done).param("through", self.through).execute().await?;
        tracing::info!(through = self.through, "removed the clicks of deleted links");
        Ok(true)
    }
}

impl Days {
    async fn recompute(
        &self,
        client: &Client,
        tables: Generation,
        name: &str,
        (rollup, feeds, day): (&str, &[&str], &str),
    ) -> Result<(), ProjectionError> {
        let delete = "DELETE FROM {rollup:Identifier} \
             WHERE workspace_id = {workspace:UUID} AND DAY IN {days:Array(Date)}";
        statement(client, tables, name, &delete.replace("DAY", day))
            .param("rollup", tables.table(rollup))
            .param("workspace", self.workspace.to_string())
            .param("days", &self.days)
            .execute()
            .await?;
        let days: Vec<_> = self.days.iter().map(|day| format!("\\'{day}\\'")).collect();
        let workspace = self.workspace;
        let only =
            format!("workspace_id = toUUID(\\'{workspace}\\') AND day IN ({})", days.join(", "));
        for feed in feeds {
            add_to_rollup(client, tables, name, (rollup, feed), &only).await?;
        }
        Ok(())
    }
}

/// Adds clicks to a rollup that has none of them. `only` is the condition on them, quoted for a
/// string literal.
async fn add_to_rollup(
    client: &Client,
    tables: Generation,
    name: &str,
    (rollup, feed): (&str, &str),
    only: &str,
) -> Result<(), ProjectionError> {
    // The materialized view defines the aggregation; here it must only read these clicks.
    let feed = client
        .query("SELECT as_select FROM system.tables WHERE database = currentDatabase() AND name = {feed:String}")
        .param("feed", tables.table(feed))
        .fetch_one::<String>()
        .await?;
    let only = format!("{{'{}': '{only}'}}", tables.table("clicks"));
    let insert = format!("INSERT INTO {{rollup:Identifier}} {}", feed.replace('?', "??"));
    Ok(statement(client, tables, name, &insert)
        .param("rollup", tables.table(rollup))
        .with_setting("additional_table_filters", only)
        .with_setting("insert_deduplicate", "0")
        .execute()
        .await?)
}

/// The days whose clicks are deleted, in steps of about equal size.
async fn steps(
    client: &Client,
    tables: Generation,
    through: u64,
) -> Result<VecDeque<Days>, ProjectionError> {
    let days = "SELECT workspace_id, toYYYYMM(date) AS month, toString(date) AS day, any(size) AS clicks \
         FROM (SELECT workspace_id, day AS date FROM {removed:Identifier} \
               WHERE forgotten_through = {through:UInt64} AND clicks > 0) AS removed \
         LEFT JOIN (SELECT workspace_id, toDate(hour) AS date, sum(clicks) AS size \
               FROM {hourly:Identifier} GROUP BY workspace_id, date) AS sizes \
         USING (workspace_id, date) \
         GROUP BY workspace_id, date ORDER BY workspace_id, date";
    let days = tables.query(client, days).param("through", through);
    let mut steps = VecDeque::new();
    let mut last: Option<(Uuid, u32, u64)> = None;
    for DaySize { workspace_id, month, day, clicks } in days.fetch_all().await? {
        let fits = last.is_some_and(|(workspace, in_month, size)| {
            (workspace, in_month) == (workspace_id, month) && size + clicks <= MAX_STEP_CLICKS
        });
        match steps.back_mut() {
            Some(Days { days, .. }) if fits && days.len() < MAX_STEP_DAYS => {
                days.push(day);
                last = last.map(|(workspace, month, size)| (workspace, month, size + clicks));
            }
            _ => {
                steps.push_back(Days { workspace: workspace_id, days: vec![day] });
                last = Some((workspace_id, month, clicks));
            }
        }
    }
    Ok(steps)
}

/// A statement that changes tables, without a time limit.
fn statement(client: &Client, tables: Generation, name: &str, sql: &str) -> Query {
    tables
        .query(client, sql)
        .with_setting("query_id", format!("{name}{}", Uuid::now_v7()))
        .with_setting("max_execution_time", "0")
        .with_setting("max_threads", "1")
        .with_setting("mutations_sync", "1")
}

//! A removal: the clicks of forgotten links go, out of each table.
//!
//! Of a forgotten link those clicks go that are of a forgotten version, which [late](super::late)
//! ones are too. Others are there only where it was restored since, and stay.
//!
//! It is done in steps between two batches. First it is written down what will go; then single
//! clicks, blocked visits and the links' days go, and the days of clicks that stay are added up
//! anew; then, some days at a time, the workspaces' hours and days are added up anew from the clicks
//! that are left. Each step can be repeated, so a removal that is cut
//! off anywhere is taken up where it was written down.
//!
//! Readers don't wait: for as long as it lasts, they leave the forgotten links out by themselves
//! (see [`deletion_epoch`](super::deletion_epoch)).

use std::collections::VecDeque;

use clickhouse::query::Query;
use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ProjectionError;
use super::deletion_epoch::is_forgotten;
use super::generation::Generation;

/// How many clicks are added up anew in one step, roughly: batches wait meanwhile.
const STEP_CLICKS: u64 = 1_000_000;
/// How many days at most.
const STEP_DAYS: usize = 31;
/// A removal under way.
pub struct Removal {
    /// What the names begin with by which ClickHouse knows the statements of this log's removals.
    name: String,
    /// Of what was forgotten up to this offset.
    through: u64,
    /// Days that are to be added up anew.
    steps: VecDeque<Days>,
}

/// Days of one workspace and one month.
struct Days {
    workspace: Uuid,
    /// As `2026-11-21`.
    days: Vec<String>,
}

/// What goes of one day.
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

/// Of what was forgotten, that which a removal is of.
const FORGOTTEN: &str = "log_offset > {after:UInt64} AND log_offset <= {through:UInt64}";

/// Links whose clicks stay in part are added up anew so many at a time.
const LINKS_AT_ONCE: usize = 1_000;

/// The links that a removal is of.
fn links() -> String {
    format!(
        "(workspace_id, link_id) IN (SELECT workspace_id, link_id \
         FROM {{forgotten:Identifier}} WHERE {FORGOTTEN})"
    )
}

impl Removal {
    /// Begins with what was forgotten up to an offset, or takes up what was cut off.
    pub async fn begin(
        client: &Client,
        tables: Generation,
        through: u64,
        log_id: [u8; 16],
    ) -> Result<Self, ProjectionError> {
        let name = format!("slugline-removal-{}-", Uuid::from_bytes(log_id).simple());
        // What an earlier attempt began must not end behind what comes now.
        let kill = "KILL QUERY WHERE startsWith(query_id, {id:String}) SYNC FORMAT Null";
        client.query(kill).param("id", &name).execute().await?;
        let done = "SELECT max(through) FROM {amended:Identifier} WHERE what = 'removal'";
        let done = client.query(done).param("amended", tables.amended()).fetch_one::<u64>().await?;
        let begun = "SELECT max(forgotten_through) FROM {removed:Identifier}";
        let begun =
            client.query(begun).param("removed", tables.removed()).fetch_one::<u64>().await?;
        let gone = format!("{} AND {}", links(), is_forgotten(FORGOTTEN));
        let about = |sql: &str| {
            let sql = sql.replace("GONE", &gone).replace("LINKS", &links());
            changing(client, tables, &name, &sql).param("after", done)
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
                .insert::<Removed>(&tables.removed())
                .await?
                .with_setting("insert_deduplication_token", format!("{name}{through}"))
                .with_setting("async_insert", "0");
            for row in &rows {
                insert.write(row).await?;
            }
            insert.end().await?;
            through
        };
        tracing::info!(through, "the clicks of deleted links are removed");
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
            let (rollup, feed) = (tables.clicks_daily_links(), tables.clicks_daily_links_feed());
            add_up(client, tables, &name, (&rollup, &feed, &only)).await?;
        }
        let steps = steps(client, tables, through).await?;
        Ok(Self { name, through, steps })
    }

    /// Adds up some days anew. Returns whether all is done.
    pub async fn step(
        &mut self,
        client: &Client,
        tables: Generation,
    ) -> Result<bool, ProjectionError> {
        if let Some(step) = self.steps.front() {
            let day = "toDate(hour)";
            let rollups = [
                (tables.clicks_hourly(), tables.clicks_hourly_feed(), day),
                (tables.clicks_daily_values(), tables.clicks_daily_values_feed(), "day"),
            ];
            for (rollup, feed, day) in &rollups {
                step.add_up_anew(client, tables, &self.name, (rollup, feed, day)).await?;
            }
            self.steps.pop_front();
        }
        if !self.steps.is_empty() {
            return Ok(false);
        }
        let done = "INSERT INTO {amended:Identifier} (what, through) \
             VALUES ('removal', {through:UInt64})";
        let done = client.query(done).param("amended", tables.amended());
        done.param("through", self.through).execute().await?;
        tracing::info!(through = self.through, "the clicks of deleted links are gone");
        Ok(true)
    }
}

impl Days {
    async fn add_up_anew(
        &self,
        client: &Client,
        tables: Generation,
        name: &str,
        (rollup, feed, day): (&str, &str, &str),
    ) -> Result<(), ProjectionError> {
        let delete = "DELETE FROM {rollup:Identifier} \
             WHERE workspace_id = {workspace:UUID} AND DAY IN {days:Array(Date)}";
        changing(client, tables, name, &delete.replace("DAY", day))
            .param("rollup", rollup)
            .param("workspace", self.workspace.to_string())
            .param("days", &self.days)
            .execute()
            .await?;
        let days: Vec<_> = self.days.iter().map(|day| format!("\\'{day}\\'")).collect();
        let workspace = self.workspace;
        let only =
            format!("workspace_id = toUUID(\\'{workspace}\\') AND day IN ({})", days.join(", "));
        add_up(client, tables, name, (rollup, feed, &only)).await
    }
}

/// Adds some clicks up into a rollup, which has none of them. The condition on them is to be quoted
/// for a text.
async fn add_up(
    client: &Client,
    tables: Generation,
    name: &str,
    (rollup, feed, only): (&str, &str, &str),
) -> Result<(), ProjectionError> {
    // What feeds the rollup says how it adds up; here it is to take these clicks alone.
    let feed = client
        .query("SELECT as_select FROM system.tables WHERE database = currentDatabase() AND name = {feed:String}")
        .param("feed", feed)
        .fetch_one::<String>()
        .await?;
    let only = format!("{{'{}': '{only}'}}", tables.clicks());
    let insert = format!("INSERT INTO {{rollup:Identifier}} {}", feed.replace('?', "??"));
    Ok(changing(client, tables, name, &insert)
        .param("rollup", rollup)
        .with_setting("additional_table_filters", only)
        .with_setting("insert_deduplicate", "0")
        .execute()
        .await?)
}

/// The days of which clicks go, in steps of about equal size.
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
    let days = client
        .query(days)
        .param("removed", tables.removed())
        .param("hourly", tables.clicks_hourly())
        .param("through", through);
    let mut steps = VecDeque::new();
    let mut last: Option<(Uuid, u32, u64)> = None;
    for DaySize { workspace_id, month, day, clicks } in days.fetch_all().await? {
        let fits = last.is_some_and(|(workspace, in_month, size)| {
            (workspace, in_month) == (workspace_id, month) && size + clicks <= STEP_CLICKS
        });
        match steps.back_mut() {
            Some(Days { days, .. }) if fits && days.len() < STEP_DAYS => {
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

/// A statement that changes tables, and may take its time.
fn changing(client: &Client, tables: Generation, name: &str, sql: &str) -> Query {
    client
        .query(sql)
        .param("clicks", tables.clicks())
        .param("links", tables.clicks_daily_links())
        .param("blocked", tables.blocked())
        .param("forgotten", tables.forgotten())
        .with_setting("query_id", format!("{name}{}", Uuid::now_v7()))
        .with_setting("max_execution_time", "0")
        .with_setting("max_threads", "1")
        .with_setting("mutations_sync", "1")
}

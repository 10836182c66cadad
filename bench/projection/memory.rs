//! The baseline: the `clickhouse` crate alone, with all rows in memory beforehand.
//!
//! The rows, their batches, the tables and the settings are those of the projector. What it has
//! not to do is to read the log, to decode clicks, and to remember how far it is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clickhouse::{Client, Row, RowOwned, RowWrite};
use prost::Message as _;
use serde::Serialize;
use slugline::domain::click::{AgentSeen, Click, kind};
use slugline::domain::country::continent;
use slugline::log::{Log, Record};
use uuid::Uuid;

use crate::engine::{ClickHouse, join, like_the_projector};
use crate::projector::Following;

/// The projector's.
const BATCH_RECORDS: usize = 65_536;
const SEND_TIMEOUT: Duration = Duration::from_secs(60);

/// The rows of one batch.
pub struct Batch {
    month: i32,
    records: usize,
    agents: Vec<AgentRow>,
    clicks: Vec<ClickRow>,
}

#[derive(Row, Serialize)]
struct ClickRow {
    #[serde(with = "clickhouse::serde::uuid")]
    workspace_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    link_id: Uuid,
    ts: i64,
    log_offset: u64,
    link_version: u32,
    domain: String,
    agent_id: u64,
    visitor_id: u64,
    country: String,
    region: String,
    city: String,
    browser: String,
    browser_version: String,
    os: String,
    os_version: String,
    device: &'static str,
    bot: &'static str,
    head: bool,
    prefetch: bool,
    referrer: String,
    referrer_url: String,
    language: String,
    continent: &'static str,
    destination: String,
    utm_source: String,
    utm_medium: String,
    utm_campaign: String,
    utm_content: String,
    utm_term: String,
    qr: bool,
}

#[derive(Row, Serialize)]
struct AgentRow {
    agent_id: u64,
    user_agent: String,
    browser: String,
    browser_version: String,
    os: String,
    os_version: String,
    device: &'static str,
    bot: &'static str,
    bot_pattern: String,
    seen_at: i64,
}

/// Makes all rows of a log.
pub fn batches(log: &dyn Log) -> anyhow::Result<Vec<Batch>> {
    let mut reader = log.read_from(0)?;
    let mut batches: Vec<Batch> = Vec::new();
    while let Some(record) = reader.next_record()? {
        let (month, row) = Either::of(&record)?;
        let fits = |batch: &Batch| batch.month == month && batch.records < BATCH_RECORDS;
        if !batches.last().is_some_and(fits) {
            batches.push(Batch { month, records: 0, agents: Vec::new(), clicks: Vec::new() });
        }
        let batch = batches.last_mut().context("there is a batch")?;
        batch.records += 1;
        match row {
            Either::Click(row) => batch.clicks.push(*row),
            Either::Agent(row) => batch.agents.push(*row),
        }
    }
    Ok(batches)
}

/// The number of clicks in the batches.
pub fn clicks(batches: &[Batch]) -> u64 {
    batches.iter().map(|batch| batch.clicks.len() as u64).sum()
}

enum Either {
    Click(Box<ClickRow>),
    Agent(Box<AgentRow>),
}

impl Either {
    fn of(record: &Record) -> anyhow::Result<(i32, Self)> {
        let payload = record.payload.as_ref();
        if record.kind == kind::AGENT_SEEN {
            let agent = AgentSeen::decode(payload)?;
            let seen_at = agent.at_ms.cast_signed();
            return Ok((month(seen_at)?, Self::Agent(Box::new(AgentRow::new(agent)))));
        }
        let click = Click::decode(payload)?;
        let row = ClickRow::new(record.offset, click)?;
        Ok((month(row.ts)?, Self::Click(Box::new(row))))
    }
}

fn month(at_ms: i64) -> anyhow::Result<i32> {
    let date = jiff::Timestamp::from_millisecond(at_ms)?.to_zoned(jiff::tz::TimeZone::UTC).date();
    Ok(i32::from(date.year()) * 100 + i32::from(date.month()))
}

impl ClickRow {
    fn new(log_offset: u64, click: Click) -> anyhow::Result<Self> {
        Ok(Self {
            workspace_id: Uuid::from_slice(&click.workspace)?,
            link_id: Uuid::from_slice(&click.link)?,
            ts: click.at_ms.cast_signed(),
            log_offset,
            link_version: click.link_version,
            agent_id: click.agent,
            visitor_id: click.visitor,
            device: click.device().as_str(),
            bot: click.bot().as_str(),
            continent: continent(&click.country),
            qr: click.qr,
            head: click.head,
            prefetch: click.prefetch,
            domain: click.domain,
            country: click.country,
            region: click.region,
            city: click.city,
            browser: click.browser,
            browser_version: click.browser_version,
            os: click.os,
            os_version: click.os_version,
            referrer: click.referrer,
            referrer_url: click.referrer_url,
            language: click.language,
            destination: click.destination,
            utm_source: click.utm_source,
            utm_medium: click.utm_medium,
            utm_campaign: click.utm_campaign,
            utm_content: click.utm_content,
            utm_term: click.utm_term,
        })
    }
}

impl AgentRow {
    fn new(agent: AgentSeen) -> Self {
        Self {
            agent_id: agent.id,
            device: agent.device().as_str(),
            bot: agent.bot().as_str(),
            seen_at: agent.at_ms.cast_signed(),
            user_agent: agent.user_agent,
            browser: agent.browser,
            browser_version: agent.browser_version,
            os: agent.os,
            os_version: agent.os_version,
            bot_pattern: agent.bot_pattern,
        }
    }
}

/// The materialized views that feed the rollups.
const FEEDS: [&str; 3] =
    ["clicks_hourly_feed", "clicks_daily_links_feed", "clicks_daily_values_feed"];

/// Inserts all of them into fresh tables, and returns how long that took; with rollups or without.
pub fn measure(
    clickhouse: &ClickHouse,
    batches: &Arc<Vec<Batch>>,
    has_rollups: bool,
) -> anyhow::Result<Duration> {
    // The projector makes its tables, of a log without clicks, and goes.
    Following::start_empty(clickhouse)?.stop()?;
    let (client, batches) = (clickhouse.target.client(), Arc::clone(batches));
    join(like_the_projector(move || async move {
        for feed in FEEDS.iter().filter(|_| !has_rollups) {
            client.query(&format!("DROP VIEW {feed}")).execute().await?;
        }
        let started = Instant::now();
        for (number, batch) in batches.iter().enumerate() {
            insert(&client, "agents", number, &batch.agents).await?;
            insert(&client, "clicks", number, &batch.clicks).await?;
        }
        Ok(started.elapsed())
    })?)
}

async fn insert<R: RowOwned + RowWrite>(
    client: &Client,
    table: &str,
    number: usize,
    rows: &[R],
) -> anyhow::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let insert = client.insert::<R>(table).await?;
    let mut insert = insert
        .with_setting("insert_deduplication_token", format!("bench-{table}-{number}"))
        .with_setting("insert_deduplicate", "1")
        .with_setting("deduplicate_blocks_in_dependent_materialized_views", "1")
        .with_setting("async_insert", "0")
        .with_timeouts(Some(SEND_TIMEOUT), Some(SEND_TIMEOUT));
    for row in rows {
        insert.write(row).await?;
    }
    Ok(insert.end().await?)
}

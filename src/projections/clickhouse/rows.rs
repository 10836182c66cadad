//! Records of the click log as rows of ClickHouse.

use clickhouse::Row;
use prost::Message;
use serde::Serialize;
use uuid::Uuid;

use super::ProjectionError;
use super::plan::Batch;
use crate::domain::click::{AgentSeen, BotReason, Click, Device, kind};
use crate::log::Reader;

/// How many records one batch holds at most. It bounds the memory of the projector; one insert
/// of this size is one block, and so atomic.
pub const MAX_BATCH_RECORDS: usize = 20_000;

/// A row of `clicks`.
#[derive(Row, Serialize)]
pub struct ClickRow {
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
}

/// A row of `agents`.
#[derive(Row, Serialize)]
pub struct AgentRow {
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

impl ClickRow {
    fn new(click: Click, offset: u64) -> Result<Self, ProjectionError> {
        let id =
            |bytes: &[u8]| Uuid::from_slice(bytes).map_err(|_| ProjectionError::Unreadable(offset));
        Ok(Self {
            workspace_id: id(&click.workspace)?,
            link_id: id(&click.link)?,
            ts: click.at_ms.cast_signed(),
            log_offset: offset,
            link_version: click.link_version,
            agent_id: click.agent,
            visitor_id: click.visitor,
            device: click.device().as_str(),
            bot: click.bot().as_str(),
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
        })
    }
}

impl AgentRow {
    fn new(agent: AgentSeen) -> Self {
        let (device, bot): (Device, BotReason) = (agent.device(), agent.bot());
        Self {
            agent_id: agent.id,
            device: device.as_str(),
            bot: bot.as_str(),
            user_agent: agent.user_agent,
            browser: agent.browser,
            browser_version: agent.browser_version,
            os: agent.os,
            os_version: agent.os_version,
            bot_pattern: agent.bot_pattern,
            seen_at: agent.at_ms.cast_signed(),
        }
    }
}

/// The rows of one batch.
#[derive(Default)]
pub struct Rows {
    pub clicks: Vec<ClickRow>,
    pub agents: Vec<AgentRow>,
}

/// Cuts the log into batches: records are taken while they are of one month.
pub struct Cutter {
    reader: Reader,
    /// Read, and of the next batch.
    ahead: Option<(u64, Decoded)>,
}

enum Decoded {
    Click(Click),
    Agent(AgentSeen),
}

impl Cutter {
    pub fn new(reader: Reader) -> Self {
        Self { reader, ahead: None }
    }

    /// The next batch, of records up to and with the offset `through`; `None` when there is none
    /// yet.
    ///
    /// A new batch goes no further than the log is synced: what a power loss can take back must
    /// not be in ClickHouse, because other clicks would get its offsets.
    pub fn next_batch(&mut self, through: u64) -> Result<Option<(Batch, Rows)>, ProjectionError> {
        let mut batch: Option<Batch> = None;
        let mut rows = Rows::default();
        while let Some((offset, decoded)) = self.next_record()? {
            let at_ms = match &decoded {
                Decoded::Click(click) => click.at_ms,
                Decoded::Agent(agent) => agent.at_ms,
            };
            let month = month_of(at_ms).ok_or(ProjectionError::Unreadable(offset))?;
            let is_next = batch.as_ref().is_none_or(|batch| {
                let is_full = offset - batch.first >= MAX_BATCH_RECORDS as u64;
                month == batch.month && !is_full
            });
            if offset > through || !is_next {
                self.ahead = Some((offset, decoded));
                break;
            }
            batch.get_or_insert(Batch { month, first: offset, last: offset }).last = offset;
            match decoded {
                Decoded::Click(click) => rows.clicks.push(ClickRow::new(click, offset)?),
                Decoded::Agent(agent) => rows.agents.push(AgentRow::new(agent)),
            }
        }
        Ok(batch.map(|batch| (batch, rows)))
    }

    fn next_record(&mut self) -> Result<Option<(u64, Decoded)>, ProjectionError> {
        if let Some(ahead) = self.ahead.take() {
            return Ok(Some(ahead));
        }
        let Some(record) = self.reader.next_record()? else { return Ok(None) };
        let unreadable = |_| ProjectionError::Unreadable(record.offset);
        let payload = record.payload.as_ref();
        let decoded = match record.kind {
            kind::CLICK => Decoded::Click(Click::decode(payload).map_err(unreadable)?),
            kind::AGENT_SEEN => Decoded::Agent(AgentSeen::decode(payload).map_err(unreadable)?),
            _ => return Err(ProjectionError::Unreadable(record.offset)),
        };
        Ok(Some((record.offset, decoded)))
    }
}

/// The month that ClickHouse's `toYYYYMM` finds in a time.
fn month_of(at_ms: u64) -> Option<u32> {
    let time = jiff::Timestamp::from_millisecond(i64::try_from(at_ms).ok()?).ok()?;
    let date = time.to_zoned(jiff::tz::TimeZone::UTC).date();
    Some(u32::try_from(date.year()).ok()? * 100 + u32::try_from(date.month()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_turn_at_midnight_utc() {
        assert_eq!(month_of(1_764_547_199_999), Some(202_511));
        assert_eq!(month_of(1_764_547_200_000), Some(202_512));
        assert_eq!(month_of(u64::MAX), None);
    }
}

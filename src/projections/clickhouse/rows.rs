//! Records of the click log as rows of ClickHouse.

use clickhouse::Row;
use prost::Message;
use serde::Serialize;
use uuid::Uuid;

use super::ProjectionError;
use super::plan::Batch;
use crate::domain::click::{AgentSeen, Click, kind};
use crate::log::{Reader, Record};

/// How many records one batch holds at most. It bounds the memory of the projector (some 20 MB);
/// one insert of this size is one block, and so atomic.
pub const MAX_BATCH_RECORDS: usize = 65_536;

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
    /// The row of a record of the kind [`kind::CLICK`].
    fn decode(record: &Record) -> Result<Self, ProjectionError> {
        let unreadable = || ProjectionError::Unreadable(record.offset);
        let click = Click::decode(record.payload.as_ref()).map_err(|_| unreadable())?;
        let id = |bytes: &[u8]| Uuid::from_slice(bytes).map_err(|_| unreadable());
        Ok(Self {
            workspace_id: id(&click.workspace)?,
            link_id: id(&click.link)?,
            ts: click.at_ms.cast_signed(),
            log_offset: record.offset,
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
    /// The row of a record of the kind [`kind::AGENT_SEEN`].
    fn decode(record: &Record) -> Result<Self, ProjectionError> {
        let agent = AgentSeen::decode(record.payload.as_ref());
        let agent = agent.map_err(|_| ProjectionError::Unreadable(record.offset))?;
        Ok(Self {
            agent_id: agent.id,
            device: agent.device().as_str(),
            bot: agent.bot().as_str(),
            user_agent: agent.user_agent,
            browser: agent.browser,
            browser_version: agent.browser_version,
            os: agent.os,
            os_version: agent.os_version,
            bot_pattern: agent.bot_pattern,
            seen_at: agent.at_ms.cast_signed(),
        })
    }
}

/// The records of one batch, decoded as they are sent.
#[derive(Default)]
pub struct Records(Vec<Record>);

impl Records {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The rows of `clicks`.
    pub fn clicks(&self) -> impl ExactSizeIterator<Item = Result<ClickRow, ProjectionError>> {
        self.of_kind(kind::CLICK).into_iter().map(ClickRow::decode)
    }

    /// The rows of `agents`.
    pub fn agents(&self) -> impl ExactSizeIterator<Item = Result<AgentRow, ProjectionError>> {
        self.of_kind(kind::AGENT_SEEN).into_iter().map(AgentRow::decode)
    }

    fn of_kind(&self, kind: u16) -> Vec<&Record> {
        self.0.iter().filter(|record| record.kind == kind).collect()
    }
}

/// Cuts the log into batches: records are taken while they are of one month.
pub struct Cutter {
    reader: Reader,
    /// Read, and of a later batch.
    ahead: Option<Record>,
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
    pub fn next_batch(
        &mut self,
        through: u64,
    ) -> Result<Option<(Batch, Records)>, ProjectionError> {
        let mut batch: Option<Batch> = None;
        let mut records = Records::default();
        while let Some(record) = self.next_record()? {
            let month = month_of(&record)?;
            let is_next = batch
                .as_ref()
                .is_none_or(|batch| month == batch.month && records.len() < MAX_BATCH_RECORDS);
            if record.offset > through || !is_next {
                self.ahead = Some(record);
                break;
            }
            let (first, last) = (record.offset, record.offset);
            batch.get_or_insert(Batch { month, first, last }).last = last;
            records.0.push(record);
        }
        Ok(batch.map(|batch| (batch, records)))
    }

    fn next_record(&mut self) -> Result<Option<Record>, ProjectionError> {
        match self.ahead.take() {
            Some(record) => Ok(Some(record)),
            None => Ok(self.reader.next_record()?),
        }
    }
}

/// The one field of a [`Click`] that a batch is cut by; the others are skipped.
#[derive(Clone, PartialEq, prost::Message)]
struct ClickTime {
    #[prost(uint64, tag = "1")]
    at_ms: u64,
}

/// The same of an [`AgentSeen`].
#[derive(Clone, PartialEq, prost::Message)]
struct AgentTime {
    #[prost(uint64, tag = "10")]
    at_ms: u64,
}

/// The month of a record's time.
fn month_of(record: &Record) -> Result<u32, ProjectionError> {
    month(time_ms(record)?).ok_or(ProjectionError::Unreadable(record.offset))
}

/// When a record was made, in milliseconds since the Unix epoch.
pub fn time_ms(record: &Record) -> Result<u64, ProjectionError> {
    let payload = record.payload.as_ref();
    let at_ms = match record.kind {
        kind::CLICK => ClickTime::decode(payload).ok().map(|click| click.at_ms),
        kind::AGENT_SEEN => AgentTime::decode(payload).ok().map(|agent| agent.at_ms),
        _ => None,
    };
    at_ms.ok_or(ProjectionError::Unreadable(record.offset))
}

/// The month of a moment, as ClickHouse's `toYYYYMM` finds it.
pub fn month(at_ms: u64) -> Option<u32> {
    let time = jiff::Timestamp::from_millisecond(i64::try_from(at_ms).ok()?).ok()?;
    let date = time.to_zoned(jiff::tz::TimeZone::UTC).date();
    Some(u32::try_from(date.year()).ok()? * 100 + u32::try_from(date.month()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_turn_at_midnight_utc() {
        assert_eq!(month(1_764_547_199_999), Some(202_511));
        assert_eq!(month(1_764_547_200_000), Some(202_512));
        assert_eq!(month(u64::MAX), None);
    }

    #[test]
    fn the_time_is_found_without_the_rest() {
        let click = Click { at_ms: 7, browser: "Firefox".to_owned(), ..Click::default() };
        let agent = AgentSeen { at_ms: 8, user_agent: "x".to_owned(), ..AgentSeen::default() };
        let click = ClickTime::decode(click.encode_to_vec().as_slice());
        let agent = AgentTime::decode(agent.encode_to_vec().as_slice());
        assert_eq!(
            (click.ok().map(|at| at.at_ms), agent.ok().map(|at| at.at_ms)),
            (Some(7), Some(8))
        );
    }
}

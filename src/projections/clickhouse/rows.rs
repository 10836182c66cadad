//! Records of the click log as rows of ClickHouse.
//!
//! A batch of records is read into one buffer, and the rows of clicks borrow their texts from
//! there until they are serialised: on the way of a click nothing is allocated.

use clickhouse::Row;
use prost::Message;
use serde::Serialize;
use uuid::Uuid;

use super::ProjectionError;
use super::plan::Batch;
use crate::domain::click::{AgentSeen, kind};
use crate::domain::click_view::ClickView;
use crate::domain::country::continent;
use crate::domain::wire::uint64_of;
use crate::log::{Reader, RecordBatch, RecordRef};

/// How many records one batch holds at most. It bounds the memory of the projector (some 20 MB);
/// one insert of this size is one block, and so atomic.
pub const MAX_BATCH_RECORDS: usize = 65_536;

/// A row of `clicks`.
#[derive(Row, Serialize)]
pub struct ClickRow<'a> {
    #[serde(with = "clickhouse::serde::uuid")]
    workspace_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    link_id: Uuid,
    ts: i64,
    log_offset: u64,
    link_version: u32,
    domain: &'a str,
    agent_id: u64,
    visitor_id: u64,
    country: &'a str,
    region: &'a str,
    city: &'a str,
    browser: &'a str,
    browser_version: &'a str,
    os: &'a str,
    os_version: &'a str,
    device: &'static str,
    bot: &'static str,
    head: bool,
    prefetch: bool,
    referrer: &'a str,
    referrer_url: &'a str,
    language: &'a str,
    continent: &'static str,
    destination: &'a str,
    utm_source: &'a str,
    utm_medium: &'a str,
    utm_campaign: &'a str,
    utm_content: &'a str,
    utm_term: &'a str,
    qr: bool,
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

impl<'a> ClickRow<'a> {
    /// The row of a record of the kind [`kind::CLICK`].
    fn decode(record: RecordRef<'a>) -> Result<Self, ProjectionError> {
        let unreadable = || ProjectionError::Unreadable(record.offset);
        let click = ClickView::parse(record.payload).map_err(|_| unreadable())?;
        let id = |bytes| Uuid::from_slice(bytes).map_err(|_| unreadable());
        Ok(Self {
            workspace_id: id(click.workspace)?,
            link_id: id(click.link)?,
            ts: click.at_ms.cast_signed(),
            log_offset: record.offset,
            link_version: click.link_version,
            domain: click.domain,
            agent_id: click.agent,
            visitor_id: click.visitor,
            country: click.country,
            region: click.region,
            city: click.city,
            browser: click.browser,
            browser_version: click.browser_version,
            os: click.os,
            os_version: click.os_version,
            device: click.device().as_str(),
            bot: click.bot().as_str(),
            head: click.head,
            prefetch: click.prefetch,
            referrer: click.referrer,
            referrer_url: click.referrer_url,
            language: click.language,
            continent: continent(click.country),
            destination: click.destination,
            utm_source: click.utm_source,
            utm_medium: click.utm_medium,
            utm_campaign: click.utm_campaign,
            utm_content: click.utm_content,
            utm_term: click.utm_term,
            qr: click.qr,
        })
    }
}

impl AgentRow {
    /// The row of a record of the kind [`kind::AGENT_SEEN`].
    fn decode(record: RecordRef<'_>) -> Result<Self, ProjectionError> {
        let agent = AgentSeen::decode(record.payload);
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
pub struct Records {
    records: RecordBatch,
    oldest_ms: u64,
}

impl Records {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// When the oldest of them was, in milliseconds since the Unix epoch.
    pub const fn oldest_ms(&self) -> u64 {
        self.oldest_ms
    }

    /// The rows of `clicks`.
    pub fn clicks(&self) -> impl Iterator<Item = Result<ClickRow<'_>, ProjectionError>> {
        self.of_kind(kind::CLICK).map(ClickRow::decode)
    }

    /// The rows of `agents`.
    pub fn agents(&self) -> impl Iterator<Item = Result<AgentRow, ProjectionError>> {
        self.of_kind(kind::AGENT_SEEN).map(AgentRow::decode)
    }

    fn of_kind(&self, kind: u16) -> impl Iterator<Item = RecordRef<'_>> {
        self.records.iter().filter(move |record| record.kind == kind)
    }
}

/// Cuts the log into batches: records are taken while they are of one month.
pub struct Cutter {
    reader: Reader,
}

impl Cutter {
    pub fn new(reader: Reader) -> Self {
        Self { reader }
    }

    /// The next batch, of records up to and with the offset `through`; `None` when there is none
    /// yet. Its records replace those that `records` held.
    ///
    /// A new batch goes no further than the log is synced: what a power loss can take back must
    /// not be in ClickHouse, because other clicks would get its offsets.
    pub fn next_batch(
        &mut self,
        through: u64,
        records: &mut Records,
    ) -> Result<Option<Batch>, ProjectionError> {
        records.records.clear();
        let mut cut = Cut { through, batch: None, oldest_ms: u64::MAX };
        self.reader.read_batch(&mut records.records, |record| cut.takes(record))?;
        records.oldest_ms = cut.oldest_ms;
        Ok(cut.batch.map(|(batch, _)| batch))
    }
}

/// A batch that is being cut.
struct Cut {
    through: u64,
    batch: Option<(Batch, Month)>,
    oldest_ms: u64,
}

impl Cut {
    /// Takes the log's next record, unless the batch ends before it.
    fn takes(&mut self, record: &RecordRef<'_>) -> Result<bool, ProjectionError> {
        let offset = record.offset;
        if offset > self.through {
            return Ok(false);
        }
        let at_ms = moment_of(record)?;
        let Some((batch, month)) = &mut self.batch else {
            let month = Month::of(at_ms).ok_or(ProjectionError::Unreadable(offset))?;
            let batch = Batch { month: month.number, first: offset, last: offset };
            self.batch = Some((batch, month));
            self.oldest_ms = at_ms;
            return Ok(true);
        };
        let is_full = offset - batch.first >= MAX_BATCH_RECORDS as u64;
        if is_full || !month.contains(at_ms) {
            return Ok(false);
        }
        batch.last = offset;
        self.oldest_ms = self.oldest_ms.min(at_ms);
        Ok(true)
    }
}

/// When it was that a record tells of, in milliseconds since the Unix epoch. Its other fields
/// are passed over.
pub fn moment_of(record: &RecordRef<'_>) -> Result<u64, ProjectionError> {
    let at_ms = match record.kind {
        kind::CLICK => uint64_of(record.payload, 1).ok(),
        kind::AGENT_SEEN => uint64_of(record.payload, 10).ok(),
        _ => None,
    };
    at_ms.ok_or(ProjectionError::Unreadable(record.offset))
}

/// A month of UTC, as ClickHouse's `toYYYYMM` finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Month {
    /// `202611`
    number: u32,
    /// Its first millisecond.
    from_ms: u64,
    /// The first millisecond of the next one.
    until_ms: u64,
}

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

impl Month {
    /// The month of a moment; `None` when that is beyond the calendar.
    fn of(at_ms: u64) -> Option<Self> {
        let time = jiff::Timestamp::from_millisecond(i64::try_from(at_ms).ok()?).ok()?;
        let date = time.to_zoned(jiff::tz::TimeZone::UTC).date();
        let unsigned = |number: i8| u64::try_from(number).ok();
        let from_ms = at_ms - at_ms % DAY_MS - (unsigned(date.day())? - 1) * DAY_MS;
        Some(Self {
            number: u32::try_from(date.year()).ok()? * 100 + u32::try_from(date.month()).ok()?,
            from_ms,
            until_ms: from_ms + unsigned(date.days_in_month())? * DAY_MS,
        })
    }

    const fn contains(self, at_ms: u64) -> bool {
        self.from_ms <= at_ms && at_ms < self.until_ms
    }
}

/// The number of the month that a moment is of.
pub fn month(at_ms: u64) -> Option<u32> {
    Month::of(at_ms).map(|month| month.number)
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;

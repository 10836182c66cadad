//! Batches of log records that are sent together.
//!
//! A batch is read into one buffer, and its rows are decoded while they are sent.

use super::ProjectionError;
use super::corrections::Corrections;
use super::plan::Batch;
use super::rows::{AgentRow, BlockedRow, ClickRow, ForgottenRow, ReclassifiedRow, Visit};
use crate::domain::click::{VERSION, kind};
use crate::domain::wire::uint64_of;
use crate::log::{Reader, RecordBatch, RecordRef};

/// The maximum number of records per batch. It limits the memory of the projector (some 20 MB, and
/// as much again for the block that is sent); an insert of this size is one block, and so atomic.
pub const MAX_BATCH_RECORDS: usize = 65_536;

/// The records of a batch, decoded while they are sent.
#[derive(Default)]
pub struct Records {
    records: RecordBatch,
    /// The times of the oldest and of the newest record, in milliseconds since the Unix epoch.
    pub times_ms: (u64, u64),
}

impl Records {
    /// The number of records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// The rows of `clicks`.
    pub fn clicks<'a>(
        &'a self,
        corrections: &'a Corrections,
    ) -> impl Iterator<Item = Result<ClickRow<'a>, ProjectionError>> {
        let rows = self.of_kind(kind::CLICK);
        rows.filter_map(|record| ClickRow::decode(record, corrections).transpose())
    }

    /// The rows of `blocked`.
    pub fn blocked<'a>(
        &'a self,
        corrections: &'a Corrections,
    ) -> impl Iterator<Item = Result<BlockedRow<'a>, ProjectionError>> {
        let rows = self.of_kind(kind::BLOCKED);
        rows.filter_map(|record| BlockedRow::decode(record, corrections).transpose())
    }

    /// The rows of `agents`.
    pub fn agents(&self) -> impl Iterator<Item = Result<AgentRow, ProjectionError>> {
        self.of_kind(kind::AGENT_SEEN).map(AgentRow::decode)
    }

    /// The rows of `forgotten`.
    pub fn forgotten(&self) -> impl Iterator<Item = Result<ForgottenRow, ProjectionError>> {
        self.of_kind(kind::LINK_FORGOTTEN).map(ForgottenRow::decode)
    }

    /// The rows of `reclassified`.
    pub fn reclassified(&self) -> impl Iterator<Item = Result<ReclassifiedRow, ProjectionError>> {
        self.of_kind(kind::AGENT_RECLASSIFIED).map(ReclassifiedRow::decode)
    }

    /// Clicks and blocked visits, with their links and link versions.
    pub fn visits(&self) -> impl Iterator<Item = Result<Visit, ProjectionError>> {
        let is_visit = |record: &RecordRef<'_>| matches!(record.kind, kind::CLICK | kind::BLOCKED);
        self.records.iter().filter(is_visit).map(Visit::of)
    }

    fn of_kind(&self, kind: u16) -> impl Iterator<Item = RecordRef<'_>> {
        self.records.iter().filter(move |record| record.kind == kind)
    }
}

/// Splits the log into batches of one month each.
pub struct Batcher {
    reader: Reader,
}

impl Batcher {
    pub fn new(reader: Reader) -> Self {
        Self { reader }
    }

    /// The next batch, of records up to and including the offset `through`; `None` if there is none
    /// yet. Replaces the content of `records`.
    ///
    /// A batch only contains synced records: what a power failure can remove must not be in
    /// ClickHouse, because other clicks would get its offsets.
    pub fn next_batch(
        &mut self,
        through: u64,
        records: &mut Records,
    ) -> Result<Option<Batch>, ProjectionError> {
        records.records.clear();
        let mut partial = PartialBatch { through, batch: None, times_ms: (u64::MAX, 0) };
        self.reader.read_batch(&mut records.records, |record| partial.push(record))?;
        records.times_ms = partial.times_ms;
        Ok(partial.batch.map(|(batch, _)| batch))
    }
}

/// A batch that is being collected.
struct PartialBatch {
    through: u64,
    batch: Option<(Batch, Month)>,
    /// Of the oldest and of the newest record.
    times_ms: (u64, u64),
}

impl PartialBatch {
    /// Adds the log's next record, unless the batch ends before it.
    fn push(&mut self, record: &RecordRef<'_>) -> Result<bool, ProjectionError> {
        let offset = record.offset;
        if offset > self.through {
            return Ok(false);
        }
        let at_ms = record_time(record)?;
        let Some((batch, month)) = &mut self.batch else {
            let month = Month::of(at_ms).ok_or(ProjectionError::Unreadable(offset))?;
            let batch = Batch { month: month.number, first: offset, last: offset };
            self.batch = Some((batch, month));
            self.times_ms = (at_ms, at_ms);
            return Ok(true);
        };
        let is_full = offset - batch.first >= MAX_BATCH_RECORDS as u64;
        if is_full || !month.contains(at_ms) {
            return Ok(false);
        }
        batch.last = offset;
        let (oldest_ms, newest_ms) = self.times_ms;
        self.times_ms = (oldest_ms.min(at_ms), newest_ms.max(at_ms));
        Ok(true)
    }
}

/// The time of a record, in milliseconds since the Unix epoch, without decoding the rest. A record
/// of a newer version of slugline is an error, never skipped.
pub fn record_time(record: &RecordRef<'_>) -> Result<u64, ProjectionError> {
    let at_ms = match record.kind {
        _ if record.version > VERSION => None,
        kind::CLICK | kind::BLOCKED | kind::LINK_FORGOTTEN | kind::AGENT_RECLASSIFIED => {
            uint64_of(record.payload, 1).ok()
        }
        kind::AGENT_SEEN => uint64_of(record.payload, 10).ok(),
        _ => None,
    };
    at_ms.ok_or(ProjectionError::Unreadable(record.offset))
}

/// A month in UTC, as in ClickHouse's `toYYYYMM`.
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
    /// The month of a time; `None` if it is outside the calendar.
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

/// The number of the month of a time.
pub fn month(at_ms: u64) -> Option<u32> {
    Month::of(at_ms).map(|month| month.number)
}

#[cfg(test)]
#[path = "batches_tests.rs"]
mod tests;

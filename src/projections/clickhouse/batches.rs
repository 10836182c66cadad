//! Batches: what is cut from the log to be sent together.
//!
//! A batch of records is read into one buffer, from which its rows are decoded as they are sent.

use uuid::Uuid;

use super::ProjectionError;
use super::corrections::Corrections;
use super::plan::Batch;
use super::rows::{AgentRow, BlockedRow, ClickRow, ForgottenRow, ReclassifiedRow};
use crate::domain::click::view::ClickView;
use crate::domain::click::{VERSION, kind};
use crate::domain::wire::uint64_of;
use crate::log::{Reader, RecordBatch, RecordRef};

/// How many records one batch holds at most. It bounds the memory of the projector (some 20 MB,
/// and as much again for the block that is sent); one insert of this size is one block, and so atomic.
pub const MAX_BATCH_RECORDS: usize = 65_536;

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

    /// Clicks and blocked visits: of which link, and at which version of it.
    pub fn visits(&self) -> impl Iterator<Item = Result<Visit, ProjectionError>> {
        let is_visit = |record: &RecordRef<'_>| matches!(record.kind, kind::CLICK | kind::BLOCKED);
        self.records.iter().filter(is_visit).map(Visit::of)
    }

    fn of_kind(&self, kind: u16) -> impl Iterator<Item = RecordRef<'_>> {
        self.records.iter().filter(move |record| record.kind == kind)
    }
}

/// What a record says of the link that was visited.
#[derive(Debug, Clone, Copy)]
pub struct Visit {
    pub workspace: Uuid,
    pub link: Uuid,
    pub offset: u64,
    pub link_version: u32,
}

impl Visit {
    fn of(record: RecordRef<'_>) -> Result<Self, ProjectionError> {
        let unreadable = || ProjectionError::Unreadable(record.offset);
        let click = ClickView::parse(record.payload).map_err(|_| unreadable())?;
        let id = |bytes| Uuid::from_slice(bytes).map_err(|_| unreadable());
        Ok(Self {
            workspace: id(click.workspace)?,
            link: id(click.link)?,
            offset: record.offset,
            link_version: click.link_version,
        })
    }
}

/// Cuts the log into batches: records are taken while they are of one month.
pub struct Batcher {
    reader: Reader,
}

impl Batcher {
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
/// are passed over. A record of a newer version of slugline is an error, never skipped.
pub fn moment_of(record: &RecordRef<'_>) -> Result<u64, ProjectionError> {
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
#[path = "batches_tests.rs"]
mod tests;

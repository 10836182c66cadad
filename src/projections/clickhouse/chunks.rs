//! Chunks: rollup rows are divided by ranges of offsets, so that reports can read the clicks before
//! an offset from them while the current hour or day goes on.
//!
//! A report over the clicks up to an offset reads whole chunks of the current hour or day from a
//! rollup, and only the clicks of the chunk that has begun one by one: at most a chunk, however
//! many the day had. Larger chunks make for fewer rows of past days, smaller ones for fewer single
//! clicks to read.

use clickhouse::Client;

use super::ProjectionError;
use super::generation::Generation;

/// The number of offsets in a chunk of a rollup by hour, as in the schema.
pub const HOURLY_CHUNK: u64 = 262_144;
/// The number of offsets in a chunk of a rollup by day; a multiple of [`HOURLY_CHUNK`].
pub const DAILY_CHUNK: u64 = 4_194_304;

/// What can be read from rollups by chunk, of the clicks up to and including an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunks {
    /// The offset.
    pub through: u64,
    /// Rows with the number 0, from before there were chunks, have no click beyond this offset.
    pub unnumbered_through: u64,
    /// No click of a whole chunk is newer than this, in milliseconds since the Unix epoch.
    pub newest_ms: u64,
}

impl Chunks {
    /// The whole chunks of this size. `None` if there is none, or if rows with the number 0 may have
    /// later clicks.
    pub const fn whole(self, size: u64) -> Option<WholeChunks> {
        let last = self.through.saturating_add(1) / size;
        let end = last * size;
        if end > self.unnumbered_through { Some(WholeChunks { last, end }) } else { None }
    }
}

/// The chunks up to one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WholeChunks {
    /// The number of the last one; they are numbered from 1.
    pub last: u64,
    /// The offset after it.
    pub end: u64,
}

/// The number of whole hourly chunks up to and including an offset.
const fn hourly_chunks(offset: u64) -> u64 {
    offset.saturating_add(1) / HOURLY_CHUNK
}

/// The times of the newest clicks, or later, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Newest {
    /// Of all clicks.
    all_ms: u64,
    /// Of those in the first `whole` hourly chunks.
    whole_ms: u64,
    whole: u64,
}

impl Newest {
    /// Of the clicks in the whole chunks up to an offset.
    pub(super) const fn of_chunks(self, through: u64) -> u64 {
        if hourly_chunks(through) <= self.whole { self.whole_ms } else { self.all_ms }
    }

    /// Adds a batch: its last offset, and the time of its newest click.
    pub(super) const fn add(&mut self, last: u64, newest_ms: u64) {
        if newest_ms > self.all_ms {
            self.all_ms = newest_ms;
        }
        if hourly_chunks(last) > self.whole {
            (self.whole, self.whole_ms) = (hourly_chunks(last), self.all_ms);
        }
    }
}

/// What the rollups of a generation have.
pub(super) struct ChunkedRows {
    /// Rows with the number 0 have no click beyond this offset.
    pub(super) unnumbered_through: u64,
    pub(super) newest: Newest,
}

impl ChunkedRows {
    /// Reads it from tables that have the clicks up to an offset.
    pub(super) async fn read(
        client: &Client,
        generation: Generation,
        applied: u64,
    ) -> Result<Self, ProjectionError> {
        // From all rollups: during a removal, each has rows that another one lacks.
        let times = "SELECT toUnixTimestamp64Milli(maxIf(last_at, chunk = 0)), \
                 toUnixTimestamp64Milli(max(last_at)) \
             FROM (SELECT last_at, chunk FROM {hourly:Identifier} \
                 UNION ALL SELECT last_at, chunk FROM {links:Identifier} \
                 UNION ALL SELECT last_at, chunk FROM {values:Identifier})";
        let (unnumbered_ms, newest_ms) =
            generation.query(client, times).fetch_one::<(i64, i64)>().await?;
        let mut unnumbered_through = 0;
        if unnumbered_ms > 0 {
            // A row does not say which clicks it has, but all of them are among these.
            let last = "SELECT max(log_offset) FROM {clicks:Identifier} \
                 WHERE ts <= fromUnixTimestamp64Milli({unnumbered:Int64}, 'UTC')";
            let last = generation.query(client, last).param("unnumbered", unnumbered_ms);
            unnumbered_through = last.fetch_one::<u64>().await?;
        }
        let newest_ms = newest_ms.max(0).cast_unsigned();
        let whole = hourly_chunks(applied);
        let newest = Newest { all_ms: newest_ms, whole_ms: newest_ms, whole };
        Ok(Self { unnumbered_through, newest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn chunks(through: u64, unnumbered_through: u64) -> Chunks {
        Chunks { through, unnumbered_through, newest_ms: 0 }
    }

    #[test]
    fn a_chunk_is_read_once_it_is_whole() {
        for size in [HOURLY_CHUNK, DAILY_CHUNK] {
            assert_eq!(chunks(size - 2, 0).whole(size), None);
            for (through, last) in [(size - 1, 1), (size, 1), (3 * size - 2, 2), (3 * size - 1, 3)]
            {
                let whole = WholeChunks { last, end: last * size };
                assert_eq!(chunks(through, 0).whole(size), Some(whole));
            }
        }
    }

    #[test]
    fn rows_with_the_number_0_must_be_older() {
        let of = |through| chunks(through, 2 * HOURLY_CHUNK).whole(HOURLY_CHUNK);
        assert_eq!(of(3 * HOURLY_CHUNK - 2), None);
        assert!(of(3 * HOURLY_CHUNK - 1).is_some());
    }

    #[test]
    fn clicks_of_a_chunk_that_has_begun_make_no_older_one_newer() {
        let mut newest = Newest::default();
        for (last, newest_ms, expected_ms) in [
            (HOURLY_CHUNK - 3, 10, 10),
            (HOURLY_CHUNK - 1, 20, 20),
            (HOURLY_CHUNK, 30, 20),
            (HOURLY_CHUNK + 1, 15, 20),
        ] {
            newest.add(last, newest_ms);
            assert_eq!(newest.of_chunks(HOURLY_CHUNK - 1), expected_ms, "{last}");
        }
    }

    #[test]
    fn the_schema_has_the_same_sizes() {
        let schema = include_str!("../../../schema/0010_chunks.sql");
        let of = |size: u64| schema.matches(&format!("intDiv(log_offset, {size}) + 1")).count();
        assert_eq!(schema.matches("intDiv(log_offset, ").count(), 3);
        assert_eq!((of(HOURLY_CHUNK), of(DAILY_CHUNK)), (1, 2));
        assert_eq!(DAILY_CHUNK % HOURLY_CHUNK, 0);
    }
}

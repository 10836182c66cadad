//! Chunks: rollup rows are divided by ranges of offsets, so that reports can read the clicks before
//! an offset from them while the current hour or day goes on.
//!
//! A report over the clicks up to an offset reads whole chunks of the current hour or day from a
//! rollup, and only the clicks of the chunk that has begun one by one: at most [`CHUNK`], however
//! many the day had.

use clickhouse::Client;

use super::ProjectionError;
use super::generation::Generation;

/// The number of offsets in a chunk, as in the schema. More make for fewer rows of past days; fewer
/// make for fewer single clicks to read.
const CHUNK: u64 = 4_194_304;

/// The part of the log whose clicks can be read from rollups by offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunks {
    /// All offsets before this one, which is the first of a chunk.
    pub before: u64,
    /// No click before that offset is newer than this, in milliseconds since the Unix epoch.
    pub newest_ms: u64,
}

impl Chunks {
    /// The whole chunks among the clicks up to and including `offset`. `None` if there is none, or
    /// if rows with the number 0, whose clicks go up to `unnumbered_through`, may have later ones.
    pub(super) const fn through(
        offset: u64,
        unnumbered_through: u64,
        newest: Newest,
    ) -> Option<Self> {
        let before = whole(offset) * CHUNK;
        let newest_ms =
            if before <= newest.whole * CHUNK { newest.whole_ms } else { newest.all_ms };
        if before > unnumbered_through { Some(Self { before, newest_ms }) } else { None }
    }

    /// The number of the last chunk. Rows from before there were chunks have the number 0.
    pub const fn last(self) -> u64 {
        self.before / CHUNK
    }
}

/// The number of whole chunks up to and including an offset.
const fn whole(offset: u64) -> u64 {
    offset.saturating_add(1) / CHUNK
}

/// The times of the newest clicks, or later, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Newest {
    /// Of all clicks.
    all_ms: u64,
    /// Of those in the first `whole` chunks.
    whole_ms: u64,
    whole: u64,
}

impl Newest {
    /// Adds a batch: its last offset, and the time of its newest click.
    pub(super) const fn add(&mut self, last: u64, newest_ms: u64) {
        if newest_ms > self.all_ms {
            self.all_ms = newest_ms;
        }
        if whole(last) > self.whole {
            (self.whole, self.whole_ms) = (whole(last), self.all_ms);
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
        // From all rollups: a removal gives rows of one a number before those of another.
        let times = "SELECT toUnixTimestamp64Milli(maxIf(last_at, chunk = 0)), \
                 toUnixTimestamp64Milli(maxIf(last_at, chunk <= {whole:UInt64})), \
                 toUnixTimestamp64Milli(max(last_at)) \
             FROM (SELECT last_at, chunk FROM {hourly:Identifier} \
                 UNION ALL SELECT last_at, chunk FROM {links:Identifier} \
                 UNION ALL SELECT last_at, chunk FROM {values:Identifier})";
        let times = generation.query(client, times).param("whole", whole(applied));
        let (unnumbered_ms, whole_ms, all_ms) = times.fetch_one::<(i64, i64, i64)>().await?;
        let mut unnumbered_through = 0;
        if unnumbered_ms > 0 {
            // A row does not say which clicks it has, but all of them are among these.
            let last = "SELECT max(log_offset) FROM {clicks:Identifier} \
                 WHERE ts <= fromUnixTimestamp64Milli({unnumbered:Int64}, 'UTC')";
            let last = generation.query(client, last).param("unnumbered", unnumbered_ms);
            unnumbered_through = last.fetch_one::<u64>().await?;
        }
        let [whole_ms, all_ms] = [whole_ms, all_ms].map(|ms| ms.max(0).cast_unsigned());
        let newest = Newest { all_ms, whole_ms, whole: whole(applied) };
        Ok(Self { unnumbered_through, newest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_read_once_it_is_whole() {
        let newest = Newest { all_ms: 9, whole_ms: 7, whole: 3 };
        assert_eq!(Chunks::through(CHUNK - 2, 0, newest), None);
        for (offset, last) in [(CHUNK - 1, 1), (CHUNK, 1), (3 * CHUNK - 2, 2), (3 * CHUNK - 1, 3)] {
            let chunks = Chunks { before: last * CHUNK, newest_ms: 7 };
            assert_eq!(Chunks::through(offset, 0, newest), Some(chunks));
            assert_eq!(chunks.last(), last);
        }
    }

    #[test]
    fn rows_with_the_number_0_must_be_older() {
        let through = |offset| Chunks::through(offset, 2 * CHUNK, Newest::default());
        assert_eq!(through(3 * CHUNK - 2), None);
        assert!(through(3 * CHUNK - 1).is_some());
    }

    #[test]
    fn clicks_of_a_chunk_that_has_begun_make_no_older_one_newer() {
        let mut newest = Newest::default();
        for (last, newest_ms, expected_ms) in
            [(CHUNK - 3, 10, 10), (CHUNK - 1, 20, 20), (CHUNK, 30, 20), (CHUNK + 1, 15, 20)]
        {
            newest.add(last, newest_ms);
            let chunks = Chunks::through(CHUNK - 1, 0, newest);
            assert_eq!(chunks.map(|chunks| chunks.newest_ms), Some(expected_ms), "{last}");
        }
    }

    #[test]
    fn the_schema_has_the_same_size() {
        let schema = include_str!("../../../schema/0010_chunks.sql");
        assert_eq!(schema.matches("intDiv(log_offset, ").count(), 3);
        assert_eq!(schema.matches(&format!("intDiv(log_offset, {CHUNK}) + 1")).count(), 3);
    }
}

//! Chunks: rollup rows are divided by ranges of offsets, so that reports can read the clicks before
//! an offset from them while the current hour or day goes on.
//!
//! A report over the clicks up to an offset reads whole chunks from a rollup, and only the clicks
//! of the chunk that has begun one by one: at most [`CHUNK`], however many the day had.

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
    /// if the rows without a number, whose clicks go up to `unnumbered_through`, have later ones.
    pub const fn through(offset: u64, unnumbered_through: u64, newest_ms: u64) -> Option<Self> {
        let before = offset.saturating_add(1) / CHUNK * CHUNK;
        if before > unnumbered_through { Some(Self { before, newest_ms }) } else { None }
    }

    /// The number of the last chunk. Rows from before there were chunks have the number 0.
    pub const fn last(self) -> u64 {
        self.before / CHUNK
    }
}

/// The last offset of the clicks in rows without a number (at least), and the time of the newest
/// click in milliseconds since the Unix epoch; 0 if there is none.
pub(super) async fn unnumbered_and_newest(
    client: &Client,
    generation: Generation,
) -> Result<(u64, u64), ProjectionError> {
    let times = "SELECT toUnixTimestamp64Milli(maxIf(last_at, chunk = 0)), \
             toUnixTimestamp64Milli(max(last_at)) \
         FROM (SELECT last_at, chunk FROM {hourly:Identifier} \
             UNION ALL SELECT last_at, chunk FROM {links:Identifier} \
             UNION ALL SELECT last_at, chunk FROM {values:Identifier})";
    let (unnumbered_ms, newest_ms) =
        generation.query(client, times).fetch_one::<(i64, i64)>().await?;
    let newest_ms = newest_ms.max(0).cast_unsigned();
    if unnumbered_ms <= 0 {
        return Ok((0, newest_ms));
    }
    // A row does not say which clicks it has, but all of them are among these.
    let last = "SELECT max(log_offset) FROM {clicks:Identifier} \
         WHERE ts <= fromUnixTimestamp64Milli({unnumbered:Int64}, 'UTC')";
    let last = generation.query(client, last).param("unnumbered", unnumbered_ms);
    Ok((last.fetch_one::<u64>().await?, newest_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_read_once_it_is_whole() {
        assert_eq!(Chunks::through(CHUNK - 2, 0, 7), None);
        for (offset, last) in [(CHUNK - 1, 1), (CHUNK, 1), (3 * CHUNK - 2, 2), (3 * CHUNK - 1, 3)] {
            let chunks = Chunks { before: last * CHUNK, newest_ms: 7 };
            assert_eq!(Chunks::through(offset, 0, 7), Some(chunks));
            assert_eq!(chunks.last(), last);
        }
    }

    #[test]
    fn rows_without_a_number_must_be_older() {
        assert_eq!(Chunks::through(3 * CHUNK - 2, 2 * CHUNK, 7), None);
        assert!(Chunks::through(3 * CHUNK - 1, 2 * CHUNK, 7).is_some());
    }

    #[test]
    fn the_schema_has_the_same_size() {
        let schema = include_str!("../../../schema/0010_chunks.sql");
        assert_eq!(schema.matches("intDiv(log_offset, ").count(), 3);
        assert_eq!(schema.matches(&format!("intDiv(log_offset, {CHUNK}) + 1")).count(), 3);
    }
}

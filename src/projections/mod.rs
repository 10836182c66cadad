//! Folds of the log, each with an offset of its own: drop one and it rebuilds.
//!
//! | projection | follows | holds | when it is away |
//! |---|---|---|---|
//! | [`index`] | mutations, in step with the writer | links, slugs, tokens, in a sorted file and sled | redirects go on from memory; it is repaired from the log, at the start or while serving |
//! | [`clickhouse`] | clicks, at its own pace | clicks and user agents, in ClickHouse | analytics say so; the log is the queue |
//!
//! The forgetter stands between the two logs: it has the log of clicks say which links were deleted,
//! so that the analytics follow one log alone.
//!
//! # What is exact
//!
//! - **Once.** Each click that the log holds durably comes to ClickHouse, and once: in the table of
//!   clicks and in the rollups alike. A batch's bounds are on disk before it is sent, and its
//!   deduplication token names them; whatever dies, the same batch is sent again under the same
//!   token. Clicks that are not durable yet are not sent: a power failure could take them back,
//!   and others would get their offsets.
//! - **Of one moment.** An answer of the analytics has each click up to the offset that it names,
//!   and no other.
//! - **Amended by events alone.** That a link was forgotten, or an agent reclassified, stands in the
//!   log behind the clicks that it is about. From that offset on answers leave out the clicks of a
//!   forgotten link, also those that are logged later; the tables lose them some time later, and note
//!   what went. Reclassified agents' clicks have their new class after the rebuild that follows.
//! - **Checked.** At each start, and whenever somebody asks, the clicks of each month and workspace
//!   are counted in the log, in the table and in each rollup, with the sums of their offsets and of
//!   their squares: a click that is missing, double, or another one is found. What was removed
//!   counts as there.
//! - **Rebuilt the same.** A rebuild reads nothing but the log. The index comes out with the same
//!   digest, ClickHouse with the same clicks. The exception: clicks that `--clicks-retention` has
//!   removed from the log are taken from the tables in use, which had been compared with the log
//!   before.

pub mod clickhouse;
mod deletion_propagator;
pub mod history;
pub mod index;
mod progress;

pub use deletion_propagator::{DeletionPropagator, Forgotten};
pub use progress::{RebuildProgress, RebuildState};

/// As the engine's own.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Lets redirects go before this thread when there is more to do than there are processors.
/// Linux counts this by thread; elsewhere it is the whole process's, and is left alone.
pub fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "the thread keeps its full share");
    }
}

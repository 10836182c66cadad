//! Projections of the logs. Each has its own offset and can be rebuilt.
//!
//! | projection | follows | holds | when unavailable |
//! |---|---|---|---|
//! | [`index`] | mutations, in step with the writer | links, slugs, tokens, in a sorted file and
//! sled | redirects continue from memory; it is repaired from the log, at start or while serving |
//! | [`clickhouse`] | clicks, asynchronously | clicks and user agents, in ClickHouse | analytics
//! return an error; the log is the queue |
//!
//! The [`DeletionPropagator`] copies link deletions from the mutation log to the click log, so that
//! analytics follow one log.
//!
//! # Guarantees
//!
//! - **Exactly once.** Each click that is durable in the log reaches ClickHouse exactly once, in
//!   the table of clicks and in the rollups. A batch's bounds are on disk before it is sent, and
//!   its deduplication token contains them; after any crash, the same batch is sent again with the
//!   same token. Clicks that are not durable yet are not sent: a power failure could remove them,
//!   and others would get their offsets.
//! - **Snapshots.** A report covers each click up to the offset that it states, and no other.
//! - **Amended by events only.** The deletion of a link and the reclassification of a user agent
//!   are records in the log after the clicks that they affect. From that offset on, reports exclude
//!   the clicks of a deleted link, including those logged later; the tables drop them some time
//!   later, and record what was removed. Reclassified clicks change their class with the next
//!   rebuild.
//! - **Reconciled.** At each start, and on request, the clicks of each month and workspace are
//!   counted in the log, in the table and in each rollup, with the sums of their offsets and of the
//!   squares of their offsets: a missing, duplicate or different click is found. Removed clicks
//!   count as present.
//! - **Reproducible.** A rebuild reads only the log. The index gets the same digest, ClickHouse the
//!   same clicks. The exception: clicks that `--clicks-retention` removed from the log are copied
//!   from the tables in use, which were reconciled with the log before.

pub mod clickhouse;
mod deletion_propagator;
pub mod history;
pub mod index;
mod progress;

pub use deletion_propagator::{DeletionPropagator, DeletionWatch};
pub use progress::{OperatorError, RebuildProgress, RebuildState};

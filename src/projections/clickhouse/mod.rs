//! The click log in ClickHouse, each click exactly once.
//!
//! **Exactly once.** The [projector](Projector) splits the log into batches: ranges of offsets
//! within one month, because an insert is only atomic within one partition. The bounds of a batch
//! are persisted (`plan`) before it is sent, and its deduplication token contains the log, the
//! month and the bounds. After any failure, the next attempt sends the same range with the same
//! token, and ClickHouse drops what it already has.
//!
//! **Sessions.** A [`Projector`] works in sessions: while ClickHouse is connected, one set of
//! tables (a [`Generation`]) is filled batch by batch. Between two batches, when the offset of the
//! tables is known exactly, it runs operator commands: it counts the tables for a
//! [`Reconciliation`], or fills the next generation from the start of the log and then switches to
//! it.
//!
//! **Amendments.** The log also contains changes to earlier clicks: that a link was deleted, or an
//! agent reclassified. Such records have their own tables, and are applied between batches:
//! deletions by a removal, reclassifications by a rebuild.
//!
//! ClickHouse may be the embedded engine or any server of version 24.8 or later: a [`Target`] is
//! its current address, if it is available.

mod background_tasks;
pub mod backup;
mod batches;
mod chunks;
mod connection;
mod copies;
mod corrections;
mod deletion_epoch;
mod generation;
mod late;
mod native;
mod operator;
mod pending_amendments;
mod plan;
mod projector;
mod rebuild;
mod reclassify;
mod reconcile;
mod removal;
mod retention;
mod rows;
mod schema;
mod session;
mod status;
mod tally;

pub use chunks::{Chunks, DAILY_CHUNK, HOURLY_CHUNK, WholeChunks};
pub use connection::{ClickHouse, Reading, Target};
pub use deletion_epoch::{DeletionEpoch, DeletionEpochs, is_forgotten};
pub use generation::Generation;
pub use operator::Operator;
pub use projector::Projector;
pub use reclassify::{Reclassification, UserAgentClass, UserAgentClassifier};
pub use reconcile::{Compared, Extent, Reconciliation};
pub use retention::Retention;
pub use status::{AsOf, Reconciled, Status};
pub use tally::Sums;

/// Projection errors.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    /// ClickHouse rejected a request, or is unavailable.
    #[error(transparent)]
    ClickHouse(#[from] clickhouse::error::Error),
    /// The click log could not be read.
    #[error(transparent)]
    Log(#[from] crate::log::LogError),
    /// A record of the click log is invalid.
    #[error(
        "the click log has an invalid record at offset {0}; it may have been written by a newer version of slugline"
    )]
    Unreadable(u64),
    /// The plan file cannot be read or written.
    #[error("{0}: {1}")]
    Plan(std::path::PathBuf, std::io::Error),
    /// The plan contains clicks that the log does not have.
    #[error(
        "ClickHouse has clicks up to offset {planned}, but the log ends at {end}: it is an older log. Restore the newer one, or use another --clickhouse-database, which is then filled from this log"
    )]
    Ahead {
        /// The last planned offset.
        planned: u64,
        /// The last offset of the log.
        end: u64,
    },
    /// A file of a backup of rows cannot be read or written.
    #[error("{0}: {1}")]
    Backup(std::path::PathBuf, std::io::Error),
    /// The engine was restarted.
    #[error("the engine was restarted")]
    Restarted,
    /// The database belongs to another log.
    #[error(
        "the ClickHouse database `{0}` contains the analytics of another log: use another one with --clickhouse-database"
    )]
    Foreign(String),
    /// A migration differs from the applied one.
    #[error(
        "schema file {0} differs from what was applied to this database, which belongs to another version of slugline; it cannot be rebuilt, because the log has dropped clicks"
    )]
    ChangedMigration(String),
}

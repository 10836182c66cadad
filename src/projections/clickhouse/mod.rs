//! The click log in ClickHouse, each click once.
//!
//! **How a click gets there once.** The [projector](Projector) cuts the log into batches: a
//! range of offsets, all of one month, because an insert is atomic inside one partition only.
//! The batch's bounds are persisted (`plan`) before it is sent, and its deduplication token
//! names log, month and bounds. Whatever dies in between, the next attempt sends the same range
//! under the same token, and ClickHouse drops what it has already.
//!
//! **Sessions.** A [`Projector`] works in sessions: while ClickHouse answers, one set of tables (a
//! [`Generation`]) is followed batch by batch. Between two batches, where it is known exactly how
//! far the tables are, it does what operators ask: counts them for a [`Reconciliation`], or fills
//! the next generation from the log's beginning and then puts it in the place of this one.
//!
//! **Amendments.** The log also tells what earlier clicks no longer count for: that a link was
//! forgotten, or an agent reclassified. Such records go into tables of their own, and are carried
//! out between batches: the one by a removal, the other by a rebuild.
//!
//! ClickHouse may be the embedded engine or any server of version 24.8 or later: a [`Target`]
//! says where it is at the moment, or that it isn't.

mod background_tasks;
mod batches;
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

pub use connection::{ClickHouse, Reading, Target};
pub use deletion_epoch::{DeletionEpoch, Removing, is_forgotten};
pub use generation::Generation;
pub use operator::{Operator, Refused};
pub use projector::Projector;
pub use reclassify::{Judge, Judgement, Reclassification};
pub use reconcile::{Compared, Extent, Reconciliation};
pub use retention::Retention;
pub use status::{AsOf, Reconciled, Status};
pub use tally::Sums;

/// What goes wrong on the way to ClickHouse.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    /// ClickHouse refused, or could not be reached.
    #[error(transparent)]
    ClickHouse(#[from] clickhouse::error::Error),
    /// The click log could not be read.
    #[error(transparent)]
    Log(#[from] crate::log::LogError),
    /// A record of the click log is no click.
    #[error(
        "the click log holds an unreadable record at offset {0}: was it written by a newer slugline?"
    )]
    Unreadable(u64),
    /// The plan file can't be read or written.
    #[error("{0}: {1}")]
    Plan(std::path::PathBuf, std::io::Error),
    /// The plan speaks of clicks that the log does not have.
    #[error(
        "ClickHouse has clicks up to offset {planned}, but the log ends at {end}: it is an older one. Restore the newer log, or name another --clickhouse-database, which is then filled from this log"
    )]
    Ahead {
        /// The last offset that was planned.
        planned: u64,
        /// The last offset of the log.
        end: u64,
    },
    /// The engine is another process now.
    #[error("the engine was restarted")]
    Restarted,
    /// The database is somebody else's.
    #[error(
        "the ClickHouse database `{0}` holds the analytics of another log: give this slugline its own with --clickhouse-database"
    )]
    Foreign(String),
    /// A migration is not what was applied.
    #[error(
        "schema file {0} differs from what was applied to this database, which belongs to another version of slugline; it can't be made anew, because the log has dropped clicks"
    )]
    ChangedMigration(String),
}

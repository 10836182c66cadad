//! Background work: jobs and scheduled tasks.
//!
//! A [`Job`] is long-running work of a workspace, such as an import. A [`JobRunner`] keeps the jobs
//! of one [`Kind`] in a folder: the state of each, which is replaced atomically, and its files. It
//! runs some at a time, at most one per workspace, and the others are queued. Jobs can be canceled,
//! are interrupted or resumed by a restart, and expire with their files.
//!
//! A [`Scheduler`] runs tasks periodically, such as the orders of due certificates.
//!
//! Rebuilds and reclassifications are not jobs: they belong to the service, not to a workspace, and
//! they are never resumed, because a rebuild starts over from the log. A rebuild of the analytics
//! advances by one step between two batches of the projector, where the offset of the tables is
//! known, and one of the index is a thread beside its readers; an operator command starts each, and
//! its state ([`RebuildState`](crate::projections::RebuildState)) is kept in memory, one at a time.

mod clock;
pub mod exports;
pub mod imports;
pub mod qr_exports;
mod runner;
mod scheduler;
mod store;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use clock::Clock;
pub use runner::JobRunner;
pub use scheduler::Scheduler;

use crate::domain::ids::WorkspaceId;
use crate::domain::named_enum;

/// Maximum number of jobs of a kind per workspace.
pub const MAX_OF_WORKSPACE: usize = 10;
/// Delay before a retry when others are first.
const RETRY_DELAY: Duration = Duration::from_secs(2);
/// How long the results of a job are kept, in milliseconds.
const RETENTION_MS: u64 = 24 * 3_600 * 1_000;

named_enum! {
    /// The state of a job.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum State {
        /// It waits for other jobs.
        Queued => "queued",
        /// It is in progress.
        Running => "running",
        /// It is complete.
        Done => "done",
        /// It ended early.
        Failed => "failed",
    }
}

/// A job, as stored on disk. Times are in milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job<K> {
    /// The id, without the prefix.
    pub id: Uuid,
    /// The workspace.
    pub workspace: Uuid,
    /// The state.
    pub state: State,
    /// When it was requested.
    pub created_at_ms: u64,
    /// When it was last saved.
    #[serde(default)]
    pub noted_at_ms: u64,
    /// Why it failed or, while it is running, what it waits for.
    pub error: Option<String>,
    /// The fields of this kind of job.
    #[serde(flatten)]
    pub details: K,
}

impl<K> Job<K> {
    /// A new job.
    fn new(id: Uuid, workspace: WorkspaceId, now_ms: u64, details: K) -> Self {
        let (workspace, state, error) = (workspace.uuid(), State::Queued, None);
        Self { id, workspace, state, created_at_ms: now_ms, noted_at_ms: now_ms, error, details }
    }

    /// Whether it has ended.
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Done | State::Failed)
    }
}

impl<K: Kind> Job<K> {
    /// When it is removed, in milliseconds since the Unix epoch; `None` if this is not known yet.
    pub fn expires_at_ms(&self) -> Option<u64> {
        K::expires_at_ms(self)
    }

    fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_at_ms().is_some_and(|at_ms| at_ms <= now_ms)
    }
}

/// A kind of job; the type holds what a job of this kind has beside the common fields.
pub trait Kind: Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The name in messages.
    const NAME: &'static str;
    /// How many jobs run at a time.
    const CONCURRENCY: usize;
    /// The error of jobs that a restart interrupted. `None`: they are resumed.
    const INTERRUPTED: Option<&'static str>;

    /// The extensions of a job's files, and whether it still needs each of them after a restart.
    fn files(job: &Job<Self>) -> [(&'static str, bool); 2];

    /// [`Job::expires_at_ms`].
    fn expires_at_ms(job: &Job<Self>) -> Option<u64>;

    /// Whether a job is removed as soon as its workspace has too many.
    fn is_replaceable(_: &Job<Self>) -> bool {
        false
    }
}

/// Why a job ends early.
#[derive(Debug)]
pub enum Failed {
    /// An error, in words for the user.
    Error(String),
    /// The job's files can't be accessed.
    Io(std::io::Error),
    /// The job was removed, or the service stops.
    Stopped,
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

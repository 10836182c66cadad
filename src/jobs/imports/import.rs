//! An import, as stored on disk.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::formats::Format;
use crate::domain::command::OnConflict;
use crate::domain::ids::{ImportId, TokenId, UserId, WorkspaceId};
use crate::domain::token::{Abilities, Ability, Actor};
use crate::domain::workspace::Role;
use crate::jobs::{Kind, RETENTION_MS, State};

/// The extension of the uploaded file.
pub(super) const FILE: &str = "file";
/// The extension of the report.
pub(super) const REPORT: &str = "rejects";

/// Maximum number of links with warnings in a report.
pub const MAX_LISTED_WARNINGS: u64 = 100_000;

/// Maximum number of unknown domains in a report.
pub(super) const MAX_UNKNOWN_DOMAINS: usize = 20;

/// The options of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The format of the file.
    pub format: Format,
    /// Change nothing; only report what would happen.
    pub dry_run: bool,
    /// What to do with existing links.
    pub on_conflict: OnConflict,
    /// The domain of all links. If absent, each link keeps its domain if the workspace has it, and
    /// goes to the workspace's default domain otherwise.
    pub domain: Option<String>,
    /// The folder of links without one.
    pub folder: Option<String>,
    /// Additional tags of all links.
    pub tags: Vec<String>,
}

/// Counts of the results so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Links read.
    pub rows: u64,
    /// New links.
    pub created: u64,
    /// Existing links that were changed.
    pub replaced: u64,
    /// Existing links that were identical.
    pub unchanged: u64,
    /// Existing links that were skipped.
    pub skipped: u64,
    /// Links that were refused; all of them are in the report.
    pub rejected: u64,
    /// Links that were imported with changes; in the report up to [`MAX_LISTED_WARNINGS`].
    #[serde(default)]
    pub warnings: u64,
    /// New links with a generated slug.
    #[serde(default)]
    pub generated_slugs: u64,
}

/// What an import has beside the fields of each job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// The token that started it; nil for a session.
    pub token: Uuid,
    /// The user who started it, by this token or in a session; absent in older jobs.
    #[serde(default)]
    pub user: Option<Uuid>,
    /// The options.
    pub plan: Plan,
    /// The counts so far.
    pub counts: Counts,
    /// Size of the file, in bytes.
    pub bytes_total: u64,
    /// Number of bytes processed.
    pub bytes_read: u64,
    /// Size of the report that matches these counts, in bytes.
    pub report_bytes: u64,
    /// All columns of a CSV file; absent in older jobs.
    #[serde(default)]
    pub columns: Vec<String>,
    /// Unknown columns of the file.
    pub ignored_columns: Vec<String>,
    /// Domains in the file that the workspace lacks, up to [`MAX_UNKNOWN_DOMAINS`].
    #[serde(default)]
    pub unknown_domains: Vec<String>,
    /// The offset in the mutation log that reflects the imported links.
    pub offset: u64,
    /// Identifies the request that started it.
    pub idempotency: Option<Idempotency>,
}

/// Identifies a repeated request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idempotency {
    /// The `Idempotency-Key` header.
    pub key: String,
    /// SHA-256 of the plan and the file.
    pub request_sha256: Vec<u8>,
}

/// An import.
pub type Job = crate::jobs::Job<Import>;

impl Kind for Import {
    const NAME: &'static str = "import";
    const CONCURRENCY: usize = 2;
    const INTERRUPTED: Option<&'static str> = None;

    fn files(job: &Job) -> [(&'static str, bool); 2] {
        [(FILE, !job.is_over()), (REPORT, true)]
    }

    fn expires_at_ms(job: &Job) -> Option<u64> {
        job.is_over().then(|| job.noted_at_ms.saturating_add(RETENTION_MS))
    }

    fn is_replaceable(job: &Job) -> bool {
        job.is_over() && job.details.plan.dry_run
    }
}

impl Job {
    /// The id as in the API.
    pub const fn id(&self) -> ImportId {
        ImportId::new(self.id)
    }

    /// Progress from 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "a file is far below 2^53 bytes")]
    pub fn progress(&self) -> f64 {
        match self.state {
            State::Done => 1.0,
            _ if self.details.bytes_total == 0 => 0.0,
            _ => (self.details.bytes_read as f64 / self.details.bytes_total as f64).min(1.0),
        }
    }

    /// The actor of the commands: who started the import, restricted to the ability needed. What the
    /// user's role permits is checked with each command.
    pub(super) fn actor(&self) -> Actor {
        let (workspace, token) =
            (WorkspaceId::new(self.workspace), TokenId::new(self.details.token));
        let user = self.details.user.map(|user| (UserId::new(user), Role::Owner));
        Actor { user, ..Actor::new(workspace, token, Abilities::only(Ability::LinksWrite)) }
    }
}

//! The state of an import, as stored on disk.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::formats::Format;
use crate::domain::command::OnConflict;
use crate::domain::ids::{ImportId, TokenId, WorkspaceId};
use crate::domain::token::{Abilities, Ability, Actor};

/// Retention of the report after the import has finished.
pub const RETENTION: Duration = Duration::from_secs(24 * 3_600);

/// Maximum number of links with warnings in a report.
pub const MAX_LISTED_WARNINGS: u64 = 100_000;

/// Maximum number of unknown domains in a report.
pub(super) const MAX_UNKNOWN_DOMAINS: usize = 20;

/// The state of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It waits for other imports.
    Queued,
    /// Its file is being read.
    Running,
    /// The whole file was read.
    Done,
    /// It ended early.
    Failed,
}

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

/// An import.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The id, without the prefix.
    pub id: Uuid,
    /// The workspace of the links.
    pub workspace: Uuid,
    /// The token that started it.
    pub token: Uuid,
    /// The options.
    pub plan: Plan,
    /// The state.
    pub state: State,
    /// The counts so far.
    pub counts: Counts,
    /// Size of the file, in bytes.
    pub bytes_total: u64,
    /// Number of bytes processed.
    pub bytes_read: u64,
    /// Size of the report that matches these counts, in bytes.
    pub report_bytes: u64,
    /// Unknown columns of the file.
    pub ignored_columns: Vec<String>,
    /// Domains in the file that the workspace lacks, up to [`MAX_UNKNOWN_DOMAINS`].
    #[serde(default)]
    pub unknown_domains: Vec<String>,
    /// The offset in the mutation log that reflects the imported links.
    pub offset: u64,
    /// Start time, in milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// When this was last saved, in milliseconds since the Unix epoch.
    pub noted_at_ms: u64,
    /// Why it failed or, while it is running, what it waits for.
    pub error: Option<String>,
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

impl Job {
    /// The id as in the API.
    pub const fn id(&self) -> ImportId {
        ImportId::new(self.id)
    }

    /// When the report expires, in milliseconds since the Unix epoch, if the import has finished.
    pub fn expires_at_ms(&self) -> Option<u64> {
        let kept = u64::try_from(RETENTION.as_millis()).unwrap_or(u64::MAX);
        self.is_over().then(|| self.noted_at_ms.saturating_add(kept))
    }

    /// Whether it has finished.
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Done | State::Failed)
    }

    /// Progress from 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "a file is far below 2^53 bytes")]
    pub fn progress(&self) -> f64 {
        match self.state {
            State::Done => 1.0,
            _ if self.bytes_total == 0 => 0.0,
            _ => (self.bytes_read as f64 / self.bytes_total as f64).min(1.0),
        }
    }

    /// The actor of the commands: the token that started the import, restricted to the ability needed.
    pub(super) const fn actor(&self) -> Actor {
        let (workspace, token) = (WorkspaceId::new(self.workspace), TokenId::new(self.token));
        Actor::new(workspace, token, Abilities::only(Ability::LinksWrite))
    }
}

/// A line of the report: a link that was refused, or imported with changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// The number of the link in the file, from 1.
    pub row: u64,
    /// The line at which it starts, if the format has lines.
    pub line: Option<u64>,
    /// The slug in the file.
    pub slug: Option<String>,
    /// The destination in the file.
    pub destination: Option<String>,
    /// Errors by field; empty if the link was imported.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, Vec<String>>,
    /// Changes by field.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub warnings: BTreeMap<String, Vec<String>>,
}

//! What an import is, and what is noted of it on the disk.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::formats::Format;
use crate::domain::command::OnConflict;
use crate::domain::ids::{ImportId, TokenId, WorkspaceId};
use crate::domain::token::{Abilities, Ability, Actor};

/// How long an import's report is kept once it is over.
pub const KEPT: Duration = Duration::from_secs(24 * 3_600);

/// How many links with warnings a report lists.
pub const MAX_LISTED_WARNINGS: u64 = 100_000;

/// How many unknown domains a report names.
pub(super) const MAX_UNKNOWN_DOMAINS: usize = 20;

/// How an import stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Others go before.
    Queued,
    /// Its file is being read.
    Running,
    /// All of its file was read.
    Done,
    /// It ended before that.
    Failed,
}

/// What is to be done with a file's links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What the file is.
    pub format: Format,
    /// Nothing is changed: the counts and the rejects say what would be.
    pub dry_run: bool,
    /// What of a link that is there already.
    pub on_conflict: OnConflict,
    /// All links are on this domain; when absent, on the one that they had, if the workspace has
    /// it, else on the workspace's default one.
    pub domain: Option<String>,
    /// Where those links are kept that name no folder.
    pub folder: Option<String>,
    /// What all links are tagged with, too.
    pub tags: Vec<String>,
}

/// What has become of the links so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Links read.
    pub rows: u64,
    /// Links that are new.
    pub created: u64,
    /// Links that were there and have changed.
    pub replaced: u64,
    /// Links that were there just so.
    pub unchanged: u64,
    /// Links that were there and were left alone.
    pub skipped: u64,
    /// Links that could not be taken; each is in the report.
    pub rejected: u64,
    /// Links that were taken, but not quite as the file has them; each is in the report, up to
    /// [`MAX_LISTED_WARNINGS`].
    #[serde(default)]
    pub warnings: u64,
    /// New links for which the file has no slug.
    #[serde(default)]
    pub generated_slugs: u64,
}

/// An import.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its id, without the prefix.
    pub id: Uuid,
    /// Whose links.
    pub workspace: Uuid,
    /// Who began it.
    pub token: Uuid,
    /// What is to be done.
    pub plan: Plan,
    /// How it stands.
    pub state: State,
    /// What has become of the links so far.
    pub counts: Counts,
    /// How long the file is, in bytes.
    pub bytes_total: u64,
    /// How much of it is read, in bytes.
    pub bytes_read: u64,
    /// How long the report is that goes with these counts, in bytes.
    pub report_bytes: u64,
    /// Columns of the file that nothing is made of.
    pub ignored_columns: Vec<String>,
    /// Domains that links had elsewhere and are not on here, up to [`MAX_UNKNOWN_DOMAINS`].
    #[serde(default)]
    pub unknown_domains: Vec<String>,
    /// The offset of the log of changes that reflects what was done.
    pub offset: u64,
    /// When it was begun, in milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// When this was noted, in milliseconds since the Unix epoch.
    pub noted_at_ms: u64,
    /// Why it failed; or, while it runs, what it waits for.
    pub error: Option<String>,
    /// The key of the request that began it, and the file's SHA-256.
    pub idempotency: Option<Idempotency>,
}

/// What makes a repeated request the same request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idempotency {
    /// What the client sent as `Idempotency-Key`.
    pub key: String,
    /// SHA-256 of the plan and the file.
    pub request_sha256: Vec<u8>,
}

impl Job {
    /// The id as the API has it.
    pub const fn id(&self) -> ImportId {
        ImportId::new(self.id)
    }

    /// When its report goes, in milliseconds since the Unix epoch; not before it is over.
    pub fn expires_at_ms(&self) -> Option<u64> {
        let kept = u64::try_from(KEPT.as_millis()).unwrap_or(u64::MAX);
        self.is_over().then(|| self.noted_at_ms.saturating_add(kept))
    }

    /// Whether nothing more becomes of it.
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Done | State::Failed)
    }

    /// How much is done, from 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "a file is far below 2^53 bytes")]
    pub fn progress(&self) -> f64 {
        match self.state {
            State::Done => 1.0,
            _ if self.bytes_total == 0 => 0.0,
            _ => (self.bytes_read as f64 / self.bytes_total as f64).min(1.0),
        }
    }

    /// Who asks for the links: whoever began it, with no more than it takes.
    pub(super) const fn actor(&self) -> Actor {
        Actor {
            workspace: WorkspaceId::new(self.workspace),
            token: TokenId::new(self.token),
            abilities: Abilities::only(Ability::LinksWrite),
        }
    }
}

/// A link that could not be taken, or not as the file has it, as a line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// The how manieth link of the file, from 1.
    pub row: u64,
    /// The line on which it begins, where the file has lines.
    pub line: Option<u64>,
    /// Its slug, as the file has it.
    pub slug: Option<String>,
    /// Its destination, as the file has it.
    pub destination: Option<String>,
    /// Field → what is wrong with it; none where the link was taken.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub errors: BTreeMap<String, Vec<String>>,
    /// Field → how it was taken otherwise than the file has it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub warnings: BTreeMap<String, Vec<String>>,
}

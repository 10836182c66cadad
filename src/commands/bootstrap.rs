//! First start: creates a superadmin, the default workspace and its owner token.

use prost::Message;
use uuid::Uuid;

use super::secret::SecretFormat;
use super::{now_ms, secret};
use crate::domain::event::{Envelope, Event, UserState, VERSION, WorkspaceCreated};
use crate::domain::ids::{TokenId, UserId, WorkspaceId};
use crate::domain::token::{Abilities, Token};
use crate::domain::user::state::personal_workspace;
use crate::log::{Log, LogError, NewRecord};
use crate::projections::index::{Index, IndexError, ReadRanges, ReadWorkspaces};

/// The result of [`bootstrap`].
#[derive(Debug, PartialEq, Eq)]
pub enum Bootstrap {
    /// The log already has a workspace.
    NotNeeded,
    /// The log already has a workspace; the given token is ignored.
    GivenTokenIgnored,
    /// A workspace was created with the given owner token, and this superadmin, who owns it.
    WithGivenToken(UserId),
    /// The same; this is the owner token, which cannot be retrieved again.
    WithNewToken(UserId, String),
}

impl Bootstrap {
    /// The superadmin, if one was created.
    pub const fn user(&self) -> Option<UserId> {
        match self {
            Self::NotNeeded | Self::GivenTokenIgnored => None,
            Self::WithGivenToken(user) | Self::WithNewToken(user, _) => Some(*user),
        }
    }
}

/// Why [`bootstrap`] failed.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The given token is invalid.
    #[error("SLUGLINE_BOOTSTRAP_TOKEN must be 20 to 200 visible ASCII characters")]
    InvalidToken,
    /// Writing to the log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Updating the index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// Creates the first superadmin, workspace and owner token, if the log is empty. The superadmin has
/// neither an email address nor a password yet.
pub fn bootstrap(
    log: &dyn Log,
    index: &Index,
    given: Option<&str>,
) -> Result<Bootstrap, BootstrapError> {
    // A crash may have lost the token but not what is logged before it: then start over.
    if log.end() > 2 || !index.workspaces()?.is_empty() && has_tokens(index)? {
        return Ok(given.map_or(Bootstrap::NotNeeded, |_| Bootstrap::GivenTokenIgnored));
    }
    let is_valid = |token: &str| {
        (20..=200).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if given.is_some_and(|token| !is_valid(token)) {
        return Err(BootstrapError::InvalidToken);
    }
    let generated = given.is_none().then(|| secret::generate(SecretFormat::Slugline));
    let secret = given.or(generated.as_deref()).unwrap_or_default();

    let at_ms = now_ms();
    let (workspace, user) = (WorkspaceId::new(Uuid::now_v7()), UserId::new(Uuid::now_v7()));
    let token = Token {
        id: TokenId::new(Uuid::now_v7()),
        workspace,
        user: Some(user),
        name: "owner".to_owned(),
        abilities: Abilities::ALL,
        secret_sha256: secret::hash(secret),
        previous: None,
        prefix: Some(secret::prefix(secret)),
        is_disabled: false,
        networks: Vec::new(),
        created_at_ms: at_ms,
        expires_at_ms: None,
    };
    let superadmin = UserState {
        id: user.as_bytes().to_vec(),
        is_superadmin: true,
        default_workspace: workspace.as_bytes().to_vec(),
        created_at_ms: at_ms,
        updated_at_ms: at_ms,
        ..UserState::default()
    };
    let owner = user.as_bytes().to_vec();
    let created = WorkspaceCreated { name: "default".to_owned(), owner };
    let events = [
        (personal_workspace(user), Event::UserCreated(superadmin)),
        (workspace, Event::WorkspaceCreated(created)),
        (workspace, Event::TokenCreated((&token).into())),
    ];
    let mut pending = index.begin();
    let mut payloads = Vec::new();
    for (workspace, event) in events {
        let kind = event.kind().number();
        let workspace = workspace.as_bytes().to_vec();
        let envelope = Envelope { at_ms, workspace, event: Some(event), ..Envelope::default() };
        pending.apply(&envelope)?;
        payloads.push((kind, envelope.encode_to_vec()));
    }
    let records: Vec<_> = payloads
        .iter()
        .map(|(kind, payload)| NewRecord { kind: *kind, version: VERSION, payload })
        .collect();
    let offset = log.append_after(Some(pending.base_offset()), &records)?;
    log.sync()?;
    index.commit(pending, offset)?;
    Ok(match generated {
        Some(secret) => Bootstrap::WithNewToken(user, secret),
        None => Bootstrap::WithGivenToken(user),
    })
}

fn has_tokens(index: &Index) -> Result<bool, IndexError> {
    for (workspace, _) in index.workspaces()? {
        if !index.tokens(workspace)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

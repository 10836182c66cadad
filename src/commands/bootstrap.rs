//! First start: creates the default workspace and its owner token.

use prost::Message;
use uuid::Uuid;

use super::{now_ms, secret};
use crate::domain::event::{Envelope, Event, VERSION, WorkspaceCreated};
use crate::domain::ids::{TokenId, WorkspaceId};
use crate::domain::token::{Abilities, Token};
use crate::log::{Log, LogError, NewRecord};
use crate::projections::index::{Index, IndexError};

/// The result of [`bootstrap`].
#[derive(Debug, PartialEq, Eq)]
pub enum Bootstrap {
    /// The log already has a workspace.
    NotNeeded,
    /// The log already has a workspace; the given token is ignored.
    GivenTokenIgnored,
    /// A workspace was created with the given owner token.
    WithGivenToken,
    /// A workspace was created; this is its owner token, which cannot be retrieved again.
    WithNewToken(String),
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

/// Creates the first workspace and its owner token, if the log is empty.
pub fn bootstrap(
    log: &dyn Log,
    index: &Index,
    given: Option<&str>,
) -> Result<Bootstrap, BootstrapError> {
    // A crash may have lost the token but not the workspace: then start over.
    if log.end() > 1 {
        return Ok(given.map_or(Bootstrap::NotNeeded, |_| Bootstrap::GivenTokenIgnored));
    }
    let is_valid = |token: &str| {
        (20..=200).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if given.is_some_and(|token| !is_valid(token)) {
        return Err(BootstrapError::InvalidToken);
    }
    let generated = given.is_none().then(secret::generate);
    let secret = given.or(generated.as_deref()).unwrap_or_default();

    let at_ms = now_ms();
    let workspace = WorkspaceId::new(Uuid::now_v7());
    let token = Token {
        id: TokenId::new(Uuid::now_v7()),
        workspace,
        user: None,
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
    let events = [
        Event::WorkspaceCreated(WorkspaceCreated { name: "default".to_owned(), owner: Vec::new() }),
        Event::TokenCreated((&token).into()),
    ];
    let mut pending = index.begin();
    let mut payloads = Vec::new();
    for event in events {
        let kind = event.kind();
        let envelope = Envelope {
            at_ms,
            workspace: workspace.as_bytes().to_vec(),
            token: Vec::new(),
            user: Vec::new(),
            idempotency: None,
            idempotency_until_ms: None,
            event: Some(event),
        };
        pending.apply(&envelope)?;
        payloads.push((kind.number(), envelope.encode_to_vec()));
    }
    let [(kind_a, a), (kind_b, b)] = &payloads[..] else { return Ok(Bootstrap::NotNeeded) };
    let events = [
        NewRecord { kind: *kind_a, version: VERSION, payload: a },
        NewRecord { kind: *kind_b, version: VERSION, payload: b },
    ];
    let offset = log.append_after(Some(pending.base_offset()), &events)?;
    log.sync()?;
    index.commit(pending, offset)?;
    Ok(generated.map_or(Bootstrap::WithGivenToken, Bootstrap::WithNewToken))
}

//! The fold: one event's effect on the index.
//!
//! There is one, for the writer's groups, for a start that catches up and for a base that is
//! made anew: it reads neither a clock nor anything else than the state and the event. So what
//! the index says after an offset follows from the log alone.

use prost::Message;

use super::read::{Read, encode_link, encode_token, number};
use super::{IndexError, group, keys, presets, reports};
use crate::domain::event::{Envelope, Event, LinkState, Unreadable};
use crate::domain::ids::{LinkId, TokenId, WorkspaceId};
use crate::domain::link::Link;
use crate::domain::preset::PresetKind;

/// How long an idempotency key is remembered, in the log's own time.
pub const IDEMPOTENCY_MS: u64 = 24 * 3_600 * 1_000;

/// How many expired keys one event clears away at most: more than it can add, and bounded.
const EXPIRED_AT_ONCE: usize = 4;

/// What the fold reads and writes.
pub trait State: Read {
    /// Sets a key's value.
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>);
    /// Takes a key away.
    fn remove(&mut self, key: Vec<u8>);
    /// The first keys with the letter of expiries that stand, ascending; at most `limit`.
    fn first_expiries(&mut self, limit: usize) -> Result<Vec<Vec<u8>>, IndexError>;
    /// The redirect at this slug is no longer what it was.
    fn touch(&mut self, domain: &str, slug: &str);
}

/// Folds one event into the state.
pub fn fold<S: State>(state: &mut S, envelope: &Envelope) -> Result<(), IndexError> {
    let workspace =
        WorkspaceId::from_bytes(&envelope.workspace).map_err(|_| Unreadable("workspace id"))?;
    let event = envelope.event.as_ref().ok_or(Unreadable("event"))?;
    match event {
        Event::WorkspaceCreated(created) => {
            state.put(keys::workspace(workspace), created.name.clone().into_bytes());
        }
        Event::TokenCreated(token) => {
            let token = token.clone().into_token(workspace)?;
            state.put(keys::token(&token.secret_sha256), encode_token(&token));
            state.put(keys::token_of(workspace, token.id), token.secret_sha256.to_vec());
        }
        Event::TokenRevoked(revoked) => {
            let id = TokenId::from_bytes(&revoked.token).map_err(|_| Unreadable("token id"))?;
            if let Some(token) = state.token(workspace, id)? {
                state.remove(keys::token(&token.secret_sha256));
            }
            state.remove(keys::token_of(workspace, id));
        }
        Event::LinkCreated(link) => {
            let id = link_id(&link.id)?;
            state.put(keys::link_of(workspace, id), Vec::new());
            add_to_count(state, workspace, 1)?;
            place(state, workspace, id, link)?;
        }
        Event::LinkChanged(link) => {
            let id = link_id(&link.id)?;
            if let Some(before) = state.link(id)? {
                displace(state, &before)?;
            }
            place(state, workspace, id, link)?;
        }
        Event::LinkDeleted(deleted) => {
            let id = link_id(&deleted.link)?;
            if let Some(link) = state.link(id)? {
                displace(state, &link)?;
                state.remove(keys::link(id));
                state.remove(keys::link_of(workspace, id));
                add_to_count(state, workspace, -1)?;
            }
        }
        Event::LinkReported(report) => reports::add(state, workspace, envelope.at_ms, report)?,
        Event::ReportResolved(resolved) => reports::remove(state, workspace, &resolved.report)?,
        Event::CampaignCreated(preset) | Event::CampaignChanged(preset) => {
            presets::place(state, workspace, PresetKind::Campaign, preset)?;
        }
        Event::UtmTemplateCreated(preset) | Event::UtmTemplateChanged(preset) => {
            presets::place(state, workspace, PresetKind::Template, preset)?;
        }
        Event::CampaignDeleted(deleted) => {
            presets::remove(state, workspace, PresetKind::Campaign, deleted)?;
        }
        Event::UtmTemplateDeleted(deleted) => {
            presets::remove(state, workspace, PresetKind::Template, deleted)?;
        }
    }
    remember_idempotency(state, workspace, envelope)
}

fn link_id(bytes: &[u8]) -> Result<LinkId, Unreadable> {
    LinkId::from_bytes(bytes).map_err(|_| Unreadable("link id"))
}

/// The link answers at its slug, and is found by its labels.
fn place<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    id: LinkId,
    link: &LinkState,
) -> Result<(), IndexError> {
    state.put(keys::slug(&link.domain, &link.slug), id.as_bytes().to_vec());
    state.put(keys::link(id), encode_link(workspace, link));
    state.touch(&link.domain, &link.slug);
    group::join(state, workspace, id, link)
}

/// The link answers no more where it did, nor is found there.
fn displace<S: State>(state: &mut S, link: &Link) -> Result<(), IndexError> {
    let (domain, slug) = (&link.fields.domain, link.slug.as_str());
    state.remove(keys::slug(domain, slug));
    state.touch(domain, slug);
    group::leave(state, link)
}

fn add_to_count<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    change: i64,
) -> Result<(), IndexError> {
    let key = keys::link_count(workspace);
    let count = state.get(&key)?.as_deref().map_or(0, number);
    state.put(key, count.saturating_add_signed(change).to_be_bytes().to_vec());
    Ok(())
}

fn remember_idempotency<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    envelope: &Envelope,
) -> Result<(), IndexError> {
    let Some(idempotency) = &envelope.idempotency else { return Ok(()) };
    let mut value = envelope.at_ms.to_be_bytes().to_vec();
    value.extend(envelope.encode_to_vec());
    state.put(keys::idempotency(workspace, &idempotency.key), value);
    state.put(keys::expiry(envelope.at_ms, workspace, &idempotency.key), Vec::new());
    forget_expired(state, envelope.at_ms)
}

/// Measured in the events' time, not the clock's: however events are grouped, the same keys are
/// forgotten.
fn forget_expired<S: State>(state: &mut S, now_ms: u64) -> Result<(), IndexError> {
    for key in state.first_expiries(EXPIRED_AT_ONCE)? {
        let Some((at_ms, idempotency)) = keys::expired(&key) else {
            return Err(IndexError::Broken("an expiry's key"));
        };
        if at_ms.saturating_add(IDEMPOTENCY_MS) > now_ms {
            break;
        }
        state.remove(key);
        // The key may have been used anew since: then another expiry speaks of it.
        let current = state.get(&idempotency)?;
        if current.is_some_and(|value| value.get(..8).map_or(0, number) == at_ms) {
            state.remove(idempotency);
        }
    }
    Ok(())
}

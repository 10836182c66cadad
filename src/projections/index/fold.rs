//! The fold: the effect of one event on the index.
//!
//! The same fold is used for the writer's groups, for catching up at start, and for building a
//! base. It only reads the state and the event, not the clock, so the index at an offset is a
//! function of the log. Deadlines are those of the events: no setting or constant decides how long
//! a logged entry is kept.

use prost::Message;

use super::audited::Audited;
use super::domains::ReadDomains;
use super::encoding::{Tombstone, encode_link, encode_token, number};
use super::state::{State, add_to};
use super::{
    IndexError, billing, domains, keys, membership, numbers, presets, qr_codes, reports, users,
    workspaces,
};
use crate::domain::error::Unreadable;
use crate::domain::event::{Aggregate, Envelope, Event, LinkState};
use crate::domain::ids::{LinkId, TokenId, WorkspaceId};
use crate::domain::link::Link;
use crate::domain::token::Token;

/// The maximum number of expired keys removed per event: more than it can add.
const MAX_EXPIRED_PER_EVENT: usize = 4;

/// Folds the event at an offset of the log into the state.
pub fn fold<S: State>(state: &mut S, offset: u64, envelope: &Envelope) -> Result<(), IndexError> {
    let workspace =
        WorkspaceId::from_bytes(&envelope.workspace).map_err(|_| Unreadable("workspace id"))?;
    let event = envelope.event.as_ref().ok_or(Unreadable("event"))?;
    match event.aggregate() {
        Aggregate::Workspace => workspaces::fold(state, workspace, envelope.at_ms, event)?,
        Aggregate::User => users::fold(state, envelope.at_ms, event)?,
        Aggregate::Token => fold_token(state, workspace, event)?,
        Aggregate::Link => fold_link(state, (offset, envelope.at_ms), workspace, event)?,
        Aggregate::Domain => domains::fold(state, workspace, event)?,
        Aggregate::Campaign | Aggregate::UtmTemplate => presets::fold(state, workspace, event)?,
        Aggregate::Billing => billing::fold(state, (offset, envelope.at_ms), workspace, event)?,
        Aggregate::QrCode => qr_codes::fold(state, (offset, envelope.at_ms), workspace, event)?,
    }
    numbers::fold(state, workspace, event)?;
    billing::count(state, offset, workspace, (envelope, event))?;
    // Metering is no act of anybody.
    if !matches!(event, Event::ApiCallsCounted(_)) {
        let audited = Audited::of(envelope, event);
        state.put(keys::audited(workspace, offset), audited.encode());
    }
    record_idempotency(state, workspace, envelope);
    remove_expired(state, envelope.at_ms)
}

/// Folds an event of a link, at an offset and a time.
fn fold_link<S: State>(
    state: &mut S,
    (offset, at_ms): (u64, u64),
    workspace: WorkspaceId,
    event: &Event,
) -> Result<(), IndexError> {
    match event {
        Event::LinkCreated(link) => insert_link(state, workspace, link, offset)?,
        Event::LinkChanged(link) => {
            let id = link_id(&link.id)?;
            if let Some(before) = state.link(id)? {
                unindex_link(state, &before)?;
            }
            index_link(state, workspace, id, link, offset)?;
        }
        Event::LinkDeleted(deleted) => {
            let id = link_id(&deleted.link)?;
            if let Some(link) = remove_link(state, workspace, id)? {
                let until_ms = deleted.deadline_ms(at_ms);
                qr_codes::tombstone(state, workspace, id)?;
                add_tombstone(state, link, (at_ms, offset), until_ms)?;
            }
        }
        Event::LinkRestored(link) => {
            let id = link_id(&link.id)?;
            remove_tombstone(state, workspace, id)?;
            insert_link(state, workspace, link, offset)?;
            qr_codes::untombstone(state, workspace, id)?;
        }
        Event::LinkPurged(purged) => {
            let id = link_id(&purged.link)?;
            if remove_link(state, workspace, id)?.is_some() {
                qr_codes::tombstone(state, workspace, id)?;
            }
            remove_tombstone(state, workspace, id)?;
            qr_codes::purge(state, workspace, id)?;
        }
        Event::LinkReported(report) => reports::add(state, workspace, at_ms, report)?,
        Event::ReportResolved(resolved) => reports::remove(state, workspace, &resolved.report)?,
        _ => return Err(IndexError::Broken("an event that is not of a link")),
    }
    Ok(())
}

/// Folds an event of a token.
fn fold_token<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    event: &Event,
) -> Result<(), IndexError> {
    match event {
        Event::TokenCreated(token) | Event::TokenChanged(token) | Event::TokenRotated(token) => {
            let token = token.clone().into_token(workspace)?;
            remove_token(state, workspace, token.id)?;
            for secret_sha256 in secrets(&token) {
                state.put(keys::token(&secret_sha256), encode_token(&token));
            }
            state.put(keys::token_of(workspace, token.id), token.secret_sha256.to_vec());
        }
        Event::TokenRevoked(revoked) => {
            let id = TokenId::from_bytes(&revoked.token).map_err(|_| Unreadable("token id"))?;
            remove_token(state, workspace, id)?;
        }
        _ => return Err(IndexError::Broken("an event that is not of a token")),
    }
    Ok(())
}

/// The hashes of the secrets of a token.
fn secrets(token: &Token) -> impl Iterator<Item = [u8; 32]> {
    let previous = token.previous.map(|previous| previous.sha256);
    previous.into_iter().chain([token.secret_sha256])
}

fn remove_token<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    id: TokenId,
) -> Result<(), IndexError> {
    if let Some(token) = state.token(workspace, id)? {
        for secret_sha256 in secrets(&token) {
            state.remove(keys::token(&secret_sha256));
        }
    }
    state.remove(keys::token_of(workspace, id));
    Ok(())
}

fn link_id(bytes: &[u8]) -> Result<LinkId, Unreadable> {
    LinkId::from_bytes(bytes).map_err(|_| Unreadable("link id"))
}

/// Adds a link to its workspace.
fn insert_link<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    link: &LinkState,
    offset: u64,
) -> Result<(), IndexError> {
    let id = link_id(&link.id)?;
    state.put(keys::link_of(workspace, id), Vec::new());
    add_to(state, keys::link_count(workspace), 1)?;
    index_link(state, workspace, id, link, offset)
}

/// Indexes a version of a link, created at an offset: by its slug and its groups.
fn index_link<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    id: LinkId,
    link: &LinkState,
    offset: u64,
) -> Result<(), IndexError> {
    record_version(state, id.as_bytes(), (link.version, link.updated_at_ms), offset);
    let slug = state.slug_form(&link.domain, &link.slug)?;
    state.put(keys::slug(&link.domain, &slug), id.as_bytes().to_vec());
    state.put(keys::link(id), encode_link(workspace, link));
    state.touch(&link.domain, &slug);
    membership::join(state, workspace, id, link)
}

/// Removes a link's slug and groups from the index.
fn unindex_link<S: State>(state: &mut S, link: &Link) -> Result<(), IndexError> {
    let domain = &link.fields.domain;
    let slug = state.slug_form(domain, link.slug.as_str())?;
    state.remove(keys::slug(domain, &slug));
    state.touch(domain, &slug);
    membership::leave(state, link)
}

/// Records where a version of a link or a QR code began.
pub(super) fn record_version<S: State>(
    state: &mut S,
    subject: &[u8; 16],
    (number, at_ms): (u32, u64),
    offset: u64,
) {
    let value = [offset.to_be_bytes(), at_ms.to_be_bytes()].concat();
    state.put(keys::version(subject, number), value);
}

/// Removes a link from its workspace; returns it.
fn remove_link<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    id: LinkId,
) -> Result<Option<Link>, IndexError> {
    let link = state.link(id)?;
    if let Some(link) = &link {
        unindex_link(state, link)?;
        state.remove(keys::link(id));
        state.remove(keys::link_of(workspace, id));
        add_to(state, keys::link_count(workspace), -1)?;
    }
    Ok(link)
}

/// Makes a deleted link restorable until a deadline. Its deletion is the next version.
fn add_tombstone<S: State>(
    state: &mut S,
    mut link: Link,
    (at_ms, offset): (u64, u64),
    restorable_until_ms: u64,
) -> Result<(), IndexError> {
    link.version = link.version.saturating_add(1);
    link.updated_at_ms = link.updated_at_ms.max(at_ms);
    record_version(state, link.id.as_bytes(), (link.version, link.updated_at_ms), offset);
    let key = keys::tombstone(link.workspace, link.id);
    state.put(keys::expiry(restorable_until_ms, &key), Vec::new());
    add_to(state, keys::tombstone_count(link.workspace.as_bytes()), 1)?;
    state.put(key, Tombstone { link, restorable_until_ms, deleted_at_ms: at_ms, offset }.encode());
    Ok(())
}

/// Ends the restorability of a deleted link, because it was restored or purged.
fn remove_tombstone<S: State>(
    state: &mut S,
    workspace: WorkspaceId,
    id: LinkId,
) -> Result<(), IndexError> {
    let key = keys::tombstone(workspace, id);
    if state.get(&key)?.is_some() {
        state.remove(key);
        add_to(state, keys::tombstone_count(workspace.as_bytes()), -1)?;
    }
    Ok(())
}

fn record_idempotency<S: State>(state: &mut S, workspace: WorkspaceId, envelope: &Envelope) {
    let Some(idempotency) = &envelope.idempotency else { return };
    let until_ms = envelope.idempotency_expires_at_ms();
    let mut value = until_ms.to_be_bytes().to_vec();
    value.extend(envelope.encode_to_vec());
    let key = keys::idempotency(workspace, &idempotency.key);
    state.put(keys::expiry(until_ms, &key), Vec::new());
    state.put(key, value);
}

/// Removes expired entries.
///
/// Expiry is measured in the events' time, not the clock's, so it does not depend on how events are
/// grouped.
fn remove_expired<S: State>(state: &mut S, now_ms: u64) -> Result<(), IndexError> {
    for expiry in state.first_expiries(MAX_EXPIRED_PER_EVENT, now_ms)? {
        let expired = keys::expired(&expiry).ok_or(IndexError::Broken("an expiry's key"));
        let (at_ms, key) = expired.map(|(at_ms, key)| (at_ms, key.to_vec()))?;
        if at_ms > now_ms {
            break;
        }
        state.remove(expiry);
        // The key may have been set again: then its value has another deadline and its own expiry.
        // Both kinds of values start with their deadline.
        let deadline_ms = state.get(&key)?.map(|value| value.get(..8).map_or(0, number));
        if deadline_ms == Some(at_ms) {
            if key.starts_with(keys::TOMBSTONES) {
                let workspace = key.get(1..17).unwrap_or_default();
                add_to(state, keys::tombstone_count(workspace), -1)?;
                let workspace = WorkspaceId::from_bytes(workspace);
                let workspace = workspace.map_err(|_| Unreadable("workspace id"))?;
                let link = link_id(key.get(17..).unwrap_or_default())?;
                qr_codes::purge(state, workspace, link)?;
            }
            state.remove(key);
        }
    }
    Ok(())
}

//! The fold: one event's effect on the index, gathered over what is applied.
//!
//! The writer decides a group of commands against a [`Pending`], so that each sees the ones
//! before it; what was gathered is committed in one batch after the log has synced the group,
//! or dropped if it has not. A rebuild goes the same way: there is one fold, and it reads
//! neither a clock nor anything else than the index and the event.

use prost::Message;

use super::read::{Read, encode_link, encode_token, number};
use super::store::{Changes, Store};
use super::{IndexError, keys};
use crate::domain::event::{Envelope, Event, LinkState, Unreadable};
use crate::domain::ids::{LinkId, TokenId, WorkspaceId};
use crate::domain::link::Link;

/// How long an idempotency key is remembered, in the log's own time.
pub const IDEMPOTENCY_MS: u64 = 24 * 3_600 * 1_000;

/// How many expired keys one event clears away at most: more than it can add, and bounded.
const EXPIRED_AT_ONCE: usize = 4;

/// Events folded but not yet committed.
pub struct Pending<'a> {
    store: &'a dyn Store,
    pub(super) changes: Changes,
    /// Cache keys of redirects that are no longer what they were.
    pub(super) touched: Vec<String>,
}

impl Read for Pending<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        match self.changes.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.store.get(key),
        }
    }
}

impl<'a> Pending<'a> {
    pub(super) fn new(store: &'a dyn Store) -> Self {
        Self { store, changes: Changes::new(), touched: Vec::new() }
    }

    /// How many keys wait to be committed.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether nothing waits to be committed.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Folds one event.
    pub fn apply(&mut self, envelope: &Envelope) -> Result<(), IndexError> {
        let workspace =
            WorkspaceId::from_bytes(&envelope.workspace).map_err(|_| Unreadable("workspace id"))?;
        let event = envelope.event.as_ref().ok_or(Unreadable("event"))?;
        match event {
            Event::WorkspaceCreated(created) => {
                self.put(keys::workspace(workspace), created.name.clone().into_bytes());
            }
            Event::TokenCreated(state) => {
                let token = state.clone().into_token(workspace)?;
                self.put(keys::token(&token.secret_sha256), encode_token(&token));
                self.put(keys::token_of(workspace, token.id), token.secret_sha256.to_vec());
            }
            Event::TokenRevoked(revoked) => {
                let id = TokenId::from_bytes(&revoked.token).map_err(|_| Unreadable("token id"))?;
                if let Some(token) = self.token(workspace, id)? {
                    self.remove(keys::token(&token.secret_sha256));
                }
                self.remove(keys::token_of(workspace, id));
            }
            Event::LinkCreated(state) => self.create_link(workspace, state)?,
            Event::LinkChanged(state) => self.change_link(workspace, state)?,
            Event::LinkDeleted(deleted) => {
                let id = LinkId::from_bytes(&deleted.link).map_err(|_| Unreadable("link id"))?;
                self.delete_link(workspace, id)?;
            }
        }
        self.remember_idempotency(workspace, envelope)
    }

    fn create_link(&mut self, workspace: WorkspaceId, state: &LinkState) -> Result<(), IndexError> {
        let link = state.clone().into_link(workspace)?;
        self.put(keys::link_of(workspace, link.id), Vec::new());
        self.add_to_count(workspace, 1)?;
        self.place(&link);
        Ok(())
    }

    fn change_link(&mut self, workspace: WorkspaceId, state: &LinkState) -> Result<(), IndexError> {
        let link = state.clone().into_link(workspace)?;
        if let Some(before) = self.link(link.id)? {
            self.displace(&before);
        }
        self.place(&link);
        Ok(())
    }

    fn delete_link(&mut self, workspace: WorkspaceId, id: LinkId) -> Result<(), IndexError> {
        if let Some(link) = self.link(id)? {
            self.displace(&link);
            self.remove(keys::link(id));
            self.remove(keys::link_of(workspace, id));
            self.add_to_count(workspace, -1)?;
        }
        Ok(())
    }

    /// The link answers at its slug.
    fn place(&mut self, link: &Link) {
        let (domain, slug) = (&link.fields.domain, link.slug.as_str());
        self.put(keys::slug(domain, slug), link.id.as_bytes().to_vec());
        self.put(keys::link(link.id), encode_link(link));
        self.touched.push(super::cache::key(domain, slug).into_owned());
    }

    /// The link answers no more where it did.
    fn displace(&mut self, link: &Link) {
        let (domain, slug) = (&link.fields.domain, link.slug.as_str());
        self.remove(keys::slug(domain, slug));
        self.touched.push(super::cache::key(domain, slug).into_owned());
    }

    fn add_to_count(&mut self, workspace: WorkspaceId, change: i64) -> Result<(), IndexError> {
        let key = keys::link_count(workspace);
        let count = self.get(&key)?.as_deref().map_or(0, number);
        self.put(key, count.saturating_add_signed(change).to_be_bytes().to_vec());
        Ok(())
    }

    fn remember_idempotency(
        &mut self,
        workspace: WorkspaceId,
        envelope: &Envelope,
    ) -> Result<(), IndexError> {
        let Some(idempotency) = &envelope.idempotency else { return Ok(()) };
        let mut value = envelope.at_ms.to_be_bytes().to_vec();
        value.extend(envelope.encode_to_vec());
        self.put(keys::idempotency(workspace, &idempotency.key), value);
        self.put(keys::expiry(envelope.at_ms, workspace, &idempotency.key), Vec::new());
        self.forget_expired(envelope.at_ms)
    }

    /// Measured in the events' time, not the clock's, and seen over what is applied and what is
    /// pending alike: however events are grouped, the same keys are forgotten.
    fn forget_expired(&mut self, now_ms: u64) -> Result<(), IndexError> {
        let mut due = Vec::new();
        let is_due = |key: &[u8]| {
            keys::expired(key).filter(|(at_ms, _)| at_ms.saturating_add(IDEMPOTENCY_MS) <= now_ms)
        };
        for row in self.store.scan(keys::EXPIRIES) {
            let (key, _) = row?;
            let Some((at_ms, idempotency)) = is_due(&key) else { break };
            if due.len() == EXPIRED_AT_ONCE {
                break;
            }
            if !self.changes.contains_key(&key) {
                due.push((key, at_ms, idempotency));
            }
        }
        let pending = self.changes.range(keys::EXPIRIES.to_vec()..);
        let pending = pending.filter(|(_, value)| value.is_some());
        let pending = pending.map_while(|(key, _)| {
            is_due(key).map(|(at_ms, idempotency)| (key.clone(), at_ms, idempotency))
        });
        due.extend(pending.take(EXPIRED_AT_ONCE));
        due.sort();
        due.truncate(EXPIRED_AT_ONCE);
        for (key, at_ms, idempotency) in due {
            self.remove(key);
            // The key may have been used anew since: then another expiry speaks of it.
            let current = self.get(&idempotency)?;
            if current.is_some_and(|value| value.get(..8).map_or(0, number) == at_ms) {
                self.remove(idempotency);
            }
        }
        Ok(())
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.changes.insert(key, Some(value));
    }

    fn remove(&mut self, key: Vec<u8>) {
        self.changes.insert(key, None);
    }
}

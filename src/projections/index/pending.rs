//! Events folded over what is applied, but not yet committed.
//!
//! The writer decides a group of commands against a [`Pending`], so that each sees the ones
//! before it; what was gathered is committed in one batch after the log has synced the group,
//! or dropped if it has not.

use std::sync::Arc;

use super::IndexError;
use super::fold::{State, fold};
use super::keys;
use super::layers::Layers;
use super::read::{Read, ReadTokens};
use super::store::{Changes, prefixed};
use crate::domain::event::Envelope;
use crate::domain::ids::WorkspaceId;
use crate::domain::token::Token;

/// A key, and what was pending for it before; `None` for nothing.
type Replaced = (Vec<u8>, Option<Option<Vec<u8>>>);

/// See the module.
pub struct Pending {
    layers: Arc<Layers>,
    over: u64,
    /// How many events were folded.
    events: u64,
    pub(super) changes: Changes,
    /// What the event that is being folded has replaced among the changes, the newest last.
    replaced: Vec<Replaced>,
    /// Of the applied expiries up to this one each is among the changes.
    expired_through: Option<Vec<u8>>,
    /// Cache keys of redirects that are no longer what they were.
    pub(super) touched: Vec<String>,
    /// Whether a domain is not what it was.
    pub(super) domains_touched: bool,
}

impl Read for Pending {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        match self.changes.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.layers.get(key),
        }
    }

    fn met(&self, error: IndexError) -> IndexError {
        self.layers.met(error)
    }
}

impl ReadTokens for Pending {
    fn tokens(&self, workspace: WorkspaceId) -> Result<Vec<Token>, IndexError> {
        let prefix = keys::tokens_of(workspace);
        let applied = self.layers.rows(prefixed(&prefix), false);
        let applied = applied.map(|row| row.map(|(key, secret)| (key, Some(secret))));
        let mut secrets = applied.collect::<Result<Changes, _>>()?;
        let pending = self.changes.range(prefix.clone()..);
        let pending = pending.take_while(|(key, _)| key.starts_with(&prefix));
        secrets.extend(pending.map(|(key, secret)| (key.clone(), secret.clone())));
        let tokens = secrets.into_values().flatten().map(|secret| self.token_by_secret(&secret));
        tokens.filter_map(Result::transpose).collect()
    }
}

impl State for Pending {
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.change(key, Some(value));
    }

    fn remove(&mut self, key: Vec<u8>) {
        self.change(key, None);
    }

    /// Over what is applied and what is pending alike.
    fn first_expiries(&mut self, limit: usize, until_ms: u64) -> Result<Vec<Vec<u8>>, IndexError> {
        let (mut first, mut seen) = (Vec::new(), None);
        for row in self.layers.expiries(until_ms, self.expired_through.as_deref()) {
            if first.len() == limit {
                break;
            }
            let (key, _) = row?;
            if !self.changes.contains_key(&key) {
                first.push(key);
            } else if first.is_empty() {
                seen = Some(key);
            }
        }
        // What the group has changed up to here is not gone through again for its next event.
        if seen.is_some() {
            self.expired_through = seen;
        }
        let until = keys::expiries_from(until_ms.saturating_add(1));
        let pending = self.changes.range(keys::EXPIRIES.to_vec()..until);
        let pending = pending.filter(|(_, value)| value.is_some());
        first.extend(pending.map(|(key, _)| key.clone()).take(limit));
        first.sort();
        first.truncate(limit);
        Ok(first)
    }

    fn touch(&mut self, domain: &str, slug: &str) {
        self.touched.push(super::cache::key(domain, slug).into_owned());
    }

    fn touch_domains(&mut self) {
        self.domains_touched = true;
    }
}

impl Pending {
    pub(super) fn new(layers: Arc<Layers>) -> Self {
        let over = layers.applied();
        let changes = Changes::new();
        Self {
            layers,
            over,
            events: 0,
            changes,
            replaced: Vec::new(),
            expired_through: None,
            touched: Vec::new(),
            domains_touched: false,
        }
    }

    /// What was applied when this was begun.
    pub const fn over(&self) -> u64 {
        self.over
    }

    /// How many keys wait to be committed.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether nothing waits to be committed.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Folds one event: the one that is next in the log, whose offsets are dense.
    ///
    /// # Errors
    /// Where the fold fails. Then nothing of the event is pending, and another one can be applied.
    pub fn apply(&mut self, envelope: &Envelope) -> Result<(), IndexError> {
        let expired_through = self.expired_through.clone();
        let (touched, domains_touched) = (self.touched.len(), self.domains_touched);
        self.replaced.clear();
        let folded = fold(self, self.over + self.events + 1, envelope);
        if folded.is_ok() {
            self.events += 1;
            return folded;
        }
        while let Some((key, before)) = self.replaced.pop() {
            match before {
                Some(value) => self.changes.insert(key, value),
                None => self.changes.remove(&key),
            };
        }
        self.expired_through = expired_through;
        self.touched.truncate(touched);
        self.domains_touched = domains_touched;
        folded
    }

    fn change(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        let before = self.changes.insert(key.clone(), value);
        self.replaced.push((key, before));
    }
}

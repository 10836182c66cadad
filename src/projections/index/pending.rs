//! Events folded over the applied state, but not yet committed.
//!
//! The writer decides a group of commands against a [`Pending`], so that each command sees those
//! before it. The group is committed in one batch after the log has synced it, or dropped
//! otherwise.

use std::sync::Arc;

use super::IndexError;
use super::fold::fold;
use super::keys;
use super::layers::Layers;
use super::read::{Read, ReadRanges, Row};
use super::state::State;
use super::store::{Changes, prefixed};
use crate::domain::event::Envelope;

/// A key, and its pending value before the event; `None` if it had none.
type Undo = (Vec<u8>, Option<Option<Vec<u8>>>);

/// A group of events that is not committed.
#[derive(Clone)]
pub struct Pending {
    layers: Arc<Layers>,
    base_offset: u64,
    /// The number of events folded.
    events: u64,
    pub(super) changes: Changes,
    /// The previous values of keys that the current event changes, oldest first.
    undo: Vec<Undo>,
    /// All applied expiries up to this one are among the changes.
    expired_through: Option<Vec<u8>>,
    /// Cache keys of redirects that have changed.
    pub(super) touched: Vec<String>,
    /// Whether a domain has changed.
    pub(super) domains_touched: bool,
}

impl Read for Pending {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        match self.changes.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.layers.get(key),
        }
    }

    fn report_damage(&self, error: IndexError) -> IndexError {
        self.layers.report_damage(error)
    }
}

impl ReadRanges for Pending {
    fn rows(&self, prefix: &[u8]) -> Result<Vec<Row>, IndexError> {
        let applied = self.layers.rows(prefixed(prefix), false);
        let applied = applied.map(|row| row.map(|(key, value)| (key, Some(value))));
        let mut rows = applied.collect::<Result<Changes, _>>()?;
        let pending = self.changes.range(prefix.to_vec()..);
        let pending = pending.take_while(|(key, _)| key.starts_with(prefix));
        rows.extend(pending.map(|(key, value)| (key.clone(), value.clone())));
        Ok(rows.into_iter().filter_map(|(key, value)| Some((key, value?))).collect())
    }
}

impl State for Pending {
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.change(key, Some(value));
    }

    fn remove(&mut self, key: Vec<u8>) {
        self.change(key, None);
    }

    /// From the applied and the pending expiries.
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
        // Skip what the group has changed up to here for its next event.
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
        let base_offset = layers.applied();
        let changes = Changes::new();
        Self {
            layers,
            base_offset,
            events: 0,
            changes,
            undo: Vec::new(),
            expired_through: None,
            touched: Vec::new(),
            domains_touched: false,
        }
    }

    /// The applied offset when this group was started.
    pub const fn base_offset(&self) -> u64 {
        self.base_offset
    }

    /// The number of pending keys.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether nothing is pending.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Folds one event, the next in the log; offsets are dense.
    ///
    /// # Errors
    /// If the fold fails. Then nothing of the event is pending, and another one can be applied.
    pub fn apply(&mut self, envelope: &Envelope) -> Result<(), IndexError> {
        let expired_through = self.expired_through.clone();
        let (touched, domains_touched) = (self.touched.len(), self.domains_touched);
        self.undo.clear();
        let folded = fold(self, self.base_offset + self.events + 1, envelope);
        if folded.is_ok() {
            self.events += 1;
            return folded;
        }
        while let Some((key, before)) = self.undo.pop() {
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
        self.undo.push((key, before));
    }
}

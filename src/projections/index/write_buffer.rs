//! Changes that are applied but not yet in the overlay's store, so that a commit does not wait for
//! sled.
//!
//! There are two maps: recent changes, and those being flushed to the store. Readers look in the
//! buffer first and then in the store, and a key leaves the buffer only when the store has it, so
//! an applied change is always visible. A crash loses the buffer; the next start folds it from the
//! log again.

use std::ops::{Bound, RangeBounds};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use imbl::OrdMap;

use super::IndexError;
use super::merged::TaggedRows;
use super::store::{Changes, KeyRange};
use crate::sst::Lookup;

/// Keys with their values, or `None` for removed ones. Cloning is cheap; a clone does not see later
/// changes.
pub type Keys = OrdMap<Vec<u8>, Option<Vec<u8>>>;

/// A buffer of applied changes.
pub struct WriteBuffer(RwLock<State>);

#[derive(Clone)]
struct State {
    recent: Keys,
    flushing: Keys,
    /// The offset that the buffer and the store together reflect.
    applied: u64,
}

impl WriteBuffer {
    /// An empty buffer over a store at this offset.
    pub fn new(applied: u64) -> Self {
        Self(RwLock::new(State { recent: Keys::new(), flushing: Keys::new(), applied }))
    }

    // Only the writer can panic while holding the lock, and between complete changes.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The buffered value of a key.
    pub fn get(&self, key: &[u8]) -> Lookup {
        let state = self.read();
        match state.recent.get(key).or_else(|| state.flushing.get(key)) {
            None => Lookup::Nothing,
            Some(None) => Lookup::Gone,
            Some(Some(value)) => Lookup::Value(value.clone()),
        }
    }

    /// The number of buffered keys.
    pub fn len(&self) -> usize {
        let state = self.read();
        state.recent.len() + state.flushing.len()
    }

    /// Applies changes atomically.
    pub fn apply(&self, changes: Changes, applied: u64) {
        let mut state = self.write();
        for (key, value) in changes {
            state.recent.insert(key, value);
        }
        state.applied = applied;
    }

    /// Starts a flush: returns all buffered changes, and the offset that the store will reflect
    /// with them. They stay until [`end_flush`](Self::end_flush).
    pub fn begin_flush(&self) -> (Keys, u64) {
        let mut state = self.write();
        let recent = std::mem::take(&mut state.recent);
        // Changes of a failed flush are still there, and older.
        let before = std::mem::take(&mut state.flushing);
        state.flushing = if before.is_empty() { recent } else { recent.union(before) };
        (state.flushing.clone(), state.applied)
    }

    /// The store has the flushed changes.
    pub fn end_flush(&self) {
        self.write().flushing = Keys::new();
    }

    /// The currently buffered rows within a range: the newer, then the older.
    pub fn rows<'a>(&self, range: &KeyRange, is_back: bool) -> Vec<TaggedRows<'a>> {
        let state = self.read().clone();
        let waiting = [state.recent, state.flushing].into_iter().filter(|keys| !keys.is_empty());
        let rows =
            waiting.map(|keys| Box::new(rows(keys, range.clone(), is_back)) as TaggedRows<'a>);
        rows.collect()
    }
}

/// The rows of a map within a range.
pub fn rows<V: Clone>(
    keys: OrdMap<Vec<u8>, V>,
    range: KeyRange,
    is_back: bool,
) -> impl Iterator<Item = Result<(Vec<u8>, V), IndexError>> {
    let (mut from, mut to) = range;
    std::iter::from_fn(move || {
        let left = (from.as_ref(), to.as_ref());
        if is_empty(left) {
            return None;
        }
        let mut rows = keys.range::<_, Vec<u8>>(left);
        let (key, value) = if is_back { rows.next_back() } else { rows.next() }?;
        let row = (key.clone(), value.clone());
        let passed = Bound::Excluded(key.clone());
        if is_back {
            to = passed;
        } else {
            from = passed;
        }
        Some(Ok(row))
    })
}

/// Ordered maps panic on ranges that cannot contain a key.
fn is_empty(range: impl RangeBounds<Vec<u8>>) -> bool {
    use Bound::{Excluded, Included, Unbounded};
    match (range.start_bound(), range.end_bound()) {
        (Unbounded, _) | (_, Unbounded) => false,
        (Included(from), Included(to)) => from > to,
        (Included(from) | Excluded(from), Excluded(to) | Included(to)) => from >= to,
    }
}

//! What is applied and not in the overlay's store yet: held in memory, so that an answer doesn't
//! wait for sled.
//!
//! Two maps: what was applied lately, and what is on its way into the store. A reader asks the
//! front first and the store after it, and a key leaves the front only once the store has it: so
//! nothing that is applied is ever between the two. A crash loses the front; the start folds it
//! from the log again.

use std::ops::{Bound, RangeBounds};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use imbl::OrdMap;

use super::merged::TaggedRows;
use super::store::{Changes, KeyRange};
use crate::sst::Lookup;

/// Keys to their values, or to nothing for those that are gone. A copy is as cheap as a reference,
/// and is not changed by what comes later.
pub type Keys = OrdMap<Vec<u8>, Option<Vec<u8>>>;

/// See the module.
pub struct WriteBuffer(RwLock<State>);

#[derive(Clone)]
struct State {
    recent: Keys,
    settling: Keys,
    /// The offset that these and the store together reflect.
    applied: u64,
}

impl WriteBuffer {
    /// Nothing waits for a store that reflects this offset.
    pub fn new(applied: u64) -> Self {
        Self(RwLock::new(State { recent: Keys::new(), settling: Keys::new(), applied }))
    }

    // Whoever panicked while holding the lock was the one writer, between whole changes.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits of a key.
    pub fn get(&self, key: &[u8]) -> Lookup {
        let state = self.read();
        match state.recent.get(key).or_else(|| state.settling.get(key)) {
            None => Lookup::Nothing,
            Some(None) => Lookup::Gone,
            Some(Some(value)) => Lookup::Value(value.clone()),
        }
    }

    /// How many keys wait.
    pub fn len(&self) -> usize {
        let state = self.read();
        state.recent.len() + state.settling.len()
    }

    /// Takes changes up; readers see all of them or none.
    pub fn apply(&self, changes: Changes, applied: u64) {
        let mut state = self.write();
        for (key, value) in changes {
            state.recent.insert(key, value);
        }
        state.applied = applied;
    }

    /// All that waits, and the offset that the store will reflect with it. It stays until it is
    /// said to be [`settled`](Self::settled).
    pub fn settle(&self) -> (Keys, u64) {
        let mut state = self.write();
        let recent = std::mem::take(&mut state.recent);
        // What did not settle the last time is still there, and older.
        let before = std::mem::take(&mut state.settling);
        state.settling = if before.is_empty() { recent } else { recent.union(before) };
        (state.settling.clone(), state.applied)
    }

    /// The store has what was settling.
    pub fn settled(&self) {
        self.write().settling = Keys::new();
    }

    /// What waits as it is now, within a range: the newer and the older.
    pub fn rows<'a>(&self, range: &KeyRange, is_back: bool) -> Vec<TaggedRows<'a>> {
        let state = self.read().clone();
        let waiting = [state.recent, state.settling].into_iter().filter(|keys| !keys.is_empty());
        waiting.map(|keys| rows(keys, range.clone(), is_back)).collect()
    }
}

fn rows<'a>(keys: Keys, range: KeyRange, is_back: bool) -> TaggedRows<'a> {
    let (mut from, mut to) = range;
    Box::new(std::iter::from_fn(move || {
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
    }))
}

/// Ranges that no key can be in are an error to ordered maps.
fn is_empty(range: impl RangeBounds<Vec<u8>>) -> bool {
    use Bound::{Excluded, Included, Unbounded};
    match (range.start_bound(), range.end_bound()) {
        (Unbounded, _) | (_, Unbounded) => false,
        (Included(from), Included(to)) => from > to,
        (Included(from) | Excluded(from), Excluded(to) | Included(to)) => from >= to,
    }
}

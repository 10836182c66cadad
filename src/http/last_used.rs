//! When each token and session was last used, to five minutes. Kept in memory, and periodically written to a
//! file by the app: a log append per request would cost a sync.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

const RESOLUTION_MS: u64 = 5 * 60 * 1_000;
/// The maximum number of tokens; beyond that, the least recently used is dropped.
const CAPACITY: usize = 100_000;

#[derive(Default)]
struct Times {
    /// In milliseconds since the Unix epoch.
    at_ms: HashMap<Uuid, u64>,
    /// The same, the least recently used first.
    by_time: BTreeSet<(u64, Uuid)>,
    is_changed: bool,
}

impl Times {
    fn set(&mut self, id: Uuid, at_ms: u64) {
        self.remove(id);
        if self.at_ms.len() >= CAPACITY
            && let Some((_, oldest)) = self.by_time.pop_first()
        {
            self.at_ms.remove(&oldest);
        }
        self.at_ms.insert(id, at_ms);
        self.by_time.insert((at_ms, id));
    }

    fn remove(&mut self, id: Uuid) -> Option<u64> {
        let at_ms = self.at_ms.remove(&id)?;
        self.by_time.remove(&(at_ms, id));
        Some(at_ms)
    }
}

/// The times of last use.
#[derive(Default)]
pub struct LastUsed(Mutex<Times>);

impl LastUsed {
    /// Restores saved times.
    pub fn new(times: impl IntoIterator<Item = (Uuid, u64)>) -> Self {
        let mut restored = Times::default();
        times.into_iter().take(CAPACITY).for_each(|(id, at_ms)| restored.set(id, at_ms));
        Self(Mutex::new(restored))
    }

    /// Records a use of a token.
    pub fn note(&self, id: Uuid, now_ms: u64) {
        let at_ms = now_ms - now_ms % RESOLUTION_MS;
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if times.at_ms.get(&id).is_some_and(|before| *before >= at_ms) {
            return;
        }
        times.set(id, at_ms);
        times.is_changed = true;
    }

    /// When a token was last used, in milliseconds since the Unix epoch; `None` if unknown.
    pub fn of(&self, id: Uuid) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).at_ms.get(&id).copied()
    }

    /// Removes a revoked token.
    pub fn forget(&self, id: Uuid) {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        times.is_changed |= times.remove(id).is_some();
    }

    /// All times, if any has changed since the last call.
    pub fn take_changed(&self) -> Option<BTreeMap<Uuid, u64>> {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut times.is_changed)
            .then(|| times.at_ms.iter().map(|(token, at_ms)| (*token, *at_ms)).collect())
    }

    /// Marks the times as changed, because they could not be written.
    pub fn put_back(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_changed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    #[test]
    fn a_use_changes_something_once_in_five_minutes() {
        let used = LastUsed::new([(token(1), RESOLUTION_MS)]);
        assert_eq!((used.of(token(1)), used.take_changed()), (Some(RESOLUTION_MS), None));
        used.note(token(1), 2 * RESOLUTION_MS - 1);
        assert_eq!(used.take_changed(), None);
        used.note(token(1), 2 * RESOLUTION_MS + 7);
        used.note(token(2), RESOLUTION_MS + 7);
        let expected = [(token(1), 2 * RESOLUTION_MS), (token(2), RESOLUTION_MS)];
        assert_eq!(used.take_changed(), Some(expected.into()));
        assert_eq!(used.take_changed(), None);
        used.put_back();
        assert!(used.take_changed().is_some());
        // A clock that is set back changes nothing.
        used.note(token(1), 0);
        used.forget(token(3));
        assert_eq!(used.take_changed(), None);
        used.forget(token(1));
        assert_eq!((used.of(token(1)), used.take_changed().unwrap().len()), (None, 1));
    }

    #[test]
    fn beyond_the_capacity_the_least_recently_used_token_is_dropped() {
        let used = LastUsed::default();
        for number in 0..=CAPACITY as u64 {
            used.note(token(number.into()), (number + 1) * RESOLUTION_MS);
        }
        assert_eq!(used.take_changed().unwrap().len(), CAPACITY);
        assert_eq!((used.of(token(0)), used.of(token(1))), (None, Some(2 * RESOLUTION_MS)));
    }
}

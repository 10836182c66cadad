//! A store in memory, used while the disk is full.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock};

use super::IndexError;
use super::store::{Changes, KeyRange, Rows, Store};

/// Holds an overlay until it can be written to disk. Its size is limited by the building of bases;
/// and while the disk is full, the log does not grow.
#[derive(Default)]
pub struct MemoryStore {
    entries: RwLock<BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl Store for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        Ok(entries.get(key).cloned())
    }

    fn apply(&self, changes: Changes) -> Result<(), IndexError> {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in changes {
            match value {
                Some(value) => drop(entries.insert(key, value)),
                None => drop(entries.remove(&key)),
            }
        }
        Ok(())
    }

    /// Locks the map for each row only, so that no lock is held while the caller uses one.
    fn rows(&self, range: KeyRange, is_back: bool) -> Rows<'_> {
        let (mut from, mut to) = range;
        Box::new(std::iter::from_fn(move || {
            if is_empty(&from, &to) {
                return None;
            }
            let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
            let mut rows = entries.range((from.clone(), to.clone()));
            let (key, value) = if is_back { rows.next_back() } else { rows.next() }?;
            let passed = Bound::Excluded(key.clone());
            *(if is_back { &mut to } else { &mut from }) = passed;
            Some(Ok((key.clone(), value.clone())))
        }))
    }

    fn flush(&self) -> Result<(), IndexError> {
        Ok(())
    }
}

/// Ranges on which a map would panic.
fn is_empty(from: &Bound<Vec<u8>>, to: &Bound<Vec<u8>>) -> bool {
    match (from, to) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Excluded(from), Bound::Excluded(to)) => from >= to,
        (
            Bound::Included(from) | Bound::Excluded(from),
            Bound::Included(to) | Bound::Excluded(to),
        ) => from > to,
    }
}

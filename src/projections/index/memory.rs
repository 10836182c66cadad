//! A store in memory, used while the disk is full.

use std::sync::{PoisonError, RwLock};

use imbl::OrdMap;

use super::IndexError;
use super::store::{Changes, KeyRange, Rows, Store};
use super::write_buffer::rows;

/// Holds an overlay until it can be written to disk. Its size is limited by the building of bases;
/// and while the disk is full, the log does not grow.
#[derive(Default)]
pub struct MemoryStore {
    entries: RwLock<OrdMap<Vec<u8>, Vec<u8>>>,
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

    fn rows(&self, range: KeyRange, is_back: bool) -> Rows<'_> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner).clone();
        Box::new(rows(entries, range, is_back))
    }

    fn flush(&self) -> Result<(), IndexError> {
        Ok(())
    }
}

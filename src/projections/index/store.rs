//! The trait for the overlay's key-value store, and its implementation with sled.

use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::IndexError;

/// The size of sled's cache. Its default is 1 GiB.
const CACHE_BYTES: u64 = 32 << 20;

/// Keys with their new values, or `None` to remove them; applied atomically.
pub type Changes = std::collections::BTreeMap<Vec<u8>, Option<Vec<u8>>>;

pub use crate::sst::KeyRange;

/// Rows of a scan.
pub type Rows<'a> = Box<dyn Iterator<Item = Result<(Vec<u8>, Vec<u8>), IndexError>> + 'a>;

/// An ordered key-value store with atomic batches.
pub trait Store: Send + Sync {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError>;
    /// Applies all changes, or none.
    fn apply(&self, changes: Changes) -> Result<(), IndexError>;
    /// Keys and values within a range, ascending or descending.
    fn rows(&self, range: KeyRange, is_back: bool) -> Rows<'_>;
    /// Waits until everything applied is on disk.
    fn flush(&self) -> Result<(), IndexError>;
    /// The error with which the store has failed, if any.
    fn health(&self) -> Result<(), IndexError> {
        Ok(())
    }
}

/// Opens stores: sled, except in tests, which make them fail.
pub trait Stores: Send + Sync {
    /// Opens or creates the store in a folder.
    fn open(&self, folder: &Path) -> Result<Box<dyn Store>, IndexError>;
}

/// sled 0.34: one tree, so that a batch is atomic.
struct Sled {
    tree: sled::Db,
    /// Shared with the tree: it reports failed background writes. Undocumented, but public in the
    /// version in use.
    config: sled::Config,
}

/// sled stores.
pub struct SledStores;

impl Stores for SledStores {
    fn open(&self, folder: &Path) -> Result<Box<dyn Store>, IndexError> {
        let config =
            sled::Config::new().path(folder).cache_capacity(CACHE_BYTES).flush_every_ms(Some(500));
        let tree = caught(|| config.open())?;
        Ok(Box::new(Sled { tree, config }))
    }
}

/// sled 0.34 panics on some broken files instead of returning an error.
fn caught<T>(work: impl FnOnce() -> sled::Result<T>) -> Result<T, IndexError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => Ok(result?),
        Err(_) => Err(IndexError::Broken("the overlay's store panicked")),
    }
}

impl Store for Sled {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        Ok(caught(|| self.tree.get(key))?.map(|value| value.to_vec()))
    }

    fn apply(&self, changes: Changes) -> Result<(), IndexError> {
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        caught(|| self.tree.apply_batch(batch))
    }

    fn rows(&self, range: KeyRange, is_back: bool) -> Rows<'_> {
        let mut rows = self.tree.range(range);
        let mut is_over = false;
        Box::new(std::iter::from_fn(move || {
            if is_over {
                return None;
            }
            let row = caught(|| {
                let row = if is_back { rows.next_back() } else { rows.next() };
                row.transpose()
            });
            is_over = row.is_err();
            let row = row.transpose()?;
            Some(row.map(|(key, value)| (key.to_vec(), value.to_vec())))
        }))
    }

    fn flush(&self) -> Result<(), IndexError> {
        caught(|| self.tree.flush()).map(drop)
    }

    fn health(&self) -> Result<(), IndexError> {
        Ok(self.config.global_error()?)
    }
}

/// All keys with a prefix.
pub fn prefixed(prefix: &[u8]) -> KeyRange {
    (Bound::Included(prefix.to_vec()), end_of(prefix))
}

/// The first key after all keys with this prefix.
fn end_of(prefix: &[u8]) -> Bound<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Bound::Excluded(end);
        }
    }
    Bound::Unbounded
}

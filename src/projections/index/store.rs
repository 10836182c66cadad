//! The thin trait between the overlay and its key-value store, and sled behind it.

use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::IndexError;

/// What sled may keep of the file in memory. Its own default is 1 GiB.
const CACHE_BYTES: u64 = 32 << 20;

/// Keys to their new values, or to nothing; applied together or not at all.
pub type Changes = std::collections::BTreeMap<Vec<u8>, Option<Vec<u8>>>;

pub use crate::sst::KeyRange;

/// Rows of a scan.
pub type Rows<'a> = Box<dyn Iterator<Item = Result<(Vec<u8>, Vec<u8>), IndexError>> + 'a>;

/// An ordered key-value store with atomic batches.
pub trait Store: Send + Sync {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError>;
    /// Applies all of the changes, or none.
    fn apply(&self, changes: Changes) -> Result<(), IndexError>;
    /// Keys and values within a range, ascending, or descending.
    fn rows(&self, range: KeyRange, is_back: bool) -> Rows<'_>;
    /// Waits until what was applied is on disk.
    fn flush(&self) -> Result<(), IndexError>;
    /// Why the store has given up, if it has.
    fn health(&self) -> Result<(), IndexError> {
        Ok(())
    }
}

/// Opens stores; sled's but for tests, which make theirs fail.
pub trait Stores: Send + Sync {
    /// Opens the store in a folder, or makes it.
    fn open(&self, folder: &Path) -> Result<Box<dyn Store>, IndexError>;
}

/// sled 0.34: one tree, so that a batch is atomic over all of it.
struct Sled {
    tree: sled::Db,
    /// Shared with the tree's own: it tells of a write that failed behind the tree's back. That
    /// is not in sled's documentation, but it is public in the version that is used.
    config: sled::Config,
}

/// Stores of sled's.
pub struct SledStores;

impl Stores for SledStores {
    fn open(&self, folder: &Path) -> Result<Box<dyn Store>, IndexError> {
        let config =
            sled::Config::new().path(folder).cache_capacity(CACHE_BYTES).flush_every_ms(Some(500));
        let tree = caught(|| config.open())?;
        Ok(Box::new(Sled { tree, config }))
    }
}

/// sled 0.34 panics on some broken files where it should return an error.
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

/// All keys that start with this.
pub fn prefixed(prefix: &[u8]) -> KeyRange {
    (Bound::Included(prefix.to_vec()), end_of(prefix))
}

/// The first key after all those with this prefix.
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

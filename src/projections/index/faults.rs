//! Stores that fail on demand, for tests.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::index_dir::IndexDir;
use super::store::{Changes, KeyRange, Rows, SledStores, Store, Stores};
use super::{Index, IndexError, Tuning};
use crate::log::Log;

/// The faults.
#[derive(Default)]
pub struct Faults {
    /// Writes to the open store fail from now on, like sled after a full disk.
    pub gives_up: AtomicBool,
    /// Opening a store fails because the disk is full.
    pub disk_is_full: AtomicBool,
    /// Opening a store fails for another reason.
    pub cannot_open: AtomicBool,
    /// Reads fail.
    pub reads_fail: AtomicBool,
    /// The number of the next read that fails, starting at 1; 0 for none.
    pub read_fails_in: AtomicUsize,
    /// A store with failed writes cannot be read either.
    pub gives_up_reads: AtomicBool,
    /// The number of stores opened.
    pub opened: AtomicUsize,
}

impl Faults {
    /// Counts down to the read that fails.
    fn is_read_to_fail(&self) -> bool {
        let next = |left: usize| left.checked_sub(1);
        self.read_fails_in.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next) == Ok(1)
    }
}

/// sled stores with these faults.
pub struct FaultyStores(pub Arc<Faults>);

struct FaultyStore {
    store: Box<dyn Store>,
    faults: Arc<Faults>,
    has_given_up: AtomicBool,
}

impl Stores for FaultyStores {
    fn open(&self, folder: &Path) -> Result<Box<dyn Store>, IndexError> {
        if self.0.disk_is_full.load(Ordering::SeqCst) {
            return Err(full());
        }
        if self.0.cannot_open.load(Ordering::SeqCst) {
            return Err(IndexError::Broken("a test"));
        }
        self.0.opened.fetch_add(1, Ordering::SeqCst);
        let store = SledStores.open(folder)?;
        let (faults, has_given_up) = (Arc::clone(&self.0), AtomicBool::new(false));
        Ok(Box::new(FaultyStore { store, faults, has_given_up }))
    }
}

fn full() -> IndexError {
    IndexError::Store(sled::Error::Io(io::ErrorKind::StorageFull.into()))
}

impl Store for FaultyStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        if self.faults.reads_fail.load(Ordering::SeqCst) || self.faults.is_read_to_fail() {
            return Err(IndexError::Broken("a test"));
        }
        let may_fail = self.faults.gives_up_reads.load(Ordering::SeqCst);
        if may_fail && self.has_given_up.load(Ordering::SeqCst) {
            return Err(full());
        }
        self.store.get(key)
    }

    fn apply(&self, changes: Changes) -> Result<(), IndexError> {
        if self.faults.gives_up.swap(false, Ordering::SeqCst) {
            self.has_given_up.store(true, Ordering::SeqCst);
        }
        if self.has_given_up.load(Ordering::SeqCst) {
            return Err(full());
        }
        self.store.apply(changes)
    }

    fn rows(&self, range: KeyRange, is_back: bool) -> Rows<'_> {
        if self.faults.is_read_to_fail() {
            return Box::new(std::iter::once(Err(IndexError::Broken("a test"))));
        }
        self.store.rows(range, is_back)
    }

    fn flush(&self) -> Result<(), IndexError> {
        self.store.flush()
    }
}

/// An index over such stores.
pub fn open(
    folder: &Path,
    log: &dyn Log,
    faults: &Arc<Faults>,
    tuning: Tuning,
) -> Result<Index, IndexError> {
    let stores = Box::new(FaultyStores(Arc::clone(faults)));
    Index::open_while(IndexDir::with_stores(folder, stores, tuning), log, &|_, _| true)
}

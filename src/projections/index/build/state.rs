//! The state of the fold during a build: a memtable, the previous one that is being written, sorted
//! runs, and the base of the build.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use super::memtable::Memtable;
use crate::projections::index::IndexError;
use crate::projections::index::keys;
use crate::projections::index::merged::{Merged, TaggedRows, table_rows};
use crate::projections::index::read::Read;
use crate::projections::index::state::State;
use crate::projections::index::store::KeyRange;
use crate::sst::{Lookup, Table};

/// The number of expiries held in memory.
const EXPIRIES_IN_MEMORY: usize = 4_096;

/// The state of a build. The newest layer with a key wins.
pub struct Building<'b> {
    pub memtable: Memtable,
    /// Full, and being written as a run.
    pub frozen: Option<Arc<Memtable>>,
    /// Oldest first.
    pub runs: Vec<Table>,
    base: Option<&'b Table>,
    expiries: Expiries,
}

/// The first live expiries: all of those before `bound`.
struct Expiries {
    first: BTreeSet<Vec<u8>>,
    /// `None` if these are all.
    bound: Option<Vec<u8>>,
}

impl Read for Building<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        for memtable in [Some(&self.memtable), self.frozen.as_deref()].into_iter().flatten() {
            match memtable.get(key) {
                Lookup::Nothing => {}
                found => return Ok(found.value()),
            }
        }
        for table in self.runs.iter().rev().chain(self.base) {
            match table.get(key)? {
                Lookup::Nothing => {}
                found => return Ok(found.value()),
            }
        }
        Ok(None)
    }
}

impl State for Building<'_> {
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.memtable.put(&key, Some(&value));
        if key.starts_with(keys::EXPIRIES) {
            self.expiries.put(key);
        }
    }

    fn remove(&mut self, key: Vec<u8>) {
        self.memtable.put(&key, None);
        self.expiries.first.remove(&key);
    }

    fn first_expiries(&mut self, limit: usize, until_ms: u64) -> Result<Vec<Vec<u8>>, IndexError> {
        // Those in memory come before all others.
        let first = self.expiries.first.first().and_then(|key| keys::expired(key));
        if first.is_some_and(|(at_ms, _)| at_ms > until_ms) {
            return Ok(Vec::new());
        }
        if self.expiries.first.len() < limit
            && let Some(bound) = self.expiries.bound.take()
        {
            self.expiries.bound = self.load_expiries(&bound)?;
        }
        Ok(self.expiries.first.iter().take(limit).cloned().collect())
    }

    fn touch(&mut self, _domain: &str, _slug: &str) {}
}

impl<'b> Building<'b> {
    pub fn new(base: Option<&'b Table>) -> Self {
        let bound = base.map(|_| keys::EXPIRIES.to_vec());
        let expiries = Expiries { first: BTreeSet::new(), bound };
        Self { memtable: Memtable::default(), frozen: None, runs: Vec::new(), base, expiries }
    }

    /// Loads the next expiries from `from` on. Returns the first that is not loaded.
    fn load_expiries(&mut self, from: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        let end = keys::EXPIRIES_END.to_vec();
        let range: KeyRange = (Bound::Included(from.to_vec()), Bound::Excluded(end));
        let memory = |table: &'_ Memtable| -> Vec<_> {
            let rows = table.expiries_from(from);
            rows.map(|(key, is_live)| Ok((key.to_vec(), is_live.then(Vec::new)))).collect()
        };
        let mut layers: Vec<TaggedRows<'_>> = vec![Box::new(memory(&self.memtable).into_iter())];
        layers
            .extend(self.frozen.iter().map(|t| Box::new(memory(t).into_iter()) as TaggedRows<'_>));
        let tables = self.runs.iter().rev().chain(self.base);
        layers.extend(tables.map(|table| table_rows(table, range.clone(), false)));
        for row in Merged::new(layers, false) {
            let (key, value) = row?;
            if value.is_none() {
                continue;
            }
            if self.expiries.first.len() >= EXPIRIES_IN_MEMORY {
                return Ok(Some(key));
            }
            self.expiries.first.insert(key);
        }
        Ok(None)
    }
}

impl Expiries {
    fn put(&mut self, key: Vec<u8>) {
        if self.bound.as_ref().is_some_and(|bound| key >= *bound) {
            return;
        }
        self.first.insert(key);
        if self.first.len() > 2 * EXPIRIES_IN_MEMORY
            && let Some(half) = self.first.iter().nth(EXPIRIES_IN_MEMORY).cloned()
        {
            // Expiries dropped here are still in the memtable or below.
            drop(self.first.split_off(&half));
            self.bound = Some(half);
        }
    }
}

//! What readers see: a [front](Front) of what was applied just now, an overlay of what has changed,
//! and a base that never does.
//!
//! **Invariants.** The overlay's entries, its [`Meta`] and so the offset that it reflects change in
//! one batch; the front holds what is applied beyond. A value in the overlay begins with a byte
//! that tells it from the mark of a key that is gone. All that the three say together follows from
//! the log up to the applied offset: layers at the same offset may stand in for each other at any
//! time.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use super::merged::{Merged, TaggedRows, table_rows};
use super::meta::{Checksum, Meta};
use super::store::{Changes, KeyRange, Rows, Store, prefixed};
use super::write_buffer::{Keys, WriteBuffer};
use super::{IndexError, keys};
use crate::sst::{Lookup, Table};

const GONE: u8 = 0;
const VALUE: u8 = 1;

/// A base as its folder names it.
pub struct Base {
    pub number: u64,
    pub table: Table,
}

/// What is known to be wrong with layers, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// Nothing.
    None = 0,
    /// The overlay's store fails. The base has done nothing wrong.
    Overlay = 1,
    /// Nothing but the log is to be believed.
    Unknown = 2,
}

/// See the module.
pub struct Layers {
    front: WriteBuffer,
    overlay: Box<dyn Store>,
    /// Where the overlay is.
    folder: PathBuf,
    base: Option<Arc<Base>>,
    /// What the overlay says of itself. Held while the front settles into it.
    meta: Mutex<Meta>,
    applied: AtomicU64,
    /// Nothing that is remembered goes before this time. A hint that spares looking at what has
    /// long gone, and at what has still time; only the writer uses it.
    expiry_floor_ms: AtomicU64,
    damage: AtomicU8,
    /// When the damage was first met.
    failed_at: OnceLock<Instant>,
    /// The overlay is in memory, for want of room on the disk.
    is_stopgap: bool,
}

impl Layers {
    /// An empty overlay that was just made, over a base or over nothing.
    pub fn begin(
        overlay: Box<dyn Store>,
        folder: &Path,
        log: [u8; 16],
        base: Option<Arc<Base>>,
    ) -> Result<Self, IndexError> {
        let base_offset = base.as_ref().map_or(0, |base| base.table.origin().offset);
        let number = base.as_ref().map_or(0, |base| base.number);
        let sum = Checksum::default();
        let meta = Meta { log, applied: base_offset, base: number, base_offset, sum };
        overlay.apply(Changes::from([(keys::META.to_vec(), Some(meta.encode()))]))?;
        Ok(Self::new(overlay, folder, base, meta))
    }

    /// What an overlay says of itself, once all of it was compared with that.
    pub fn checked_meta(overlay: &dyn Store) -> Result<Meta, IndexError> {
        let meta = overlay.get(keys::META)?;
        let meta = meta.ok_or(IndexError::Broken("the overlay has no origin"))?;
        let meta = Meta::decode(&meta).ok_or(IndexError::Broken("the overlay's origin"))?;
        let mut sum = Checksum::default();
        for row in overlay.rows(prefixed(&[]), false) {
            let (key, value) = row?;
            if key != keys::META {
                sum.add(&key, &value);
            }
        }
        if sum != meta.sum {
            return Err(IndexError::Broken("the overlay has lost or changed entries"));
        }
        Ok(meta)
    }

    /// An overlay whose meta was [checked](Self::checked_meta), over the base that it names.
    pub fn new(
        overlay: Box<dyn Store>,
        folder: &Path,
        base: Option<Arc<Base>>,
        meta: Meta,
    ) -> Self {
        Self {
            front: WriteBuffer::new(meta.applied),
            overlay,
            folder: folder.to_owned(),
            base,
            applied: AtomicU64::new(meta.applied),
            meta: Mutex::new(meta),
            expiry_floor_ms: AtomicU64::new(0),
            damage: AtomicU8::new(Damage::None as u8),
            failed_at: OnceLock::new(),
            is_stopgap: false,
        }
    }

    /// The same, said to be of memory.
    pub fn into_stopgap(self) -> Self {
        Self { is_stopgap: true, ..self }
    }

    /// Whether the overlay is in memory, for want of room on the disk.
    pub const fn is_stopgap(&self) -> bool {
        self.is_stopgap
    }

    /// The offset of the last event that these layers reflect.
    pub fn applied(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    /// Where the overlay is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The base below.
    pub const fn base(&self) -> Option<&Arc<Base>> {
        self.base.as_ref()
    }

    /// The offset of the base below, and how many entries it has; nothing for none.
    pub fn base_extent(&self) -> (u64, u64) {
        let base = self.base.as_ref();
        base.map_or((0, 0), |base| (base.table.origin().offset, base.table.entries()))
    }

    /// The overlay, where it is, and the base.
    pub fn into_parts(self) -> (Box<dyn Store>, PathBuf, Option<Arc<Base>>) {
        (self.overlay, self.folder, self.base)
    }

    /// Asks the overlay's store how it is, and says what is known to be wrong with the layers.
    pub fn damage(&self) -> Damage {
        if let Err(error) = self.overlay.health() {
            self.met(error);
        }
        match self.damage.load(Ordering::Acquire) {
            0 => Damage::None,
            1 => Damage::Overlay,
            _ => Damage::Unknown,
        }
    }

    /// Notes an error that was met, and hands it on.
    pub fn met(&self, error: IndexError) -> IndexError {
        let damage = match &error {
            IndexError::Store(_) => Damage::Overlay,
            _ => Damage::Unknown,
        };
        if self.damage.fetch_max(damage as u8, Ordering::AcqRel) < damage as u8 {
            self.failed_at.get_or_init(Instant::now);
            tracing::error!(%error, "the index is damaged and is to be repaired from the log");
        }
        error
    }

    /// When the layers were first found damaged.
    pub fn failed_at(&self) -> Option<Instant> {
        self.failed_at.get().copied()
    }

    /// The value of a key of those that are looked up.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        debug_assert!(key.first().is_some_and(|letter| keys::LOOKED_UP.contains(letter)));
        match self.front.get(key) {
            Lookup::Nothing => {}
            said => return Ok(said.value()),
        }
        let over = self.overlay.get(key).and_then(|value| value.map(untagged).transpose());
        match (over.map_err(|error| self.met(error))?, &self.base) {
            (Some(value), _) => Ok(value),
            (None, None) => Ok(None),
            (None, Some(base)) => {
                base.table.get(key).map(Lookup::value).map_err(|error| self.met(error.into()))
            }
        }
    }

    /// Applies changes that bring the layers to an offset, in memory: all of them or none.
    pub fn apply(&self, changes: Changes, applied: u64) {
        let expiries = changes.range(keys::EXPIRIES.to_vec()..keys::EXPIRIES_END.to_vec());
        let floor = expiries
            .filter(|(_, value)| value.is_some())
            .filter_map(|(key, _)| keys::expired(key))
            .map(|(at_ms, _)| at_ms)
            .min();
        self.expiry_floor_ms.fetch_min(floor.unwrap_or(u64::MAX), Ordering::AcqRel);
        self.front.apply(changes, applied);
        self.applied.store(applied, Ordering::Release);
    }

    /// How many keys are applied and not in the overlay yet.
    pub fn unsettled(&self) -> usize {
        self.front.len()
    }

    /// Brings what is applied into the overlay, in one batch.
    ///
    /// # Errors
    /// Where the overlay's store fails. What is applied is still answered, from memory.
    pub fn settle(&self) -> Result<(), IndexError> {
        // Whoever panicked in here has not changed it: that is the last line.
        let mut meta = self.meta.lock().unwrap_or_else(PoisonError::into_inner);
        if self.applied() == meta.applied {
            return Ok(());
        }
        let (settling, applied) = self.front.settle();
        let mut next = Meta { applied, ..meta.clone() };
        let settled = self.changes(&settling, &mut next.sum).and_then(|mut changes| {
            changes.insert(keys::META.to_vec(), Some(next.encode()));
            self.overlay.apply(changes)
        });
        settled.map_err(|error| self.met(error))?;
        self.front.settled();
        *meta = next;
        Ok(())
    }

    /// What these keys are in the overlay, and what becomes of its sum by that.
    fn changes(&self, settling: &Keys, sum: &mut Checksum) -> Result<Changes, IndexError> {
        let mut changes = Changes::new();
        for (key, value) in settling {
            let before = self.overlay.get(key)?;
            if let Some(before) = &before {
                sum.take(key, before);
            }
            let value = match value {
                Some(value) => Some([&[VALUE], value.as_slice()].concat()),
                None if self.base_may_hold(key) => Some(vec![GONE]),
                None if before.is_some() => None,
                None => continue,
            };
            if let Some(value) = &value {
                sum.add(key, value);
            }
            changes.insert(key.clone(), value);
        }
        Ok(changes)
    }

    fn base_may_hold(&self, key: &[u8]) -> bool {
        let is_filtered = key.first().is_some_and(|letter| keys::LOOKED_UP.contains(letter));
        self.base.as_ref().is_some_and(|base| !is_filtered || base.table.may_hold(key))
    }

    /// Keys and values within a range, ascending or descending.
    pub fn rows(&self, range: KeyRange, is_back: bool) -> Rows<'_> {
        // The front before the overlay: what settles in between is in both, never in neither.
        let front = self.front.rows(&range, is_back);
        let over = self.overlay.rows(range.clone(), is_back);
        let over = over.filter(|row| !matches!(row, Ok((key, _)) if key == keys::META));
        let over: TaggedRows<'_> = Box::new(over.map(|row| {
            let (key, value) = row?;
            Ok((key, untagged(value)?))
        }));
        let base = self.base.as_ref().map(|base| table_rows(&base.table, range, is_back));
        let merged = Merged::new(front.into_iter().chain([over]).chain(base).collect(), is_back);
        Box::new(merged.filter_map(|row| match row {
            Ok((key, value)) => value.map(|value| Ok((key, value))),
            Err(error) => Some(Err(self.met(error))),
        }))
    }

    /// The keys of expiries that stand, ascending, behind one that was seen; none where the first
    /// one is after `until_ms`. For the writer alone.
    pub fn expiries(&self, until_ms: u64, behind: Option<&[u8]>) -> Rows<'_> {
        if let Some(seen) = behind {
            let (_, to) = prefixed(keys::EXPIRIES);
            return self.rows((std::ops::Bound::Excluded(seen.to_vec()), to), false);
        }
        let floor = self.expiry_floor_ms.load(Ordering::Acquire);
        if floor > until_ms {
            return Box::new(std::iter::empty());
        }
        let from = keys::expiries_from(floor);
        let (_, to) = prefixed(keys::EXPIRIES);
        let mut rows = self.rows((std::ops::Bound::Included(from), to), false).peekable();
        let floor = match rows.peek() {
            Some(Ok((key, _))) => keys::expired(key).map_or(0, |(at_ms, _)| at_ms),
            Some(Err(_)) => 0,
            None => u64::MAX,
        };
        self.expiry_floor_ms.store(floor, Ordering::Release);
        Box::new(rows)
    }

    /// Waits until what was applied is on disk.
    pub fn flush(&self) -> Result<(), IndexError> {
        self.settle()?;
        self.overlay.flush()
    }
}

fn untagged(mut value: Vec<u8>) -> Result<Option<Vec<u8>>, IndexError> {
    match value.first() {
        Some(&VALUE) => {
            value.remove(0);
            Ok(Some(value))
        }
        Some(&GONE) => Ok(None),
        _ => Err(IndexError::Broken("a value of the overlay")),
    }
}

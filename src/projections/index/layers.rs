//! The view of readers: a [write buffer](WriteBuffer) of recent changes, an overlay of the changes
//! since the base, and an immutable base.
//!
//! **Invariants.** The overlay's entries and its [`Meta`], with the offset that it reflects, change
//! in one batch; the buffer holds what is applied beyond it. A value in the overlay starts with a
//! byte that distinguishes it from a tombstone. The three together are a function of the log up to
//! the applied offset, so layers at the same offset are interchangeable at any time.

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

/// A base and the number in its file name.
pub struct Base {
    pub number: u64,
    pub table: Table,
}

/// Known damage of the layers, in order of severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// None.
    None = 0,
    /// The overlay's store fails. The base is intact.
    Overlay = 1,
    /// Only the log can be trusted.
    Unknown = 2,
}

/// The view of readers.
pub struct Layers {
    buffer: WriteBuffer,
    overlay: Box<dyn Store>,
    /// The overlay's path.
    pub folder: PathBuf,
    base: Option<Arc<Base>>,
    /// The overlay's metadata. Locked while the buffer is flushed.
    meta: Mutex<Meta>,
    applied: AtomicU64,
    /// No live expiry is before this time. A hint that skips expiries of the past and those not
    /// due; only used by the writer.
    expiry_floor_ms: AtomicU64,
    damage: AtomicU8,
    /// When the damage was first found.
    failed_at: OnceLock<Instant>,
    /// The overlay is in memory, because the disk is full.
    pub is_in_memory: bool,
}

impl Layers {
    /// A new, empty overlay over a base or over nothing.
    pub fn begin(
        overlay: Box<dyn Store>,
        folder: &Path,
        log: [u8; 16],
        base: Option<Arc<Base>>,
    ) -> Result<Self, IndexError> {
        let base_offset = base.as_ref().map_or(0, |base| base.table.origin.offset);
        let number = base.as_ref().map_or(0, |base| base.number);
        let sum = Checksum::default();
        let meta = Meta { log, applied: base_offset, base: number, base_offset, sum };
        overlay.apply(Changes::from([(keys::META.to_vec(), Some(meta.encode()))]))?;
        Ok(Self::new(overlay, folder, base, meta))
    }

    /// An overlay's metadata, after comparing all entries with it.
    pub fn checked_meta(overlay: &dyn Store) -> Result<Meta, IndexError> {
        let meta = overlay.get(keys::META)?;
        let meta = meta.ok_or(IndexError::Broken("the overlay has no metadata"))?;
        let meta = Meta::decode(&meta).ok_or(IndexError::Broken("the overlay's metadata"))?;
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

    /// An overlay with [checked](Self::checked_meta) metadata, over its base.
    pub fn new(
        overlay: Box<dyn Store>,
        folder: &Path,
        base: Option<Arc<Base>>,
        meta: Meta,
    ) -> Self {
        Self {
            buffer: WriteBuffer::new(meta.applied),
            overlay,
            folder: folder.to_owned(),
            base,
            applied: AtomicU64::new(meta.applied),
            meta: Mutex::new(meta),
            expiry_floor_ms: AtomicU64::new(0),
            damage: AtomicU8::new(Damage::None as u8),
            failed_at: OnceLock::new(),
            is_in_memory: false,
        }
    }

    /// The offset of the last event that these layers reflect.
    pub fn applied(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    /// The base.
    pub const fn base(&self) -> Option<&Arc<Base>> {
        self.base.as_ref()
    }

    /// The offset of the base and its number of entries; zeros without a base.
    pub fn base_extent(&self) -> (u64, u64) {
        let base = self.base.as_ref();
        base.map_or((0, 0), |base| (base.table.origin.offset, base.table.entries))
    }

    /// The overlay, its path, and the base.
    pub fn into_parts(self) -> (Box<dyn Store>, PathBuf, Option<Arc<Base>>) {
        (self.overlay, self.folder, self.base)
    }

    /// Checks the health of the overlay's store, and returns the known damage.
    pub fn damage(&self) -> Damage {
        if let Err(error) = self.overlay.health() {
            self.report_damage(error);
        }
        match self.damage.load(Ordering::Acquire) {
            0 => Damage::None,
            1 => Damage::Overlay,
            _ => Damage::Unknown,
        }
    }

    /// Records damage found by a reader, and returns the error.
    pub fn report_damage(&self, error: IndexError) -> IndexError {
        let damage = match &error {
            IndexError::Store(_) => Damage::Overlay,
            _ => Damage::Unknown,
        };
        if self.damage.fetch_max(damage as u8, Ordering::AcqRel) < damage as u8 {
            self.failed_at.get_or_init(Instant::now);
            tracing::error!(%error, "the index is damaged; repairing it from the log");
        }
        error
    }

    /// When damage was first found.
    pub fn failed_at(&self) -> Option<Instant> {
        self.failed_at.get().copied()
    }

    /// The value of a key, which must be of a kind that is looked up.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        debug_assert!(key.first().is_some_and(|letter| keys::LOOKED_UP.contains(letter)));
        match self.buffer.get(key) {
            Lookup::Nothing => {}
            found => return Ok(found.value()),
        }
        let overlay = self.overlay.get(key).and_then(|value| value.map(untagged).transpose());
        match (overlay.map_err(|error| self.report_damage(error))?, &self.base) {
            (Some(value), _) => Ok(value),
            (None, None) => Ok(None),
            (None, Some(base)) => base
                .table
                .get(key)
                .map(Lookup::value)
                .map_err(|error| self.report_damage(error.into())),
        }
    }

    /// Applies changes up to an offset in memory, atomically.
    pub fn apply(&self, changes: Changes, applied: u64) {
        let expiries = changes.range(keys::EXPIRIES.to_vec()..keys::EXPIRIES_END.to_vec());
        let floor = expiries
            .filter(|(_, value)| value.is_some())
            .filter_map(|(key, _)| keys::expired(key))
            .map(|(at_ms, _)| at_ms)
            .min();
        self.expiry_floor_ms.fetch_min(floor.unwrap_or(u64::MAX), Ordering::AcqRel);
        self.buffer.apply(changes, applied);
        self.applied.store(applied, Ordering::Release);
    }

    /// The number of keys in the write buffer.
    pub fn unflushed(&self) -> usize {
        self.buffer.len()
    }

    /// Flushes the write buffer into the overlay, in one batch.
    ///
    /// # Errors
    /// If the overlay's store fails. Reads are still answered from memory.
    pub fn flush_buffer(&self) -> Result<(), IndexError> {
        // A panic in here cannot have changed it: that is the last line.
        let mut meta = self.meta.lock().unwrap_or_else(PoisonError::into_inner);
        if self.applied() == meta.applied {
            return Ok(());
        }
        let (flushing, applied) = self.buffer.begin_flush();
        let mut next = Meta { applied, ..meta.clone() };
        let flushed = self.changes(&flushing, &mut next.sum).and_then(|mut changes| {
            changes.insert(keys::META.to_vec(), Some(next.encode()));
            self.overlay.apply(changes)
        });
        flushed.map_err(|error| self.report_damage(error))?;
        self.buffer.end_flush();
        *meta = next;
        Ok(())
    }

    /// The changes to the overlay for these keys; updates its checksum.
    fn changes(&self, flushing: &Keys, sum: &mut Checksum) -> Result<Changes, IndexError> {
        let mut changes = Changes::new();
        for (key, value) in flushing {
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
        // The buffer before the overlay: a key flushed in between is in both, never in neither.
        let buffer = self.buffer.rows(&range, is_back);
        let overlay = self.overlay.rows(range.clone(), is_back);
        let overlay = overlay.filter(|row| !matches!(row, Ok((key, _)) if key == keys::META));
        let overlay: TaggedRows<'_> = Box::new(overlay.map(|row| {
            let (key, value) = row?;
            Ok((key, untagged(value)?))
        }));
        let base = self.base.as_ref().map(|base| table_rows(&base.table, range, is_back));
        let merged =
            Merged::new(buffer.into_iter().chain([overlay]).chain(base).collect(), is_back);
        Box::new(merged.filter_map(|row| match row {
            Ok((key, value)) => value.map(|value| Ok((key, value))),
            Err(error) => Some(Err(self.report_damage(error))),
        }))
    }

    /// The live expiries in order, after `behind`; none if the first is after `until_ms`. For the
    /// writer only.
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

    /// Waits until everything applied is on disk.
    pub fn flush(&self) -> Result<(), IndexError> {
        self.flush_buffer()?;
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

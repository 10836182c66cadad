//! The unsorted entries of a build: stored one after another in one buffer, with a hash map for the
//! keys that the fold looks up.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use siphasher::sip::SipHasher13;

use crate::projections::index::IndexError;
use crate::projections::index::keys::{EXPIRIES, EXPIRIES_LETTER, FOLDED_OVER};
use crate::sst::{Lookup, TableWriter};

/// The memory of an entry besides its bytes: itself, its slot in the map, the map's slack.
const ENTRY_BYTES: usize = 40;
/// The memory of an expiry besides its key.
const EXPIRY_BYTES: usize = 64;
/// No previous entry.
const NONE: u32 = u32::MAX;

/// Unsorted entries of a build.
#[derive(Default)]
pub struct Memtable {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// The last entry with this hash; entries of other keys are chained behind it.
    by_hash: HashMap<u64, u32, BuildHasherDefault<IdentityHasher>>,
    /// Expiries, which are read in order; `false` if removed.
    expiries: BTreeMap<Vec<u8>, bool>,
    expiry_bytes: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    at: usize,
    key: u32,
    /// The length of the value plus one; 0 if the key is removed.
    value: u32,
    /// The previous entry with the same hash.
    previous: u32,
}

/// A hasher for keys that are hashes already.
#[derive(Default)]
pub struct IdentityHasher(u64);

impl Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

fn hash(key: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(key);
    hasher.finish()
}

impl Memtable {
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.expiries.is_empty()
    }

    /// Removes all entries, keeping the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.by_hash.clear();
        self.expiries.clear();
        self.expiry_bytes = 0;
    }

    /// The approximate memory usage.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.len() + self.entries.len() * ENTRY_BYTES + self.expiry_bytes
    }

    /// Looks up a key that the fold reads.
    pub fn get(&self, key: &[u8]) -> Lookup {
        let Some(entry) = self.find(hash(key), key) else { return Lookup::Nothing };
        self.value(&entry).map_or(Lookup::Gone, |value| Lookup::Value(value.to_vec()))
    }

    fn find(&self, hash: u64, key: &[u8]) -> Option<Entry> {
        let mut at = *self.by_hash.get(&hash)?;
        while let Some(entry) = self.entries.get(at as usize) {
            if self.key(entry) == key {
                return Some(*entry);
            }
            at = entry.previous;
        }
        None
    }

    fn key(&self, entry: &Entry) -> &[u8] {
        self.bytes.get(entry.at..entry.at + entry.key as usize).unwrap_or_default()
    }

    fn value(&self, entry: &Entry) -> Option<&[u8]> {
        let from = entry.at + entry.key as usize;
        self.bytes.get(from..from + (entry.value as usize).checked_sub(1)?)
    }

    pub fn put(&mut self, key: &[u8], value: Option<&[u8]>) {
        if key.starts_with(EXPIRIES) {
            if self.expiries.insert(key.to_vec(), value.is_some()).is_none() {
                self.expiry_bytes += key.len() + EXPIRY_BYTES;
            }
            return;
        }
        let mut previous = NONE;
        if key.first().is_some_and(|letter| FOLDED_OVER.contains(letter)) {
            let hash = hash(key);
            if let Some(entry) = self.find(hash, key)
                && let Some(value) = value
                && entry.value as usize == value.len() + 1
            {
                // Mostly a counter: it has the same length, so it is updated in place.
                let from = entry.at + entry.key as usize;
                if let Some(place) = self.bytes.get_mut(from..from + value.len()) {
                    place.copy_from_slice(value);
                }
                return;
            }
            previous = self.by_hash.insert(hash, number(self.entries.len())).unwrap_or(NONE);
        }
        self.entries.push(Entry {
            at: self.bytes.len(),
            key: number(key.len()),
            value: number(value.map_or(0, |value| value.len() + 1)),
            previous,
        });
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value.unwrap_or_default());
    }

    /// The expiries from a key on, in order, and whether each is live.
    pub fn expiries_from(&self, from: &[u8]) -> impl Iterator<Item = (&[u8], bool)> {
        self.expiries.range(from.to_vec()..).map(|(key, is_live)| (key.as_slice(), *is_live))
    }

    /// The maximum number of this memtable's entries in a run's filter.
    pub fn filtered(&self) -> u64 {
        let letter = |entry: &&Entry| {
            self.bytes.get(entry.at).is_some_and(|letter| FOLDED_OVER.contains(letter))
        };
        self.entries.iter().filter(letter).count() as u64
    }

    /// Writes the last value of each key, in order.
    pub fn write_sorted(&self, run: &mut TableWriter) -> Result<(), IndexError> {
        // By letter first: IDs mostly arrive in order, and sorting sorted keys is fast.
        let mut by_letter: BTreeMap<u8, Vec<(u64, u32)>> = BTreeMap::new();
        for (number, entry) in (0_u32..).zip(&self.entries) {
            let key = self.key(entry);
            let letter = key.first().copied().unwrap_or_default();
            by_letter.entry(letter).or_default().push((start(key), number));
        }
        if !self.expiries.is_empty() {
            // Already sorted; they only have to be placed between the letters around theirs.
            by_letter.entry(EXPIRIES_LETTER).or_default();
        }
        for (letter, places) in &mut by_letter {
            if *letter == EXPIRIES_LETTER {
                for (key, is_live) in &self.expiries {
                    run.add(key, is_live.then_some(b"".as_slice()))?;
                }
                continue;
            }
            let entry = |number: u32| self.entries.get(number as usize);
            let key = |number: u32| entry(number).map(|entry| self.key(entry)).unwrap_or_default();
            // The sort is stable: the last of equal keys is the newest.
            places.sort_by(|(a_start, a), (b_start, b)| {
                a_start.cmp(b_start).then_with(|| key(*a).cmp(key(*b)))
            });
            let mut places = places.iter().peekable();
            while let Some((_, number)) = places.next() {
                let is_last = places.peek().is_none_or(|(_, next)| key(*next) != key(*number));
                if let Some(entry) = entry(*number).filter(|_| is_last) {
                    run.add(self.key(entry), self.value(entry))?;
                }
            }
        }
        Ok(())
    }
}

/// The eight bytes after the letter, which mostly suffice to compare two keys.
fn start(key: &[u8]) -> u64 {
    let mut start = [0; 8];
    let bytes = key.get(1..).unwrap_or_default();
    let length = bytes.len().min(8);
    start[..length].copy_from_slice(&bytes[..length]);
    u64::from_be_bytes(start)
}

/// A memtable has some dozens of megabytes, so its numbers fit.
fn number(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

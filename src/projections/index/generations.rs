//! Counts the changes of what requests are authenticated by, so that what was read can be reused
//! until it changes.
//!
//! The keys of tokens, users, sessions, workspaces and members start with an id or a hash. Each
//! change of such a key increments a counter, which ids of the same hash share: at worst, something
//! is read again that has not changed. A [`Stamp`] notes the counters before the index is read. The
//! writer changes the index first and increments then, so a stamp that is current after all proves
//! that the index has not changed since.

use std::sync::atomic::{AtomicU32, Ordering};

use super::keys::Family;
use super::store::Changes;

/// The number of counters: few enough to stay in a processor's cache, and so many that changes of
/// one user or workspace rarely touch another.
const COUNTERS: u16 = 1 << 14;
/// The maximum number of ids that a stamp covers.
const STAMP_LEN: usize = 3;
/// The families whose changes are counted.
const COUNTED: [u8; 5] = [
    Family::Token as u8,
    Family::User as u8,
    Family::Session as u8,
    Family::Workspace as u8,
    Family::Member as u8,
];

/// The generations of some ids, before the index was read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stamp {
    counters: [u16; STAMP_LEN],
    generations: [u32; STAMP_LEN],
    len: u8,
}

/// The counters.
pub struct Generations(Box<[AtomicU32]>);

impl Default for Generations {
    fn default() -> Self {
        Self((0..COUNTERS).map(|_| AtomicU32::new(0)).collect())
    }
}

/// The counter of an id. The last bytes of ids and hashes are random.
fn counter(id: &[u8; 16]) -> u16 {
    u16::from_be_bytes([id[14], id[15]]) % COUNTERS
}

impl Generations {
    /// Notes the generation of the first 16 bytes of an id or a hash. Beyond the maximum, the stamp
    /// is never current.
    pub fn note(&self, stamp: &mut Stamp, id: &[u8; 16]) {
        let (at, counter) = (usize::from(stamp.len), counter(id));
        stamp.len = stamp.len.saturating_add(1);
        if at < STAMP_LEN {
            stamp.counters[at] = counter;
            stamp.generations[at] = self.generation(counter);
        }
    }

    /// Whether nothing that the stamp covers has changed.
    pub fn is_current(&self, stamp: &Stamp) -> bool {
        let noted = stamp.counters.iter().zip(&stamp.generations).take(usize::from(stamp.len));
        usize::from(stamp.len) <= STAMP_LEN
            && noted.into_iter().all(|(counter, noted)| self.generation(*counter) == *noted)
    }

    fn generation(&self, counter: u16) -> u32 {
        // With the increments' `Release`: who sees a new generation sees the change.
        self.0.get(usize::from(counter)).map_or(0, |count| count.load(Ordering::Acquire))
    }

    /// The counters of changes, to be [incremented](Self::increment) after they are applied.
    pub fn counters_of(changes: &Changes) -> Vec<u16> {
        let counted = changes.keys().filter_map(|key| {
            let (letter, rest) = key.split_first()?;
            COUNTED.contains(letter).then(|| rest.first_chunk()).flatten()
        });
        counted.map(counter).collect()
    }

    /// Increments counters.
    pub fn increment(&self, counters: &[u16]) {
        for count in counters.iter().filter_map(|counter| self.0.get(usize::from(*counter))) {
            count.fetch_add(1, Ordering::Release);
        }
    }

    /// Increments all counters, if the changes are unknown or of something else.
    pub fn increment_all(&self) {
        for count in &self.0 {
            count.fetch_add(1, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> [u8; 16] {
        [number; 16]
    }

    fn stamp(generations: &Generations, ids: &[u8]) -> Stamp {
        let mut stamp = Stamp::default();
        for number in ids {
            generations.note(&mut stamp, &id(*number));
        }
        stamp
    }

    #[test]
    fn a_stamp_is_current_until_one_of_its_ids_changes() {
        let generations = Generations::default();
        let keys = |letters: &str, number: u8| {
            let key = |letter: u8| ([&[letter], &id(number)[..], b"rest"].concat(), None);
            letters.bytes().map(key).collect::<Changes>()
        };
        let change = |letters: &str, number| {
            generations.increment(&Generations::counters_of(&keys(letters, number)));
        };
        for letter in ["t", "u", "S", "o", "M"] {
            for changed in 1..=3 {
                let (whole, other) = (stamp(&generations, &[1, 2, 3]), stamp(&generations, &[4]));
                assert!(generations.is_current(&whole));
                change(letter, changed);
                assert!(!generations.is_current(&whole), "{letter} {changed}");
                assert!(generations.is_current(&other), "{letter} {changed}");
            }
        }
        let whole = stamp(&generations, &[1, 2, 3]);
        change("lswnkWVEix", 1);
        assert!(generations.is_current(&whole), "links, counts, audit entries");
        generations.increment_all();
        assert!(!generations.is_current(&whole));
        assert!(!generations.is_current(&stamp(&generations, &[1, 2, 3, 4])), "too many ids");
    }
}

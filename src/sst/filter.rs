//! A blocked Bloom filter: all bits of a key are in one 64-byte cache line.
//!
//! Ten bits per key give a false-positive rate of about 1 %. The hash (`SipHash` 1-3 with a zero
//! key) is part of the file format.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

const LINE_BYTES: usize = 64;
const BITS_PER_KEY: u64 = 10;
const BITS_SET: u32 = 6;

/// The filter. An empty one matches no key.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The serialized filter.
    pub bytes: Vec<u8>,
}

impl Filter {
    /// Creates a filter sized for `keys` keys.
    pub fn with_capacity(keys: u64) -> Self {
        let lines = (keys * BITS_PER_KEY).div_ceil(LINE_BYTES as u64 * 8);
        Self { bytes: vec![0; usize::try_from(lines).unwrap_or(0) * LINE_BYTES] }
    }

    /// `None` if the length is not a multiple of the line size.
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        bytes.len().is_multiple_of(LINE_BYTES).then_some(Self { bytes })
    }

    fn line(&self, hash: u64) -> usize {
        let lines = (self.bytes.len() / LINE_BYTES) as u64;
        // Scale the upper half of the hash to the number of lines.
        (((hash >> 32) * lines) >> 32) as usize * LINE_BYTES
    }

    /// Adds a key.
    pub fn add(&mut self, key: &[u8]) {
        let hash = hash(key);
        let line = self.line(hash);
        for (byte, bit) in bits(hash) {
            if let Some(byte) = self.bytes.get_mut(line + byte) {
                *byte |= bit;
            }
        }
    }

    /// Whether the key may have been added.
    pub fn may_hold(&self, key: &[u8]) -> bool {
        let hash = hash(key);
        let line = self.line(hash);
        bits(hash).all(|(byte, bit)| self.bytes.get(line + byte).is_some_and(|b| b & bit != 0))
    }
}

fn hash(key: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(key);
    hasher.finish()
}

/// The bits of a line that belong to a hash, each selected by nine bits of the mixed hash.
fn bits(hash: u64) -> impl Iterator<Item = (usize, u8)> {
    let spread = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (0..BITS_SET).map(move |number| {
        let bit = (spread >> (64 - 9 * (number + 1))) & 511;
        ((bit / 8) as usize, 1 << (bit % 8))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_passes_and_little_else_does() {
        let mut filter = Filter::with_capacity(10_000);
        for number in 0..10_000_u32 {
            filter.add(&number.to_be_bytes());
        }
        assert!((0..10_000_u32).all(|number| filter.may_hold(&number.to_be_bytes())));
        let wrong =
            (10_000..110_000_u32).filter(|number| filter.may_hold(&number.to_be_bytes())).count();
        assert!(wrong < 3_000, "{wrong} of 100,000");
        assert!(!Filter::default().may_hold(b"x"));
    }
}

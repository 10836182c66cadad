//! An overlay's metadata: its log, its offset, its base, and a checksum of its entries.
//!
//! | bytes | field |
//! |---|---|
//! | 0–7 | format, see [`keys`] |
//! | 8–23 | the log's id |
//! | 24–31 | applied offset |
//! | 32–39 | number of the base; 0 for none |
//! | 40–47 | offset of that base |
//! | 48–55 | number of entries |
//! | 56–71 | checksum: the wrapping sum of each entry's 128-bit hash |
//! | 72–75 | CRC-32C of those |
//!
//! It is written in the same batch as the entries. After damage, sled can silently open with keys
//! lost or rolled back. The checksum is independent of the order of writes, and is compared with
//! the entries when the overlay is opened, so that any difference is found.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

use super::keys;

const META_BYTES: usize = 76;

/// An overlay's metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    pub log: [u8; 16],
    pub applied: u64,
    pub base: u64,
    pub base_offset: u64,
    pub sum: Checksum,
}

/// An order-independent checksum of a set of entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checksum {
    entries: u64,
    hashes: u128,
}

impl Checksum {
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        self.entries = self.entries.wrapping_add(1);
        self.hashes = self.hashes.wrapping_add(hash(key, value));
    }

    pub fn take(&mut self, key: &[u8], value: &[u8]) {
        self.entries = self.entries.wrapping_sub(1);
        self.hashes = self.hashes.wrapping_sub(hash(key, value));
    }
}

fn hash(key: &[u8], value: &[u8]) -> u128 {
    let mut hasher = SipHasher13::new();
    hasher.write(&(key.len() as u64).to_le_bytes());
    hasher.write(key);
    hasher.write(value);
    hasher.finish128().into()
}

impl Meta {
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(META_BYTES);
        bytes.extend_from_slice(&keys::FORMAT.to_le_bytes());
        bytes.extend_from_slice(&self.log);
        for number in [self.applied, self.base, self.base_offset, self.sum.entries] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.sum.hashes.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    /// `None` unless [`encode`](Self::encode) wrote it in a [readable](keys::is_readable) format.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; META_BYTES] = bytes.try_into().ok()?;
        let (body, crc) = bytes.split_at(META_BYTES - 4);
        let number = |at: usize| body.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        if crc32c::crc32c(body).to_le_bytes() != crc || !number(0).is_some_and(keys::is_readable) {
            return None;
        }
        Some(Self {
            log: body.get(8..24)?.try_into().ok()?,
            applied: number(24)?,
            base: number(32)?,
            base_offset: number(40)?,
            sum: Checksum {
                entries: number(48)?,
                hashes: u128::from_le_bytes(body.get(56..72)?.try_into().ok()?),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_and_no_flipped_bit_is_missed() {
        let mut sum = Checksum::default();
        sum.add(b"k", b"v");
        let meta = Meta { log: [7; 16], applied: 9, base: 2, base_offset: 5, sum };
        let bytes = meta.encode();
        assert_eq!(Meta::decode(&bytes).unwrap(), meta);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Meta::decode(&flipped), None, "bit {bit}");
        }
    }

    #[test]
    fn a_fold_of_more_events_than_are_known_is_not_used() {
        let meta =
            Meta { log: [7; 16], applied: 9, base: 0, base_offset: 0, sum: Checksum::default() };
        let with_format = |format: u64| {
            let mut bytes = meta.encode();
            bytes[..8].copy_from_slice(&format.to_le_bytes());
            let crc = crc32c::crc32c(&bytes[..META_BYTES - 4]);
            bytes[META_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
            Meta::decode(&bytes).is_some()
        };
        let one_kind = 1 << 32;
        assert!(with_format(keys::FORMAT));
        assert!(with_format(keys::FORMAT - one_kind), "of an older version");
        assert!(!with_format(keys::FORMAT + one_kind), "of a newer version");
        for layout in [5, keys::FORMAT + 1, keys::FORMAT - 1] {
            assert!(!with_format(layout), "of another layout");
        }
    }

    #[test]
    fn the_sum_forgets_the_order_and_nothing_else() {
        let (mut one, mut other) = (Checksum::default(), Checksum::default());
        one.add(b"a", b"1");
        one.add(b"b", b"2");
        other.add(b"b", b"2");
        other.add(b"c", b"3");
        other.add(b"a", b"1");
        assert_ne!(one, other);
        other.take(b"c", b"3");
        assert_eq!(one, other);
        other.take(b"a", b"1");
        other.add(b"a1", b"");
        assert_ne!(one, other);
    }
}

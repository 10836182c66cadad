//! Block encoding and lookup.

use std::ops::Range;

/// A block is closed once it is this long.
pub const BLOCK_BYTES: usize = 16 << 10;
/// Upper bound on a block's length: one entry can be as long as a log record.
pub const MAX_BLOCK_BYTES: usize = 4 << 20;
const RESTART_EVERY: u32 = 16;
/// The restart count and the checksum.
const TAIL_BYTES: usize = 8;

/// Encodes one block at a time.
#[derive(Default)]
pub struct BlockBuilder {
    bytes: Vec<u8>,
    restarts: Vec<u32>,
    since_restart: u32,
    pub last_key: Vec<u8>,
}

impl BlockBuilder {
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub const fn is_full(&self) -> bool {
        self.bytes.len() >= BLOCK_BYTES
    }

    pub fn add(&mut self, key: &[u8], value: Option<&[u8]>) {
        let mut shared = 0;
        if self.is_empty() || self.since_restart == RESTART_EVERY {
            self.restarts.push(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
            self.since_restart = 0;
        } else {
            shared = self.last_key.iter().zip(key).take_while(|(a, b)| a == b).count();
        }
        self.since_restart += 1;
        put_varint(&mut self.bytes, shared);
        put_varint(&mut self.bytes, key.len() - shared);
        put_varint(&mut self.bytes, value.map_or(0, |value| value.len() + 1));
        self.bytes.extend_from_slice(key.get(shared..).unwrap_or_default());
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.last_key.truncate(shared);
        self.last_key.extend_from_slice(key.get(shared..).unwrap_or_default());
    }

    /// Appends the finished block to `file`, at file position `position`; returns its length.
    pub fn finish(&mut self, position: u64, file: &mut Vec<u8>) -> usize {
        for restart in &self.restarts {
            self.bytes.extend_from_slice(&restart.to_le_bytes());
        }
        let count = u32::try_from(self.restarts.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&count.to_le_bytes());
        self.bytes.extend_from_slice(&checksum(position, &self.bytes).to_le_bytes());
        file.extend_from_slice(&self.bytes);
        let length = self.bytes.len();
        self.bytes.clear();
        self.restarts.clear();
        self.since_restart = 0;
        length
    }
}

/// The checksum covers the position, so that a misplaced block is detected.
fn checksum(position: u64, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&position.to_le_bytes()), bytes)
}

pub fn put_varint(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

/// Reads the LEB128 number at `at` and advances `at`.
pub fn read_varint(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let (mut number, mut shift) = (0_usize, 0);
    loop {
        let byte = *bytes.get(*at)?;
        *at += 1;
        number |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
        shift += 7;
        if shift > 35 {
            return None;
        }
    }
}

/// Verifies a block's checksum; returns where its entries end and its restarts begin.
pub fn check(position: u64, bytes: &[u8]) -> Option<usize> {
    let (body, crc) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
    if checksum(position, body).to_le_bytes() != crc {
        return None;
    }
    let count = u32::from_le_bytes(body.last_chunk().copied()?) as usize;
    bytes.len().checked_sub(TAIL_BYTES)?.checked_sub(count.checked_mul(4)?)
}

pub struct Entry {
    shared: usize,
    rest: Range<usize>,
    /// `None` for a tombstone.
    pub value: Option<Range<usize>>,
    pub end: usize,
}

impl Entry {
    pub fn parse(bytes: &[u8], mut at: usize) -> Option<Self> {
        let shared = read_varint(bytes, &mut at)?;
        let rest = read_varint(bytes, &mut at)?;
        let value = read_varint(bytes, &mut at)?;
        let rest = at..at.checked_add(rest)?;
        let end = rest.end.checked_add(value.saturating_sub(1))?;
        let has_all = end <= bytes.len();
        let value = (value > 0).then_some(rest.end..end);
        has_all.then_some(Self { shared, rest, value, end })
    }

    /// Turns the previous entry's key into this one's.
    pub fn key_into(&self, bytes: &[u8], key: &mut Vec<u8>) -> Option<()> {
        if self.shared > key.len() {
            return None;
        }
        key.truncate(self.shared);
        key.extend_from_slice(bytes.get(self.rest.clone())?);
        Some(())
    }
}

/// The position of a block's restart `number`.
fn restart(bytes: &[u8], entries_end: usize, number: usize) -> Option<usize> {
    let at = entries_end + number * 4;
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?) as usize)
}

/// The result of looking a key up in a block.
pub enum Found {
    /// The block has no entry for the key.
    Nothing,
    /// A tombstone.
    Gone,
    /// The position of its value.
    Value(Range<usize>),
}

/// Looks a key up in a verified block; `None` if the block is malformed.
pub fn find(bytes: &[u8], entries_end: usize, key: &[u8]) -> Option<Found> {
    let restarts = (bytes.len() - TAIL_BYTES - entries_end) / 4;
    // Find the last restart whose key is at most `key`.
    let (mut low, mut high) = (0, restarts);
    while high - low > 1 {
        let middle = low.midpoint(high);
        let entry = Entry::parse(bytes, restart(bytes, entries_end, middle)?)?;
        if bytes.get(entry.rest)? <= key {
            low = middle;
        } else {
            high = middle;
        }
    }
    let mut at = restart(bytes, entries_end, low)?;
    let mut current = Vec::with_capacity(key.len() + 16);
    while at < entries_end {
        let entry = Entry::parse(bytes, at)?;
        entry.key_into(bytes, &mut current)?;
        match current.as_slice().cmp(key) {
            std::cmp::Ordering::Less => at = entry.end,
            std::cmp::Ordering::Equal => {
                return Some(entry.value.map_or(Found::Gone, Found::Value));
            }
            std::cmp::Ordering::Greater => break,
        }
    }
    Some(Found::Nothing)
}

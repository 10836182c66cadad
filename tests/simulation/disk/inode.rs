//! Files that lose any part of their unsynced changes in a crash.

/// The largest unit of an unsynced write that a crash keeps or loses.
const MAX_PIECE_BYTES: u64 = 32;

/// A `SplitMix64` generator, so that a crash can be repeated from its seed.
pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn coin(&mut self) -> bool {
        self.next() & 1 == 0
    }

    /// A random number below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

pub(super) enum Change {
    /// A write of these bytes at this position.
    Write(usize, Vec<u8>),
    SetLen(usize),
}

/// A file with its current and its durable contents.
#[derive(Default)]
pub(super) struct Inode {
    current: Vec<u8>,
    durable: Vec<u8>,
    /// Changes to `current` since the last sync.
    changes: Vec<Change>,
}

impl Inode {
    /// A file whose contents are durable.
    pub(super) fn durable(bytes: Vec<u8>) -> Self {
        Self { durable: bytes.clone(), current: bytes, changes: Vec::new() }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.current
    }

    /// Discards the changes since the last sync: they never reach the disk.
    pub(super) fn discard_changes(&mut self) {
        self.changes.clear();
    }

    /// Changes the file, not durably.
    pub(super) fn apply(&mut self, change: Change) {
        store(&mut self.current, &change);
        self.changes.push(change);
    }

    /// Makes all changes durable.
    pub(super) fn sync(&mut self) {
        for change in self.changes.drain(..) {
            store(&mut self.durable, &change);
        }
    }

    /// The contents after a crash.
    pub(super) fn crash(&self, rng: &mut Rng) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for change in &self.changes {
            match change {
                Change::SetLen(_) if rng.coin() => store(&mut bytes, change),
                Change::SetLen(_) => {}
                Change::Write(start, data) => {
                    let end = start + data.len();
                    if rng.coin() && bytes.len() < end {
                        bytes.resize(end, 0);
                    }
                    let mut at = *start;
                    while at < end {
                        let piece = 1 + rng.below(MAX_PIECE_BYTES);
                        let next = at.saturating_add(usize::try_from(piece).unwrap_or(1)).min(end);
                        if rng.coin() {
                            let piece = data[at - start..next - start].to_vec();
                            store(&mut bytes, &Change::Write(at, piece));
                        }
                        at = next;
                    }
                }
            }
        }
        bytes
    }
}

fn store(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::SetLen(length) => bytes.resize(*length, 0),
        Change::Write(start, data) => {
            let end = start + data.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*start..end].copy_from_slice(data);
        }
    }
}

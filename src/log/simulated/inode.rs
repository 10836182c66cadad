//! Files whose unsynced changes a crash keeps or loses piece by piece.

/// The longest piece of an unsynced write that survives a crash, or doesn't, as a whole.
const MAX_PIECE_BYTES: u64 = 32;

/// Pseudo-random numbers (`SplitMix64`), so that a crash can be repeated from its seed.
pub(super) struct Chance(pub(super) u64);

impl Chance {
    /// Heads or tails.
    pub(super) fn coin(&mut self) -> bool {
        self.next() & 1 == 0
    }

    /// A number from 0 to just below `bound`.
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

/// Something done to a file.
pub(super) enum Change {
    /// These bytes were written at this position.
    Write(usize, Vec<u8>),
    /// It was given this length.
    SetLen(usize),
}

/// A file: what is read from it, and what of that is durable.
#[derive(Default)]
pub(super) struct Inode {
    current: Vec<u8>,
    durable: Vec<u8>,
    /// What was done to `current` since the last sync.
    changes: Vec<Change>,
}

impl Inode {
    /// A file whose contents are durable.
    pub(super) fn durable(bytes: Vec<u8>) -> Self {
        Self { durable: bytes.clone(), current: bytes, changes: Vec::new() }
    }

    /// What is read from the file.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.current
    }

    /// Drops the changes since the last sync: they never reach the disk.
    pub(super) fn forget(&mut self) {
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

    /// What a crash leaves of the file.
    pub(super) fn crash(&self, chance: &mut Chance) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for change in &self.changes {
            match change {
                Change::SetLen(_) if chance.coin() => store(&mut bytes, change),
                Change::SetLen(_) => {}
                Change::Write(start, data) => {
                    let end = start + data.len();
                    if chance.coin() && bytes.len() < end {
                        bytes.resize(end, 0);
                    }
                    let mut at = *start;
                    while at < end {
                        let piece = 1 + chance.below(MAX_PIECE_BYTES);
                        let next = at.saturating_add(usize::try_from(piece).unwrap_or(1)).min(end);
                        if chance.coin() {
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

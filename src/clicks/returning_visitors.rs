//! Which visitors were seen before, for the links whose rules ask.
//!
//! Two sets, of which the older one is dropped when the newer one is full: so the memory is
//! bounded, and the visitors seen last are known. A restart forgets them.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// How many visitors one set holds: some 8 MiB.
const SET_LEN: usize = 500_000;

/// See the module.
pub struct ReturningVisitors {
    sets: Mutex<Sets>,
    set_len: usize,
}

#[derive(Default)]
struct Sets {
    newer: HashSet<u64>,
    older: HashSet<u64>,
}

impl Default for ReturningVisitors {
    fn default() -> Self {
        Self::with_capacity(SET_LEN)
    }
}

impl ReturningVisitors {
    fn with_capacity(set_len: usize) -> Self {
        Self { sets: Mutex::default(), set_len }
    }

    /// Whether a visitor, by his [`VisitorBucketer`](super::VisitorBucketer) id at a link, was noted before.
    pub fn knows(&self, visitor: u64) -> bool {
        let sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        sets.newer.contains(&visitor) || sets.older.contains(&visitor)
    }

    /// Remembers a visitor.
    pub fn note(&self, visitor: u64) {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        if sets.newer.len() >= self.set_len {
            sets.older = std::mem::take(&mut sets.newer);
        }
        sets.newer.insert(visitor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_visitors_seen_last_are_known() {
        let seen = ReturningVisitors::with_capacity(10);
        assert!(!seen.knows(7));
        seen.note(7);
        assert!(seen.knows(7) && !seen.knows(8));
        for visitor in 100..200 {
            seen.note(visitor);
        }
        assert!(!seen.knows(7), "forgotten for younger ones");
        assert!((190..200).all(|visitor| seen.knows(visitor)));
    }
}

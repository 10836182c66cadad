//! Recently seen visitors, for rules with a `returning` condition.
//!
//! Two sets; when the newer one is full, the older one is dropped. So the memory is bounded and
//! the most recent visitors are known. A restart forgets them.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Capacity of one set: about 8 MiB.
const SET_LEN: usize = 500_000;

/// See the [module](self).
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

    /// Whether a visitor, identified by [`VisitorBucketer`](super::VisitorBucketer), was seen before.
    pub fn contains(&self, visitor: u64) -> bool {
        let sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        sets.newer.contains(&visitor) || sets.older.contains(&visitor)
    }

    /// Adds a visitor.
    pub fn insert(&self, visitor: u64) {
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
    fn the_most_recent_visitors_are_known() {
        let seen = ReturningVisitors::with_capacity(10);
        assert!(!seen.contains(7));
        seen.insert(7);
        assert!(seen.contains(7) && !seen.contains(8));
        for visitor in 100..200 {
            seen.insert(visitor);
        }
        assert!(!seen.contains(7), "evicted by newer ones");
        assert!((190..200).all(|visitor| seen.contains(visitor)));
    }
}

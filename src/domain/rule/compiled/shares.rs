//! Assignment of visitors to the variants of a split.
//!
//! Weighted rendezvous hashing: each variant gets a pseudorandom number for the visitor,
//! exponentially distributed with the variant's weight as its rate, and the smallest number wins.
//! So each variant wins in proportion to its weight, and changing, adding or removing a variant
//! moves only visitors to it or away from it.

use siphasher::{sip, sip128};

use super::super::super::ids::RuleId;
use super::super::target::Split;

/// The hash key. Changing it would reassign visitors.
const KEY: &[u8; 16] = b"slugline split 1";

/// A compiled split.
pub(super) struct Shares {
    variants: Box<[Share]>,
    /// All visitors get `settled` from this time on.
    until_ms: Option<u64>,
    settled: usize,
}

struct Share {
    /// SipHash-1-3, keyed by the SipHash-1-3-128 of the rule's id and the variant's name.
    hasher: sip::SipHasher13,
    weight: f64,
}

impl Shares {
    pub(super) fn new(rule: RuleId, split: &Split) -> Self {
        let each = split.variants.iter().map(|variant| {
            let named = [rule.as_bytes().as_slice(), variant.name.as_bytes()].concat();
            let key = sip128::SipHasher13::new_with_key(KEY).hash(&named);
            Share {
                hasher: sip::SipHasher13::new_with_keys(key.h1, key.h2),
                weight: variant.weight.into(),
            }
        });
        Self {
            variants: each.collect(),
            until_ms: split.winner.map(|_| 0).or(split.until_ms),
            settled: split.settled(),
        }
    }

    /// The index of the visitor's variant.
    pub(super) fn of(&self, visitor: u64, at_ms: u64) -> usize {
        if self.until_ms.is_some_and(|until| until <= at_ms) {
            return self.settled;
        }
        let mut smallest = (f64::INFINITY, self.settled);
        for (place, share) in self.variants.iter().enumerate() {
            let draw = share.draw(visitor);
            if draw < smallest.0 {
                smallest = (draw, place);
            }
        }
        smallest.1
    }
}

impl Share {
    fn draw(&self, visitor: u64) -> f64 {
        // 53 bits of the hash, the precision of a float: greater than 0 and at most 1.
        const STEPS: u64 = 1 << 53;
        let hash = self.hasher.hash(&visitor.to_be_bytes());
        #[allow(clippy::cast_precision_loss, reason = "53 bits are exact")]
        let uniform = ((hash >> 11) + 1) as f64 / STEPS as f64;
        -uniform.ln() / self.weight
    }
}

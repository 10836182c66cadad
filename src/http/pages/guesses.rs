//! How often a link's password may be guessed: per address, and over all addresses together, so
//! that many machines guess no faster than that either.
//!
//! Somebody with many addresses can so keep a link from being unlocked by others, for as long as
//! the guesses go on. Visitors who have unlocked it before are not affected.

use std::net::{IpAddr, Ipv4Addr};

use crate::domain::ids::LinkId;
use crate::http::attempt_limiter::{AttemptLimiter, Limit, TooMany};

/// How many guesses of a link's password there may be within the window, over all addresses.
const MAX_OF_LINK: usize = 100;
/// Guesses of a link's password are counted under this address.
const ANY_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// See the module.
pub struct Guesses {
    by_address: AttemptLimiter,
    by_link: AttemptLimiter,
}

impl Default for Guesses {
    fn default() -> Self {
        let of_link = Limit { max: MAX_OF_LINK, ..Limit::default() };
        Self { by_address: AttemptLimiter::default(), by_link: AttemptLimiter::new(of_link) }
    }
}

impl Guesses {
    /// Counts a guess, if there may be one.
    pub fn take(&self, address: IpAddr, link: LinkId) -> Result<(), TooMany> {
        self.by_address.take(address, link.as_bytes())?;
        self.by_link.take(ANY_ADDRESS, link.as_bytes()).inspect_err(|_| {
            self.by_address.give_back(address, link.as_bytes());
        })
    }

    /// The guess was right: the address's earlier ones no longer count, nor does this one.
    pub fn was_right(&self, address: IpAddr, link: LinkId) {
        self.by_address.forget(address, link.as_bytes());
        self.by_link.give_back(ANY_ADDRESS, link.as_bytes());
    }

    /// The guess was not compared.
    pub fn give_back(&self, address: IpAddr, link: LinkId) {
        self.by_address.give_back(address, link.as_bytes());
        self.by_link.give_back(ANY_ADDRESS, link.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use uuid::Uuid;

    use super::*;

    fn address(number: usize) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(number).unwrap() + (10 << 24)))
    }

    #[test]
    fn many_addresses_guess_no_more_than_a_link_allows() {
        let (link, other) = (LinkId::new(Uuid::from_u128(1)), LinkId::new(Uuid::from_u128(2)));
        let guesses = Guesses::default();
        for number in 0..MAX_OF_LINK {
            guesses.take(address(number), link).unwrap();
            // Right guesses and those that were not compared don't count.
            if guesses.take(address(MAX_OF_LINK), link).is_ok() {
                guesses.was_right(address(MAX_OF_LINK), link);
            }
        }
        let refused = guesses.take(address(MAX_OF_LINK), link).unwrap_err();
        assert!((800..=900).contains(&refused.retry_seconds), "{refused:?}");
        guesses.take(address(0), other).unwrap();
        // What the link refuses costs the address none of its own guesses.
        for _ in 0..20 {
            assert!(guesses.take(address(MAX_OF_LINK), link).is_err());
        }
        guesses.give_back(address(0), link);
        guesses.take(address(MAX_OF_LINK), link).unwrap();
    }
}

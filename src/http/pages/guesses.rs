//! Limits guesses of a link's password: per address, and per link over all addresses, so that many
//! machines guess no faster.
//!
//! Somebody with many addresses can thus keep others from unlocking a link for as long as the
//! guesses continue. Visitors who unlocked it before are not affected.

use std::net::{IpAddr, Ipv4Addr};

use crate::domain::ids::LinkId;
use crate::http::attempt_limiter::{AttemptLimiter, Limit, TooMany};

/// The maximum number of guesses per link within the window, over all addresses.
const MAX_OF_LINK: u32 = 100;
/// The address under which guesses per link are counted.
const ANY_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Limits guesses of passwords.
pub struct Guesses {
    by_address: AttemptLimiter,
    by_link: AttemptLimiter,
}

impl Default for Guesses {
    fn default() -> Self {
        let of_link = Limit { max: MAX_OF_LINK, ..Limit::DEFAULT };
        Self { by_address: AttemptLimiter::default(), by_link: AttemptLimiter::new(of_link) }
    }
}

impl Guesses {
    /// Counts a guess, if it is allowed.
    pub fn take(&self, address: IpAddr, link: LinkId) -> Result<(), TooMany> {
        self.by_address.take(address, link.as_bytes())?;
        self.by_link.take(ANY_ADDRESS, link.as_bytes()).inspect_err(|_| {
            self.by_address.give_back(address, link.as_bytes());
        })
    }

    /// The guess was right: this one and the address's earlier ones no longer count.
    pub fn was_right(&self, address: IpAddr, link: LinkId) {
        self.by_address.forget(address, link.as_bytes());
        self.by_link.give_back(ANY_ADDRESS, link.as_bytes());
    }

    /// Takes back a guess that was not compared.
    pub fn give_back(&self, address: IpAddr, link: LinkId) {
        self.by_address.give_back(address, link.as_bytes());
        self.by_link.give_back(ANY_ADDRESS, link.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(number + (10 << 24)))
    }

    #[test]
    fn many_addresses_guess_no_more_than_a_link_allows() {
        let (link, other) = (LinkId::new(Uuid::from_u128(1)), LinkId::new(Uuid::from_u128(2)));
        let guesses = Guesses::default();
        for number in 0..MAX_OF_LINK {
            guesses.take(address(number), link).unwrap();
            // Right guesses and those not compared do not count.
            if guesses.take(address(MAX_OF_LINK), link).is_ok() {
                guesses.was_right(address(MAX_OF_LINK), link);
            }
        }
        let refused = guesses.take(address(MAX_OF_LINK), link).unwrap_err();
        assert!((800..=900).contains(&refused.retry_seconds), "{refused:?}");
        guesses.take(address(0), other).unwrap();
        // Guesses rejected by the link's limit do not count for the address.
        for _ in 0..20 {
            assert!(guesses.take(address(MAX_OF_LINK), link).is_err());
        }
        guesses.give_back(address(0), link);
        guesses.take(address(MAX_OF_LINK), link).unwrap();
    }
}

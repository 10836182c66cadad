//! Stable visitor ids for a link's rules.
//!
//! A visitor keeps the variant of a split test even after the key of the
//! [visitor ids](super::VisitorSalts) is rotated. So rules identify visitors by a hash of address and
//! user agent under a key derived from the service's own, different for each link. The id is computed
//! when a rule needs it and is in memory only: it is in neither clicks nor log lines.

use std::hash::Hasher;
use std::net::IpAddr;

use sha2::{Digest, Sha256};
use siphasher::sip::SipHasher24;

use crate::domain::ids::LinkId;

/// See the [module](self).
pub struct VisitorBucketer {
    keyed: SipHasher24,
}

impl VisitorBucketer {
    /// Derives the key from the service's own.
    pub fn new(service_key: &[u8; 32]) -> Self {
        let derived =
            Sha256::new_with_prefix(b"sticky visitors").chain_update(service_key).finalize();
        let mut key = [0; 16];
        key.copy_from_slice(&derived[..16]);
        Self { keyed: SipHasher24::new_with_key(&key) }
    }

    /// A visitor's id at a link.
    pub fn visitor(&self, address: IpAddr, agent: u64, link: LinkId) -> u64 {
        let mut hasher = self.keyed;
        hasher.write(link.as_bytes());
        match address {
            IpAddr::V4(address) => hasher.write(&address.octets()),
            IpAddr::V6(address) => hasher.write(&address.octets()),
        }
        hasher.write_u64(agent);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_id_depends_on_address_agent_link_and_key() {
        let link = |number| LinkId::new(Uuid::from_u128(number));
        let address = |last| IpAddr::from([192, 0, 2, last]);
        let (one, other) = (VisitorBucketer::new(&[1; 32]), VisitorBucketer::new(&[2; 32]));
        let id = one.visitor(address(1), 7, link(1));
        assert_eq!(VisitorBucketer::new(&[1; 32]).visitor(address(1), 7, link(1)), id);
        for another in [
            one.visitor(address(2), 7, link(1)),
            one.visitor(address(1), 8, link(1)),
            one.visitor(address(1), 7, link(2)),
            other.visitor(address(1), 7, link(1)),
        ] {
            assert_ne!(another, id);
        }
    }
}

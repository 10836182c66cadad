//! Lists of values, sorted for binary search.

use std::cmp::Ordering;
use std::net::IpAddr;

use ipnet::IpNet;

use super::super::condition::DIRECT;
use super::super::value;

/// Case-insensitive texts.
pub(super) struct Texts(Box<[Box<str>]>);

impl Texts {
    pub(super) fn new(values: &[String]) -> Self {
        let mut texts: Vec<Box<str>> =
            values.iter().map(|text| value::folded(text).into()).collect();
        texts.sort_unstable();
        Self(texts.into())
    }

    /// An unknown (empty) fact is in no list.
    pub(super) fn hold(&self, fact: &str) -> bool {
        let is_one = if fact.is_ascii() {
            self.0.binary_search_by(|text| {
                text.bytes().cmp(fact.bytes().map(|byte| byte.to_ascii_lowercase()))
            })
        } else {
            self.0.binary_search_by(|text| {
                text.chars().cmp(fact.chars().flat_map(char::to_lowercase))
            })
        };
        is_one.is_ok() && !fact.is_empty()
    }
}

/// Two-letter codes.
pub(super) struct Codes(Box<[[u8; 2]]>);

impl Codes {
    pub(super) fn new(values: &[String]) -> Self {
        let mut codes: Vec<[u8; 2]> =
            values.iter().filter_map(|code| code.as_bytes().try_into().ok()).collect();
        codes.sort_unstable();
        Self(codes.into())
    }

    pub(super) fn hold(&self, code: &str) -> bool {
        code.as_bytes().try_into().is_ok_and(|code: [u8; 2]| self.0.binary_search(&code).is_ok())
    }
}

/// Hosts, which include their subdomains.
pub(super) struct Hosts {
    /// Sorted by their bytes.
    hosts: Box<[Box<str>]>,
    direct: bool,
}

impl Hosts {
    pub(super) fn new(values: &[String]) -> Self {
        let each = values.iter().filter(|host| *host != DIRECT);
        let mut hosts: Vec<Box<str>> = each.map(|host| value::folded(host).into()).collect();
        hosts.sort_unstable();
        Self { hosts: hosts.into(), direct: values.iter().any(|host| host == DIRECT) }
    }

    /// Whether the referring site or the host of the referring page is in the list.
    pub(super) fn hold(&self, site: &str, page: &str) -> bool {
        if site.is_empty() && page.is_empty() {
            return self.direct;
        }
        self.hold_host(site) || self.hold_host(host_of(page))
    }

    fn hold_host(&self, host: &str) -> bool {
        let mut rest = host;
        while !rest.is_empty() {
            if self.hosts.binary_search_by(|known| (**known).cmp(rest)).is_ok() {
                return true;
            }
            rest = rest.split_once('.').map_or("", |(_, above)| above);
        }
        false
    }
}

/// The host of a recorded URL, which is already in lower case.
fn host_of(page: &str) -> &str {
    let rest = page.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.starts_with('[') {
        let end = authority.find(']').map_or(authority.len(), |end| end + 1);
        return authority.get(..end).unwrap_or_default();
    }
    authority.split(':').next().unwrap_or_default()
}

/// Inclusive ranges of addresses, sorted and disjoint.
pub(super) struct Ranges {
    four: Box<[(u32, u32)]>,
    six: Box<[(u128, u128)]>,
}

impl Ranges {
    pub(super) fn new(values: &[String]) -> Self {
        let (mut four, mut six) = (Vec::new(), Vec::new());
        let networks: Vec<IpNet> =
            values.iter().filter_map(|text| value::network(text).ok()).collect();
        // Ranges within other ranges are removed, so that the ends are sorted, too.
        for network in IpNet::aggregate(&networks) {
            match network {
                IpNet::V4(net) => four.push((net.network().to_bits(), net.broadcast().to_bits())),
                IpNet::V6(net) => six.push((net.network().to_bits(), net.broadcast().to_bits())),
            }
        }
        four.sort_unstable();
        six.sort_unstable();
        Self { four: four.into(), six: six.into() }
    }

    pub(super) fn hold(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => lies_in(&self.four, address.to_bits()),
            IpAddr::V6(address) => lies_in(&self.six, address.to_bits()),
        }
    }
}

fn lies_in<T: Copy + Ord>(ranges: &[(T, T)], number: T) -> bool {
    let place = |(first, last): &(T, T)| match (last.cmp(&number), first.cmp(&number)) {
        (Ordering::Less, _) => Ordering::Less,
        (_, Ordering::Greater) => Ordering::Greater,
        _ => Ordering::Equal,
    };
    ranges.binary_search_by(place).is_ok()
}

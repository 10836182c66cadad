//! Addresses in known places, from the country database that slugline downloads.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::OnceLock;

use slugline::clicks::Geo;
use slugline::engine::{Package, Progress, default_cache_dir, fetch};

fn countries() -> &'static Geo {
    static COUNTRIES: OnceLock<Geo> = OnceLock::new();
    COUNTRIES.get_or_init(|| {
        let cache = default_cache_dir().unwrap();
        Geo::open(fetch(&Package::countries(), &cache, Progress::Shown).unwrap()).unwrap()
    })
}

/// An IPv4 address in a country, given by its ISO code.
pub fn address_in(country: &str) -> Ipv4Addr {
    let blocks = (1..224_u8).flat_map(|first| (0..=255).map(move |second| (first, second)));
    let mut addresses = blocks.map(|(first, second)| Ipv4Addr::new(first, second, 77, 201));
    addresses.find(|address| countries().lookup((*address).into()).country == country).unwrap()
}

/// An IPv6 address in a country, given by its ISO code.
pub fn address_v6_in(country: &str) -> Ipv6Addr {
    let blocks =
        (0x2a00..0x2a10_u16).flat_map(|first| (0..=u16::MAX).map(move |next| (first, next)));
    let mut addresses = blocks
        .map(|(first, next)| Ipv6Addr::new(first, next, 0x51c3, 0x77, 0x9ad, 0xbee5, 0x3f1, 0xc9));
    addresses.find(|address| countries().lookup((*address).into()).country == country).unwrap()
}

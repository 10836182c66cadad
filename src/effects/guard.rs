//! The addresses that requests to user-supplied URLs may reach: only public ones, which prevents
//! server-side request forgery against the local host, its network or cloud metadata services.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Non-public IPv4 blocks, from IANA's special-purpose address registry.
const SPECIAL_V4: [(Ipv4Addr, u8); 16] = [
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    // Carrier-grade NAT.
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // Link-local; 169.254.169.254 serves cloud metadata.
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    // Deprecated 6to4 relays.
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // Multicast, and reserved addresses up to the broadcast address.
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
    // A public address that reaches the host of an Azure machine.
    (Ipv4Addr::new(168, 63, 129, 16), 32),
];

/// Special blocks within the public IPv6 block.
const SPECIAL_V6: [(Ipv6Addr, u8); 4] = [
    // IETF protocol assignments, including Teredo, which embeds IPv4 addresses.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    // 6to4 embeds IPv4 addresses.
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// The allocated global unicast block of IPv6.
const PUBLIC_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// The ports that are permitted at public addresses. Allowed nets permit all ports.
const WEB_PORTS: [u16; 2] = [80, 443];

/// Non-public nets that may be reached: `10.0.0.0/8,::1`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedNets(Vec<IpNet>);

impl FromStr for AllowedNets {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let nets = text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(|part| {
            let net = part.parse().or_else(|_| part.parse::<IpAddr>().map(IpNet::from));
            net.map_err(|_| format!("`{part}` is not a network such as 10.0.0.0/8"))
        });
        nets.collect::<Result<_, _>>().map(Self)
    }
}

/// The rule for outgoing requests.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    allowed: AllowedNets,
}

impl Guard {
    /// Permits public addresses and these nets.
    pub const fn new(allowed: AllowedNets) -> Self {
        Self { allowed }
    }

    /// Whether a request may go to this address and port.
    pub fn permits(&self, address: IpAddr, port: u16) -> bool {
        // An IPv4-mapped address is the same host.
        let address = address.to_canonical();
        let is_allowed = self.allowed.0.iter().any(|net| net.contains(&address));
        is_allowed || (Self::is_web_port(port) && is_public(address))
    }

    /// Whether public addresses may be reached at this port.
    pub fn is_web_port(port: u16) -> bool {
        WEB_PORTS.contains(&port)
    }
}

fn is_public(address: IpAddr) -> bool {
    let v6_net = |(net, len)| Ipv6Net::new_assert(net, len);
    match address {
        IpAddr::V4(v4) => {
            !SPECIAL_V4.iter().any(|(net, len)| Ipv4Net::new_assert(*net, *len).contains(&v4))
        }
        IpAddr::V6(v6) => {
            v6_net(PUBLIC_V6).contains(&v6)
                && !SPECIAL_V6.iter().any(|special| v6_net(*special).contains(&v6))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(guard: &Guard, address: &str, port: u16) -> bool {
        guard.permits(address.parse().unwrap(), port)
    }

    #[test]
    fn only_public_addresses_are_permitted() {
        let guard = Guard::default();
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "93.184.216.34",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450:4001:80b::200e",
            "::ffff:8.8.8.8",
        ] {
            assert!(permits(&guard, public, 443), "{public}");
            assert!(permits(&guard, public, 80), "{public}");
            assert!(!permits(&guard, public, 22), "{public}");
            assert!(!permits(&guard, public, 8080), "{public}");
        }
        for private in [
            "0.0.0.0",
            "0.1.2.3",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!permits(&guard, private, 80), "{private}");
            assert!(!permits(&guard, private, 443), "{private}");
        }
    }

    #[test]
    fn allowed_nets_are_permitted_at_any_port() {
        let guard = Guard::new("127.0.0.1, 10.0.0.0/8,fd00::/8".parse().unwrap());
        for (address, port) in
            [("127.0.0.1", 8081), ("10.9.8.7", 80), ("fd00::1", 443), ("::ffff:10.0.0.1", 1)]
        {
            assert!(permits(&guard, address, port), "{address}");
        }
        assert!(!permits(&guard, "127.0.0.2", 80));
        assert!(!permits(&guard, "192.168.1.1", 80));
        assert!(permits(&guard, "1.1.1.1", 443), "public addresses stay permitted");
    }

    #[test]
    fn invalid_nets_are_rejected() {
        for bad in ["10.0.0.0/33", "here", "127.0.0.1,x"] {
            assert!(bad.parse::<AllowedNets>().is_err(), "{bad}");
        }
        assert_eq!("".parse::<AllowedNets>(), Ok(AllowedNets::default()));
    }
}

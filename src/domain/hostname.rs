//! The name of a domain that links answer on, in the one form in which it is compared.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The longest name in DNS, and a port.
pub const MAX_BYTES: usize = 253 + 6;

/// What a name may end in for a port to stand after it: such names are somebody's own machine, or
/// no name of the DNS at all.
const LOCAL_ENDINGS: [&str; 2] = ["localhost", "test"];

/// A host: lower case, ASCII (IDNA), without a dot at its end. For development it may be a
/// loopback address, and local names (`localhost`, `*.localhost`, `*.test`, loopback addresses)
/// may have a port; public ones never do, because visitors come to them by the scheme's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hostname(Box<str>);

impl Hostname {
    /// Takes a name as people write it: `Go.Example.com.`, `bücher.example`, `localhost:8081`.
    ///
    /// # Errors
    /// A sentence that says which rule it breaks.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim_matches(' ');
        if text.contains("://") || text.contains(['/', '?', '#', '@']) {
            return Err("must be a host alone, such as go.example.com".to_owned());
        }
        let (host, port) = split_port(text);
        let host = match address(host) {
            Some(address) if address.is_loopback() => literal(address),
            Some(_) => return Err("must be a name, not an address".to_owned()),
            None => name(host)?,
        };
        let Some(port) = port else { return Ok(Self(host.into())) };
        if !is_local(&host) {
            return Err("must not name a port".to_owned());
        }
        let port: u16 = port.parse().map_err(|_| "has a port that is none".to_owned())?;
        if port == 0 {
            return Err("has a port that is none".to_owned());
        }
        // Browsers leave the scheme's own port out, so it must not stand in the name either.
        let own = [80, 443].contains(&port);
        Ok(Self(if own { host.into() } else { format!("{host}:{port}").into() }))
    }

    /// The whole: host, and port where it has one.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Without the port.
    pub fn host(&self) -> &str {
        split_port(&self.0).0
    }

    /// The port for development, where it has one.
    pub fn port(&self) -> Option<u16> {
        split_port(&self.0).1.and_then(|port| port.parse().ok())
    }

    /// Takes a name that stands in the log, whatever today's rules say of it.
    pub fn from_log(text: &str) -> Self {
        Self(text.into())
    }

    /// Whether requests to `own`, a host of the service's own with its port, would be taken for
    /// requests to this one: then it can't be somebody's domain.
    pub fn collides_with(&self, own: &str) -> bool {
        let is_portless = self.port().is_none();
        let own_host = if is_portless { split_port(own).0 } else { own };
        self.0.eq_ignore_ascii_case(own_host)
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Host and port of an authority: `a.b:1`, `[::1]:1`, `[::1]`.
pub fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        // The colons of an IPv6 address stand within brackets.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// The address that a host is, where it is one and no name.
pub fn address(host: &str) -> Option<IpAddr> {
    let inside = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match inside {
        Some(v6) => v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

fn literal(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

fn name(text: &str) -> Result<String, String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    // The standard's own rules: lengths, letters, hyphens, and what looks alike.
    let host = idna::domain_to_ascii_strict(text)
        .map_err(|_| "is not a hostname such as go.example.com".to_owned())?;
    let last = host.rsplit('.').next().unwrap_or_default();
    // Such as 127.1 or 0x7f.1: some programs take these for addresses.
    if last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x") {
        return Err("must be a name, not an address".to_owned());
    }
    if !host.contains('.') && host != "localhost" {
        return Err("must be a whole name, such as go.example.com".to_owned());
    }
    Ok(host)
}

fn is_local(host: &str) -> bool {
    address(host).is_some() || LOCAL_ENDINGS.contains(&host.rsplit('.').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_has_one_form() {
        let long = format!("{}.example.com", "a".repeat(63));
        for (written, form) in [
            ("go.example.com", "go.example.com"),
            (" Go.EXAMPLE.com. ", "go.example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER.example", "xn--bcher-kva.example"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("例え.jp", "xn--r8jz45g.jp"),
            ("a。b.example", "a.b.example"),
            ("localhost", "localhost"),
            ("localhost:8081", "localhost:8081"),
            ("go.localhost:80", "go.localhost"),
            ("Go.test:8081", "go.test:8081"),
            ("127.0.0.2:9000", "127.0.0.2:9000"),
            ("[::1]:9000", "[::1]:9000"),
            ("[0:0::1]", "[::1]"),
            (&long, &long),
        ] {
            assert_eq!(Hostname::parse(written).unwrap().as_str(), form, "{written}");
        }
    }

    #[test]
    fn what_is_no_name_of_a_domain() {
        let long_label = format!("{}.example.com", "a".repeat(64));
        let long = format!("{}com", "abcdefg.".repeat(32));
        for bad in [
            "",
            ".",
            "com",
            "a..b",
            ".example.com",
            "example.com..",
            "-a.example",
            "a-.example",
            "a_b.example",
            "a b.example",
            "a\n.example",
            "a%2eb.example",
            "*.example.com",
            "https://example.com",
            "example.com/path",
            "user@example.com",
            "example.com:443",
            "example.com:8443",
            "go.test:0",
            "go.test:65536",
            "go.test:x",
            "go.test:",
            "10.0.0.1",
            "169.254.169.254",
            "8.8.8.8",
            "127.1",
            "0x7f.1",
            "0x7f000001",
            "1.2.3.0x4",
            "2130706433",
            "[::2]",
            "::1",
            "[::1",
            "xn--a.example",
            &long_label,
            &long,
        ] {
            assert!(Hostname::parse(bad).is_err(), "{bad:?}: {:?}", Hostname::parse(bad));
        }
    }

    #[test]
    fn a_name_and_its_port_come_apart() {
        let with = Hostname::parse("go.test:8081").unwrap();
        assert_eq!((with.host(), with.port()), ("go.test", Some(8081)));
        let without = Hostname::parse("[::1]").unwrap();
        assert_eq!((without.host(), without.port()), ("[::1]", None));
    }

    #[test]
    fn the_services_own_hosts_are_nobodys() {
        let collides = |name: &str, own: &str| Hostname::parse(name).unwrap().collides_with(own);
        assert!(collides("sho.rt", "sho.rt"));
        assert!(collides("sho.rt", "Sho.rt:8443"), "a port is stripped where no name has it");
        assert!(collides("127.0.0.1:8080", "127.0.0.1:8080"));
        assert!(!collides("127.0.0.1:8081", "127.0.0.1:8080"));
        assert!(!collides("go.sho.rt", "sho.rt"));
    }
}

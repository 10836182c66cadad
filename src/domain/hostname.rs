//! Hostnames of domains, in canonical form.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The maximum length of a DNS name with a port.
pub const MAX_BYTES: usize = 253 + 6;

/// Top-level names whose hosts may have a port: they are local or don't exist in the public DNS.
const LOCAL_ENDINGS: [&str; 2] = ["localhost", "test"];

/// A host: lower case, ASCII (IDNA), without a trailing dot. For development it may be a loopback
/// address, and local names (`localhost`, `*.localhost`, `*.test`, loopback addresses) may have a
/// port. Public names have none, because visitors use the default port of the scheme.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hostname(Box<str>);

impl Hostname {
    /// Parses and normalizes user input: `Go.Example.com.`, `bücher.example`, `localhost:8081`.
    ///
    /// # Errors
    /// A message that names the violated rule.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim_matches(' ');
        if text.contains("://") || text.contains(['/', '?', '#', '@']) {
            return Err("must be only a host, such as go.example.com".to_owned());
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
        let port: u16 = port.parse().map_err(|_| "has an invalid port".to_owned())?;
        if port == 0 {
            return Err("has an invalid port".to_owned());
        }
        // Browsers omit the default port, so the name must not have it either.
        let own = [80, 443].contains(&port);
        Ok(Self(if own { host.into() } else { format!("{host}:{port}").into() }))
    }

    /// The host with its port, if any.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host without the port.
    pub fn host(&self) -> &str {
        split_port(&self.0).0
    }

    /// The port, which only local names have.
    pub fn port(&self) -> Option<u16> {
        split_port(&self.0).1.and_then(|port| port.parse().ok())
    }

    /// A hostname from the log, which is not validated again.
    pub fn from_log(text: &str) -> Self {
        Self(text.into())
    }

    /// Whether requests to `own`, a host of the service with its port, would match this hostname.
    /// Such a hostname can't be a workspace's domain.
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

/// Splits an authority into host and port: `a.b:1`, `[::1]:1`, `[::1]`.
pub fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        // An IPv6 address is in brackets.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// The IP address of a host that is an address and not a name.
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
    // The strict IDNA rules: lengths, letters, hyphens and confusable characters.
    let host = idna::domain_to_ascii_strict(text)
        .map_err(|_| "is not a hostname such as go.example.com".to_owned())?;
    let last = host.rsplit('.').next().unwrap_or_default();
    // Such as 127.1 or 0x7f.1, which some programs parse as addresses.
    if last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x") {
        return Err("must be a name, not an address".to_owned());
    }
    if !host.contains('.') && host != "localhost" {
        return Err("must be a fully qualified name, such as go.example.com".to_owned());
    }
    Ok(host)
}

fn is_local(host: &str) -> bool {
    address(host).is_some() || LOCAL_ENDINGS.contains(&host.rsplit('.').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalized() {
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
    fn invalid_names_are_rejected() {
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
    fn a_hostname_is_split_into_host_and_port() {
        let with = Hostname::parse("go.test:8081").unwrap();
        assert_eq!((with.host(), with.port()), ("go.test", Some(8081)));
        let without = Hostname::parse("[::1]").unwrap();
        assert_eq!((without.host(), without.port()), ("[::1]", None));
    }

    #[test]
    fn the_services_own_hosts_collide() {
        let collides = |name: &str, own: &str| Hostname::parse(name).unwrap().collides_with(own);
        assert!(collides("sho.rt", "sho.rt"));
        assert!(collides("sho.rt", "Sho.rt:8443"), "the port is ignored if the name has none");
        assert!(collides("127.0.0.1:8080", "127.0.0.1:8080"));
        assert!(!collides("127.0.0.1:8081", "127.0.0.1:8080"));
        assert!(!collides("go.sho.rt", "sho.rt"));
    }
}

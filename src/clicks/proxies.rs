//! The client's address: the socket's peer, or the one reported by trusted proxies.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use http::header::{FORWARDED, HeaderName};
use ipnet::{IpNet, Ipv4Net};

use super::headers::Headers;

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The networks that are not public: RFC 1918, RFC 4193, loopback, link-local.
const PRIVATE: &str = "10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7, 127.0.0.0/8, ::1, \
                       169.254.0.0/16, fe80::/10";
const CLOUDFLARE: &str = include_str!("cloudflare.txt");

/// The networks of trusted proxies.
///
/// If there are none, the socket's peer is the client and the headers are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    nets: Vec<IpNet>,
    /// The header in which they name the client, instead of the standard ones.
    client_ip_header: Option<HeaderName>,
    /// The first untrusted peer whose forwarding headers were ignored; shared by all copies.
    ignored_peer: Arc<OnceLock<IpAddr>>,
}

/// Not a network or an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is neither a network (10.0.0.0/8), nor an address (10.0.0.1), nor `private` or \
     `cloudflare`"
)]
pub struct InvalidProxy {
    text: String,
}

impl FromStr for TrustedProxies {
    type Err = InvalidProxy;

    /// Parses a list of networks in CIDR notation, addresses, and names of groups of networks:
    /// `private`, `cloudflare`.
    fn from_str(text: &str) -> Result<Self, InvalidProxy> {
        let mut nets = Vec::new();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let items = lines.flat_map(|line| line.split(',')).map(str::trim);
        for item in items.filter(|item| !item.is_empty()) {
            let group = match item {
                "private" => PRIVATE,
                "cloudflare" => CLOUDFLARE,
                _ => {
                    let net = item.parse().or_else(|_| item.parse::<IpAddr>().map(IpNet::from));
                    let net = net.map_err(|_| InvalidProxy { text: item.to_owned() })?;
                    nets.push(canonical(net));
                    continue;
                }
            };
            nets.extend(Self::from_str(group)?.nets);
        }
        Ok(Self { nets, ..Self::default() })
    }
}

impl TrustedProxies {
    /// The same proxies, which name the client in this header instead of the standard ones.
    #[must_use]
    pub fn with_client_ip_header(self, name: HeaderName) -> Self {
        Self { client_ip_header: Some(name), ..self }
    }

    /// The client's address; IPv4-mapped addresses become IPv4.
    ///
    /// This is the peer unless the peer is trusted. Then the hops in the headers are walked from the
    /// rightmost through trusted ones: the first untrusted hop is the client, or the last hop if all
    /// are trusted. Everything left of it is the client's own claim. A hop that is not an address
    /// (`unknown`, `_hidden`, garbage) ends the walk at the hop before it.
    ///
    /// `Forwarded` (RFC 7239) takes precedence over `X-Forwarded-For`. So a proxy that only writes
    /// the latter must strip `Forwarded` from requests. A header of the proxies' own replaces both;
    /// without an address in it, the client is the peer.
    pub fn client(&self, peer: IpAddr, headers: &Headers<'_>) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            self.note_ignored(peer, headers);
            return peer;
        }
        if let Some(name) = &self.client_ip_header {
            headers.backwards(name).next().and_then(node).unwrap_or(peer)
        } else if headers.is_forwarded {
            self.walk(peer, elements(headers, &FORWARDED).map(forwarded_for))
        } else {
            self.walk(peer, elements(headers, &X_FORWARDED_FOR).map(node))
        }
    }

    /// Whether the peer reports that the request reached it over HTTPS; `None` if the peer is not
    /// trusted.
    ///
    /// Only the rightmost element is the peer's own. Reads `Forwarded` if that element has a protocol,
    /// else `X-Forwarded-Proto`.
    pub fn says_https(&self, peer: IpAddr, headers: &Headers<'_>) -> Option<bool> {
        if !self.trusts(peer.to_canonical()) {
            return None;
        }
        let forwarded = elements(headers, &FORWARDED).next();
        let protocol = forwarded
            .and_then(|element| parameter(element, b"proto"))
            .or_else(|| elements(headers, &X_FORWARDED_PROTO).next());
        Some(protocol.is_some_and(|name| {
            let name =
                name.strip_prefix(b"\"").and_then(|name| name.strip_suffix(b"\"")).unwrap_or(name);
            name.eq_ignore_ascii_case(b"https")
        }))
    }

    /// Whether an address (not IPv4-mapped) is a trusted proxy's.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.nets.iter().any(|net| net.contains(&address))
    }

    /// What to set if a reverse proxy is not trusted, as a sentence; `None` if nothing suggests it.
    pub fn warning(&self) -> Option<String> {
        let peer = *self.ignored_peer.get()?;
        // A public address may be a visitor's, which is not to be logged.
        let is_private = Self::from_str(PRIVATE).is_ok_and(|private| private.trusts(peer));
        let shown = if is_private { peer.to_string() } else { "a public address".to_owned() };
        Some(format!(
            "Requests from {shown} have headers that name another client, which are ignored. If \
             your reverse proxy sent them, add it to --trusted-proxies: until then all its visitors \
             count as one."
        ))
    }

    /// Warns once if an untrusted peer forwards requests.
    fn note_ignored(&self, peer: IpAddr, headers: &Headers<'_>) {
        if self.ignored_peer.get().is_some() {
            return;
        }
        let own = self.client_ip_header.as_ref();
        let names_client = headers.is_forwarded
            || headers.is_forwarded_for
            || own.is_some_and(|name| headers.backwards(name).next().is_some());
        if names_client && self.ignored_peer.set(peer).is_ok() {
            tracing::warn!("{}", self.warning().unwrap_or_default());
        }
    }

    fn walk(&self, peer: IpAddr, hops: impl Iterator<Item = Option<IpAddr>>) -> IpAddr {
        let mut client = peer;
        for hop in hops.map_while(|hop| hop) {
            client = hop;
            if !self.trusts(client) {
                break;
            }
        }
        client
    }
}

/// Turns a network of IPv4-mapped addresses into an IPv4 network.
fn canonical(net: IpNet) -> IpNet {
    match (net.addr().to_canonical(), net.prefix_len().checked_sub(96)) {
        (IpAddr::V4(address), Some(prefix)) if net.addr().is_ipv6() => {
            Ipv4Net::new(address, prefix).map_or(net, IpNet::V4)
        }
        _ => net,
    }
}

/// The elements of a list header from right to left. Multiple lines form one list (RFC 9110
/// § 5.3); empty elements are skipped (§ 5.6.1).
fn elements<'a>(
    headers: &Headers<'a>,
    name: &'static HeaderName,
) -> impl Iterator<Item = &'a [u8]> {
    headers
        .backwards(name)
        .flat_map(|line| Backwards { rest: Some(line), separator: b',' })
        .filter(|element| !element.is_empty())
}

/// Splits from the right, outside quoted strings.
///
/// An unterminated quote by the client then only affects what the client wrote, not the elements
/// that proxies appended.
struct Backwards<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
}

impl<'a> Iterator for Backwards<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let mut quoted = false;
        let separator = if rest.contains(&b'"') {
            rest.iter().enumerate().rposition(|(at, byte)| {
                quoted ^= *byte == b'"' && (at == 0 || rest[at - 1] != b'\\');
                *byte == self.separator && !quoted
            })
        } else {
            rest.iter().rposition(|byte| *byte == self.separator)
        };
        let (left, element) = match separator {
            Some(at) => (Some(&rest[..at]), &rest[at + 1..]),
            None => (None, rest),
        };
        self.rest = left;
        Some(element.trim_ascii())
    }
}

/// The address in the one `for` parameter of a `Forwarded` element (RFC 7239 § 4).
fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    node(parameter(element, b"for")?)
}

/// The value of a parameter of a `Forwarded` element, if it is unique.
fn parameter<'a>(element: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let mut values = Backwards { rest: Some(element), separator: b';' }.filter_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (&pair[..equals], &pair[equals + 1..]);
        name.eq_ignore_ascii_case(wanted).then_some(value)
    });
    let value = values.next()?;
    // "Each parameter MUST NOT occur more than once per field-value": trust neither.
    values.next().is_none().then_some(value)
}

/// The address of a node (RFC 7239 § 6): `192.0.2.1`, `192.0.2.1:80`, `"[2001:db8::1]:80"`, and
/// the bare `2001:db8::1` of `X-Forwarded-For`. `None` for `unknown` and obfuscated names.
fn node(value: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(value).ok()?;
    let text = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
    let address = if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let port_follows = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        port_follows.then(|| address.parse::<Ipv6Addr>().ok())?.map(IpAddr::V6)
    } else if let Ok(address) = text.parse() {
        Some(address)
    } else {
        let (address, port) = text.rsplit_once(':')?;
        is_port(port).then(|| address.parse::<Ipv4Addr>().ok())?.map(IpAddr::V4)
    };
    address.map(|address| address.to_canonical())
}

/// A number or an obfuscated port (`_80a`).
fn is_port(text: &str) -> bool {
    let digits = text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    !text.is_empty() && (digits || text.starts_with('_'))
}

#[cfg(test)]
#[path = "proxies_tests.rs"]
mod tests;

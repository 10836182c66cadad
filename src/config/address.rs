//! Addresses in settings.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use anyhow::{Context, bail};
use url::Url;

/// The standard port of DNS.
const DNS_PORT: u16 = 53;

/// An address to listen on, such as `0.0.0.0:8080` or `localhost:8080`. Of a name's addresses, the
/// first IPv4 address, or else the first one.
pub(super) fn to_listen_on(text: &str) -> anyhow::Result<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let rule = || format!("`{text}` is not an address and a port, such as 127.0.0.1:8080");
    let addresses: Vec<_> = text.to_socket_addrs().with_context(rule)?.collect();
    let found = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    found.copied().with_context(rule)
}

/// A name server; its port is 53 if none is given.
pub(super) fn of_name_server(text: &str) -> anyhow::Result<SocketAddr> {
    let address = text.parse().or_else(|_| text.parse().map(|ip: IpAddr| (ip, DNS_PORT).into()));
    address.with_context(|| format!("`{text}` is not an address such as 9.9.9.9:53"))
}

/// A URL with the scheme `http` or `https`.
///
/// # Errors
/// The scheme is missing, another one, or the rest is no URL.
pub fn http_url(text: &str) -> anyhow::Result<Url> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    if scheme.is_empty() && !rest.is_empty() {
        bail!("add http:// or https://, as in http://{rest}");
    }
    let url = text.parse().ok().filter(|url: &Url| matches!(url.scheme(), "http" | "https"));
    url.with_context(|| format!("`{text}` is not a URL such as https://sho.rt"))
}

/// A URL of scheme and host only.
pub(super) fn bare_url(text: &str) -> anyhow::Result<Url> {
    let url = http_url(text)?;
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if !is_bare {
        bail!("must be http or https and a host, such as https://sho.rt, not `{url}`");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up() {
        assert_eq!(to_listen_on("[::1]:80").unwrap().to_string(), "[::1]:80");
        assert_eq!(to_listen_on("localhost:8080").unwrap().to_string(), "127.0.0.1:8080");
        for text in ["localhost", "8080", ":8080", "localhost:x", ""] {
            let error = to_listen_on(text).unwrap_err().to_string();
            assert!(error.contains("such as 127.0.0.1:8080"), "{text}: {error}");
        }
    }

    #[test]
    fn a_url_has_a_scheme() {
        for text in ["http://localhost:8080", "https://sho.rt/a"] {
            assert!(http_url(text).is_ok(), "{text}");
        }
        for text in ["localhost:18400", "foo.com", "foo.com/http:"] {
            let error = http_url(text).unwrap_err().to_string();
            assert!(error.ends_with(&format!("add http:// or https://, as in http://{text}")));
        }
        for text in ["", "ftp://foo.com", "http://", "://x"] {
            assert!(http_url(text).is_err(), "{text}");
        }
    }
}

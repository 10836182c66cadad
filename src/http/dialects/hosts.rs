//! Hosts of dialects, on which their paths are at the root.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Uri;

use super::{Dialect, ROOT, named};
use crate::domain::hostname::split_port;
use crate::http::host::{authority, is_wellformed};

/// The hosts of dialects, as `NAME=HOST,…`. Cheap to clone.
#[derive(Clone, Default)]
pub struct DialectHosts(Arc<HashMap<String, &'static Dialect>>);

impl fmt::Debug for DialectHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(host, dialect)| (host, dialect.name))).finish()
    }
}

impl FromStr for DialectHosts {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let mut hosts = HashMap::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let Some((name, host)) = part.split_once('=') else {
                anyhow::bail!("`{part}` must be a dialect and its host: qklnk=qklnk.example");
            };
            let Some(dialect) = named(name.trim()) else {
                let names: Vec<_> = super::DIALECTS.iter().map(|dialect| dialect.name).collect();
                anyhow::bail!("`{name}` is not a dialect; known are {}", names.join(", "));
            };
            let host = host.trim().to_ascii_lowercase();
            anyhow::ensure!(is_wellformed(host.as_bytes()), "`{host}` is not a host");
            anyhow::ensure!(hosts.insert(host, dialect).is_none(), "a host is given twice");
        }
        Ok(Self(hosts.into()))
    }
}

impl DialectHosts {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The hosts.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The dialect of a request's host. The port is compared only if the setting has one.
    pub fn find(&self, authority: &str) -> Option<&'static Dialect> {
        if self.0.is_empty() {
            return None;
        }
        let authority = authority.to_ascii_lowercase();
        self.0.get(&authority).or_else(|| self.0.get(split_port(&authority).0)).copied()
    }
}

/// Moves a request for a dialect's host to the dialect's paths. Not those below `/.well-known`,
/// which are about the host.
pub async fn to_dialect(State(hosts): State<DialectHosts>, mut request: Request) -> Request {
    let found = hosts.find(authority(request.uri(), request.headers()));
    if let Some(dialect) = found
        && !request.uri().path().starts_with("/.well-known/")
        && let Some(path) = request.uri().path_and_query()
        && let Ok(moved) = format!("{ROOT}/{}{path}", dialect.name).parse::<Uri>()
    {
        *request.uri_mut() = moved;
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_with_and_without_a_port() {
        let hosts: DialectHosts = "qklnk=Q.example, qklnk=q2.example:8080".parse().unwrap();
        let name = |authority| hosts.find(authority).map(|dialect| dialect.name);
        assert_eq!(name("q.example:8443"), Some("qklnk"));
        assert_eq!(name("Q.EXAMPLE"), Some("qklnk"));
        assert_eq!((name("q2.example"), name("q2.example:8080")), (None, Some("qklnk")));
        assert_eq!(name("other.example"), None);
        for wrong in ["qklnk", "odd=q.example", "qklnk=a b", "qklnk=a,qklnk=A"] {
            assert!(wrong.parse::<DialectHosts>().is_err(), "{wrong}");
        }
        assert!("".parse::<DialectHosts>().unwrap().is_empty());
    }
}

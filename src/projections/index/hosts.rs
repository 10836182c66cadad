//! The hosts of verified domains, in memory: a redirect finds out whose links a request is for
//! without a lock, a look into the store or an allocation.
//!
//! The map is made anew whenever a domain changes, which is seldom, and then swapped in.

use std::collections::HashMap;
use std::ops::Bound;

use url::Url;

use super::domains::decode_verified;
use super::layers::Layers;
use super::read::Read;
use super::{Index, IndexError, keys, store};
use crate::domain::destination::Destination;
use crate::domain::domains::Domain;
use crate::domain::hostname::{MAX_BYTES, split_port};
use crate::domain::ids::{DomainId, WorkspaceId};

/// A verified domain as the redirect path sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSettings {
    /// What its links carry as their domain.
    pub hostname: String,
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// Which one it is.
    pub id: DomainId,
    /// Whether slugs are to be looked up in lower case.
    pub case_insensitive: bool,
    /// Where `/` leads: visible ASCII.
    pub root_redirect: Option<String>,
    /// Where a path leads that is no link's: visible ASCII.
    pub not_found_redirect: Option<String>,
}

impl HostSettings {
    fn new(domain: Domain) -> Self {
        let location = |to: Option<Destination>| {
            to.and_then(|to| Url::parse(to.as_str()).ok()).map(String::from)
        };
        Self {
            hostname: domain.hostname.as_str().to_owned(),
            workspace: domain.workspace,
            id: domain.id,
            case_insensitive: domain.fields.case_insensitive,
            root_redirect: location(domain.fields.root_redirect),
            not_found_redirect: location(domain.fields.not_found_redirect),
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Hosts(HashMap<String, HostSettings>);

impl Hosts {
    /// Whether there is no verified domain at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The domain that a request to this authority (`Go.example:8443`) is for. A port counts only
    /// where the domain has it: any port may lead here.
    pub fn find(&self, authority: &str) -> Option<&HostSettings> {
        let mut lower = [0; MAX_BYTES + 1];
        let lower = lower.get_mut(..authority.len())?;
        lower.copy_from_slice(authority.as_bytes());
        lower.make_ascii_lowercase();
        let lower = std::str::from_utf8(lower).ok()?;
        self.0.get(lower).or_else(|| {
            let host = split_port(lower).0;
            self.0.get(host.strip_suffix('.').unwrap_or(host))
        })
    }

    /// The hostnames and whose they are, in no order.
    pub fn owners(&self) -> impl Iterator<Item = (&str, WorkspaceId)> {
        self.0.iter().map(|(name, settings)| (name.as_str(), settings.workspace))
    }

    /// What the layers say.
    pub(super) fn read(layers: &Layers) -> Result<Self, IndexError> {
        let rows = layers.rows(store::prefixed(keys::VERIFIED), false);
        let hosts = rows.map(|row| {
            let domain = decode_verified(&row?.1).map_err(|error| layers.met(error))?;
            Ok((domain.hostname.as_str().to_owned(), HostSettings::new(domain)))
        });
        hosts.collect::<Result<_, _>>().map(Self)
    }
}

impl Index {
    /// The hosts of verified domains as they are now.
    pub fn hosts(&self) -> arc_swap::Guard<std::sync::Arc<Hosts>> {
        self.hosts.load()
    }

    /// The same, read anew: for who must know that a host is gone, and not that it can't be read.
    pub fn read_hosts(&self) -> Result<Hosts, IndexError> {
        Hosts::read(&self.layers.load())
    }

    /// Makes the map of hosts anew. Where that fails, the layers are damaged and about to be
    /// replaced, after which it is made once more; so long the old one stays.
    pub(super) fn renew_hosts(&self, layers: &Layers) {
        match Hosts::read(layers) {
            Ok(hosts) => self.hosts.store(hosts.into()),
            Err(error) => tracing::error!(%error, "the hosts of domains can't be read"),
        }
    }

    /// A workspace's domains, newest first, from just before `before`; `skip` of them left out.
    pub fn domains(
        &self,
        workspace: WorkspaceId,
        before: Option<DomainId>,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<Domain>, IndexError> {
        use super::domains::ReadDomains;
        let before = before.map(|id| keys::domain(workspace, id));
        let prefix = keys::domains_of(workspace);
        let layers = self.layers.load();
        let (from, end) = store::prefixed(&prefix);
        let rows = layers.rows((from, before.map_or(end, Bound::Excluded)), true);
        let mut domains = Vec::new();
        for row in rows.skip(skip).take(limit) {
            let (key, _) = row?;
            let Some(Ok(id)) = key.get(prefix.len()..).map(DomainId::from_bytes) else {
                return Err(self.met(IndexError::Broken("a domain's key")));
            };
            // Removed between the two looks: no longer there.
            domains.extend(self.domain(workspace, id)?);
        }
        Ok(domains)
    }

    /// The domains that claim a host, of all workspaces; at most `limit`.
    pub fn claims(&self, hostname: &str, limit: usize) -> Result<Vec<Domain>, IndexError> {
        use super::domains::ReadDomains;
        let prefix = keys::claims_of(hostname);
        let layers = self.layers.load();
        let mut domains = Vec::new();
        for row in layers.rows(store::prefixed(&prefix), false).take(limit) {
            let (key, id) = row?;
            let workspace = key.get(prefix.len()..).map(WorkspaceId::from_bytes);
            let (Some(Ok(workspace)), Ok(id)) = (workspace, DomainId::from_bytes(&id)) else {
                return Err(self.met(IndexError::Broken("a claim's key")));
            };
            domains.extend(self.domain(workspace, id)?);
        }
        Ok(domains)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use uuid::Uuid;

    use super::*;

    fn hosts(names: &[&str]) -> Hosts {
        let settings = |name: &&str| HostSettings {
            hostname: (*name).to_owned(),
            workspace: WorkspaceId::new(Uuid::from_u128(1)),
            id: DomainId::new(Uuid::from_u128(2)),
            case_insensitive: false,
            root_redirect: None,
            not_found_redirect: None,
        };
        Hosts(names.iter().map(|name| ((*name).to_owned(), settings(name))).collect())
    }

    #[test]
    fn a_request_finds_its_host() {
        let hosts = hosts(&["go.example", "go.test:8081", "[::1]"]);
        for (authority, found) in [
            ("go.example", Some("go.example")),
            ("GO.Example", Some("go.example")),
            ("go.example:8443", Some("go.example")),
            ("go.example.", Some("go.example")),
            ("go.example.:443", Some("go.example")),
            ("go.test:8081", Some("go.test:8081")),
            ("go.test", None),
            ("go.test:8082", None),
            ("[::1]:8080", Some("[::1]")),
            ("other.example", None),
            ("xgo.example", None),
            ("", None),
            (":", None),
            (&"a".repeat(10_000), None),
        ] {
            let host = hosts.find(authority).map(|host| host.hostname.as_str());
            assert_eq!(host, found, "{authority}");
        }
        assert!(super::Hosts::default().find("go.example").is_none());
    }
}

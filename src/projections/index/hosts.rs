//! The hosts of verified domains, in memory: a redirect finds the owner of a host without a lock, a
//! lookup in the store or an allocation.
//!
//! The map is rebuilt and swapped whenever a domain changes, which is rare.

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

/// A verified domain for the redirect path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSettings {
    /// The domain of its links.
    pub hostname: String,
    /// The owner.
    pub workspace: WorkspaceId,
    /// The domain's ID.
    pub id: DomainId,
    /// Whether slugs are looked up in lower case.
    pub case_insensitive: bool,
    /// The target of `/`, in visible ASCII.
    pub root_redirect: Option<String>,
    /// The target of paths without a link, in visible ASCII.
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

/// The hosts of verified domains.
#[derive(Debug, Default)]
pub struct Hosts(HashMap<String, HostSettings>);

impl Hosts {
    /// Whether there is no verified domain.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The domain that serves an authority (`Go.example:8443`). The port is compared only if the
    /// domain has one: any port may be forwarded to this service.
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

    /// The hostnames and their owners, in no particular order.
    pub fn owners(&self) -> impl Iterator<Item = (&str, WorkspaceId)> {
        self.0.iter().map(|(name, settings)| (name.as_str(), settings.workspace))
    }

    /// Reads the hosts from the layers.
    pub(super) fn read(layers: &Layers) -> Result<Self, IndexError> {
        let rows = layers.rows(store::prefixed(keys::VERIFIED), false);
        let hosts = rows.map(|row| {
            let domain = decode_verified(&row?.1).map_err(|error| layers.report_damage(error))?;
            Ok((domain.hostname.as_str().to_owned(), HostSettings::new(domain)))
        });
        hosts.collect::<Result<_, _>>().map(Self)
    }
}

impl Index {
    /// The current hosts of verified domains.
    pub fn hosts(&self) -> arc_swap::Guard<std::sync::Arc<Hosts>> {
        self.hosts.load()
    }

    /// As [`hosts`](Self::hosts), read from the store: for callers that must distinguish a removed
    /// host from one that cannot be read.
    pub fn read_hosts(&self) -> Result<Hosts, IndexError> {
        Hosts::read(&self.layers.load())
    }

    /// Rebuilds the map of hosts. On failure the old one is kept: the layers are damaged and about
    /// to be replaced, which rebuilds it again.
    pub(super) fn reload_hosts(&self, layers: &Layers) {
        match Hosts::read(layers) {
            Ok(hosts) => self.hosts.store(hosts.into()),
            Err(error) => tracing::error!(%error, "cannot read the hosts of domains"),
        }
    }

    /// A workspace's domains before `before`, newest first, skipping `skip`.
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
                return Err(self.report_damage(IndexError::Broken("a domain's key")));
            };
            // A domain removed in the meantime is skipped.
            domains.extend(self.domain(workspace, id)?);
        }
        Ok(domains)
    }

    /// The claims of all workspaces to a host; at most `limit`.
    pub fn claims(&self, hostname: &str, limit: usize) -> Result<Vec<Domain>, IndexError> {
        use super::domains::ReadDomains;
        let prefix = keys::claims_of(hostname);
        let layers = self.layers.load();
        let mut domains = Vec::new();
        for row in layers.rows(store::prefixed(&prefix), false).take(limit) {
            let (key, id) = row?;
            let workspace = key.get(prefix.len()..).map(WorkspaceId::from_bytes);
            let (Some(Ok(workspace)), Ok(id)) = (workspace, DomainId::from_bytes(&id)) else {
                return Err(self.report_damage(IndexError::Broken("a claim's key")));
            };
            domains.extend(self.domain(workspace, id)?);
        }
        Ok(domains)
    }
}

#[cfg(test)]
mod tests {
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

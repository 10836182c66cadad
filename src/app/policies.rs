//! The operator's files that commands are checked against.

use std::sync::Arc;

use anyhow::ensure;

use super::blocklist::BlocklistFile;
use super::plans::CatalogueFile;
use crate::commands::Policies;
use crate::config::Settings;
use crate::domain::link::LinkPolicy;
use crate::http::{DialectHosts, Site};
use crate::projections::index::Index;

/// Reads the files.
pub fn open_policies(
    settings: &Settings,
    site: &Site,
    index: &Index,
) -> anyhow::Result<(Arc<BlocklistFile>, Arc<CatalogueFile>, Policies)> {
    let blocklist = Arc::new(BlocklistFile::open(settings.blocklist.clone())?);
    let catalogue = Arc::new(CatalogueFile::open(settings.plans.clone(), index)?);
    let is_own = settings.dialect_hosts.find(&site.host).is_some();
    ensure!(!is_own, "--dialect-hosts: {} is the host of short URLs", site.host);
    let links = LinkPolicy {
        own_hosts: own_hosts(site, &settings.dialect_hosts),
        blocklist: blocklist.list(),
    };
    let policies = Policies { links, plans: catalogue.catalogues() };
    Ok((blocklist, catalogue, policies))
}

/// The service's own hosts; the default domain first.
fn own_hosts(site: &Site, of_dialects: &DialectHosts) -> Vec<String> {
    let mut hosts = vec![site.host.clone()];
    if let Some(port) = site.host.strip_prefix("127.0.0.1") {
        hosts.push(format!("localhost{port}"));
    }
    hosts.extend(of_dialects.names().map(str::to_owned));
    hosts
}

//! Resolves names in requests: links by ID or slug, and the default domain by hostname.

use crate::domain::command::{DomainRef, LinkRef};
use crate::domain::ids::{LinkId, WorkspaceId};
use crate::http::Services;
use crate::http::native::path_ref::hostname;
use crate::queries::analytics::Dimension;

/// Resolves names in one workspace.
pub struct Resolver<'a> {
    pub services: &'a Services,
    pub workspace: WorkspaceId,
}

impl Resolver<'_> {
    /// Values of a dimension as stored in ClickHouse.
    ///
    /// # Errors
    /// A message that names the unknown value.
    pub fn values(&self, dimension: Dimension, values: Vec<String>) -> Result<Vec<String>, String> {
        match dimension {
            Dimension::Link => values.iter().map(|name| self.link(name)).collect(),
            Dimension::Domain => values.iter().map(|name| self.domain(name)).collect(),
            _ => Ok(values),
        }
    }

    /// Resolves a link by ID, even if it is deleted, or by a slug that is in use.
    fn link(&self, name: &str) -> Result<String, String> {
        let none = || format!("must be links' ids or slugs; `{name}` is neither");
        let id: LinkId = match LinkRef::parse(name).ok_or_else(none)? {
            LinkRef::Id(id) => id,
            slug @ (LinkRef::Slug(..) | LinkRef::ExternalId(_)) => {
                let link = self.services.links.get(self.workspace, &slug);
                link.ok().flatten().ok_or_else(none)?.id
            }
        };
        Ok(id.uuid().to_string())
    }

    /// Resolves a domain of the workspace by ID, or any hostname: that of a domain that was deleted
    /// has clicks, too.
    fn domain(&self, name: &str) -> Result<String, String> {
        let found = hostname(self.services, self.workspace, name);
        match (found.map_err(|error| error.message)?, DomainRef::parse(name)) {
            (Some(hostname), _) => Ok(hostname),
            (None, Some(DomainRef::Id(_))) => {
                Err(format!("must be domains' ids or hostnames; `{name}` is neither"))
            }
            (None, _) => Ok(name.to_ascii_lowercase()),
        }
    }
}

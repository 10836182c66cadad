//! Links: their fields, validation and versions.
//!
//! A [`LinkInput`] is validated and applied to an existing or new link. The result is
//! [`LinkFields`]; with an id, a slug and a version they form a [`Link`].

pub mod deletion;
mod field;
mod forwarding;
mod gates;
mod input;
mod labels;
mod password;
mod payload;
mod preview;
mod routing;
mod social;
pub mod state;
mod summary_ref;
mod utm;

pub use crate::domain::utm::Utm;
pub use field::Field;
pub use forwarding::{Forwarding, STATUSES};
pub use gates::{Block, ClickLimit, Gates};
pub use input::{
    Accepted, CellFormat, LINK_FIELDS, LinkContext, LinkInput, LinkPolicy, MAX_TITLE_CHARS,
    WriteMode,
};
pub use labels::{Labels, MAX_NOTES_CHARS, checked_external_id, checked_folder, folded};
pub use password::{Password, PasswordHash};
pub use payload::{Encryption, Kind, Payload, Vcard, Wifi};
pub use preview::Preview;
pub use routing::Routing;
pub use social::{
    MAX_DESCRIPTION_CHARS as MAX_OG_DESCRIPTION_CHARS, MAX_TITLE_CHARS as MAX_OG_TITLE_CHARS,
    Social,
};
pub use summary_ref::LinkSummaryRef;
pub use utm::UtmInput;

use super::destination::Destination;
use super::ids::{LinkId, WorkspaceId};
use super::slug::Slug;

/// A link at one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The permanent id.
    pub id: LinkId,
    /// The workspace that owns it.
    pub workspace: WorkspaceId,
    /// The fields that the owner can change.
    pub fields: LinkFields,
    /// The path of the short URL.
    pub slug: Slug,
    /// In milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// When the current version was made, in milliseconds since the Unix epoch.
    pub updated_at_ms: u64,
    /// 1 at creation; incremented by each change.
    pub version: u32,
}

impl Link {
    /// The next version with these fields and this slug; `None` if nothing changes.
    pub fn changed(&self, slug: Slug, fields: LinkFields, at_ms: u64) -> Option<Self> {
        if slug == self.slug && fields == self.fields {
            return None;
        }
        // If the clock was set back, the new version must not be older than its predecessor.
        let updated_at_ms = at_ms.max(self.updated_at_ms);
        Some(Self { slug, fields, updated_at_ms, version: self.version + 1, ..self.clone() })
    }
}

/// The fields of a link, validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkFields {
    /// Empty for the service's default domain.
    pub domain: String,
    /// What the link serves.
    pub content: Content,
    /// A display name.
    pub title: Option<String>,
    /// Added to the destination at the redirect.
    pub utm: Utm,
    /// Whether the visitor's query string is added to the destination.
    pub forward_query: bool,
    /// How visitors are redirected.
    pub forwarding: Forwarding,
    /// The conditions for letting a visit through.
    pub gates: Gates,
    /// Other destinations for some visitors.
    pub routing: Routing,
    /// What anyone can see without following the link.
    pub preview: Preview,
    /// How the owner organizes the link.
    pub labels: Labels,
    /// What social networks show.
    pub social: Social,
}

/// What a link serves: a redirect, or a page of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A redirect.
    Url(Destination),
    /// A page with this payload.
    Page(Payload),
}

impl Content {
    /// The kind of link.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Url(_) => Kind::Url,
            Self::Page(payload) => payload.kind(),
        }
    }

    /// The destination of a redirect.
    pub const fn destination(&self) -> Option<&Destination> {
        match self {
            Self::Url(destination) => Some(destination),
            Self::Page(_) => None,
        }
    }

    /// The payload of a page.
    pub const fn payload(&self) -> Option<&Payload> {
        match self {
            Self::Url(_) => None,
            Self::Page(payload) => Some(payload),
        }
    }
}

#[cfg(test)]
mod tests;

//! A link: what its owner can say of it, and how it changes.
//!
//! What is asked ([`LinkInput`], unchecked) is accepted over what stands, and becomes
//! [`LinkFields`]; these, with an id, a slug and a version, are a [`Link`].

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
pub use input::{Accepted, LinkInput, LinkPolicy, MAX_TITLE_CHARS, Over, Terms};
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

/// A link as it stands at one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Stays the same whatever else changes.
    pub id: LinkId,
    /// Whose link it is.
    pub workspace: WorkspaceId,
    /// What its owner can change.
    pub fields: LinkFields,
    /// The path it answers at, on its domain.
    pub slug: Slug,
    /// In milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// When its last version began, in milliseconds since the Unix epoch.
    pub updated_at_ms: u64,
    /// 1 when made, one more with each change.
    pub version: u32,
}

impl Link {
    /// The next version with these fields and this slug; `None` when nothing would change.
    pub fn changed(&self, slug: Slug, fields: LinkFields, at_ms: u64) -> Option<Self> {
        if slug == self.slug && fields == self.fields {
            return None;
        }
        // A clock that was set back must not make a version older than the one before it.
        let updated_at_ms = at_ms.max(self.updated_at_ms);
        Some(Self { slug, fields, updated_at_ms, version: self.version + 1, ..self.clone() })
    }
}

/// What the owner of a link decides, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkFields {
    /// Empty for the service's default domain.
    pub domain: String,
    /// Where it leads.
    pub content: Content,
    /// A name for people.
    pub title: Option<String>,
    /// Added to the destination at the redirect.
    pub utm: Utm,
    /// Whether a visitor's own query string is handed on.
    pub forward_query: bool,
    /// In which way visitors are sent on.
    pub forwarding: Forwarding,
    /// What has to hold for a visit to be let through.
    pub gates: Gates,
    /// Where some visitors are led, other than to the destination.
    pub routing: Routing,
    /// What anybody may see of it without following it.
    pub preview: Preview,
    /// What its owner finds it again by.
    pub labels: Labels,
    /// What social networks show of it.
    pub social: Social,
}

/// What a link leads to: an address, or a page of the service's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// An address.
    Url(Destination),
    /// What the page shows.
    Page(Payload),
}

impl Content {
    /// Which kind of link has it.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Url(_) => Kind::Url,
            Self::Page(payload) => payload.kind(),
        }
    }

    /// The address, where it is one.
    pub const fn destination(&self) -> Option<&Destination> {
        match self {
            Self::Url(destination) => Some(destination),
            Self::Page(_) => None,
        }
    }

    /// What the page shows, where it is one.
    pub const fn payload(&self) -> Option<&Payload> {
        match self {
            Self::Url(_) => None,
            Self::Page(payload) => Some(payload),
        }
    }
}

#[cfg(test)]
mod tests;

//! Domains as stored in the mutation log.

use super::{Domain, DomainFields};
use crate::domain::destination::Destination;
use crate::domain::error::Unreadable;
use crate::domain::hostname::Hostname;
use crate::domain::ids::{DomainId, WorkspaceId};

/// A [`Domain`] as logged. Its workspace is the envelope's.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[allow(missing_docs, reason = "the same names as in Domain and DomainFields")]
pub struct DomainState {
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    #[prost(string, tag = "2")]
    pub hostname: String,
    #[prost(string, tag = "3")]
    pub challenge: String,
    #[prost(uint64, optional, tag = "4")]
    pub verified_at_ms: Option<u64>,
    /// Replaces the workspace's previous default domain.
    #[prost(bool, tag = "5")]
    pub is_default: bool,
    #[prost(string, optional, tag = "6")]
    pub root_redirect: Option<String>,
    #[prost(string, optional, tag = "7")]
    pub not_found_redirect: Option<String>,
    #[prost(bool, tag = "8")]
    pub case_insensitive: bool,
    #[prost(string, optional, tag = "9")]
    pub apple_app_site_association: Option<String>,
    #[prost(string, optional, tag = "10")]
    pub assetlinks: Option<String>,
    #[prost(uint64, tag = "11")]
    pub created_at_ms: u64,
    #[prost(uint64, tag = "12")]
    pub updated_at_ms: u64,
}

/// A domain was removed from its workspace.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DomainRemoved {
    /// The domain's 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub domain: Vec<u8>,
}

impl From<&Domain> for DomainState {
    fn from(domain: &Domain) -> Self {
        let fields = &domain.fields;
        let text =
            |redirect: &Option<Destination>| redirect.as_ref().map(|to| to.as_str().to_owned());
        Self {
            id: domain.id.as_bytes().to_vec(),
            hostname: domain.hostname.as_str().to_owned(),
            challenge: domain.challenge.clone(),
            verified_at_ms: domain.verified_at_ms,
            is_default: domain.is_default,
            root_redirect: text(&fields.root_redirect),
            not_found_redirect: text(&fields.not_found_redirect),
            case_insensitive: fields.case_insensitive,
            apple_app_site_association: fields.apple_app_site_association.clone(),
            assetlinks: fields.assetlinks.clone(),
            created_at_ms: domain.created_at_ms,
            updated_at_ms: domain.updated_at_ms,
        }
    }
}

impl DomainState {
    /// The domain, in the envelope's workspace.
    ///
    /// # Errors
    /// [`Unreadable`] for an invalid id.
    pub fn into_domain(self, workspace: WorkspaceId) -> Result<Domain, Unreadable> {
        let redirect = |text: Option<String>| text.as_deref().map(Destination::from_log);
        Ok(Domain {
            id: DomainId::from_bytes(&self.id).map_err(|_| Unreadable("domain"))?,
            workspace,
            hostname: Hostname::from_log(&self.hostname),
            challenge: self.challenge,
            verified_at_ms: self.verified_at_ms,
            is_default: self.is_default,
            fields: DomainFields {
                root_redirect: redirect(self.root_redirect),
                not_found_redirect: redirect(self.not_found_redirect),
                case_insensitive: self.case_insensitive,
                apple_app_site_association: self.apple_app_site_association,
                assetlinks: self.assetlinks,
            },
            created_at_ms: self.created_at_ms,
            updated_at_ms: self.updated_at_ms,
        })
    }
}

//! What the mutation log holds: each change, once, with who made it.
//!
//! As in [`click`](super::click), the messages are protobuf by derive, and their numbers are
//! for ever. Readers see only today's types: what an old record lacks is filled in here.

use uuid::Uuid;

pub use super::deletion::{LinkDeleted, LinkPurged};
use super::destination::Destination;
use super::domains::state::{DomainRemoved, DomainState};
use super::ids::{LinkId, WorkspaceId};
use super::link::{
    Content, Forwarding, Gates, Labels, Link, LinkFields, Payload, Preview, Routing, Social, Utm,
};
use super::preset::{Preset, PresetKind};
use super::report::{LinkReported, ReportResolved};
use super::rule::app_url::AppLinks;
use super::rule::stored::{AppLinksState, RulesState};
use super::slug::Slug;

/// The version of the envelope's layout that is written now.
pub const VERSION: u16 = 1;

/// A record of the mutation log.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Envelope {
    /// When it was decided, in milliseconds since the Unix epoch.
    #[prost(uint64, tag = "1")]
    pub at_ms: u64,
    /// The 16 bytes of the workspace it belongs to.
    #[prost(bytes = "vec", tag = "2")]
    pub workspace: Vec<u8>,
    /// The 16 bytes of the token that asked; empty for the service itself.
    #[prost(bytes = "vec", tag = "3")]
    pub token: Vec<u8>,
    /// The request's idempotency key, where it had one.
    #[prost(message, optional, tag = "4")]
    pub idempotency: Option<Idempotency>,
    /// Until when that key is remembered, in milliseconds since the Unix epoch; `None` in records
    /// of older versions, see [`idempotency_expires_at_ms`](Self::idempotency_expires_at_ms).
    #[prost(uint64, optional, tag = "5")]
    pub idempotency_until_ms: Option<u64>,
    /// What happened.
    #[prost(
        oneof = "Event",
        tags = "10, 11, 12, 20, 21, 22, 23, 24, 26, 27, 30, 31, 32, 33, 40, 41, 42, 43, 44, 45"
    )]
    pub event: Option<Event>,
}

/// A key that makes a repeated request the same request.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Idempotency {
    /// What the client sent as `Idempotency-Key`.
    #[prost(string, tag = "1")]
    pub key: String,
    /// SHA-256 of the request that came with it.
    #[prost(bytes = "vec", tag = "2")]
    pub request_sha256: Vec<u8>,
}

impl Idempotency {
    /// The key of one of the many things that a request asks for. No client can send one like it: a
    /// header's value holds no control character.
    #[must_use]
    pub fn of_item(&self, place: usize) -> Self {
        let request_sha256 = self.request_sha256.clone();
        Self { key: format!("{}\u{1}{place}", self.key), request_sha256 }
    }
}

/// What happened, in the past tense. The number is also the record's kind.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Event {
    /// A workspace began.
    #[prost(message, tag = "10")]
    WorkspaceCreated(WorkspaceCreated),
    /// A token is good from now on.
    #[prost(message, tag = "11")]
    TokenCreated(TokenState),
    /// A token is no longer good.
    #[prost(message, tag = "12")]
    TokenRevoked(TokenRevoked),
    /// A link began: its first version.
    #[prost(message, tag = "20")]
    LinkCreated(LinkState),
    /// A link's next version, whole.
    #[prost(message, tag = "21")]
    LinkChanged(LinkState),
    /// A link is gone; its slug is free.
    #[prost(message, tag = "22")]
    LinkDeleted(LinkDeleted),
    /// A deleted link is back: the version after its deletion, whole.
    #[prost(message, tag = "23")]
    LinkRestored(LinkState),
    /// A link is gone for good, be it deleted before or not.
    #[prost(message, tag = "24")]
    LinkPurged(LinkPurged),
    /// A visitor has reported a link.
    #[prost(message, tag = "26")]
    LinkReported(LinkReported),
    /// A report has been dealt with.
    #[prost(message, tag = "27")]
    ReportResolved(ReportResolved),
    /// A workspace claims a domain.
    #[prost(message, tag = "30")]
    DomainAdded(DomainState),
    /// A domain with other settings, whole.
    #[prost(message, tag = "31")]
    DomainChanged(DomainState),
    /// The workspace has shown that the domain is its own.
    #[prost(message, tag = "32")]
    DomainVerified(DomainState),
    /// A domain is the workspace's no more.
    #[prost(message, tag = "33")]
    DomainRemoved(DomainRemoved),
    /// A campaign began.
    #[prost(message, tag = "40")]
    CampaignCreated(PresetState),
    /// A campaign as it is now, whole.
    #[prost(message, tag = "41")]
    CampaignChanged(PresetState),
    /// A campaign is gone; no link belonged to it.
    #[prost(message, tag = "42")]
    CampaignDeleted(PresetDeleted),
    /// A UTM template began.
    #[prost(message, tag = "43")]
    UtmTemplateCreated(PresetState),
    /// A UTM template as it is now, whole.
    #[prost(message, tag = "44")]
    UtmTemplateChanged(PresetState),
    /// A UTM template is gone.
    #[prost(message, tag = "45")]
    UtmTemplateDeleted(PresetDeleted),
}

impl Event {
    /// The record kind of a changed link's next version.
    pub const LINK_CHANGED: u16 = 21;
    /// The record kind of a [`LinkDeleted`].
    pub const LINK_DELETED: u16 = 22;
    /// The record kind of a deleted link that is back.
    pub const LINK_RESTORED: u16 = 23;
    /// The record kind of a [`LinkPurged`].
    pub const LINK_PURGED: u16 = 24;

    /// The record kind, which lets a reader skip without decoding.
    pub const fn kind(&self) -> u16 {
        match self {
            Self::WorkspaceCreated(_) => 10,
            Self::TokenCreated(_) => 11,
            Self::TokenRevoked(_) => 12,
            Self::LinkCreated(_) => 20,
            Self::LinkChanged(_) => Self::LINK_CHANGED,
            Self::LinkDeleted(_) => Self::LINK_DELETED,
            Self::LinkRestored(_) => Self::LINK_RESTORED,
            Self::LinkPurged(_) => Self::LINK_PURGED,
            Self::LinkReported(_) => 26,
            Self::ReportResolved(_) => 27,
            Self::DomainAdded(_) => 30,
            Self::DomainChanged(_) => 31,
            Self::DomainVerified(_) => 32,
            Self::DomainRemoved(_) => 33,
            Self::CampaignCreated(_) => 40,
            Self::CampaignChanged(_) => 41,
            Self::CampaignDeleted(_) => 42,
            Self::UtmTemplateCreated(_) => 43,
            Self::UtmTemplateChanged(_) => 44,
            Self::UtmTemplateDeleted(_) => 45,
        }
    }

    /// What a record kind is called; `None` for one that is not known.
    pub const fn name_of(kind: u16) -> Option<&'static str> {
        Some(match kind {
            10 => "WorkspaceCreated",
            11 => "TokenCreated",
            12 => "TokenRevoked",
            20 => "LinkCreated",
            Self::LINK_CHANGED => "LinkChanged",
            Self::LINK_DELETED => "LinkDeleted",
            Self::LINK_RESTORED => "LinkRestored",
            Self::LINK_PURGED => "LinkPurged",
            26 => "LinkReported",
            27 => "ReportResolved",
            30 => "DomainAdded",
            31 => "DomainChanged",
            32 => "DomainVerified",
            33 => "DomainRemoved",
            40 => "CampaignCreated",
            41 => "CampaignChanged",
            42 => "CampaignDeleted",
            43 => "UtmTemplateCreated",
            44 => "UtmTemplateChanged",
            45 => "UtmTemplateDeleted",
            _ => return None,
        })
    }

    /// The 16 bytes of the thing that it happened to; empty where that is the workspace itself.
    pub fn subject(&self) -> &[u8] {
        match self {
            Self::WorkspaceCreated(_) => &[],
            Self::TokenCreated(token) => &token.id,
            Self::TokenRevoked(revoked) => &revoked.token,
            Self::LinkCreated(link) | Self::LinkChanged(link) | Self::LinkRestored(link) => {
                &link.id
            }
            Self::LinkDeleted(deleted) => &deleted.link,
            Self::LinkPurged(purged) => &purged.link,
            Self::LinkReported(report) => &report.link,
            Self::ReportResolved(resolved) => &resolved.report,
            Self::DomainAdded(domain)
            | Self::DomainChanged(domain)
            | Self::DomainVerified(domain) => &domain.id,
            Self::DomainRemoved(removed) => &removed.domain,
            Self::CampaignCreated(preset)
            | Self::CampaignChanged(preset)
            | Self::UtmTemplateCreated(preset)
            | Self::UtmTemplateChanged(preset) => &preset.id,
            Self::CampaignDeleted(deleted) | Self::UtmTemplateDeleted(deleted) => &deleted.id,
        }
    }
}

/// A workspace began.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct WorkspaceCreated {
    /// What people call it.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// A token is no longer good.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TokenRevoked {
    /// The token's 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub token: Vec<u8>,
}

/// A [`Token`](super::token::Token) as written; its workspace is the envelope's.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[allow(missing_docs, reason = "the same names as in Token")]
pub struct TokenState {
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, repeated, tag = "3")]
    pub abilities: Vec<String>,
    #[prost(bytes = "vec", tag = "4")]
    pub secret_sha256: Vec<u8>,
    #[prost(uint64, tag = "5")]
    pub created_at_ms: u64,
    #[prost(string, optional, tag = "6")]
    pub prefix: Option<String>,
    #[prost(uint64, optional, tag = "7")]
    pub expires_at_ms: Option<u64>,
}

/// A [`Link`] as written; its workspace is the envelope's.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[allow(missing_docs, reason = "the same names as in Link")]
pub struct LinkState {
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// The version whose fields this one brought back, in the event that did so.
    #[prost(uint32, optional, tag = "100")]
    pub reverted_to: Option<u32>,
    #[prost(string, tag = "2")]
    pub domain: String,
    #[prost(string, tag = "3")]
    pub slug: String,
    #[prost(string, tag = "4")]
    pub destination: String,
    #[prost(string, optional, tag = "5")]
    pub title: Option<String>,
    #[prost(string, optional, tag = "6")]
    pub utm_source: Option<String>,
    #[prost(string, optional, tag = "7")]
    pub utm_medium: Option<String>,
    #[prost(string, optional, tag = "8")]
    pub utm_campaign: Option<String>,
    #[prost(string, optional, tag = "9")]
    pub utm_content: Option<String>,
    #[prost(string, optional, tag = "10")]
    pub utm_term: Option<String>,
    /// Said the other way round, so that the default costs no byte.
    #[prost(bool, tag = "11")]
    pub query_dropped: bool,
    #[prost(uint64, tag = "12")]
    pub created_at_ms: u64,
    #[prost(uint64, tag = "13")]
    pub updated_at_ms: u64,
    #[prost(uint32, tag = "14")]
    pub version: u32,
    /// What the link's page shows, where it leads to no address.
    #[prost(oneof = "Payload", tags = "15, 16, 17")]
    pub payload: Option<Payload>,
    #[prost(message, optional, tag = "18")]
    pub gates: Option<Gates>,
    #[prost(message, optional, tag = "19")]
    pub forwarding: Option<Forwarding>,
    #[prost(message, optional, tag = "20")]
    pub labels: Option<Labels>,
    #[prost(message, optional, tag = "21")]
    pub social: Option<Social>,
    #[prost(message, optional, tag = "23")]
    pub rules: Option<RulesState>,
    #[prost(message, optional, tag = "24")]
    pub app: Option<AppLinksState>,
    #[prost(message, optional, tag = "22")]
    pub preview: Option<Preview>,
}

/// A [`Preset`] as written; its kind is the event's, its workspace the envelope's.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[allow(missing_docs, reason = "the same names as in Preset and Utm")]
pub struct PresetState {
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, optional, tag = "3")]
    pub description: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub utm_source: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub utm_medium: Option<String>,
    #[prost(string, optional, tag = "6")]
    pub utm_campaign: Option<String>,
    #[prost(string, optional, tag = "7")]
    pub utm_content: Option<String>,
    #[prost(string, optional, tag = "8")]
    pub utm_term: Option<String>,
    #[prost(uint64, tag = "9")]
    pub created_at_ms: u64,
    #[prost(uint64, tag = "10")]
    pub updated_at_ms: u64,
}

/// A campaign or UTM template is gone.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PresetDeleted {
    /// Its 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
}

/// A record that passed its checksum and still makes no sense: written by a newer slugline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a {0} that this version of slugline can't read: was it written by a newer one?")]
pub struct Unreadable(pub &'static str);

impl From<&Link> for LinkState {
    fn from(link: &Link) -> Self {
        let fields = &link.fields;
        let routing = &fields.routing;
        Self {
            id: link.id.as_bytes().to_vec(),
            reverted_to: None,
            domain: fields.domain.clone(),
            slug: link.slug.as_str().to_owned(),
            destination: fields
                .content
                .destination()
                .map(|url| url.as_str().to_owned())
                .unwrap_or_default(),
            title: fields.title.clone(),
            utm_source: fields.utm.source.clone(),
            utm_medium: fields.utm.medium.clone(),
            utm_campaign: fields.utm.campaign.clone(),
            utm_content: fields.utm.content.clone(),
            utm_term: fields.utm.term.clone(),
            query_dropped: !fields.forward_query,
            created_at_ms: link.created_at_ms,
            updated_at_ms: link.updated_at_ms,
            version: link.version,
            payload: fields.content.payload().cloned(),
            // What nobody asked for costs no byte.
            gates: unless_default(&fields.gates),
            forwarding: unless_default(&fields.forwarding),
            rules: (!routing.rules.is_empty()).then(|| RulesState::from(&routing.rules)),
            app: (!routing.app.is_empty()).then(|| AppLinksState::from(&routing.app)),
            preview: unless_default(&fields.preview),
            labels: unless_default(&fields.labels),
            social: unless_default(&fields.social),
        }
    }
}

fn unless_default<T: Clone + Default + PartialEq>(value: &T) -> Option<T> {
    (*value != T::default()).then(|| value.clone())
}

impl LinkState {
    /// The link, in the workspace that the envelope names.
    ///
    /// # Errors
    /// [`Unreadable`] when the id is none, or a rule can't be understood.
    pub fn into_link(self, workspace: WorkspaceId) -> Result<Link, Unreadable> {
        Ok(Link {
            id: LinkId::from_bytes(&self.id).map_err(|_| Unreadable("link"))?,
            workspace,
            slug: Slug::from_log(&self.slug),
            fields: LinkFields {
                domain: self.domain,
                content: match self.payload {
                    None => Content::Url(Destination::from_log(&self.destination)),
                    Some(payload) => Content::Page(payload),
                },
                title: self.title,
                utm: Utm {
                    source: self.utm_source,
                    medium: self.utm_medium,
                    campaign: self.utm_campaign,
                    content: self.utm_content,
                    term: self.utm_term,
                },
                forward_query: !self.query_dropped,
                forwarding: self.forwarding.unwrap_or_default(),
                gates: self.gates.unwrap_or_default(),
                routing: Routing {
                    rules: self.rules.map(RulesState::into_rules).transpose()?.unwrap_or_default(),
                    app: self.app.map(AppLinks::from).unwrap_or_default(),
                },
                preview: self.preview.unwrap_or_default(),
                labels: self.labels.unwrap_or_default(),
                social: self.social.unwrap_or_default(),
            },
            created_at_ms: self.created_at_ms,
            updated_at_ms: self.updated_at_ms,
            version: self.version,
        })
    }
}

impl From<&Preset> for PresetState {
    fn from(preset: &Preset) -> Self {
        let utm = preset.utm.clone();
        Self {
            id: preset.id.uuid().as_bytes().to_vec(),
            name: preset.name.clone(),
            description: preset.description.clone(),
            utm_source: utm.source,
            utm_medium: utm.medium,
            utm_campaign: utm.campaign,
            utm_content: utm.content,
            utm_term: utm.term,
            created_at_ms: preset.created_at_ms,
            updated_at_ms: preset.updated_at_ms,
        }
    }
}

impl PresetState {
    /// The preset, of the event's kind, in the workspace that the envelope names.
    ///
    /// # Errors
    /// [`Unreadable`] when the id is none.
    pub fn into_preset(
        self,
        kind: PresetKind,
        workspace: WorkspaceId,
    ) -> Result<Preset, Unreadable> {
        let uuid = Uuid::from_slice(&self.id).map_err(|_| Unreadable(kind.noun()))?;
        Ok(Preset {
            id: kind.id(uuid),
            workspace,
            name: self.name,
            description: self.description,
            utm: Utm {
                source: self.utm_source,
                medium: self.utm_medium,
                campaign: self.utm_campaign,
                content: self.utm_content,
                term: self.utm_term,
            },
            created_at_ms: self.created_at_ms,
            updated_at_ms: self.updated_at_ms,
        })
    }
}

//! Links as stored in the mutation log.

use super::{
    Content, Forwarding, Gates, Labels, Link, LinkFields, Payload, Preview, Routing, Social, Utm,
};
use crate::domain::destination::Destination;
use crate::domain::error::Unreadable;
use crate::domain::ids::{LinkId, WorkspaceId};
use crate::domain::rule::app_url::{AppLinkTexts, AppLinks};
use crate::domain::rule::stored::RulesState;
use crate::domain::slug::Slug;

/// A [`Link`] as logged. Its workspace is the envelope's.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[allow(missing_docs, reason = "the same names as in Link")]
pub struct LinkState {
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// The version that a revert restored; only in the event of the revert.
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
    /// Inverted `forward_query`, so that the default takes no bytes.
    #[prost(bool, tag = "11")]
    pub query_dropped: bool,
    #[prost(uint64, tag = "12")]
    pub created_at_ms: u64,
    #[prost(uint64, tag = "13")]
    pub updated_at_ms: u64,
    #[prost(uint32, tag = "14")]
    pub version: u32,
    /// The content of the page, for links that are not redirects.
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
    pub app: Option<AppLinkTexts>,
    #[prost(message, optional, tag = "22")]
    pub preview: Option<Preview>,
}

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
            // Defaults take no bytes.
            gates: unless_default(&fields.gates),
            forwarding: unless_default(&fields.forwarding),
            rules: (!routing.rules.is_empty()).then(|| RulesState::from(&routing.rules)),
            app: (!routing.app.is_empty()).then(|| routing.app.texts()),
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
    /// The link, in the envelope's workspace.
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

//! Links in responses.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::link::{Kind, Link};
use crate::domain::rule::body::RuleBody;
use crate::http::Services;
use crate::http::native::iso8601;
use crate::http::native::page::PageMeta;
use crate::queries::analytics::Counts;
use crate::queries::history::Tombstone;

/// A link.
#[derive(Debug, Serialize, ToSchema)]
#[allow(clippy::struct_excessive_bools, reason = "the answer is flat, as the request is")]
pub struct LinkView {
    #[schema(example = "link_01kaj9m3v8e9qrs4t5v6w7x8y9")]
    id: String,
    slug: String,
    domain: String,
    short_url: String,
    kind: Kind,
    /// Null unless the kind is `url`.
    destination: Option<String>,
    /// Null if the kind is `url`.
    #[schema(value_type = Option<Object>, example = json!(null))]
    payload: Option<serde_json::Value>,
    title: Option<String>,
    utm_source: Option<String>,
    utm_medium: Option<String>,
    utm_campaign: Option<String>,
    utm_content: Option<String>,
    utm_term: Option<String>,
    forward_query: bool,
    forward_path: bool,
    #[schema(example = 302)]
    redirect_status: u16,
    canonical: bool,
    noindex: bool,
    enabled: bool,
    archived: bool,
    #[schema(format = DateTime)]
    starts_at: Option<String>,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    expired_url: Option<String>,
    max_clicks: Option<u64>,
    max_clicks_bots: bool,
    /// Whether visitors need a password, which itself is never shown.
    has_password: bool,
    rules: Vec<RuleBody>,
    ios_url: Option<String>,
    ios_store_url: Option<String>,
    android_url: Option<String>,
    android_store_url: Option<String>,
    preview: bool,
    public_stats: bool,
    tags: Vec<String>,
    folder: Option<String>,
    #[schema(example = "camp_01kaj9m3v8e9qrs4t5v6w7x8y9")]
    campaign: Option<String>,
    external_id: Option<String>,
    notes: Option<String>,
    og_title: Option<String>,
    og_description: Option<String>,
    og_image: Option<String>,
    og_preview: bool,
    /// Clicks without bots. Null in the response to a change of a link, which counts none, and while
    /// analytics are unavailable.
    clicks: Option<u64>,
    /// Unique visitors without bots; null as `clicks` is.
    unique_visitors: Option<u64>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    version: u32,
    /// Present in the list of deleted links only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    deleted_at: Option<String>,
    /// Present in the list of deleted links only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    restorable_until: Option<String>,
}

impl LinkView {
    /// Creates the view of a link with its counts, if they are known.
    pub fn new(services: &Services, link: Link, counts: Option<Counts>) -> Self {
        let fields = link.fields;
        let site = &services.site;
        let short_url = site.short_url(&fields.domain, link.slug.as_str());
        let domain = if fields.domain.is_empty() { site.host.clone() } else { fields.domain };
        let app = fields.routing.app.texts();
        let (gates, labels, social) = (fields.gates, fields.labels, fields.social);
        Self {
            id: link.id.to_string(),
            slug: link.slug.to_string(),
            domain,
            short_url,
            kind: fields.content.kind(),
            destination: fields.content.destination().map(|url| url.as_str().to_owned()),
            payload: fields.content.payload().map(crate::domain::link::Payload::to_json),
            title: fields.title,
            utm_source: fields.utm.source,
            utm_medium: fields.utm.medium,
            utm_campaign: fields.utm.campaign,
            utm_content: fields.utm.content,
            utm_term: fields.utm.term,
            forward_query: fields.forward_query,
            forward_path: fields.forwarding.path,
            redirect_status: fields.forwarding.status(),
            canonical: fields.forwarding.canonical,
            noindex: fields.forwarding.noindex,
            enabled: !gates.disabled,
            archived: gates.archived,
            starts_at: gates.starts_at_ms.map(iso8601),
            expires_at: gates.expires_at_ms.map(iso8601),
            max_clicks: gates.limit.map(|limit| limit.max),
            max_clicks_bots: gates.limit.is_some_and(|limit| limit.counts_bots),
            has_password: gates.password().is_some(),
            preview: !fields.preview.hidden,
            public_stats: fields.preview.public_stats,
            expired_url: gates.expired_url,
            rules: fields.routing.rules.bodies(),
            ios_url: app.ios_url,
            ios_store_url: app.ios_store_url,
            android_url: app.android_url,
            android_store_url: app.android_store_url,
            campaign: labels.campaign().map(|id| id.to_string()),
            tags: labels.tags,
            folder: labels.folder,
            external_id: labels.external_id,
            notes: labels.notes,
            og_title: social.title,
            og_description: social.description,
            og_image: social.image,
            og_preview: social.preview,
            clicks: counts.map(|counts| counts.clicks),
            unique_visitors: counts.map(|counts| counts.visitors),
            created_at: iso8601(link.created_at_ms),
            updated_at: iso8601(link.updated_at_ms),
            version: link.version,
            deleted_at: None,
            restorable_until: None,
        }
    }

    /// Creates the view of a deleted link.
    pub fn of_deleted(services: &Services, deleted: Tombstone) -> Self {
        Self {
            deleted_at: Some(iso8601(deleted.deleted_at_ms)),
            restorable_until: Some(iso8601(deleted.restorable_until_ms)),
            ..Self::new(services, deleted.link, None)
        }
    }
}

/// A page of links.
#[derive(Debug, Serialize, ToSchema)]
pub struct LinkPage {
    /// The links.
    pub data: Vec<LinkView>,
    /// The position of the page in the list.
    pub meta: PageMeta,
}

//! The fields of a link as requests set them, and their validation.

use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::gates::Context;
use super::{
    Content, Field, Forwarding, Gates, Kind, Labels, Link, LinkFields, Password, Payload, Preview,
    Routing, Social, UtmInput,
};
use crate::domain::blocklist::Blocklist;
use crate::domain::destination::Destination;
use crate::domain::error::Invalid;
use crate::domain::ids::RuleId;
use crate::domain::rule::body::RuleBody;
use crate::domain::slug::Slug;

/// The longest title, in characters.
pub const MAX_TITLE_CHARS: usize = 200;

/// How a field is written in a CSV cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellFormat {
    /// Text.
    Text,
    /// `true` or `false`.
    Flag,
    /// A number.
    Number,
    /// A timestamp.
    Timestamp,
    /// Comma-separated names.
    Tags,
    /// JSON.
    Json,
}

/// Declares the fields of a link, each in one line after its documentation:
///
/// - `name: Type`, or `name: Type as Schema` where the API describes another type;
/// - the [`CellFormat`] in CSV files;
/// - more attributes for the schema in brackets, if any: `[example = "launch"]`.
macro_rules! link_fields {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty $(as $shown:ty)?, $cell:ident $([$($schema:tt)+])?;)+) => {
        link_fields!(@declare $(
            [$(#[doc = $doc])+] $name ($type) (($($shown,)? $type)) $cell ($($($schema)+)?)
        )+);
    };
    (@declare $([$($doc:tt)+] $name:ident ($type:ty) (($shown:ty $(, $rest:ty)*)) $cell:ident ($($schema:tt)*))+) => {
        /// The fields of a link to set. `null` clears a field. An absent field gets its default
        /// (POST, PUT) or stays as it is (PATCH; also the slug in PUT).
        #[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct LinkInput {
            $(
                $($doc)+
                #[serde(default)]
                #[schema(value_type = Option<$shown>, $($schema)*)]
                pub $name: Field<$type>,
            )+
            /// The link is imported and may be expired. Not settable by requests.
            #[serde(skip)]
            pub may_be_expired: bool,
        }

        /// The names of the fields, each with its format in CSV files.
        pub const LINK_FIELDS: &[(&str, CellFormat)] = &[$((stringify!($name), CellFormat::$cell)),+];
    };
}

link_fields! {
    /// 1 to 128 letters, digits, `-` and `_`. Generated if absent.
    slug: String, Text [example = "launch"];
    /// The URL that the link redirects to: http or https, at most 8,192 bytes, without
    /// credentials. Required for links of kind `url`, not allowed for other kinds.
    destination: String, Text [example = "https://example.com/page"];
    /// The verified domain of the link, by hostname or id. Defaults to the workspace's default
    /// domain, or else to the service's own.
    domain: String, Text;
    /// A display name of at most 200 characters.
    title: String, Text;
    /// The kind of content; defaults to `url`. Links of the other kinds have a page at `/l/{slug}`.
    kind: Kind, Text;
    /// The content of the page of a link that isn't of kind `url`. `wifi`: `ssid`, `encryption`
    /// (`WPA`, `WEP`, `nopass`), `password`, `hidden`. `vcard`: `name`, `organization`,
    /// `job_title`, `phone`, `email`, `url`, `address`, `note`. `text`: `text`.
    payload: Map<String, Value> as Object, Json;
    /// Added to the destination at the redirect unless the destination has the parameter already.
    utm_source: String, Text;
    /// Like `utm_source`.
    utm_medium: String, Text;
    /// Like `utm_source`.
    utm_campaign: String, Text;
    /// Like `utm_source`.
    utm_content: String, Text;
    /// Like `utm_source`.
    utm_term: String, Text;
    /// Whether the visitor's query string is added to the destination; defaults to true.
    forward_query: bool, Flag;
    /// Whether `/slug/more` redirects to the destination with `/more` appended to its path;
    /// defaults to false.
    forward_path: bool, Flag;
    /// 301, 302, 303, 307 or 308; defaults to 302. Redirects are never cached, so each visit is
    /// counted.
    redirect_status: u16, Number [minimum = 301, maximum = 308];
    /// Whether the response names the destination as canonical (`Link: …; rel="canonical"`).
    canonical: bool, Flag;
    /// Whether the response asks search engines not to index the link (`X-Robots-Tag: noindex`).
    noindex: bool, Flag;
    /// Whether the link works; defaults to true.
    enabled: bool, Flag;
    /// Whether the link is archived: it doesn't work, and lists omit it by default.
    archived: bool, Flag;
    /// When the link starts to work.
    starts_at: String, Timestamp [format = DateTime];
    /// When the link stops working; has to be in the future when it is set.
    expires_at: String, Timestamp [format = DateTime];
    /// Where visitors are redirected after `expires_at`, or once `max_clicks` is reached.
    expired_url: String, Text;
    /// The exact number of clicks that are let through, counted from when the limit is set.
    max_clicks: u64, Number [minimum = 1, maximum = 1_000_000_000_000_u64];
    /// Whether clicks of bots, HEAD requests and prefetches count towards `max_clicks`; defaults to
    /// false. Requests that don't count never see the destination.
    max_clicks_bots: bool, Flag;
    /// A password of at least 4 characters that visitors have to enter. Stored as an argon2id hash
    /// and never returned.
    password: Password as String, Text;
    /// Up to 20 routing rules. They are tried in order; the first whose conditions all match
    /// decides the destination.
    rules: Vec<RuleBody>, Json;
    /// What opens on iOS if no rule matches: a universal link, or an app's own scheme.
    ios_url: String, Text [example = "myapp://spring"];
    /// The App Store page of the app.
    ios_store_url: String, Text;
    /// Like `ios_url`, for Android.
    android_url: String, Text;
    /// The Google Play page of the app.
    android_store_url: String, Text;
    /// Whether `/{slug}+` shows the destination; defaults to true.
    preview: bool, Flag;
    /// Whether that page also shows the number of clicks; defaults to false.
    public_stats: bool, Flag;
    /// Up to 50 tags of 1 to 50 characters, without commas. Tags are compared without regard to
    /// case.
    tags: Vec<String>, Tags [example = json!(["spring", "mail"])];
    /// The folder of the link: a path of at most 200 characters.
    folder: String, Text [example = "clients/acme"];
    /// The id of the link's campaign. A new link inherits those UTM parameters of the campaign that
    /// it doesn't set itself.
    campaign: String, Text [example = "camp_01kaj9m3v8e9qrs4t5v6w7x8y9"];
    /// The link's id in another system: at most 255 visible characters, unique in the workspace.
    external_id: String, Text;
    /// Notes of at most 2,000 characters; line breaks are allowed.
    notes: String, Text;
    /// The id of a UTM template that supplies the UTM parameters not set here. The template itself
    /// is not stored with the link.
    utm_template: String, Text [example = "utm_01kaj9m3v8e9qrs4t5v6w7x8y9"];
    /// The title that social networks show: at most 200 characters.
    og_title: String, Text;
    /// The description that social networks show: at most 500 characters.
    og_description: String, Text;
    /// The image that social networks show: an http or https URL.
    og_image: String, Text;
    /// Whether their crawlers get a page with these instead of a redirect; defaults to false.
    og_preview: bool, Flag;
}

/// How an input is applied.
#[derive(Debug, Clone, Copy)]
pub enum WriteMode<'a> {
    /// Creates a link.
    Create,
    /// Replaces all fields, except for an absent slug.
    Replace(&'a Link),
    /// Changes the fields that are present.
    Update(&'a Link),
}

/// The deployment-specific rules for links.
#[derive(Debug, Clone, Default)]
pub struct LinkPolicy {
    /// The service's own hosts, each with its port unless that is the scheme's default. The first
    /// is the default domain.
    pub own_hosts: Vec<String>,
    /// The blocklist of destinations, which can be replaced at any time.
    pub blocklist: Arc<ArcSwap<Blocklist>>,
}

/// What the validation of an input depends on.
#[derive(Clone, Copy)]
pub struct LinkContext<'a> {
    /// The deployment's policy.
    pub policy: &'a LinkPolicy,
    /// Whether a host (with its port, if any) is a domain of any workspace.
    pub is_hosted: &'a dyn Fn(&str) -> bool,
    /// The current time, in milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// Generates a rule id.
    pub new_rule_id: fn() -> RuleId,
}

/// A validated [`LinkInput`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The slug; generated if `None`.
    pub slug: Option<Slug>,
    /// The validated fields.
    pub fields: LinkFields,
}

impl<'a> WriteMode<'a> {
    /// The existing link, if any.
    const fn link(self) -> Option<&'a Link> {
        match self {
            Self::Create => None,
            Self::Replace(link) | Self::Update(link) => Some(link),
        }
    }

    /// The current fields, which absent fields of the input keep.
    const fn kept(self) -> Option<&'a LinkFields> {
        match self {
            Self::Update(link) => Some(&link.fields),
            Self::Create | Self::Replace(_) => None,
        }
    }
}

impl LinkInput {
    /// Validates the input and applies it to the existing link, if any. `domain` is the resolved
    /// domain of the input, or why it is invalid.
    ///
    /// # Errors
    /// All invalid fields.
    pub fn accept(
        mut self,
        mode: WriteMode<'_>,
        domain: Result<String, String>,
        given: &LinkContext<'_>,
    ) -> Result<Accepted, Invalid> {
        let mut invalid = Invalid::default();
        let old = mode.kept();
        let &LinkContext { policy, is_hosted, now_ms, new_rule_id } = given;
        let is_own = |host: &str| policy.is_own(host) || is_hosted(host);
        let limit = mode.link().and_then(|link| link.fields.gates.limit);
        let version = mode.link().map_or(1, |link| link.version.saturating_add(1));
        let limited_since = limit.map_or(version, |limit| limit.since_version);
        let env = Context { now_ms, limited_since, new_rule_id, is_own: &is_own };

        let slug = match (std::mem::take(&mut self.slug), mode.link()) {
            (Field::Value(text), _) => invalid.check("slug", Slug::parse(&text)),
            (Field::Null, Some(_)) => invalid.check("slug", Err("must not be null".to_owned())),
            (Field::Absent, Some(link)) => Some(link.slug.clone()),
            (Field::Absent | Field::Null, None) => None,
        };
        let content = self.content(old.map(|fields| &fields.content), &env, &mut invalid);
        let domain = invalid.check("domain", domain).unwrap_or_default();
        let utm = old.map(|fields| fields.utm.clone()).unwrap_or_default();
        let utm = self.utm().accept(utm, &mut invalid);
        let title = std::mem::take(&mut self.title);
        let before = old.and_then(|fields| fields.title.clone());
        let title = invalid.text("title", title, before, MAX_TITLE_CHARS);
        let forward_query = std::mem::take(&mut self.forward_query);
        let forward_query =
            forward_query.apply_to(old.map(|fields| fields.forward_query)).unwrap_or(true);
        let forwarding =
            Forwarding::accept(&mut self, old.map(|fields| &fields.forwarding), &mut invalid);
        let gates = old.map(|fields| &fields.gates);
        let gates = Gates::accept(&mut self, gates, &env, &mut invalid);
        let current = mode.link().map(|link| &link.fields);
        let routing = Routing::accept(&mut self, current, old, &env, &mut invalid);
        if !routing.is_empty() && matches!(content, Some(Content::Page(_))) {
            invalid.add("rules", "must be absent: only links of kind url lead elsewhere");
        }
        let labels = Labels::accept(&mut self, old.map(|fields| &fields.labels), &mut invalid);
        let social = Social::accept(&mut self, old.map(|fields| &fields.social), &mut invalid);

        let preview = Preview::accept(&mut self, old.map(|fields| fields.preview));

        invalid.into_result()?;
        // Unreachable: missing content is an error, returned above.
        let content = content.ok_or_else(|| Invalid::field("destination", "is required"))?;
        let fields = LinkFields {
            domain,
            content,
            title,
            utm,
            forward_query,
            forwarding,
            gates,
            routing,
            preview,
            labels,
            social,
        };
        policy.blocklist.load().check(&fields, current)?;
        Ok(Accepted { slug, fields })
    }

    /// Validates the content. A change of the kind requires new content.
    fn content(
        &mut self,
        before: Option<&Content>,
        env: &Context<'_>,
        invalid: &mut Invalid,
    ) -> Option<Content> {
        let kind = std::mem::take(&mut self.kind).apply_to(before.map(Content::kind));
        let kind = kind.unwrap_or_default();
        let before = before.filter(|content| content.kind() == kind);
        let (destination, payload) =
            (std::mem::take(&mut self.destination), std::mem::take(&mut self.payload));
        if kind != Kind::Url {
            if matches!(destination, Field::Value(_)) {
                invalid.add("destination", "must be absent: only links of kind url have one");
            }
            return match payload {
                Field::Value(fields) => Payload::accept(kind, fields, invalid).map(Content::Page),
                Field::Absent if before.is_some() => before.cloned(),
                Field::Absent | Field::Null => {
                    invalid.add("payload", "is required for this kind of link");
                    None
                }
            };
        }
        if let Field::Value(fields) = payload {
            let _noted = Payload::accept(kind, fields, invalid);
        }
        match destination {
            Field::Value(text) => {
                let parsed = Destination::parse(&text, env.is_own);
                invalid.check("destination", parsed).map(Content::Url)
            }
            Field::Absent if before.is_some() => before.cloned(),
            Field::Absent | Field::Null => {
                invalid.add("destination", "is required");
                None
            }
        }
    }

    fn utm(&mut self) -> UtmInput {
        UtmInput {
            source: std::mem::take(&mut self.utm_source),
            medium: std::mem::take(&mut self.utm_medium),
            campaign: std::mem::take(&mut self.utm_campaign),
            content: std::mem::take(&mut self.utm_content),
            term: std::mem::take(&mut self.utm_term),
        }
    }
}

impl LinkPolicy {
    /// Whether a host (with its port unless that is the scheme's default) is the service's own.
    pub fn is_own(&self, host: &str) -> bool {
        self.own_hosts.iter().any(|own| own.eq_ignore_ascii_case(host))
    }
}

impl Invalid {
    /// Validates a text field; an absent field keeps its value.
    pub(in crate::domain) fn text(
        &mut self,
        name: &str,
        asked: Field<String>,
        before: Option<String>,
        max_chars: usize,
    ) -> Option<String> {
        match asked {
            Field::Absent => before,
            Field::Null => None,
            Field::Value(text) => self.check(name, plain_text(&text, max_chars)).flatten(),
        }
    }
}

/// Trims and validates a text: at most `max` characters, no control characters. `None` if blank.
fn plain_text(text: &str, max: usize) -> Result<Option<String>, String> {
    if text.chars().any(char::is_control) {
        return Err("must not contain control characters".to_owned());
    }
    if text.chars().count() > max {
        return Err(format!("must not be longer than {max} characters"));
    }
    let text = text.trim();
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

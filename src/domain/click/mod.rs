//! The records of the click log: clicks, distinct user agents, and
//! [amendments](crate::domain::amendment).
//!
//! The messages are protobuf (derived, without a compiler): field numbers are permanent, readers
//! skip unknown fields, and the concatenated encodings of two parts of a message encode the whole.
//! The redirect path relies on the latter: the link's fields and the agent's fields of a click are
//! encoded once and then copied.

use prost::Message;

mod fields;
pub mod view;

use fields::click_fields;
use view::{Field, FieldValue};

use crate::domain::ids::{LinkId, WorkspaceId};
use crate::domain::link::Labels;
use crate::domain::named_enum;
use crate::domain::wire::{Malformed, Wire};

/// The current layout version of the records.
pub const VERSION: u16 = 1;

/// The record kinds of the click log.
pub mod kind {
    /// A [`super::Click`].
    pub const CLICK: u16 = 100;
    /// An [`super::AgentSeen`].
    pub const AGENT_SEEN: u16 = 101;
    /// A [`LinkForgotten`](crate::domain::amendment::LinkForgotten).
    pub const LINK_FORGOTTEN: u16 = 102;
    /// An [`AgentReclassified`](crate::domain::amendment::AgentReclassified).
    pub const AGENT_RECLASSIFIED: u16 = 103;
    /// A visit blocked by a gate of its link: a [`super::Click`] with the gate in `block`. It isn't
    /// counted as a click.
    pub const BLOCKED: u16 = 104;
}

click_fields! {
    /// An enriched visit of a link. It never has the visitor's IP address.
    pub struct Click {
        /// The time, in milliseconds since the Unix epoch.
        #[prost(uint64, tag = 1)]
        #[column("ts", Time)]
        pub at_ms: u64,
        /// The 16 bytes of the link's workspace.
        #[prost(bytes = "vec", tag = 2)]
        #[column("workspace_id")]
        pub workspace: Vec<u8>,
        /// The 16 bytes of the link's id.
        #[prost(bytes = "vec", tag = 3)]
        #[column("link_id")]
        pub link: Vec<u8>,
        /// The link's version at the time.
        #[prost(uint32, tag = 4)]
        #[column("link_version")]
        pub link_version: u32,
        /// The id of the [`AgentSeen`].
        #[prost(fixed64, tag = 5)]
        #[column("agent_id")]
        pub agent: u64,
        /// `Chrome`, `Safari`, …; empty when unknown.
        #[prost(string, tag = 6)]
        #[column("browser")]
        pub browser: String,
        /// The browser's version, as reported.
        #[prost(string, tag = 7)]
        #[column("browser_version")]
        pub browser_version: String,
        /// `Windows`, `macOS`, `iOS`, `Android`, …; empty when unknown.
        #[prost(string, tag = 8)]
        #[column("os")]
        pub os: String,
        /// The operating system's version, as reported.
        #[prost(string, tag = 9)]
        #[column("os_version")]
        pub os_version: String,
        /// The device type.
        #[prost(enumeration = "Device", tag = 10)]
        #[column("device")]
        pub device: i32,
        /// Why it is classified as a bot's click, or `Human`.
        #[prost(enumeration = "BotReason", tag = 11)]
        #[column("bot")]
        pub bot: i32,
        /// Keyed hash of IP address, agent and workspace; the key is destroyed after its period.
        #[prost(fixed64, tag = 12)]
        #[column("visitor_id")]
        pub visitor: u64,
        /// ISO 3166-1 alpha-2, upper case; empty when unknown.
        #[prost(string, tag = 13)]
        #[column("country")]
        pub country: String,
        /// The region's name or code, as in the geo database; empty when unknown.
        #[prost(string, tag = 14)]
        #[column("region")]
        pub region: String,
        /// The city's English name; empty when unknown.
        #[prost(string, tag = 15)]
        #[column("city")]
        pub city: String,
        /// The referring host, without `www.`; empty for a direct visit. In clicks of earlier
        /// versions, its site (`x.com` for `t.co`).
        #[prost(string, tag = 16)]
        #[column("referrer")]
        pub referrer: String,
        /// The referring URL without query and fragment; empty when absent.
        #[prost(string, tag = 17)]
        #[column("referrer_url")]
        pub referrer_url: String,
        /// Primary language subtag, lower case (`en`); empty when absent.
        #[prost(string, tag = 18)]
        #[column("language")]
        pub language: String,
        /// Whether the request was a HEAD.
        #[prost(bool, tag = 19)]
        #[column("head")]
        pub head: bool,
        /// Whether the request was marked as a prefetch.
        #[prost(bool, tag = 20)]
        #[column("prefetch")]
        pub prefetch: bool,
        /// The link's domain; empty for the default one.
        #[prost(string, tag = 21)]
        #[column("domain")]
        pub domain: String,
        /// The destination, as entered by the owner.
        #[prost(string, tag = 22)]
        #[column("destination")]
        pub destination: String,
        /// `utm_source` of the URL redirected to, or else of the requested one; empty when absent.
        /// The same applies to the other UTM parameters.
        #[prost(string, tag = 23)]
        #[column("utm_source")]
        pub utm_source: String,
        /// `utm_medium`
        #[prost(string, tag = 24)]
        #[column("utm_medium")]
        pub utm_medium: String,
        /// `utm_campaign`
        #[prost(string, tag = 25)]
        #[column("utm_campaign")]
        pub utm_campaign: String,
        /// `utm_content`
        #[prost(string, tag = 26)]
        #[column("utm_content")]
        pub utm_content: String,
        /// `utm_term`
        #[prost(string, tag = 27)]
        #[column("utm_term")]
        pub utm_term: String,
        /// Whether the link was opened by a QR code.
        #[prost(bool, tag = 28)]
        #[column("qr")]
        pub qr: bool,
        /// The id of the rule that chose the destination; empty for the link's own destination.
        #[prost(string, tag = 29)]
        #[column("rule")]
        pub rule: String,
        /// The name of the variant that the visitor was assigned; empty without a split.
        #[prost(string, tag = 30)]
        #[column("variant")]
        pub variant: String,
        /// The click limit that it counts towards, by the link version that set the limit.
        #[prost(uint32, tag = 31)]
        pub limited_since: u32,
        /// Its number within that limit, from 1; 0 if it counts towards none.
        #[prost(uint64, tag = 32)]
        pub limited_nth: u64,
        /// The gate that blocked the visit.
        #[prost(enumeration = "crate::domain::link::Block", tag = 33)]
        pub block: i32,
        /// The 16 bytes of the scanned QR code's id; empty if no code of the link was named.
        #[prost(bytes = "vec", tag = 34)]
        #[column("qr_code")]
        pub qr_code: Vec<u8>,
        /// The link's tags at the time, separated by commas; empty if it had none.
        #[prost(string, tag = 35)]
        #[column("tags")]
        pub tags: String,
        /// The link's folder at the time; empty if it was in none.
        #[prost(string, tag = 36)]
        #[column("folder")]
        pub folder: String,
        /// The id of the link's campaign at the time; empty if it had none.
        #[prost(string, tag = 37)]
        #[column("campaign")]
        pub campaign: String,
    }
}

/// The UTM parameters, in the order of their fields in a [`Click`].
pub const UTM: [&str; 5] = ["utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term"];

/// The field number of `utm_source`, the first of them.
pub const UTM_FIRST_TAG: u32 = 23;
/// `qr` follows them: another parameter needs a number elsewhere.
const _: () = assert!(UTM_FIRST_TAG as usize + UTM.len() <= 28, "`qr` has number 28");

/// The requested link, with its fields of a [`Click`] encoded in advance.
#[derive(Debug, Clone)]
pub struct ClickTarget {
    /// The link's workspace: a visitor has a different id in each workspace.
    pub workspace: WorkspaceId,
    /// The link.
    pub link: LinkId,
    /// The encoding of a [`Click`] with only the link's fields.
    pub part: Box<[u8]>,
    /// Which [`UTM`] parameters the link's own URL has. They take precedence over the visitor's.
    pub has_utm: [bool; UTM.len()],
}

impl ClickTarget {
    /// Encodes the link's fields. `domain` is empty for the default one, `destination` is as
    /// entered by the owner, `location` is the URL redirected to.
    pub fn new(
        workspace: WorkspaceId,
        link: LinkId,
        version: u32,
        domain: &str,
        destination: &str,
        location: &str,
    ) -> Self {
        let query = location.split('#').next().and_then(|address| address.split_once('?'));
        let query = query.map_or("", |(_, query)| query);
        let utm = UTM.map(|name| {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        });
        let has_utm = std::array::from_fn(|at| utm.get(at).is_some_and(Option::is_some));
        let [source, medium, campaign, content, term] = utm.map(Option::unwrap_or_default);
        let click = Click {
            workspace: workspace.as_bytes().to_vec(),
            link: link.as_bytes().to_vec(),
            link_version: version,
            domain: domain.to_owned(),
            destination: destination.to_owned(),
            utm_source: source,
            utm_medium: medium,
            utm_campaign: campaign,
            utm_content: content,
            utm_term: term,
            ..Click::default()
        };
        Self { workspace, link, part: click.encode_to_vec().into(), has_utm }
    }

    /// The same target of a link with these labels.
    #[must_use]
    pub fn labelled(self, labels: &Labels) -> Self {
        self.and(&Click {
            // No tag contains a comma.
            tags: labels.tags.join(","),
            folder: labels.folder.clone().unwrap_or_default(),
            campaign: labels.campaign().map(|id| id.to_string()).unwrap_or_default(),
            ..Click::default()
        })
    }

    /// The same target, chosen by a rule. `rule` and `variant` may be empty.
    #[must_use]
    pub fn by(self, rule: &str, variant: &str) -> Self {
        let (rule, variant) = (rule.to_owned(), variant.to_owned());
        self.and(&Click { rule, variant, ..Click::default() })
    }

    /// Adds the fields of another part.
    fn and(self, part: &Click) -> Self {
        let part = part.encode_to_vec();
        if part.is_empty() {
            return self;
        }
        Self { part: [&*self.part, &part].concat().into(), ..self }
    }
}

/// A user agent, logged separately so that clicks can refer to it and be reclassified later.
///
/// It is logged before the first click that refers to it, and again after a restart or an eviction
/// from the bounded cache. Readers deduplicate by `id`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AgentSeen {
    /// The first eight bytes (big endian) of the SHA-256 of the user agent's text.
    #[prost(fixed64, tag = "1")]
    pub id: u64,
    /// The header's text, truncated to 1,024 bytes.
    #[prost(string, tag = "2")]
    pub user_agent: String,
    /// See [`Click::browser`].
    #[prost(string, tag = "3")]
    pub browser: String,
    /// See [`Click::browser_version`].
    #[prost(string, tag = "4")]
    pub browser_version: String,
    /// See [`Click::os`].
    #[prost(string, tag = "5")]
    pub os: String,
    /// See [`Click::os_version`].
    #[prost(string, tag = "6")]
    pub os_version: String,
    /// The device type.
    #[prost(enumeration = "Device", tag = "7")]
    pub device: i32,
    /// Why the agent is classified as a bot, or `Human`.
    #[prost(enumeration = "BotReason", tag = "8")]
    pub bot: i32,
    /// The pattern of the crawler list that matched; empty otherwise.
    #[prost(string, tag = "9")]
    pub bot_pattern: String,
    /// The time, in milliseconds since the Unix epoch.
    #[prost(uint64, tag = "10")]
    pub at_ms: u64,
}

named_enum! {
    /// The device type of a click.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
    #[repr(i32)]
    pub enum Device {
        /// Unknown.
        Other = 0 => "other",
        /// A desktop or laptop computer.
        Desktop = 1 => "desktop",
        /// A phone.
        Mobile = 2 => "mobile",
        /// A tablet.
        Tablet = 3 => "tablet",
        /// A crawler, an HTTP library or a monitor.
        Bot = 4 => "bot",
    }
}

named_enum! {
    /// Why a click is classified as a bot's; the name of `Human` is empty.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
    #[repr(i32)]
    pub enum BotReason {
        /// It is not.
        Human = 0 => "",
        /// A pattern of the crawler list matches its user agent.
        Pattern = 1 => "pattern",
        /// woothee classifies its user agent as a crawler.
        Woothee = 2 => "woothee",
        /// It is a prefetch.
        Prefetch = 3 => "prefetch",
        /// It is a HEAD request, which shows nothing to anyone.
        Head = 4 => "head",
        /// It has no user agent.
        NoAgent = 5 => "no_agent",
    }
}

//! What the click log holds: clicks, each distinct user agent, and what [amends](crate::domain::amendment)
//! them.
//!
//! The messages are protobuf (by derive, without a compiler): fields are numbered for ever, a
//! reader skips numbers it doesn't know, and the encodings of two parts of one message,
//! put one behind the other, are the encoding of the whole. The redirect path lives on that:
//! the link's part and the agent's part of a click are encoded once and copied thereafter.

use prost::Message;

mod fields;
pub mod view;

use fields::click_fields;
use view::{Field, FieldValue};

use crate::domain::ids::{LinkId, WorkspaceId};
use crate::domain::wire::{Malformed, Wire};

/// The version of both records' layout that is written now.
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
    /// A visit that a gate of its link stopped: a [`super::Click`] that says by which, and that
    /// counts for nothing else.
    pub const BLOCKED: u16 = 104;
}

click_fields! {
    /// An interpreted visit of a link. Never the visitor's address.
    pub struct Click {
        /// When, in milliseconds since the Unix epoch.
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
        /// The version of the link that answered.
        #[prost(uint32, tag = 4)]
        #[column("link_version")]
        pub link_version: u32,
        /// Which [`AgentSeen`] it was.
        #[prost(fixed64, tag = 5)]
        #[column("agent_id")]
        pub agent: u64,
        /// `Chrome`, `Safari`, …; empty when unknown.
        #[prost(string, tag = 6)]
        #[column("browser")]
        pub browser: String,
        /// The browser's version, as it says.
        #[prost(string, tag = 7)]
        #[column("browser_version")]
        pub browser_version: String,
        /// `Windows`, `macOS`, `iOS`, `Android`, …; empty when unknown.
        #[prost(string, tag = 8)]
        #[column("os")]
        pub os: String,
        /// The operating system's version, as it says.
        #[prost(string, tag = 9)]
        #[column("os_version")]
        pub os_version: String,
        /// What kind of machine.
        #[prost(enumeration = "Device", tag = 10)]
        #[column("device")]
        pub device: i32,
        /// Why this is not taken for a human's click; `Human` when it is.
        #[prost(enumeration = "BotReason", tag = 11)]
        #[column("bot")]
        pub bot: i32,
        /// Keyed hash of address, agent and workspace; its key is destroyed when its period ends.
        #[prost(fixed64, tag = 12)]
        #[column("visitor_id")]
        pub visitor: u64,
        /// ISO 3166-1 alpha-2, upper case; empty when unknown.
        #[prost(string, tag = 13)]
        #[column("country")]
        pub country: String,
        /// The region's name or code, as the geo database has it; empty when unknown.
        #[prost(string, tag = 14)]
        #[column("region")]
        pub region: String,
        /// The city's English name; empty when unknown.
        #[prost(string, tag = 15)]
        #[column("city")]
        pub city: String,
        /// The referring host, folded (`x.com` for `t.co`); empty for a direct visit.
        #[prost(string, tag = 16)]
        #[column("referrer")]
        pub referrer: String,
        /// The referring address without query and fragment; empty when absent.
        #[prost(string, tag = 17)]
        #[column("referrer_url")]
        pub referrer_url: String,
        /// Primary language subtag, lower case (`en`); empty when absent.
        #[prost(string, tag = 18)]
        #[column("language")]
        pub language: String,
        /// The request was a HEAD.
        #[prost(bool, tag = 19)]
        #[column("head")]
        pub head: bool,
        /// The request said that it was a prefetch.
        #[prost(bool, tag = 20)]
        #[column("prefetch")]
        pub prefetch: bool,
        /// The link's domain; empty for the default one.
        #[prost(string, tag = 21)]
        #[column("domain")]
        pub domain: String,
        /// Where the link led, as its owner wrote it.
        #[prost(string, tag = 22)]
        #[column("destination")]
        pub destination: String,
        /// `utm_source` of the address that the visitor was sent to, or else of the one that he asked
        /// for; so for the others. Empty where there is none.
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
        /// The visitor came by a QR code.
        #[prost(bool, tag = 28)]
        #[column("qr")]
        pub qr: bool,
        /// The id of the rule that chose where it led; empty where the link's destination was it.
        #[prost(string, tag = 29)]
        #[column("rule")]
        pub rule: String,
        /// The name of the variant that the visitor drew; empty where nothing was drawn.
        #[prost(string, tag = 30)]
        #[column("variant")]
        pub variant: String,
        /// The limit of clicks that it counts for: the link's version at which that began.
        #[prost(uint32, tag = 31)]
        pub limited_since: u32,
        /// Which of the clicks that count for that limit it is, from 1 on; 0 where it counts for none.
        #[prost(uint64, tag = 32)]
        pub limited_nth: u64,
        /// The gate that stopped the visit.
        #[prost(enumeration = "crate::domain::link::Block", tag = 33)]
        pub block: i32,
    }
}

/// The UTM parameters, in the order of their fields in a [`Click`].
pub const UTM: [&str; 5] = ["utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term"];

/// The number of the first of these fields.
pub const UTM_FIRST_TAG: u32 = 23;

/// The link that a visit asked for, its fields of a [`Click`] encoded in advance.
#[derive(Debug, Clone)]
pub struct ClickTarget {
    /// Whose link it is: a visitor has another id in each workspace.
    pub workspace: WorkspaceId,
    /// The encoding of a [`Click`] that has only the link's fields.
    pub part: Box<[u8]>,
    /// Which of the [`UTM`] parameters the link's own address has: a visitor's don't count.
    pub has_utm: [bool; UTM.len()],
}

impl ClickTarget {
    /// Encodes the link's fields. `domain` is empty for the default one; `destination` is as the
    /// owner wrote it, `location` the address that visitors are sent to.
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
        Self { workspace, part: click.encode_to_vec().into(), has_utm }
    }

    /// The same, chosen by a rule; texts are empty for none.
    #[must_use]
    pub fn by(self, rule: &str, variant: &str) -> Self {
        let (rule, variant) = (rule.to_owned(), variant.to_owned());
        let chosen = Click { rule, variant, ..Click::default() }.encode_to_vec();
        Self { part: [&*self.part, &chosen].concat().into(), ..self }
    }
}

/// A user agent, kept once so that clicks can refer to it and be reclassified later.
///
/// It is written before the first click that names it, again after a restart, and again when
/// it fell out of the bounded cache: readers fold by `id`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AgentSeen {
    /// First eight bytes (big endian) of the SHA-256 of the user agent's text.
    #[prost(fixed64, tag = "1")]
    pub id: u64,
    /// The header's text, cut at 1,024 bytes.
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
    /// What kind of machine.
    #[prost(enumeration = "Device", tag = "7")]
    pub device: i32,
    /// Why the agent is taken for a bot, or `Human`.
    #[prost(enumeration = "BotReason", tag = "8")]
    pub bot: i32,
    /// The pattern of the crawler list that matched; empty otherwise.
    #[prost(string, tag = "9")]
    pub bot_pattern: String,
    /// When, in milliseconds since the Unix epoch.
    #[prost(uint64, tag = "10")]
    pub at_ms: u64,
}

/// The kind of machine a click came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum Device {
    /// Nothing known.
    Other = 0,
    /// A desktop or laptop computer.
    Desktop = 1,
    /// A phone.
    Mobile = 2,
    /// A tablet.
    Tablet = 3,
    /// A crawler, a library, a monitor.
    Bot = 4,
}

impl Device {
    /// The word that analytics answers use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Desktop => "desktop",
            Self::Mobile => "mobile",
            Self::Tablet => "tablet",
            Self::Bot => "bot",
        }
    }
}

/// Why a click is not counted as a human's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum BotReason {
    /// It is counted.
    Human = 0,
    /// The crawler list knows its user agent.
    Pattern = 1,
    /// woothee calls it a crawler.
    Woothee = 2,
    /// It said that it was a prefetch.
    Prefetch = 3,
    /// It asked with HEAD: nobody went anywhere.
    Head = 4,
    /// It sent no user agent.
    NoAgent = 5,
}

impl BotReason {
    /// The word that ClickHouse and the log's dump hold; empty for a human.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Human => "",
            Self::Pattern => "pattern",
            Self::Woothee => "woothee",
            Self::Prefetch => "prefetch",
            Self::Head => "head",
            Self::NoAgent => "no_agent",
        }
    }
}

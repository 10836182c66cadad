//! What the click log holds beside clicks: amendments, which change what earlier clicks count for.
//!
//! A click in the log never changes. That its link was deleted, or that its user agent is known for
//! a crawler's by now, is an event of its own behind it; so each count can be told for any offset,
//! and a rebuild comes to the same counts.

use super::click::{BotReason, Device};

/// From here on no answer counts the clicks of a link up to a version of it: it was deleted. That
/// holds wherever in the log they are: a click may be logged late. Where the link is restored, its
/// clicks are of later versions, and count.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LinkForgotten {
    /// When it was noted, in milliseconds since the Unix epoch.
    #[prost(uint64, tag = "1")]
    pub at_ms: u64,
    /// The 16 bytes of the link's workspace.
    #[prost(bytes = "vec", tag = "2")]
    pub workspace: Vec<u8>,
    /// The 16 bytes of the link's id.
    #[prost(bytes = "vec", tag = "3")]
    pub link: Vec<u8>,
    /// The last version whose clicks don't count. `None` in records of older versions of slugline:
    /// then the clicks that the log has before this record don't count, and those behind it do.
    #[prost(uint32, optional, tag = "4")]
    pub through_version: Option<u32>,
}

/// From here on the clicks of an agent before this record count for something else: the crawler
/// list knows better now.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AgentReclassified {
    /// When it was decided, in milliseconds since the Unix epoch.
    #[prost(uint64, tag = "1")]
    pub at_ms: u64,
    /// Which [`AgentSeen`](super::click::AgentSeen).
    #[prost(fixed64, tag = "2")]
    pub agent: u64,
    /// Only its clicks from this moment on, in milliseconds since the Unix epoch.
    #[prost(uint64, tag = "3")]
    pub since_ms: u64,
    /// What kind of machine it is taken for.
    #[prost(enumeration = "Device", tag = "4")]
    pub device: i32,
    /// Why it is taken for a bot, or `Human`.
    #[prost(enumeration = "BotReason", tag = "5")]
    pub bot: i32,
    /// The pattern of the crawler list that matched; empty otherwise.
    #[prost(string, tag = "6")]
    pub bot_pattern: String,
}

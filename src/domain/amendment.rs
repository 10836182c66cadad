//! Amendments: records of the click log that change how earlier clicks are counted.
//!
//! A click in the log never changes. The deletion of its link, or the reclassification of its user
//! agent as a crawler, is a separate record after it. So the counts at any offset are well defined,
//! and a rebuild produces the same counts.

use super::click::{BotReason, Device};

/// A link was deleted: its clicks up to a version no longer count, wherever they are in the log,
/// because a click may be logged late. Clicks of a restored link belong to later versions and
/// count.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LinkForgotten {
    /// When the record was written, in milliseconds since the Unix epoch.
    #[prost(uint64, tag = "1")]
    pub at_ms: u64,
    /// The 16 bytes of the link's workspace.
    #[prost(bytes = "vec", tag = "2")]
    pub workspace: Vec<u8>,
    /// The 16 bytes of the link's id.
    #[prost(bytes = "vec", tag = "3")]
    pub link: Vec<u8>,
    /// The last version whose clicks don't count. `None` in records of older versions of slugline:
    /// then the clicks before this record don't count, and those after it do.
    #[prost(uint32, optional, tag = "4")]
    pub through_version: Option<u32>,
}

/// The clicks of a user agent before this record are reclassified, because the crawler list has
/// changed.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AgentReclassified {
    /// When the agent was reclassified, in milliseconds since the Unix epoch.
    #[prost(uint64, tag = "1")]
    pub at_ms: u64,
    /// The id of the [`AgentSeen`](super::click::AgentSeen).
    #[prost(fixed64, tag = "2")]
    pub agent: u64,
    /// Only clicks from this time on are reclassified; in milliseconds since the Unix epoch.
    #[prost(uint64, tag = "3")]
    pub since_ms: u64,
    /// The new device type.
    #[prost(enumeration = "Device", tag = "4")]
    pub device: i32,
    /// Why it is classified as a bot, or `Human`.
    #[prost(enumeration = "BotReason", tag = "5")]
    pub bot: i32,
    /// The pattern of the crawler list that matched; empty otherwise.
    #[prost(string, tag = "6")]
    pub bot_pattern: String,
}

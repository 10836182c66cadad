//! The events that remove a link: deletion, which can be undone for some time, and purge.

use crate::domain::ids::LinkId;
use crate::domain::retention::{RESTORABLE_MS, UNSTATED_RESTORABLE_MS};

/// A link was deleted.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LinkDeleted {
    /// The link's 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub link: Vec<u8>,
    /// The version that the deletion makes; `None` in records of older versions of slugline.
    #[prost(uint32, optional, tag = "2")]
    pub version: Option<u32>,
    /// The deadline for restoring the link, in milliseconds since the Unix epoch; `None` as above.
    #[prost(uint64, optional, tag = "3")]
    pub restorable_until_ms: Option<u64>,
}

/// A link was purged.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LinkPurged {
    /// The link's 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub link: Vec<u8>,
}

impl LinkDeleted {
    /// The deletion of a link that is at `version`.
    pub fn new(link: LinkId, version: u32, now_ms: u64) -> Self {
        Self {
            link: link.as_bytes().to_vec(),
            version: Some(version.saturating_add(1)),
            restorable_until_ms: Some(now_ms.saturating_add(RESTORABLE_MS)),
        }
    }

    /// The deadline for restoring a link that was deleted at `deleted_at_ms`.
    pub fn deadline_ms(&self, deleted_at_ms: u64) -> u64 {
        let unstated = deleted_at_ms.saturating_add(UNSTATED_RESTORABLE_MS);
        self.restorable_until_ms.unwrap_or(unstated)
    }
}

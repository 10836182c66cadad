//! Rate limits: how many requests a window of time may contain.

use serde::Deserialize;

use crate::domain::named_enum;

named_enum! {
    /// The cost class of a request to the API.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum RateClass {
        /// Most requests.
        Standard => "standard",
        /// Requests that read all clicks, or a large file.
        Heavy => "heavy",
    }
}

named_enum! {
    /// What the requests of a rate limit have in common.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum RateScope {
        /// The API token; the session of a request without one.
        Token => "token",
        /// The user, with all tokens and sessions in the workspace; the machine token of a request
        /// without one.
        User => "user",
        /// The workspace.
        Workspace => "workspace",
    }
}

named_enum! {
    /// The length of a sliding window.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum RateWindow {
        /// 60 seconds.
        Minute => "minute",
        /// 3,600 seconds.
        Hour => "hour",
    }
}

impl RateWindow {
    /// The length in seconds.
    pub const fn seconds(self) -> u32 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
        }
    }
}

/// A rate limit of a plan. The window slides: it ends at each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Which requests count together.
    pub scope: RateScope,
    /// The only class that counts; `None` for all.
    pub class: Option<RateClass>,
    /// The maximum number of requests in a window; at least 1.
    pub requests: u32,
    /// The length of the window.
    pub window: RateWindow,
}

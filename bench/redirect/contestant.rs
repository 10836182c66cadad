//! The two servers.

use clap::ValueEnum;
use serde::Serialize;

/// One of the two servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Contestant {
    /// The axum server that only redirects.
    Bare,
    /// slugline.
    Slugline,
}

impl Contestant {
    /// The name in tables and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare axum",
            Self::Slugline => "slugline",
        }
    }
}

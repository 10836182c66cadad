//! The servers.

use clap::ValueEnum;
use serde::Serialize;

/// One of the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Contestant {
    /// The axum server that only redirects.
    Bare,
    /// slugline.
    Slugline,
    /// The server that `--target` names, instead of slugline.
    #[value(skip)]
    Target,
}

impl Contestant {
    /// The name in tables and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare axum",
            Self::Slugline => "slugline",
            Self::Target => "target",
        }
    }
}

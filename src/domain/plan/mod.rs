//! Plans: the features and limits of a workspace.

pub mod rate;

/// A feature that some plans lack. There is none yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {}

/// A workspace's plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// The maximum number of links; `None` for no limit.
    pub max_links: Option<u64>,
}

impl Plan {
    /// No limits: currently the plan of every workspace.
    pub const UNLIMITED: Self = Self { max_links: None };

    /// Whether the plan includes a feature.
    pub const fn includes(self, feature: Feature) -> bool {
        match feature {}
    }
}

//! Plans: what a workspace may do and how much, and what that costs.
//!
//! The operator describes the plans in a [`Catalogue`]. A workspace has an [`AssignedPlan`], which
//! names one of them and may override its limits; without one it has the catalogue's default plan,
//! which is unlimited unless the catalogue says otherwise.

pub mod catalogue;
pub mod command;
pub mod credit;
pub mod invoice;
pub mod limit;
pub mod rate;
pub mod recharge;
pub mod state;
pub mod subscription;

use std::sync::Arc;

pub use catalogue::Catalogue;
pub use limit::{Limit, Limits, Month};
pub use state::AssignedPlan;

use serde::Deserialize;

use super::link::Kind;
use super::money::Money;
use super::named_enum;
use rate::RateLimit;

named_enum! {
    /// A feature that some plans lack.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Feature {
        /// Requests with an API token or a JWT.
        Api => "api",
        /// Slugs that are chosen, not generated.
        CustomSlugs => "custom_slugs",
        /// Domains of one's own.
        Domains => "domains",
        /// Links with a password.
        Passwords => "passwords",
        /// Links with routing rules.
        Rules => "rules",
        /// Imports of links.
        Imports => "imports",
        /// Exports of clicks.
        Exports => "exports",
    }
}

named_enum! {
    /// How often the price of a plan is paid.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Interval {
        /// Each month.
        Month => "month",
        /// Each year.
        Year => "year",
    }
}

/// The price of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    /// The amount.
    pub money: Money,
    /// How often it is paid.
    pub interval: Interval,
}

/// A plan as the catalogue describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanDefinition {
    /// The id, such as `linktj/free`; the part before the `/` is the product.
    pub id: String,
    /// The name, such as `Free`.
    pub name: String,
    /// The price; `None` if it is not for sale.
    pub price: Option<Price>,
    /// The days before the first payment.
    pub trial_days: u32,
    /// The rate limits, all of which apply.
    pub rates: Vec<RateLimit>,
    /// The limits.
    pub limits: Limits,
    /// The kinds of links that can be created.
    pub kinds: Vec<Kind>,
    /// The features.
    pub features: Vec<Feature>,
}

impl PlanDefinition {
    /// The part of an id before the `/`; empty without one.
    pub fn product(&self) -> &str {
        self.id.split_once('/').map_or("", |(product, _)| product)
    }
}

/// The plan of a workspace. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The catalogue's description.
    pub definition: Arc<PlanDefinition>,
    /// The limits with the workspace's overrides, if it has any.
    overridden: Option<Arc<Limits>>,
}

impl Plan {
    /// The limits, with the workspace's overrides.
    pub fn limits(&self) -> &Limits {
        self.overridden.as_deref().unwrap_or(&self.definition.limits)
    }

    /// Whether the plan includes a feature.
    pub fn includes(&self, feature: Feature) -> bool {
        self.definition.features.contains(&feature)
    }

    /// Whether links of a kind can be created.
    pub fn allows_kind(&self, kind: Kind) -> bool {
        self.definition.kinds.contains(&kind)
    }
}

/// A limit of a workspace's plan is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitReached {
    /// Which limit.
    pub limit: Limit,
    /// Its value.
    pub max: u64,
    /// The next plan that allows more, if there is one.
    pub recommended: Option<Arc<PlanDefinition>>,
}

//! Subscriptions: what a workspace pays for its plan, as a payment provider reports it.
//!
//! `trialing` → `active` ⇄ `past_due`; each of them → `canceled`, which keeps the plan until the
//! subscription ends, or → `unpaid`, which does not. There is no subscription after its end, and
//! the workspace has the plan from before it.
//!
//! Payments are made elsewhere. A provider's report is translated into a [`ProviderReport`] and
//! decided by the single writer, once for each id of the provider.

pub use super::invoice::{Invoice, InvoiceStatus};

use super::credit::CreditKind;
use super::state::AssignedPlan;
use crate::domain::ids::RechargeId;
use crate::domain::money::Money;
use crate::domain::named_enum;

named_enum! {
    /// The state of a subscription.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    #[repr(u8)]
    pub enum SubscriptionStatus {
        /// It has begun, and nothing is paid yet.
        Trialing = 1 => "trialing",
        /// It is paid.
        Active = 2 => "active",
        /// A payment failed; the plan stays while the provider tries again.
        PastDue = 3 => "past_due",
        /// It ends with the period.
        Canceled = 4 => "canceled",
        /// The provider gave up on a payment, or the trial ended without one: the plan from before
        /// the subscription applies until something is paid.
        Unpaid = 5 => "unpaid",
    }
}

impl SubscriptionStatus {
    /// The status with this number in the log, if any.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::EVERY.iter().copied().find(|status| *status as u32 == number)
    }
}

/// A subscription in full.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SubscriptionState {
    /// The name of the provider.
    #[prost(string, tag = "1")]
    pub provider: String,
    /// The provider's id.
    #[prost(string, tag = "2")]
    pub reference: String,
    /// The id of the plan in the catalogue.
    #[prost(string, tag = "3")]
    pub plan: String,
    /// The number of the [`SubscriptionStatus`].
    #[prost(uint32, tag = "4")]
    pub status: u32,
    /// When it started, in milliseconds since the Unix epoch.
    #[prost(uint64, tag = "5")]
    pub started_at_ms: u64,
    /// The start of the current period.
    #[prost(uint64, tag = "6")]
    pub period_start_ms: u64,
    /// The end of the current period.
    #[prost(uint64, tag = "7")]
    pub period_end_ms: u64,
    /// When the canceled subscription ends; absent if it goes on.
    #[prost(uint64, optional, tag = "8")]
    pub ends_at_ms: Option<u64>,
    /// When the provider made the last report about it. Earlier ones change nothing any more.
    #[prost(uint64, tag = "9")]
    pub reported_at_ms: u64,
    /// The plan that the operator had assigned before, which applies again afterwards; absent for
    /// the catalogue's default.
    #[prost(message, optional, tag = "10")]
    pub previous_plan: Option<AssignedPlan>,
}

impl SubscriptionState {
    /// Whether its plan applies.
    pub const fn has_plan(&self) -> bool {
        self.status != SubscriptionStatus::Unpaid as u32
    }
}

/// A subscription started, was renewed, changed, or ended.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SubscriptionChange {
    /// The provider's id of the report, with its name before: `stripe:evt_1`. Empty if the
    /// subscription ended by itself.
    #[prost(string, tag = "1")]
    pub report: String,
    /// The subscription afterwards; absent if it had ended before.
    #[prost(message, optional, tag = "2")]
    pub subscription: Option<SubscriptionState>,
    /// The invoice that was reported.
    #[prost(message, optional, tag = "3")]
    pub invoice: Option<Invoice>,
    /// What a change of the plan within the period costs, in minor units of the price's currency;
    /// negative for a credit. Absent if the provider did not say.
    #[prost(sint64, optional, tag = "4")]
    pub proration_minor: Option<i64>,
}

/// A payment was refunded.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PaymentRefunded {
    /// As in [`SubscriptionChange`].
    #[prost(string, tag = "1")]
    pub report: String,
    /// The invoice afterwards.
    #[prost(message, optional, tag = "2")]
    pub invoice: Option<Invoice>,
    /// The 16 bytes of the grant of credits that was paid with it; empty for none.
    #[prost(bytes = "vec", tag = "3")]
    pub grant: Vec<u8>,
    /// The maximum number of unused credits that are withdrawn.
    #[prost(uint64, tag = "4")]
    pub credits: u64,
}

/// What a provider reports about a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderReport {
    /// The name of the provider.
    pub provider: &'static str,
    /// The provider's id of the report.
    pub id: String,
    /// When the provider made it, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What it says.
    pub change: ProviderChange,
}

/// A period of a subscription, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// The start.
    pub start_ms: u64,
    /// The end.
    pub end_ms: u64,
}

/// An amount that was invoiced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The provider's id of the invoice, or else of the payment.
    pub invoice: String,
    /// The provider's id of the payment, if it has one of its own.
    pub payment: String,
    /// The amount.
    pub money: Money,
}

/// What a provider says. `subscription` is the provider's id of one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields have the names of what they hold")]
pub enum ProviderChange {
    /// A subscription started.
    Started { subscription: String, plan: String, is_trial: bool, period: Option<Period> },
    /// A period was paid.
    Paid { subscription: String, charge: Charge, period: Option<Period> },
    /// A payment failed.
    PaymentFailed { subscription: String, charge: Charge },
    /// The subscription as it is now: its plan, its period, and when it ends.
    Updated {
        subscription: String,
        plan: Option<String>,
        status: Option<SubscriptionStatus>,
        period: Option<Period>,
        ends_at_ms: Option<u64>,
        proration_minor: Option<i64>,
    },
    /// It ended.
    Ended { subscription: String },
    /// Credits were bought, by an auto-recharge if it is named.
    CreditsBought { kind: CreditKind, amount: u64, charge: Charge, recharge: Option<RechargeId> },
    /// The payment of an auto-recharge failed.
    RechargeFailed { recharge: RechargeId, reason: String },
    /// An invoice was paid by this payment.
    InvoicePaid { invoice: String, payment: String },
    /// A payment was refunded, so far by this amount in minor units; `payment` is the provider's id
    /// of the payment or of the invoice.
    Refunded { payment: String, refunded_minor: i64 },
}

impl ProviderChange {
    /// The provider's id by which the workspace is found, if the report does not name it.
    pub fn reference(&self) -> Option<&str> {
        match self {
            Self::Started { subscription, .. }
            | Self::Paid { subscription, .. }
            | Self::PaymentFailed { subscription, .. }
            | Self::Updated { subscription, .. }
            | Self::Ended { subscription } => Some(subscription),
            Self::CreditsBought { .. } | Self::RechargeFailed { .. } => None,
            Self::InvoicePaid { invoice, .. } => Some(invoice),
            Self::Refunded { payment, .. } => Some(payment),
        }
    }
}

//! Commands on the plan, the usage and the credits of the actor's workspace. The operator, the
//! service itself and payment providers give them; members only change the auto-recharge.

use super::credit::CreditKind;
use super::recharge::AutoRecharge;
use super::state::{AssignedPlan, CreditGrant};
use super::subscription::ProviderReport;
use crate::domain::ids::{GrantId, ImportId};
use crate::domain::token::Ability;

/// A command on the plan, the usage or the credits of the actor's workspace.
#[derive(Debug, Clone)]
pub enum BillingCommand {
    /// Changes the plan; `None` for the catalogue's default.
    ChangePlan(Option<AssignedPlan>),
    /// Counts requests to the API.
    CountApiCalls(u64),
    /// Grants credits.
    GrantCredits(Box<CreditGrant>),
    /// Withdraws up to a number of the unused credits of a grant.
    RefundCredits(GrantId, u64),
    /// Removes a grant that has expired.
    ExpireCredits(GrantId),
    /// Reserves credits, and a part of the monthly allowance, for an import that starts.
    Reserve {
        /// The import.
        import: ImportId,
        /// The maximum number of links that it creates.
        links: u64,
        /// Whether to reserve what there is if that is too little for all links.
        is_partial: bool,
    },
    /// Releases what is left of the reservation of an import.
    Release(ImportId),
    /// Applies a report of a payment provider.
    Report(Box<ProviderReport>),
    /// Ends a canceled subscription whose time has come.
    EndSubscription,
    /// Changes the auto-recharge of a kind of credits.
    ChangeAutoRecharge(AutoRecharge),
    /// Requests credits of a kind if too few are left, or closes a request without an answer.
    Recharge(CreditKind),
}

impl BillingCommand {
    /// The ability that the actor needs.
    pub const fn ability(&self) -> Ability {
        match self {
            Self::ChangeAutoRecharge(_) => Ability::BillingWrite,
            _ => Ability::WorkspaceWrite,
        }
    }
}

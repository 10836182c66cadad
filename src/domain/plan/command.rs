//! Commands on the plan, the usage and the credits of the actor's workspace. Only the operator, the
//! service itself and payment providers give them.

use super::state::{AssignedPlan, CreditGrant};
use super::subscription::ProviderReport;
use crate::domain::ids::GrantId;

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
    /// Applies a report of a payment provider.
    Report(Box<ProviderReport>),
    /// Ends a canceled subscription whose time has come.
    EndSubscription,
}

//! Plans, usage and credits as stored in the mutation log and in the index. Their workspace is the
//! envelope's.

use super::invoice::Invoice;

/// The plan of a workspace was changed.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PlanChanged {
    /// The plan; absent for the catalogue's default.
    #[prost(message, optional, tag = "1")]
    pub plan: Option<AssignedPlan>,
}

/// The plan of a workspace.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AssignedPlan {
    /// The id in the catalogue.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The limits that differ from the plan's.
    #[prost(message, repeated, tag = "2")]
    pub overrides: Vec<LimitOverride>,
}

/// A limit of a workspace that differs from its plan's.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LimitOverride {
    /// The name of the [`Limit`](super::Limit).
    #[prost(string, tag = "1")]
    pub limit: String,
    /// The value; absent for no limit.
    #[prost(uint64, optional, tag = "2")]
    pub value: Option<u64>,
}

/// Requests to the API were counted.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ApiCallsCounted {
    /// The number of requests since the last such event.
    #[prost(uint64, tag = "1")]
    pub calls: u64,
}

/// Credits were granted. In the index: with the credits that are left.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CreditGrant {
    /// The 16 bytes of the id.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// The number of the [`CreditKind`](super::credit::CreditKind).
    #[prost(uint32, tag = "2")]
    pub kind: u32,
    /// The number of credits.
    #[prost(uint64, tag = "3")]
    pub amount: u64,
    /// When unused credits expire, in milliseconds since the Unix epoch; absent for never.
    #[prost(uint64, optional, tag = "4")]
    pub expires_at_ms: Option<u64>,
    /// Why, for people.
    #[prost(string, tag = "5")]
    pub note: String,
    /// The provider's report, as in
    /// [`SubscriptionChange`](super::subscription::SubscriptionChange); empty if they were not
    /// bought.
    #[prost(string, tag = "6")]
    pub report: String,
    /// The invoice, if they were bought.
    #[prost(message, optional, tag = "7")]
    pub invoice: Option<Invoice>,
    /// How many were granted, in the index only, where `amount` is what is left.
    #[prost(uint64, tag = "8")]
    pub granted: u64,
    /// The 16 bytes of the id of the auto-recharge, if they were bought by one.
    #[prost(bytes = "vec", tag = "9")]
    pub recharge: Vec<u8>,
}

/// The unused credits of a grant were withdrawn.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CreditsWithdrawn {
    /// The grant's 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub grant: Vec<u8>,
    /// The maximum number of credits to withdraw.
    #[prost(uint64, tag = "2")]
    pub amount: u64,
}

/// Credits were reserved for an import, and a part of the monthly allowance.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CreditsReserved {
    /// The 16 bytes of the import's id.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// The number of the [`CreditKind`](super::credit::CreditKind).
    #[prost(uint32, tag = "2")]
    pub kind: u32,
    /// The number of credits.
    #[prost(uint64, tag = "3")]
    pub amount: u64,
    /// How many the import creates within the allowance.
    #[prost(uint64, tag = "4")]
    pub allowance: u64,
}

/// The reservation of an import ended.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CreditsReleased {
    /// The 16 bytes of the import's id.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// The number of the [`CreditKind`](super::credit::CreditKind).
    #[prost(uint32, tag = "2")]
    pub kind: u32,
    /// The number of credits that were left.
    #[prost(uint64, tag = "3")]
    pub amount: u64,
}

/// Credits that the command of an event uses.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Debit {
    /// The number of the [`CreditKind`](super::credit::CreditKind).
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    /// The number of credits.
    #[prost(uint64, tag = "2")]
    pub amount: u64,
}

/// The credits of a workspace, as stored in the index.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CreditsState {
    /// The grants with credits left, reserved ones included, oldest first. Their amounts are
    /// without reserved credits.
    #[prost(message, repeated, tag = "1")]
    pub grants: Vec<CreditGrant>,
    /// The open reservations, oldest first.
    #[prost(message, repeated, tag = "2")]
    pub reservations: Vec<Reservation>,
}

/// What is left of a reservation, as stored in the index.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Reservation {
    /// The 16 bytes of the import's id.
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    /// The number of the [`CreditKind`](super::credit::CreditKind).
    #[prost(uint32, tag = "2")]
    pub kind: u32,
    /// How many more the import creates within the monthly allowance.
    #[prost(uint64, tag = "3")]
    pub allowance: u64,
    /// The credits; those that expire first are first.
    #[prost(message, repeated, tag = "4")]
    pub credits: Vec<GrantPart>,
}

/// Credits of a grant.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GrantPart {
    /// The grant's 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub grant: Vec<u8>,
    /// The number of credits.
    #[prost(uint64, tag = "2")]
    pub amount: u64,
}

/// A change of a workspace's credits, as stored in the index.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LedgerEntry {
    /// In milliseconds since the Unix epoch.
    #[prost(uint64, tag = "1")]
    pub at_ms: u64,
    /// The number of the [`LedgerEntryKind`](super::credit::LedgerEntryKind).
    #[prost(uint32, tag = "2")]
    pub entry: u32,
    /// The number of the [`CreditKind`](super::credit::CreditKind).
    #[prost(uint32, tag = "3")]
    pub kind: u32,
    /// The number of credits.
    #[prost(uint64, tag = "4")]
    pub amount: u64,
    /// The credits of the kind afterwards.
    #[prost(uint64, tag = "5")]
    pub balance: u64,
    /// The 16 bytes of the grant, of the import that reserved the credits, or of what the debited
    /// credits were used for.
    #[prost(bytes = "vec", tag = "6")]
    pub subject: Vec<u8>,
    /// Why, for people.
    #[prost(string, tag = "7")]
    pub note: String,
    /// The 16 bytes of the import whose reserved credits were debited; empty for none.
    #[prost(bytes = "vec", tag = "8")]
    pub reservation: Vec<u8>,
}

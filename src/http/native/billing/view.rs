//! Plans, usage and credits in responses.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::error::{Result, ServiceError};
use crate::domain::ids::{GrantId, ImportId, LinkId, QrCodeId};
use crate::domain::money::Money;
use crate::domain::plan::credit::{CreditKind, LedgerEntryKind};
use crate::domain::plan::limit::{Limit, Limits, Month};
use crate::domain::plan::rate::{RateClass, RateLimit};
use crate::domain::plan::state::{CreditGrant, LedgerEntry};
use crate::domain::plan::subscription::{
    Invoice, InvoiceStatus, SubscriptionState, SubscriptionStatus,
};
use crate::domain::plan::{Feature, Plan, PlanDefinition, Price};
use crate::http::native::iso8601;
use crate::queries::plans::{Credits, Used};

/// An amount of money that is paid periodically.
#[derive(Debug, Serialize, ToSchema)]
pub struct PriceView {
    /// An exact decimal.
    #[schema(example = "8.00")]
    amount: String,
    #[schema(example = "EUR")]
    currency: String,
    /// `month` or `year`.
    #[schema(example = "month")]
    interval: &'static str,
}

impl From<Price> for PriceView {
    fn from(Price { money, interval }: Price) -> Self {
        let currency = money.currency.to_string();
        Self { amount: money.amount(), currency, interval: interval.as_str() }
    }
}

/// A rate limit.
#[derive(Debug, Serialize, ToSchema)]
pub struct RateView {
    /// What the counted requests have in common: `token`, `user` or `workspace`.
    #[schema(example = "token")]
    per: &'static str,
    /// The class of requests that counts, `standard` or `heavy`; null for all.
    class: Option<&'static str>,
    /// The maximum number of requests in the window.
    #[schema(example = 60)]
    requests: u32,
    /// The length of the sliding window: `minute` or `hour`.
    #[schema(example = "minute")]
    window: &'static str,
}

impl From<RateLimit> for RateView {
    fn from(rate: RateLimit) -> Self {
        Self {
            per: rate.scope.as_str(),
            class: rate.class.map(RateClass::as_str),
            requests: rate.requests,
            window: rate.window.as_str(),
        }
    }
}

/// A plan.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlanView {
    #[schema(example = "acme/free")]
    id: String,
    #[schema(example = "Free")]
    name: String,
    /// Null if the plan is not for sale.
    price: Option<PriceView>,
    /// The days before the first payment.
    trial_days: u32,
    rates: Vec<RateView>,
    /// The value of each limit; null for no limit.
    #[schema(example = json!({"links_per_month": 100, "analytics_retention_days": 30}))]
    limits: BTreeMap<&'static str, Option<u64>>,
    /// The kinds of links that can be created.
    #[schema(example = json!(["url"]))]
    kinds: Vec<&'static str>,
    /// The features.
    #[schema(example = json!(["api", "custom_slugs"]))]
    features: Vec<&'static str>,
}

impl PlanView {
    /// A plan with these limits.
    pub fn of(plan: &PlanDefinition, limits: &Limits) -> Self {
        let limits = Limit::EVERY.iter().map(|limit| (limit.as_str(), limits.get(*limit)));
        Self {
            id: plan.id.clone(),
            name: plan.name.clone(),
            price: plan.price.map(PriceView::from),
            trial_days: plan.trial_days,
            rates: plan.rates.iter().copied().map(RateView::from).collect(),
            limits: limits.collect(),
            kinds: plan.kinds.iter().map(|kind| kind.as_str()).collect(),
            features: plan.features.iter().copied().map(Feature::as_str).collect(),
        }
    }
}

/// What a workspace has used of a limit.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsedView {
    /// Null if it is not known: the number of clicks while the analytics are unavailable, and that
    /// of API calls if no plan limits them.
    used: Option<u64>,
    /// Null for no limit.
    limit: Option<u64>,
    /// What is left of the limit; null for no limit.
    remaining: Option<u64>,
    /// By how much the limit is exceeded.
    over: u64,
    unlimited: bool,
    /// The credits that can be used beyond the limit; null if there are none of this kind.
    credits: Option<u64>,
}

impl From<&Used> for UsedView {
    fn from(Used { used, max, credits, .. }: &Used) -> Self {
        let both = used.zip(*max);
        Self {
            used: *used,
            limit: *max,
            remaining: both.map(|(used, max)| max.saturating_sub(used)),
            over: both.map_or(0, |(used, max)| used.saturating_sub(max)),
            unlimited: max.is_none(),
            credits: *credits,
        }
    }
}

/// The plan of a workspace, and what it has used.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsageView {
    plan: PlanView,
    /// What was used of each limit.
    usage: BTreeMap<&'static str, UsedView>,
    /// The month of the monthly limits, in UTC.
    #[schema(example = "2026-11")]
    month: String,
    /// When the next month begins.
    #[schema(format = DateTime)]
    resets_at: String,
}

impl UsageView {
    pub fn new(plan: &Plan, used: &[Used], month: Month) -> Self {
        let resets_at = month.next().start().as_millisecond();
        Self {
            plan: PlanView::of(&plan.definition, plan.limits()),
            usage: used.iter().map(|used| (used.limit.as_str(), used.into())).collect(),
            month: month.start().strftime("%Y-%m").to_string(),
            resets_at: iso8601(resets_at.unsigned_abs()),
        }
    }
}

/// A grant with credits left.
#[derive(Debug, Serialize, ToSchema)]
pub struct GrantView {
    #[schema(example = "grant_01kaj9m3v8e9qrs4t5v6w7x8y9")]
    id: String,
    /// `links`, `qr_codes` or `events`.
    #[schema(example = "links")]
    kind: &'static str,
    /// The number of credits that are left.
    #[schema(example = 50)]
    amount: u64,
    /// When they expire; null for never.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    #[schema(example = "Compensation")]
    note: Option<String>,
}

/// The name of a kind of credits.
pub fn kind_name(number: u32) -> &'static str {
    CreditKind::from_number(number).map_or("unknown", CreditKind::as_str)
}

fn present(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

impl From<CreditGrant> for GrantView {
    fn from(grant: CreditGrant) -> Self {
        let id = Uuid::from_slice(&grant.id).unwrap_or_default();
        Self {
            id: GrantId::new(id).to_string(),
            kind: kind_name(grant.kind),
            amount: grant.amount,
            expires_at: grant.expires_at_ms.map(iso8601),
            note: present(grant.note),
        }
    }
}

/// The credits of a kind.
#[derive(Debug, Serialize, ToSchema)]
pub struct CreditsView {
    /// `links`, `qr_codes` or `events`.
    #[schema(example = "links")]
    kind: &'static str,
    /// The number of credits that can be used.
    #[schema(example = 50)]
    balance: u64,
    /// The number of credits that running imports have reserved, not included in the balance.
    #[schema(example = 0)]
    reserved: u64,
    /// The grants that the balance is left of, oldest first. Those that expire first are used first.
    grants: Vec<GrantView>,
}

impl From<Credits> for CreditsView {
    fn from(credits: Credits) -> Self {
        let Credits { kind, balance, reserved, grants } = credits;
        let grants = grants.into_iter().map(GrantView::from).collect();
        Self { kind: kind.as_str(), balance, reserved, grants }
    }
}

/// A change of the credits.
#[derive(Debug, Serialize, ToSchema)]
pub struct LedgerView {
    /// The offset in the change log.
    offset: u64,
    #[schema(format = DateTime)]
    at: String,
    /// `granted`, `debited`, `expired`, `refunded`, `reserved` (for an import) or `released` (what
    /// the import did not use).
    #[schema(example = "debited")]
    entry: &'static str,
    /// `links`, `qr_codes` or `events`.
    #[schema(example = "links")]
    kind: &'static str,
    /// The number of credits: negative if they were taken.
    #[schema(example = -1)]
    amount: i64,
    /// The credits of the kind afterwards.
    #[schema(example = 49)]
    balance: u64,
    /// The ID of the grant, of the import that reserved the credits, or of what they were used for.
    subject: Option<String>,
    /// The ID of the import whose reserved credits were debited: the balance was reduced when they
    /// were reserved. Null for other changes.
    reservation: Option<String>,
    note: Option<String>,
}

impl From<(u64, LedgerEntry)> for LedgerView {
    fn from((offset, entry): (u64, LedgerEntry)) -> Self {
        let what = LedgerEntryKind::from_number(entry.entry);
        let amount = i64::try_from(entry.amount).unwrap_or(i64::MAX);
        let id = Uuid::from_slice(&entry.subject).ok();
        let subject = id.map(|id| match what {
            Some(LedgerEntryKind::Debited) => match CreditKind::from_number(entry.kind) {
                Some(CreditKind::QrCodes) => QrCodeId::new(id).to_string(),
                _ => LinkId::new(id).to_string(),
            },
            Some(LedgerEntryKind::Reserved | LedgerEntryKind::Released) => {
                ImportId::new(id).to_string()
            }
            _ => GrantId::new(id).to_string(),
        });
        let is_added = matches!(what, Some(LedgerEntryKind::Granted | LedgerEntryKind::Released));
        Self {
            offset,
            at: iso8601(entry.at_ms),
            entry: what.map_or("unknown", LedgerEntryKind::as_str),
            kind: kind_name(entry.kind),
            amount: if is_added { amount } else { -amount },
            balance: entry.balance,
            subject,
            reservation: ImportId::from_bytes(&entry.reservation).ok().map(|id| id.to_string()),
            note: present(entry.note),
        }
    }
}

/// A subscription.
#[derive(Debug, Serialize, ToSchema)]
pub struct SubscriptionView {
    /// The provider's ID.
    #[schema(example = "sub_1")]
    id: String,
    /// The payment provider.
    #[schema(example = "stripe")]
    provider: String,
    /// The ID of the plan.
    #[schema(example = "acme/core")]
    plan: String,
    /// `trialing`, `active`, `past_due`, `canceled` or `unpaid`.
    #[schema(example = "active")]
    status: &'static str,
    #[schema(format = DateTime)]
    started_at: String,
    /// The start of the current period.
    #[schema(format = DateTime)]
    period_start: String,
    /// The end of the current period.
    #[schema(format = DateTime)]
    period_end: String,
    /// When the canceled subscription ends; null if it goes on.
    #[schema(format = DateTime)]
    ends_at: Option<String>,
}

impl From<SubscriptionState> for SubscriptionView {
    fn from(state: SubscriptionState) -> Self {
        let status = SubscriptionStatus::from_number(state.status);
        Self {
            id: state.reference,
            provider: state.provider,
            plan: state.plan,
            status: status.map_or("unknown", SubscriptionStatus::as_str),
            started_at: iso8601(state.started_at_ms),
            period_start: iso8601(state.period_start_ms),
            period_end: iso8601(state.period_end_ms),
            ends_at: state.ends_at_ms.map(iso8601),
        }
    }
}

/// An invoice.
#[derive(Debug, Serialize, ToSchema)]
pub struct InvoiceView {
    /// The provider's ID.
    #[schema(example = "in_1")]
    id: String,
    /// `paid`, `failed` or `refunded`.
    #[schema(example = "paid")]
    status: &'static str,
    /// An exact decimal.
    #[schema(example = "8.00")]
    amount: String,
    /// What is refunded of it.
    #[schema(example = "0.00")]
    refunded: String,
    #[schema(example = "EUR")]
    currency: String,
    /// When it was reported.
    #[schema(format = DateTime)]
    at: String,
}

impl TryFrom<Invoice> for InvoiceView {
    type Error = ServiceError;

    fn try_from(invoice: Invoice) -> Result<Self> {
        let money = invoice.money()?;
        let refunded = Money { minor: invoice.refunded_minor, ..money };
        let status = InvoiceStatus::from_number(invoice.status);
        Ok(Self {
            status: status.map_or("unknown", InvoiceStatus::as_str),
            amount: money.amount(),
            refunded: refunded.amount(),
            currency: money.currency.to_string(),
            at: iso8601(invoice.at_ms),
            id: invoice.reference,
        })
    }
}

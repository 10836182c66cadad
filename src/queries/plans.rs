//! Reads the plans, the usage and the credits of workspaces.

use std::ops::Range;
use std::sync::Arc;

use crate::domain::error::Result;
use crate::domain::ids::WorkspaceId;
use crate::domain::plan::catalogue::Catalogues;
use crate::domain::plan::credit::CreditKind;
use crate::domain::plan::limit::{Counter, Limit, Month};
use crate::domain::plan::recharge::{AutoRechargeState, Recharge};
use crate::domain::plan::state::{CreditGrant, LedgerEntry};
use crate::domain::plan::subscription::{Invoice, SubscriptionState};
use crate::domain::plan::{Catalogue, Plan};
use crate::projections::index::{Index, Read, ReadBilling, ReadDomains, ReadWorkspaces};

/// Reads plans, usage and credits. Cheap to clone.
#[derive(Clone)]
pub struct Plans {
    index: Arc<Index>,
    catalogues: Catalogues,
}

/// What a workspace has used of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// Of what.
    pub limit: Limit,
    /// How many; `None` if it is not known at the moment.
    pub used: Option<u64>,
    /// The maximum; `None` for no limit.
    pub max: Option<u64>,
    /// The credits that can be used beyond it; `None` if there are none of this kind.
    pub credits: Option<u64>,
}

/// The credits of a kind.
#[derive(Debug)]
pub struct Credits {
    /// The kind.
    pub kind: CreditKind,
    /// How many can be used.
    pub balance: u64,
    /// How many are reserved for imports.
    pub reserved: u64,
    /// The grants that usable credits are left of, oldest first.
    pub grants: Vec<CreditGrant>,
}

impl Plans {
    /// Creates a reader.
    pub const fn new(index: Arc<Index>, catalogues: Catalogues) -> Self {
        Self { index, catalogues }
    }

    /// The current catalogue.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.catalogues.load_full()
    }

    /// The plan of a workspace.
    pub fn of(&self, workspace: WorkspaceId) -> Result<Plan> {
        let found = self.index.workspace(workspace)?;
        Ok(self.catalogues.load().plan_of(found.and_then(|found| found.plan).as_ref()))
    }

    /// The usage of a workspace at a time. The clicks are those of the analytics.
    pub fn usage(
        &self,
        workspace: WorkspaceId,
        now_ms: u64,
        clicks: Option<u64>,
    ) -> Result<Vec<Used>> {
        let counts = Limit::EVERY.iter().filter(|limit| **limit != Limit::AnalyticsRetentionDays);
        self.usage_of(workspace, counts, now_ms, clicks)
    }

    /// The same, of some limits.
    pub fn usage_of<'a>(
        &self,
        workspace: WorkspaceId,
        limits: impl IntoIterator<Item = &'a Limit>,
        now_ms: u64,
        clicks: Option<u64>,
    ) -> Result<Vec<Used>> {
        let (plan, month) = (self.of(workspace)?, Month::of(now_ms));
        let credits = self.index.credits(workspace)?;
        let used = limits.into_iter().map(|limit| {
            let used = match (limit, limit.counter()) {
                (Limit::ApiCallsPerMonth, _) if !self.counts_calls(&plan) => None,
                (_, Some(counter)) => Some(self.index.used(workspace, month, counter)?),
                (Limit::ClicksPerMonth, _) => clicks,
                (Limit::Domains, _) => Some(self.index.domain_count(workspace)?),
                (Limit::Members, _) => {
                    Some(self.index.workspace(workspace)?.map_or(0, |found| found.members))
                }
                (Limit::Tags, _) => Some(self.index.tag_count(workspace)?),
                (_, None) => Some(self.index.link_count(workspace)?),
            };
            let credits = CreditKind::beyond(*limit).map(|kind| credits.balance(kind, now_ms));
            Ok(Used { limit: *limit, used, max: plan.limits().get(*limit), credits })
        });
        used.collect()
    }

    /// Whether the API calls of workspaces on a plan are counted: if any plan limits them. Otherwise
    /// each second with a call would take an event of the log for nothing.
    pub fn counts_calls(&self, plan: &Plan) -> bool {
        let limit = Limit::ApiCallsPerMonth;
        plan.limits().get(limit).is_some() || self.catalogues.load().has_limit(limit)
    }

    /// The number of API calls that a workspace has made in the month of a time.
    pub fn api_calls(&self, workspace: WorkspaceId, now_ms: u64) -> Result<u64> {
        Ok(self.index.used(workspace, Month::of(now_ms), Counter::ApiCalls)?)
    }

    /// The credits of a workspace at a time, of each kind.
    pub fn credits(&self, workspace: WorkspaceId, now_ms: u64) -> Result<Vec<Credits>> {
        let credits = self.index.credits(workspace)?;
        let of = |kind: &CreditKind| {
            let all = credits.grants.iter().filter(|grant| grant.kind == *kind as u32);
            let usable = all.filter(|grant| grant.amount > 0 && !grant.has_expired(now_ms));
            Credits {
                kind: *kind,
                balance: credits.balance(*kind, now_ms),
                reserved: credits.reserved(*kind),
                grants: usable.cloned().collect(),
            }
        };
        Ok(CreditKind::EVERY.iter().map(of).collect())
    }

    /// The subscription of a workspace.
    pub fn subscription(&self, workspace: WorkspaceId) -> Result<Option<SubscriptionState>> {
        Ok(self.index.subscription(workspace)?)
    }

    /// The workspace in which a provider's id of a subscription, an invoice or a payment occurs.
    pub fn workspace_of(&self, provider: &str, reference: &str) -> Result<Option<WorkspaceId>> {
        Ok(self.index.workspace_of_reference(provider, reference)?)
    }

    /// A workspace's invoices, newest first: a part of the list, and the total number.
    pub fn invoices(
        &self,
        workspace: WorkspaceId,
        part: Range<usize>,
    ) -> Result<(Vec<Invoice>, u64)> {
        Ok(self.index.scan().invoices(workspace, part)?)
    }

    /// The auto-recharge of each kind of a workspace's credits.
    pub fn auto_recharges(
        &self,
        workspace: WorkspaceId,
    ) -> Result<Vec<(CreditKind, AutoRechargeState)>> {
        let of = |kind: &CreditKind| Ok((*kind, self.index.auto_recharge(workspace, *kind)?));
        CreditKind::EVERY.iter().map(of).collect()
    }

    /// The open requests for credits of all workspaces, oldest first.
    pub fn open_recharges(&self) -> Result<Vec<(WorkspaceId, Recharge)>> {
        let all = self.index.auto_recharges()?.into_iter();
        // A request stays open when auto-recharge is disabled, but nobody wants its credits.
        let wanted = all.filter(|(.., recharge)| recharge.settings.is_some_and(|it| it.enabled));
        let open = wanted.filter_map(|(workspace, _, recharge)| Some((workspace, recharge.open?)));
        let mut open: Vec<_> = open.collect();
        open.sort_by(|(_, one), (_, other)| (one.at_ms, &one.id).cmp(&(other.at_ms, &other.id)));
        Ok(open)
    }

    /// The changes of a workspace's credits with their offsets, newest first: a part of the list,
    /// and the total number.
    pub fn ledger(
        &self,
        workspace: WorkspaceId,
        part: Range<usize>,
    ) -> Result<(Vec<(u64, LedgerEntry)>, u64)> {
        Ok(self.index.scan().ledger(workspace, part)?)
    }
}

//! The keys of plans, credits and subscriptions.

use super::Family;
use crate::domain::ids::WorkspaceId;
use crate::domain::plan::credit::CreditKind;
use crate::domain::plan::limit::{Counter, Month};

pub fn usage(workspace: WorkspaceId, month: Month, counter: Counter) -> Vec<u8> {
    Family::Usage.key(&[workspace.as_bytes(), &month.number().to_be_bytes(), &[counter as u8]])
}

pub const PLAN_COUNTS: &[u8] = &Family::PlanCount.prefix();

pub fn plan_count(plan: &str) -> Vec<u8> {
    Family::PlanCount.key(&[plan.as_bytes()])
}

pub const CREDITS: &[u8] = &Family::Credits.prefix();

pub fn credits(workspace: WorkspaceId) -> Vec<u8> {
    Family::Credits.key(&[workspace.as_bytes()])
}

pub const SUBSCRIPTIONS: &[u8] = &Family::Subscription.prefix();

pub fn subscription(workspace: WorkspaceId) -> Vec<u8> {
    Family::Subscription.key(&[workspace.as_bytes()])
}

/// The number of a workspace's invoices.
pub fn invoice_count(workspace: WorkspaceId) -> Vec<u8> {
    Family::Count.key(&[workspace.as_bytes(), b"I"])
}

pub fn invoices_by_time(workspace: WorkspaceId) -> Vec<u8> {
    Family::InvoiceByTime.key(&[workspace.as_bytes()])
}

pub fn invoice_at(workspace: WorkspaceId, at_ms: u64, reference: &str) -> Vec<u8> {
    let at = at_ms.to_be_bytes();
    Family::InvoiceByTime.key(&[workspace.as_bytes(), &at, reference.as_bytes()])
}

/// The provider's id in a key of [`invoice_at`].
pub fn reference_at(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.get(25..)?).ok()
}

pub fn invoice(workspace: WorkspaceId, reference: &str) -> Vec<u8> {
    Family::Invoice.key(&[workspace.as_bytes(), reference.as_bytes()])
}

pub fn billing_reference(provider: &str, reference: &str) -> Vec<u8> {
    Family::BillingReference.key(&[provider.as_bytes(), b":", reference.as_bytes()])
}

pub fn provider_report(report: &str) -> Vec<u8> {
    Family::ProviderReport.key(&[report.as_bytes()])
}

pub const AUTO_RECHARGES: &[u8] = &Family::AutoRecharge.prefix();

pub fn auto_recharge(workspace: WorkspaceId, kind: CreditKind) -> Vec<u8> {
    Family::AutoRecharge.key(&[workspace.as_bytes(), &[kind as u8]])
}

/// The number of a workspace's changes of credits.
pub fn ledger_count(workspace: WorkspaceId) -> Vec<u8> {
    Family::Count.key(&[workspace.as_bytes(), b"L"])
}

pub fn ledger_of(workspace: WorkspaceId) -> Vec<u8> {
    Family::Ledger.key(&[workspace.as_bytes()])
}

pub fn ledger(workspace: WorkspaceId, offset: u64) -> Vec<u8> {
    Family::Ledger.key(&[workspace.as_bytes(), &offset.to_be_bytes()])
}

//! Events of plans, usage, credits and subscriptions as JSON.

use anyhow::bail;
use serde_json::{Value, json};

use crate::domain::event::{Event, PlanChanged, SubscriptionChange};
use crate::domain::ids::{GrantId, ImportId, RechargeId};
use crate::domain::plan::credit::CreditKind;
use crate::domain::plan::subscription::{Invoice, InvoiceStatus, SubscriptionStatus};

/// The fields of an event.
pub(super) fn event_json(event: &Event) -> anyhow::Result<Value> {
    Ok(match event {
        Event::PlanChanged(PlanChanged { plan }) => json!({
            "plan": plan.as_ref().map(|plan| &plan.id),
            "overrides": plan.iter().flat_map(|plan| &plan.overrides)
                .map(|changed| (changed.limit.clone(), json!(changed.value)))
                .collect::<serde_json::Map<_, _>>(),
        }),
        Event::ApiCallsCounted(counted) => json!({ "calls": counted.calls }),
        Event::CreditsGranted(grant) => json!({
            "grant": GrantId::from_bytes(&grant.id)?.to_string(),
            "kind": CreditKind::from_number(grant.kind).map(CreditKind::as_str),
            "amount": grant.amount,
            "expires_at_ms": grant.expires_at_ms,
            "note": grant.note,
            "report": grant.report,
            "invoice": grant.invoice.as_ref().map(invoice_json),
            "recharge": RechargeId::from_bytes(&grant.recharge).ok().map(|id| id.to_string()),
        }),
        Event::AutoRechargeChanged(settings) => json!({
            "kind": CreditKind::from_number(settings.kind).map(CreditKind::as_str),
            "enabled": settings.enabled,
            "threshold": settings.threshold,
            "amount": settings.amount,
            "monthly_limit": settings.monthly_limit,
        }),
        Event::RechargeRequested(recharge) => json!({
            "recharge": RechargeId::from_bytes(&recharge.id)?.to_string(),
            "kind": CreditKind::from_number(recharge.kind).map(CreditKind::as_str),
            "amount": recharge.amount,
        }),
        Event::RechargeFailed(failed) => json!({
            "recharge": RechargeId::from_bytes(&failed.id)?.to_string(),
            "kind": CreditKind::from_number(failed.kind).map(CreditKind::as_str),
            "reason": failed.reason,
            "report": failed.report,
        }),
        Event::CreditsRefunded(withdrawn) | Event::CreditsExpired(withdrawn) => json!({
            "grant": GrantId::from_bytes(&withdrawn.grant)?.to_string(),
            "amount": withdrawn.amount,
        }),
        Event::CreditsReserved(reserved) => json!({
            "import": ImportId::from_bytes(&reserved.id)?.to_string(),
            "kind": CreditKind::from_number(reserved.kind).map(CreditKind::as_str),
            "amount": reserved.amount,
            "allowance": reserved.allowance,
        }),
        Event::CreditsReleased(released) => json!({
            "import": ImportId::from_bytes(&released.id)?.to_string(),
            "kind": CreditKind::from_number(released.kind).map(CreditKind::as_str),
            "amount": released.amount,
        }),
        Event::SubscriptionStarted(change)
        | Event::SubscriptionRenewed(change)
        | Event::SubscriptionChanged(change)
        | Event::SubscriptionPastDue(change)
        | Event::SubscriptionCanceled(change)
        | Event::SubscriptionExpired(change) => subscription_json(change),
        Event::PaymentRefunded(refunded) => json!({
            "report": refunded.report,
            "invoice": refunded.invoice.as_ref().map(invoice_json),
            "credits": refunded.credits,
        }),
        other => bail!("{} is not an event of billing", other.kind().name()),
    })
}

fn invoice_json(invoice: &Invoice) -> Value {
    json!({
        "id": invoice.reference,
        "payment": invoice.payment,
        "status": InvoiceStatus::from_number(invoice.status).map(InvoiceStatus::as_str),
        "minor": invoice.minor,
        "currency": invoice.currency,
        "refunded_minor": invoice.refunded_minor,
    })
}

fn subscription_json(change: &SubscriptionChange) -> Value {
    let subscription = change.subscription.as_ref().map(|state| {
        json!({
            "provider": state.provider,
            "id": state.reference,
            "plan": state.plan,
            "status": SubscriptionStatus::from_number(state.status).map(SubscriptionStatus::as_str),
            "period_start_ms": state.period_start_ms,
            "period_end_ms": state.period_end_ms,
            "ends_at_ms": state.ends_at_ms,
            "previous_plan": state.previous_plan.as_ref().map(|plan| &plan.id),
        })
    });
    json!({
        "report": change.report,
        "subscription": subscription,
        "invoice": change.invoice.as_ref().map(invoice_json),
        "proration_minor": change.proration_minor,
    })
}

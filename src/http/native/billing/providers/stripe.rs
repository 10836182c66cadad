//! Stripe's events: <https://docs.stripe.com/api/events/types>.
//!
//! The checkout names the workspace, in `client_reference_id` or in the metadata (`workspace`), and
//! the plan (`plan`), or the credits that are bought (`credits`, and `credits_kind`). A plan is also
//! found by the `lookup_key` of the price. Later events are recognised by the subscription.
//!
//! An auto-recharge is paid by a checkout, or by a payment intent alone, with `recharge` in the
//! metadata, besides the workspace and the credits.

use serde_json::Value;

use super::Report;
use crate::domain::error::{Result, ServiceError};
use crate::domain::ids::{RechargeId, WorkspaceId};
use crate::domain::money::{Currency, Money};
use crate::domain::plan::Catalogue;
use crate::domain::plan::credit::CreditKind;
use crate::domain::plan::subscription::{
    Charge, Period, ProviderChange, ProviderReport, SubscriptionStatus,
};

const NAME: &str = "stripe";

/// An object of Stripe's.
#[derive(Clone, Copy)]
struct Object<'a>(&'a Value);

impl Object<'_> {
    /// The first of these fields that has a text. The fields are JSON pointers (RFC 6901).
    fn find(self, pointers: &[&str]) -> Option<String> {
        let texts = pointers.iter().filter_map(|pointer| self.0.pointer(pointer)?.as_str());
        texts.filter(|text| !text.is_empty()).map(str::to_owned).next()
    }

    fn text(self, pointers: &[&str]) -> Result<String> {
        let rule = || ServiceError::field(pointers[0], "is required");
        self.find(pointers).ok_or_else(rule)
    }

    fn number(self, pointer: &str) -> Option<i64> {
        self.0.pointer(pointer)?.as_i64()
    }

    /// A time, which is in seconds.
    fn time_ms(self, pointers: &[&str]) -> Option<u64> {
        let seconds = pointers.iter().find_map(|pointer| self.number(pointer))?;
        Some(seconds.unsigned_abs().saturating_mul(1_000))
    }

    fn period(self, pointers: [&[&str]; 2]) -> Option<Period> {
        let [start, end] = pointers.map(|pointers| self.time_ms(pointers));
        Some(Period { start_ms: start?, end_ms: end? })
    }

    fn currency(self) -> Result<Currency> {
        let currency = self.text(&["/currency"])?.parse();
        currency.map_err(|rule: String| ServiceError::field("currency", rule))
    }

    fn charge(self, invoice: &[&str], payment: &[&str], amount: &str) -> Result<Charge> {
        let currency = self.currency()?;
        let minor =
            self.number(amount).ok_or_else(|| ServiceError::field(amount, "is required"))?;
        let money = Money { minor: minor_units(currency, minor), currency };
        let payment = self.find(payment).unwrap_or_default();
        Ok(Charge { invoice: self.text(invoice)?, payment, money })
    }

    /// The workspace that the metadata name.
    fn workspace(self) -> Result<Option<WorkspaceId>> {
        // In the URL of a payment link, the buyer chooses it.
        let is_chosen = self.find(&["/payment_link"]).is_some();
        let of_checkout = if is_chosen { "/metadata/workspace" } else { "/client_reference_id" };
        let named = self.find(&[
            "/metadata/workspace",
            of_checkout,
            "/subscription_details/metadata/workspace",
            "/parent/subscription_details/metadata/workspace",
        ]);
        let rule = |_| ServiceError::field("workspace", "is not the id of a workspace");
        named.map(|id| id.parse().map_err(rule)).transpose()
    }

    /// The auto-recharge that the metadata name.
    fn recharge(self) -> Result<Option<RechargeId>> {
        let rule = |_| ServiceError::field("recharge", "is not the id of an auto-recharge");
        self.find(&["/metadata/recharge"]).map(|id| id.parse().map_err(rule)).transpose()
    }

    /// The plan of a subscription. A price may have a lookup key for another purpose.
    fn plan(self, catalogue: &Catalogue) -> Option<String> {
        let ids = ["/items/data/0/price/lookup_key", "/metadata/plan"];
        let mut ids = ids.into_iter().filter_map(|pointer| self.find(&[pointer]));
        ids.find(|id| catalogue.find(id).is_some())
    }
}

/// The subscription of an invoice: in the first place since the API version 2025-03-31.
const SUBSCRIPTION: &[&str] = &["/parent/subscription_details/subscription", "/subscription"];
/// The payment of an invoice: likewise.
const PAYMENT: &[&str] = &["/payments/data/0/payment/payment_intent", "/payment_intent"];

/// From Stripe's units to those of ISO 4217:
/// <https://docs.stripe.com/currencies#special-cases>.
fn minor_units(currency: Currency, amount: i64) -> i64 {
    match currency.as_str() {
        "ISK" | "UGX" => amount / 100,
        "MGA" => amount.saturating_mul(100),
        _ => amount,
    }
}

/// Translates an event; `None` if it does not matter here.
pub fn parse(event: &Value, catalogue: &Catalogue) -> Result<Option<Report>> {
    let envelope = Object(event);
    let id = envelope.text(&["/id"])?;
    let Some(at_ms) = envelope.time_ms(&["/created"]) else {
        return Err(ServiceError::field("/created", "is required"));
    };
    let object = Object(event.pointer("/data/object").unwrap_or(&Value::Null));
    // It is reported again when it is paid.
    let is_unpaid = object.find(&["/payment_status"]).as_deref() == Some("unpaid");
    let change = match envelope.text(&["/type"])?.as_str() {
        "checkout.session.completed" if is_unpaid => None,
        "checkout.session.completed" | "checkout.session.async_payment_succeeded" => {
            match object.find(&["/mode"]).as_deref() {
                Some("subscription") => Some(ProviderChange::Started {
                    subscription: object.text(&["/subscription"])?,
                    plan: object.text(&["/metadata/plan"])?,
                    is_trial: object.find(&["/payment_status"]).as_deref()
                        == Some("no_payment_required"),
                    period: None,
                }),
                Some("payment") => bought(object, "/amount_total")?,
                _ => None,
            }
        }
        // Other payments have a checkout or an invoice.
        "payment_intent.succeeded" if object.recharge()?.is_some() => {
            bought(object, "/amount_received")?
        }
        "payment_intent.payment_failed" => object.recharge()?.map(|recharge| {
            let reason = object.find(&["/last_payment_error/code"]).unwrap_or_default();
            ProviderChange::RechargeFailed { recharge, reason }
        }),
        // Invoices without a subscription are not slugline's.
        "invoice.paid" => paid(object)?,
        // Since the API version 2025-03-31, the payment is not part of the invoice's event.
        "invoice_payment.paid" => object
            .find(&["/payment/payment_intent", "/payment/charge"])
            .map(|payment| {
                let invoice = object.text(&["/invoice"])?;
                Ok::<_, ServiceError>(ProviderChange::InvoicePaid { invoice, payment })
            })
            .transpose()?,
        "invoice.payment_failed" => object
            .find(SUBSCRIPTION)
            .map(|subscription| {
                let charge = object.charge(&["/id"], PAYMENT, "/amount_due")?;
                Ok::<_, ServiceError>(ProviderChange::PaymentFailed { subscription, charge })
            })
            .transpose()?,
        "charge.refunded" => {
            let payment = object.text(&["/payment_intent", "/invoice", "/id"])?;
            let refunded = object.number("/amount_refunded").unwrap_or_default();
            let refunded_minor = minor_units(object.currency()?, refunded);
            Some(ProviderChange::Refunded { payment, refunded_minor })
        }
        "customer.subscription.updated" => Some(updated(object, catalogue)?),
        "customer.subscription.deleted" => {
            Some(ProviderChange::Ended { subscription: object.text(&["/id"])? })
        }
        _ => None,
    };
    let Some(change) = change else { return Ok(None) };
    let report = ProviderReport { provider: NAME, id, at_ms, change };
    Ok(Some((object.workspace()?, report)))
}

fn paid(object: Object<'_>) -> Result<Option<ProviderChange>> {
    let Some(subscription) = object.find(SUBSCRIPTION) else { return Ok(None) };
    let charge = object.charge(&["/id"], PAYMENT, "/amount_paid")?;
    let line = [&["/lines/data/0/period/start"][..], &["/lines/data/0/period/end"]];
    let period = object.period(line);
    Ok(Some(ProviderChange::Paid { subscription, charge, period }))
}

fn bought(object: Object<'_>, total: &str) -> Result<Option<ProviderChange>> {
    // A payment for something else.
    let Some(amount) = object.find(&["/metadata/credits"]) else { return Ok(None) };
    let amount = amount.parse().map_err(|_| ServiceError::field("credits", "is not a number"))?;
    let kind = object.find(&["/metadata/credits_kind"]).unwrap_or_else(|| "links".to_owned());
    let kind = CreditKind::named(&kind)
        .ok_or_else(|| ServiceError::field("credits_kind", "is not a kind of credits"))?;
    let reference = &["/payment_intent", "/id"];
    let charge = object.charge(reference, &[], total)?;
    let recharge = object.recharge()?;
    Ok(Some(ProviderChange::CreditsBought { kind, amount, charge, recharge }))
}

fn updated(object: Object<'_>, catalogue: &Catalogue) -> Result<ProviderChange> {
    let period = object.period([
        &["/items/data/0/current_period_start", "/current_period_start"],
        &["/items/data/0/current_period_end", "/current_period_end"],
    ]);
    let is_canceled = object.0.pointer("/cancel_at_period_end").and_then(Value::as_bool);
    let at_end = period.filter(|_| is_canceled == Some(true)).map(|period| period.end_ms);
    Ok(ProviderChange::Updated {
        subscription: object.text(&["/id"])?,
        plan: object.plan(catalogue),
        status: match object.find(&["/status"]).as_deref() {
            Some("trialing") => Some(SubscriptionStatus::Trialing),
            Some("active") => Some(SubscriptionStatus::Active),
            Some("past_due") => Some(SubscriptionStatus::PastDue),
            Some("unpaid" | "paused" | "incomplete" | "incomplete_expired") => {
                Some(SubscriptionStatus::Unpaid)
            }
            _ => None,
        },
        period,
        ends_at_ms: object.time_ms(&["/cancel_at"]).or(at_end),
        proration_minor: None,
    })
}

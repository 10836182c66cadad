//! Reports in slugline's own format.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Report;
use crate::domain::error::{Invalid, Result, ServiceError};
use crate::domain::money::Money;
use crate::domain::named_enum;
use crate::domain::plan::credit::CreditKind;
use crate::domain::plan::subscription::{
    Charge, Period, ProviderChange, ProviderReport, SubscriptionStatus,
};
use crate::http::body::parse_value;

const NAME: &str = "generic";
const MAX_ID_BYTES: usize = 200;
const MAX_REASON_CHARS: usize = 200;

named_enum! {
    /// What is reported.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum ReportType {
        /// A subscription started.
        Started => "subscription.started",
        /// A period was paid.
        Paid => "subscription.paid",
        /// A payment failed.
        PaymentFailed => "subscription.payment_failed",
        /// The plan, the status or the end changed.
        Updated => "subscription.updated",
        /// A subscription ended.
        Ended => "subscription.ended",
        /// Credits were bought.
        CreditsBought => "credits.bought",
        /// The payment of an auto-recharge failed.
        RechargeFailed => "recharge.failed",
        /// A payment was refunded.
        Refunded => "payment.refunded",
    }
}

/// A report of a payment provider.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportBody {
    /// A report with an ID that was applied before changes nothing.
    #[schema(max_length = 200, example = "report-1")]
    id: String,
    /// When the provider made it. A report about a subscription that is older than the last one
    /// only adds its invoice.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// `subscription.started` (with `subscription` and `plan`), `subscription.paid` and
    /// `subscription.payment_failed` (with `subscription` and `invoice`), `subscription.updated`
    /// and `subscription.ended` (with `subscription`), `credits.bought` (with `kind`, `credits` and
    /// `invoice`, and `recharge` if they were requested), `recharge.failed` (with `recharge`), or
    /// `payment.refunded` (with `payment` and `refunded_minor`).
    #[serde(rename = "type")]
    #[schema(example = "subscription.started")]
    report: String,
    /// The ID of the workspace; found by the subscription or the payment if absent.
    #[serde(default)]
    #[schema(example = "ws_01kaj9m3v8e9qrs4t5v6w7x8y9")]
    workspace: Option<String>,
    /// The provider's ID, unique among all its subscriptions, invoices and payments.
    #[serde(default)]
    #[schema(example = "subscription-1")]
    subscription: Option<String>,
    /// The ID of the plan in the catalogue.
    #[serde(default)]
    #[schema(example = "acme/core")]
    plan: Option<String>,
    /// Whether the subscription that started is not paid yet.
    #[serde(default)]
    trial: bool,
    #[serde(default)]
    period: Option<PeriodBody>,
    #[serde(default)]
    invoice: Option<InvoiceBody>,
    /// `trialing`, `active` or `past_due`; absent if it is the same.
    #[serde(default)]
    #[schema(example = "active")]
    status: Option<String>,
    /// When the canceled subscription ends; absent if it goes on.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    ends_at: Option<Timestamp>,
    /// What a change of the plan costs within the period, in minor units of the currency; negative
    /// for a credit.
    #[serde(default)]
    proration_minor: Option<i64>,
    /// `links`, `qr_codes` or `events`.
    #[serde(default)]
    #[schema(value_type = Option<CreditKind>, example = "links")]
    kind: Option<String>,
    /// The number of credits.
    #[serde(default)]
    credits: Option<u64>,
    /// The ID of the auto-recharge, as in `GET /admin/recharges`.
    #[serde(default)]
    #[schema(example = "recharge_01kaj9m3v8e9qrs4t5v6w7x8y9")]
    recharge: Option<String>,
    /// Why the auto-recharge failed.
    #[serde(default)]
    #[schema(max_length = 200, example = "card_declined")]
    reason: String,
    /// The provider's ID of the invoice or of its payment.
    #[serde(default)]
    payment: Option<String>,
    /// What was refunded so far, in minor units of the currency.
    #[serde(default)]
    refunded_minor: Option<i64>,
}

/// A period of a subscription.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PeriodBody {
    #[schema(value_type = String, format = DateTime)]
    start: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    end: Timestamp,
}

/// An invoice.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvoiceBody {
    /// The provider's ID.
    #[schema(example = "invoice-1")]
    id: String,
    /// The provider's ID of the payment, if it has one of its own.
    #[serde(default)]
    payment: String,
    /// An exact decimal.
    #[schema(example = "8.00")]
    amount: String,
    #[schema(example = "EUR")]
    currency: String,
}

fn ms(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or_default()
}

fn period(body: Option<&PeriodBody>) -> Result<Option<Period>> {
    let Some(PeriodBody { start, end }) = body else { return Ok(None) };
    if start >= end {
        return Err(ServiceError::field("period", "must end after it starts"));
    }
    Ok(Some(Period { start_ms: ms(*start), end_ms: ms(*end) }))
}

fn charge(body: Option<InvoiceBody>) -> Result<Charge> {
    let InvoiceBody { id, payment, amount, currency } = required("invoice", body)?;
    let money = currency.parse().and_then(|currency| Money::parse(&amount, currency));
    let money = money.map_err(|rule| ServiceError::field("invoice", rule))?;
    Ok(Charge {
        invoice: required("invoice", Some(id).filter(|id| !id.is_empty()))?,
        payment,
        money,
    })
}

fn reason(reason: String) -> Result<String> {
    if reason.chars().count() > MAX_REASON_CHARS || reason.chars().any(char::is_control) {
        let rule = format!("must have at most {MAX_REASON_CHARS} characters, none of control");
        return Err(ServiceError::field("reason", rule));
    }
    Ok(reason)
}

fn required<T>(name: &str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| ServiceError::field(name, "is required"))
}

/// Translates a report.
pub fn parse(report: Value) -> Result<Report> {
    let body: ReportBody = parse_value(report)?;
    let mut invalid = Invalid::default();
    let kind = Some(body.report.as_str());
    let kind = invalid.choice("type", kind, ReportType::EVERY, ReportType::as_str);
    let workspace = body.workspace.as_deref().map(str::parse).transpose();
    let workspace =
        invalid.check("workspace", workspace.map_err(|_| "is not an id such as ws_…".to_owned()));
    if body.id.is_empty() || body.id.len() > MAX_ID_BYTES {
        invalid.add("id", format!("must have 1 to {MAX_ID_BYTES} bytes"));
    }
    invalid.into_result()?;
    let (id, at_ms) = (body.id.clone(), ms(body.at));
    let change = body.change(required("type", kind)?)?;
    Ok((workspace.flatten(), ProviderReport { provider: NAME, id, at_ms, change }))
}

impl ReportBody {
    fn change(self, report: ReportType) -> Result<ProviderChange> {
        let named = self.subscription.filter(|id| !id.is_empty());
        let subscription = || required("subscription", named);
        let recharge = self.recharge.as_deref().map(str::parse).transpose();
        let recharge = recharge
            .map_err(|_| ServiceError::field("recharge", "is not an id such as recharge_…"))?;
        Ok(match report {
            ReportType::Started => ProviderChange::Started {
                subscription: subscription()?,
                plan: required("plan", self.plan)?,
                is_trial: self.trial,
                period: period(self.period.as_ref())?,
            },
            ReportType::Paid => ProviderChange::Paid {
                subscription: subscription()?,
                charge: charge(self.invoice)?,
                period: period(self.period.as_ref())?,
            },
            ReportType::PaymentFailed => ProviderChange::PaymentFailed {
                subscription: subscription()?,
                charge: charge(self.invoice)?,
            },
            ReportType::Updated => {
                // A subscription is canceled by its end.
                let every = &[
                    SubscriptionStatus::Trialing,
                    SubscriptionStatus::Active,
                    SubscriptionStatus::PastDue,
                ];
                let (mut invalid, status) = (Invalid::default(), self.status.as_deref());
                let status = invalid.choice("status", status, every, SubscriptionStatus::as_str);
                invalid.into_result()?;
                ProviderChange::Updated {
                    subscription: subscription()?,
                    plan: self.plan,
                    status,
                    period: period(self.period.as_ref())?,
                    ends_at_ms: self.ends_at.map(ms),
                    proration_minor: self.proration_minor,
                }
            }
            ReportType::Ended => ProviderChange::Ended { subscription: subscription()? },
            ReportType::CreditsBought => {
                let (mut invalid, kind) = (Invalid::default(), required("kind", self.kind)?);
                let every = CreditKind::EVERY;
                let kind = invalid.choice("kind", Some(&kind), every, CreditKind::as_str);
                invalid.into_result()?;
                ProviderChange::CreditsBought {
                    kind: required("kind", kind)?,
                    amount: required("credits", self.credits)?,
                    charge: charge(self.invoice)?,
                    recharge,
                }
            }
            ReportType::RechargeFailed => {
                let (recharge, reason) = (required("recharge", recharge)?, reason(self.reason)?);
                ProviderChange::RechargeFailed { recharge, reason }
            }
            ReportType::Refunded => ProviderChange::Refunded {
                payment: required("payment", self.payment)?,
                refunded_minor: required("refunded_minor", self.refunded_minor)?,
            },
        })
    }
}

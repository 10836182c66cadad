//! Decides reports of payment providers: subscriptions, invoices, bought credits and refunds.
//!
//! A report is applied once, by its id. A report about a subscription that is older than the last
//! one changes nothing but its invoice: providers don't keep the order.

use uuid::Uuid;

use super::decide::{CommandHandler, Decision};
use crate::domain::command::Outcome;
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::event::{CreditGrant, Event, PaymentRefunded, SubscriptionChange};
use crate::domain::ids::GrantId;
use crate::domain::plan::credit::{CreditKind, MAX_AMOUNT};
use crate::domain::plan::subscription::{
    Charge, Invoice, InvoiceStatus, Period, ProviderChange, ProviderReport, SubscriptionState,
    SubscriptionStatus,
};
use crate::projections::index::{ReadBilling, ReadRanges};

fn no_subscription() -> ServiceError {
    // The provider sends it again, perhaps after the start of the subscription.
    let text = "The workspace has no such subscription: send the report again later.";
    ServiceError::new(ErrorCode::Conflict, text).with_field("subscription", "is not known")
}

impl<R: ReadRanges> CommandHandler<'_, R> {
    pub(super) fn decide_report(&self, report: ProviderReport) -> Result<Decision> {
        let ProviderReport { provider, id, at_ms, change } = report;
        let report = format!("{provider}:{id}");
        if self.state.is_reported(&report)? {
            return Ok((None, Outcome::Gone));
        }
        let event = match change {
            ProviderChange::Started { subscription, plan, is_trial, period } => {
                let started = Started { provider, subscription, plan, is_trial, period };
                self.start_subscription(report, at_ms, started)?
            }
            ProviderChange::Paid { subscription, charge, period } => {
                self.pay(report, at_ms, (&subscription, charge, period))?
            }
            ProviderChange::PaymentFailed { subscription, charge } => {
                let before = self.subscription(&subscription)?;
                let invoice = Some(self.invoice(charge, InvoiceStatus::Failed));
                let is_newer = at_ms >= before.reported_at_ms;
                let status = match before.status {
                    status if status == SubscriptionStatus::Canceled as u32 => status,
                    _ if is_newer => SubscriptionStatus::PastDue as u32,
                    status => status,
                };
                let subscription = Some(at(SubscriptionState { status, ..before }, at_ms));
                Event::SubscriptionPastDue(SubscriptionChange {
                    report,
                    subscription,
                    invoice,
                    proration_minor: None,
                })
            }
            change @ ProviderChange::Updated { .. } => {
                self.update_subscription(report, at_ms, change)?
            }
            ProviderChange::Ended { subscription } => {
                let subscription = Some(at(self.subscription(&subscription)?, at_ms));
                let ended = SubscriptionChange { report, subscription, ..Default::default() };
                Event::SubscriptionExpired(ended)
            }
            ProviderChange::CreditsBought { kind, amount, charge } => {
                self.buy_credits(report, kind, amount, charge)?
            }
            ProviderChange::Refunded { payment, refunded_minor } => {
                self.refund(report, &payment, refunded_minor)?
            }
        };
        Ok((Some(event), Outcome::Gone))
    }

    /// Ends a canceled subscription whose time has come, if the provider did not.
    pub(super) fn end_subscription(&self) -> Result<Decision> {
        let subscription = self.state.subscription(self.actor.workspace)?;
        let ended = subscription
            .filter(|found| found.ends_at_ms.is_some_and(|ends_at_ms| ends_at_ms <= self.now_ms));
        let event = ended.map(|subscription| {
            let subscription = Some(subscription);
            Event::SubscriptionExpired(SubscriptionChange { subscription, ..Default::default() })
        });
        Ok((event, Outcome::Gone))
    }

    /// The workspace's subscription, if the provider calls it so.
    fn subscription(&self, reference: &str) -> Result<SubscriptionState> {
        let found = self.state.subscription(self.actor.workspace)?;
        found.filter(|found| found.reference == reference).ok_or_else(no_subscription)
    }

    fn check_plan(&self, plan: &str) -> Result<()> {
        match self.policies.plans.load().find(plan) {
            Some(_) => Ok(()),
            None => Err(ServiceError::field("plan", "is not one of the catalogue")),
        }
    }

    fn invoice(&self, charge: Charge, status: InvoiceStatus) -> Invoice {
        let Charge { invoice, payment, money } = charge;
        Invoice {
            reference: invoice,
            minor: money.minor,
            currency: money.currency.to_string(),
            status: status as u32,
            at_ms: self.now_ms,
            refunded_minor: 0,
            payment,
        }
    }

    fn start_subscription(&self, report: String, at_ms: u64, new: Started) -> Result<Event> {
        self.check_plan(&new.plan)?;
        if let Some(other) = self.state.subscription(self.actor.workspace)? {
            let text = "The workspace has a subscription already: change or end that one.";
            let error = ServiceError::new(ErrorCode::Conflict, text);
            let rule = format!("is not {}, which the workspace has", other.reference);
            return Err(error.with_field("subscription", rule));
        }
        let period = new.period.unwrap_or(Period { start_ms: at_ms, end_ms: at_ms });
        let status =
            if new.is_trial { SubscriptionStatus::Trialing } else { SubscriptionStatus::Active };
        let subscription = Some(SubscriptionState {
            provider: new.provider.to_owned(),
            reference: new.subscription,
            plan: new.plan,
            status: status as u32,
            started_at_ms: self.now_ms,
            period_start_ms: period.start_ms,
            period_end_ms: period.end_ms,
            ends_at_ms: None,
            reported_at_ms: at_ms,
        });
        let started = SubscriptionChange { report, subscription, ..Default::default() };
        Ok(Event::SubscriptionStarted(started))
    }

    fn pay(
        &self,
        report: String,
        at_ms: u64,
        (subscription, charge, period): (&str, Charge, Option<Period>),
    ) -> Result<Event> {
        let before = self.subscription(subscription)?;
        let is_newer = at_ms >= before.reported_at_ms;
        let is_canceled = before.status == SubscriptionStatus::Canceled as u32;
        // A trial begins with an invoice of nothing.
        let is_trial =
            before.status == SubscriptionStatus::Trialing as u32 && charge.money.minor == 0;
        let keeps = is_canceled || is_trial || !is_newer;
        let status = if keeps { before.status } else { SubscriptionStatus::Active as u32 };
        let period = period.filter(|period| period.end_ms > before.period_end_ms);
        let Period { start_ms, end_ms } = period
            .unwrap_or(Period { start_ms: before.period_start_ms, end_ms: before.period_end_ms });
        let subscription = SubscriptionState {
            status,
            period_start_ms: start_ms,
            period_end_ms: end_ms,
            ..before
        };
        Ok(Event::SubscriptionRenewed(SubscriptionChange {
            report,
            subscription: Some(at(subscription, at_ms)),
            invoice: Some(self.invoice(charge, InvoiceStatus::Paid)),
            proration_minor: None,
        }))
    }

    fn update_subscription(
        &self,
        report: String,
        at_ms: u64,
        change: ProviderChange,
    ) -> Result<Event> {
        let ProviderChange::Updated {
            subscription,
            plan,
            status,
            period,
            ends_at_ms,
            proration_minor,
        } = change
        else {
            return Err(ServiceError::internal("another report"));
        };
        let before = self.subscription(&subscription)?;
        if at_ms < before.reported_at_ms {
            let subscription = Some(before);
            let unchanged = SubscriptionChange { report, subscription, ..Default::default() };
            return Ok(Event::SubscriptionChanged(unchanged));
        }
        let plan = plan.unwrap_or_else(|| before.plan.clone());
        self.check_plan(&plan)?;
        let is_end = ends_at_ms.is_some() && before.ends_at_ms != ends_at_ms;
        let status = match (ends_at_ms, status.map(|status| status as u32)) {
            (Some(_), _) => SubscriptionStatus::Canceled as u32,
            (None, Some(status)) => status,
            (None, None) if before.ends_at_ms.is_some() => SubscriptionStatus::Active as u32,
            (None, None) => before.status,
        };
        let Period { start_ms, end_ms } = period
            .unwrap_or(Period { start_ms: before.period_start_ms, end_ms: before.period_end_ms });
        let subscription = SubscriptionState {
            plan,
            status,
            period_start_ms: start_ms,
            period_end_ms: end_ms,
            ends_at_ms,
            ..before
        };
        let subscription = Some(at(subscription, at_ms));
        let changed = SubscriptionChange { report, subscription, invoice: None, proration_minor };
        let event = if is_end {
            Event::SubscriptionCanceled(changed)
        } else {
            Event::SubscriptionChanged(changed)
        };
        Ok(event)
    }

    fn buy_credits(
        &self,
        report: String,
        kind: CreditKind,
        amount: u64,
        charge: Charge,
    ) -> Result<Event> {
        if !(1..=MAX_AMOUNT).contains(&amount) {
            let rule = format!("must be from 1 to {MAX_AMOUNT}");
            return Err(ServiceError::field("credits", rule));
        }
        Ok(Event::CreditsGranted(CreditGrant {
            id: GrantId::new(Uuid::now_v7()).as_bytes().to_vec(),
            kind: kind as u32,
            amount,
            expires_at_ms: None,
            note: "Bought".to_owned(),
            report,
            invoice: Some(self.invoice(charge, InvoiceStatus::Paid)),
            granted: 0,
        }))
    }

    /// Of the unused credits that were bought with it, as large a part is withdrawn as was refunded.
    fn refund(&self, report: String, payment: &str, refunded_minor: i64) -> Result<Event> {
        let workspace = self.actor.workspace;
        let invoice = self.state.invoice(workspace, payment)?;
        let invoice = invoice.ok_or_else(|| {
            let text = "The workspace has no such payment: send the report again later.";
            ServiceError::new(ErrorCode::Conflict, text).with_field("payment", "is not known")
        })?;
        if !(0..=invoice.minor).contains(&refunded_minor) {
            return Err(ServiceError::field("refunded", "is not a part of the amount"));
        }
        let refunded_minor = refunded_minor.max(invoice.refunded_minor);
        let newly = u128::from((refunded_minor - invoice.refunded_minor).unsigned_abs());
        let credits = self.state.credits(workspace)?;
        let of_invoice = |grant: &&CreditGrant| {
            grant.invoice.as_ref().is_some_and(|paid| paid.reference == invoice.reference)
        };
        let grant = credits.grants.iter().find(of_invoice);
        // Rounded up: a refund in full takes all.
        let credits = grant.map_or(0, |grant| {
            let total = u128::from(invoice.minor.unsigned_abs()).max(1);
            u64::try_from((u128::from(grant.granted) * newly).div_ceil(total)).unwrap_or(u64::MAX)
        });
        let grant = grant.map_or_else(Vec::new, |grant| grant.id.clone());
        let status = InvoiceStatus::Refunded as u32;
        let invoice = Some(Invoice { status, refunded_minor, ..invoice });
        Ok(Event::PaymentRefunded(PaymentRefunded { report, invoice, grant, credits }))
    }
}

/// A subscription to start.
struct Started {
    provider: &'static str,
    subscription: String,
    plan: String,
    is_trial: bool,
    period: Option<Period>,
}

/// The subscription after a report of this time.
fn at(subscription: SubscriptionState, at_ms: u64) -> SubscriptionState {
    let reported_at_ms = subscription.reported_at_ms.max(at_ms);
    SubscriptionState { reported_at_ms, ..subscription }
}

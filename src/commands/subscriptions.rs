//! Decides reports of payment providers: subscriptions, invoices, bought credits and refunds.
//!
//! A report is applied once, by its id. A report about a subscription that is older than the last
//! one changes nothing but its invoice: providers don't keep the order.

use uuid::Uuid;

use super::decide::{CommandHandler, Decision};
use crate::domain::command::Outcome;
use crate::domain::error::{ErrorCode, Result, ServiceError};
use crate::domain::event::{CreditGrant, Event, PaymentRefunded, SubscriptionChange};
use crate::domain::ids::{GrantId, RechargeId};
use crate::domain::plan::credit::{CreditKind, MAX_AMOUNT, MAX_GRANTS};
use crate::domain::plan::subscription::{
    Charge, Invoice, InvoiceStatus, Period, ProviderChange, ProviderReport, SubscriptionState,
    SubscriptionStatus,
};
use crate::projections::index::{ReadBilling, ReadRanges, ReadWorkspaces};

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
        if self.has_ended(provider, &change)? {
            return Ok((self.record_invoice(&report, change)?, Outcome::Gone));
        }
        let event = match change {
            ProviderChange::Started { subscription, plan, is_trial, period } => {
                let started = Started { provider, subscription, plan, is_trial, period };
                self.start_subscription(report, at_ms, started)?
            }
            ProviderChange::Paid { subscription, charge, period } => {
                let before = self.subscription(provider, &subscription)?;
                self.pay(report, at_ms, (before, charge, period))?
            }
            ProviderChange::PaymentFailed { subscription, charge } => {
                let before = self.subscription(provider, &subscription)?;
                self.fail_payment(report, at_ms, (before, charge))?
            }
            ProviderChange::Updated { ref subscription, .. } => {
                let before = self.subscription(provider, subscription)?;
                self.update_subscription(report, at_ms, (before, change))?
            }
            ProviderChange::Ended { subscription } => {
                let subscription = Some(at(self.subscription(provider, &subscription)?, at_ms));
                let ended = SubscriptionChange { report, subscription, ..Default::default() };
                Event::SubscriptionExpired(ended)
            }
            ProviderChange::CreditsBought { kind, amount, charge, recharge } => {
                let event = self.buy_credits(report, (kind, amount), charge, recharge)?;
                return Ok((event, Outcome::Gone));
            }
            ProviderChange::RechargeFailed { recharge, reason } => {
                return Ok((self.fail_recharge(report, recharge, reason)?, Outcome::Gone));
            }
            ProviderChange::InvoicePaid { invoice, payment } => {
                return Ok((self.link_payment(report, &invoice, payment)?, Outcome::Gone));
            }
            ProviderChange::Refunded { payment, refunded_minor } => {
                self.refund(report, (provider, &payment), refunded_minor)?
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
    fn subscription(&self, provider: &str, reference: &str) -> Result<SubscriptionState> {
        let found = self.state.subscription(self.actor.workspace)?;
        let found =
            found.filter(|found| found.provider == provider && found.reference == reference);
        found.ok_or_else(no_subscription)
    }

    /// Whether a report is about a subscription that the workspace no longer has.
    fn has_ended(&self, provider: &str, change: &ProviderChange) -> Result<bool> {
        let is_about_one = matches!(
            change,
            ProviderChange::Paid { .. }
                | ProviderChange::PaymentFailed { .. }
                | ProviderChange::Updated { .. }
                | ProviderChange::Ended { .. }
        );
        let Some(reference) = change.reference().filter(|_| is_about_one) else { return Ok(false) };
        let holder = self.state.workspace_of_reference(provider, reference)?;
        let is_there = self.subscription(provider, reference).is_ok();
        Ok(holder == Some(self.actor.workspace) && !is_there)
    }

    /// Records the invoice of a report about a subscription that has ended.
    fn record_invoice(&self, report: &str, change: ProviderChange) -> Result<Option<Event>> {
        let invoiced = |invoice| SubscriptionChange {
            report: report.to_owned(),
            invoice: Some(invoice),
            ..Default::default()
        };
        Ok(match change {
            ProviderChange::Paid { charge, .. } => {
                let invoice = self.invoice(report, charge, InvoiceStatus::Paid)?;
                Some(Event::SubscriptionRenewed(invoiced(invoice)))
            }
            ProviderChange::PaymentFailed { charge, .. } => {
                let invoice = self.invoice(report, charge, InvoiceStatus::Failed)?;
                Some(Event::SubscriptionPastDue(invoiced(invoice)))
            }
            _ => None,
        })
    }

    /// Refuses an id of the provider that belongs to another workspace.
    fn refuse_foreign(&self, provider: &str, reference: &str) -> Result<()> {
        match self.state.workspace_of_reference(provider, reference)? {
            Some(holder) if holder != self.actor.workspace => {
                let text = format!("Another workspace has the id {reference}.");
                Err(ServiceError::new(ErrorCode::Conflict, text))
            }
            _ => Ok(()),
        }
    }

    fn check_plan(&self, plan: &str) -> Result<()> {
        match self.policies.plans.load().find(plan) {
            Some(_) => Ok(()),
            None => Err(ServiceError::field("plan", "is not one of the catalogue")),
        }
    }

    /// An invoice of a report. A later status stays: reports may come late.
    fn invoice(&self, report: &str, charge: Charge, status: InvoiceStatus) -> Result<Invoice> {
        let provider = report.split_once(':').map_or("", |(provider, _)| provider);
        let Charge { invoice: reference, payment, money } = charge;
        self.refuse_foreign(provider, &reference)?;
        self.refuse_foreign(provider, &payment)?;
        let before = self.state.invoice(self.actor.workspace, (provider, &reference))?;
        let stays = |before: &Invoice| match InvoiceStatus::from_number(before.status) {
            Some(InvoiceStatus::Refunded) => true,
            Some(InvoiceStatus::Paid) => status == InvoiceStatus::Failed,
            Some(InvoiceStatus::Failed) | None => false,
        };
        if let Some(before) = before.as_ref().filter(|before| stays(before)) {
            return Ok(before.clone());
        }
        // Stripe reports the payment apart from the invoice.
        let known = before.map(|before| before.payment).filter(|_| payment.is_empty());
        Ok(Invoice {
            reference,
            minor: money.minor,
            currency: money.currency.to_string(),
            status: status as u32,
            at_ms: self.now_ms,
            refunded_minor: 0,
            payment: known.unwrap_or(payment),
        })
    }

    fn fail_payment(
        &self,
        report: String,
        at_ms: u64,
        (before, charge): (SubscriptionState, Charge),
    ) -> Result<Event> {
        let invoice = Some(self.invoice(&report, charge, InvoiceStatus::Failed)?);
        let is_over = [SubscriptionStatus::Canceled, SubscriptionStatus::Unpaid]
            .iter()
            .any(|status| *status as u32 == before.status);
        let keeps = is_over || at_ms < before.reported_at_ms;
        let status = if keeps { before.status } else { SubscriptionStatus::PastDue as u32 };
        let subscription = Some(at(SubscriptionState { status, ..before }, at_ms));
        let proration_minor = None;
        let failed = SubscriptionChange { report, subscription, invoice, proration_minor };
        Ok(Event::SubscriptionPastDue(failed))
    }

    fn start_subscription(&self, report: String, at_ms: u64, new: Started) -> Result<Event> {
        self.check_plan(&new.plan)?;
        // One that is canceled gives way: its customer buys again.
        let other = self.state.subscription(self.actor.workspace)?;
        let canceled = SubscriptionStatus::Canceled as u32;
        let previous_plan = match &other {
            Some(other) => other.previous_plan.clone(),
            None => self.state.workspace(self.actor.workspace)?.and_then(|found| found.plan),
        };
        if let Some(other) = other.filter(|other| other.status != canceled) {
            let text = "The workspace has a subscription already: change or end that one.";
            let error = ServiceError::new(ErrorCode::Conflict, text);
            let rule = format!("is not {}, which the workspace has", other.reference);
            return Err(error.with_field("subscription", rule));
        }
        self.refuse_foreign(new.provider, &new.subscription)?;
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
            previous_plan,
        });
        let started = SubscriptionChange { report, subscription, ..Default::default() };
        Ok(Event::SubscriptionStarted(started))
    }

    fn pay(
        &self,
        report: String,
        at_ms: u64,
        (before, charge, period): (SubscriptionState, Charge, Option<Period>),
    ) -> Result<Event> {
        let minor = charge.money.minor;
        let invoice = Some(self.invoice(&report, charge, InvoiceStatus::Paid)?);
        let is_newer = at_ms >= before.reported_at_ms;
        let is_canceled = before.status == SubscriptionStatus::Canceled as u32;
        // A trial begins with an invoice of nothing.
        let is_trial = before.status == SubscriptionStatus::Trialing as u32 && minor == 0;
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
            invoice,
            proration_minor: None,
        }))
    }

    fn update_subscription(
        &self,
        report: String,
        at_ms: u64,
        (before, change): (SubscriptionState, ProviderChange),
    ) -> Result<Event> {
        let ProviderChange::Updated { plan, status, period, ends_at_ms, proration_minor, .. } =
            change
        else {
            return Err(ServiceError::internal("another report"));
        };
        if at_ms < before.reported_at_ms {
            let subscription = Some(before);
            let unchanged = SubscriptionChange { report, subscription, ..Default::default() };
            return Ok(Event::SubscriptionChanged(unchanged));
        }
        let plan = plan.unwrap_or_else(|| before.plan.clone());
        // A plan that left the catalogue does not keep its subscribers from canceling.
        if plan != before.plan {
            self.check_plan(&plan)?;
        }
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
        (kind, amount): (CreditKind, u64),
        charge: Charge,
        recharge: Option<RechargeId>,
    ) -> Result<Option<Event>> {
        if !(1..=MAX_AMOUNT).contains(&amount) {
            let rule = format!("must be from 1 to {MAX_AMOUNT}");
            return Err(ServiceError::field("credits", rule));
        }
        let (provider, _) = report.split_once(':').unwrap_or_default();
        let paid = self.state.invoice(self.actor.workspace, (provider, &charge.invoice))?;
        if paid.is_some() {
            return Ok(None);
        }
        if let Some(id) = recharge
            && !self.is_payable(id, kind, amount)?
        {
            return Ok(None);
        }
        if self.state.credits(self.actor.workspace)?.grants.len() >= MAX_GRANTS {
            let text = format!("The workspace has {MAX_GRANTS} grants with credits left.");
            return Err(ServiceError::new(ErrorCode::Conflict, text));
        }
        let invoice = Some(self.invoice(&report, charge, InvoiceStatus::Paid)?);
        let note = if recharge.is_some() { "Auto-recharge" } else { "Bought" };
        Ok(Some(Event::CreditsGranted(CreditGrant {
            id: GrantId::new(Uuid::now_v7()).as_bytes().to_vec(),
            kind: kind as u32,
            amount,
            expires_at_ms: None,
            note: note.to_owned(),
            report,
            invoice,
            granted: 0,
            recharge: recharge.map_or_else(Vec::new, |id| id.as_bytes().to_vec()),
        })))
    }

    /// An invoice, by the provider's id of it or of its payment.
    fn known_invoice(&self, reference: (&str, &str)) -> Result<Invoice> {
        let invoice = self.state.invoice(self.actor.workspace, reference)?;
        invoice.ok_or_else(|| {
            let text = "The workspace has no such payment: send the report again later.";
            ServiceError::new(ErrorCode::Conflict, text).with_field("payment", "is not known")
        })
    }

    /// Records the payment of an invoice, by which refunds name it.
    fn link_payment(
        &self,
        report: String,
        invoice: &str,
        payment: String,
    ) -> Result<Option<Event>> {
        let (provider, _) = report.split_once(':').unwrap_or_default();
        let before = self.known_invoice((provider, invoice))?;
        if before.payment == payment {
            return Ok(None);
        }
        self.refuse_foreign(provider, &payment)?;
        let invoice = Some(Invoice { payment, ..before });
        let change = SubscriptionChange { report, invoice, ..Default::default() };
        Ok(Some(Event::SubscriptionChanged(change)))
    }

    /// Of the unused credits that were bought with it, as large a part is withdrawn as was refunded.
    fn refund(&self, report: String, payment: (&str, &str), refunded_minor: i64) -> Result<Event> {
        let workspace = self.actor.workspace;
        let invoice = self.known_invoice(payment)?;
        if !(0..=invoice.minor).contains(&refunded_minor) {
            return Err(ServiceError::field("refunded", "is not a part of the amount"));
        }
        let refunded_minor = refunded_minor.max(invoice.refunded_minor);
        let credits = self.state.credits(workspace)?;
        let of_invoice = |grant: &&CreditGrant| {
            grant.invoice.as_ref().is_some_and(|paid| paid.reference == invoice.reference)
        };
        let grant = credits.grants.iter().find(of_invoice);
        // The part of all refunds so far, rounded up, less that of those before.
        let part = |granted: u64, minor: i64| {
            let total = u128::from(invoice.minor.unsigned_abs()).max(1);
            (u128::from(granted) * u128::from(minor.unsigned_abs())).div_ceil(total)
        };
        let credits = grant.map_or(0, |CreditGrant { granted, .. }| {
            let (now, before) = (refunded_minor, invoice.refunded_minor);
            u64::try_from(part(*granted, now) - part(*granted, before)).unwrap_or(u64::MAX)
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

//! Subscriptions: given a workspace, when a payment provider reports, then its subscription, plan,
//! invoices and credits follow, each report once.

use super::billing_tests::{balance, bill, check_rebuild, given};
use super::tests::Writer;
use super::*;
use crate::domain::error::Result;
use crate::domain::money::Money;
use crate::domain::plan::command::BillingCommand;
use crate::domain::plan::credit::CreditKind;
use crate::domain::plan::subscription::{
    Charge, InvoiceStatus, Period, ProviderChange, ProviderReport, SubscriptionState,
    SubscriptionStatus,
};
use crate::projections::index::{ReadBilling, ReadWorkspaces};

fn report(writer: &Writer, id: u64, change: ProviderChange) -> Result<()> {
    report_at(writer, id, id, change)
}

fn report_at(writer: &Writer, id: u64, at_ms: u64, change: ProviderChange) -> Result<()> {
    let report = ProviderReport { provider: "test", id: id.to_string(), at_ms, change };
    bill(writer, BillingCommand::Report(report.into())).map(drop)
}

fn started(subscription: &str, plan: &str) -> ProviderChange {
    ProviderChange::Started {
        subscription: subscription.to_owned(),
        plan: plan.to_owned(),
        is_trial: true,
        period: None,
    }
}

fn charge(invoice: &str, amount: &str) -> Charge {
    let money = Money::parse(amount, "EUR".parse().unwrap()).unwrap();
    Charge { invoice: invoice.to_owned(), payment: format!("pi_{invoice}"), money }
}

fn paid(invoice: &str, start_ms: u64) -> ProviderChange {
    let period = Some(Period { start_ms, end_ms: start_ms + 1_000 });
    let charge = charge(invoice, "8");
    ProviderChange::Paid { subscription: "sub_1".to_owned(), charge, period }
}

fn failed(invoice: &str) -> ProviderChange {
    let charge = charge(invoice, "8");
    ProviderChange::PaymentFailed { subscription: "sub_1".to_owned(), charge }
}

fn updated(plan: Option<&str>, ends_at_ms: Option<u64>) -> ProviderChange {
    ProviderChange::Updated {
        subscription: "sub_1".to_owned(),
        plan: plan.map(str::to_owned),
        status: None,
        period: None,
        ends_at_ms,
        proration_minor: Some(-150),
    }
}

fn subscription(writer: &Writer) -> Option<SubscriptionState> {
    writer.index.subscription(writer.actor.workspace).unwrap()
}

fn status(writer: &Writer) -> Option<SubscriptionStatus> {
    subscription(writer).and_then(|found| SubscriptionStatus::from_number(found.status))
}

fn plan(writer: &Writer) -> Option<String> {
    let workspace = writer.index.workspace(writer.actor.workspace).unwrap().unwrap();
    workspace.plan.map(|plan| plan.id)
}

fn invoices(writer: &Writer) -> Vec<(String, Option<InvoiceStatus>)> {
    let (mut invoices, total) =
        writer.index.scan().invoices(writer.actor.workspace, 0..100).unwrap();
    assert_eq!(invoices.len() as u64, total);
    assert!(invoices.is_sorted_by(|newer, older| newer.at_ms >= older.at_ms));
    invoices.sort_by(|one, other| one.reference.cmp(&other.reference));
    let status = |number| InvoiceStatus::from_number(number);
    invoices.into_iter().map(|invoice| (invoice.reference, status(invoice.status))).collect()
}

#[test]
fn a_subscription_goes_from_its_trial_to_its_end() {
    let (writer, _) = given("acme/free");
    report(&writer, 1, started("sub_1", "acme/small")).unwrap();
    assert_eq!(
        (status(&writer), plan(&writer).as_deref()),
        (Some(SubscriptionStatus::Trialing), Some("acme/small"))
    );
    let nothing = ProviderChange::Paid {
        subscription: "sub_1".to_owned(),
        charge: charge("in_0", "0"),
        period: None,
    };
    report(&writer, 2, nothing).unwrap();
    assert_eq!(status(&writer), Some(SubscriptionStatus::Trialing));
    report(&writer, 3, paid("in_1", 5_000)).unwrap();
    assert_eq!(status(&writer), Some(SubscriptionStatus::Active));
    report(&writer, 4, failed("in_2")).unwrap();
    assert_eq!(status(&writer), Some(SubscriptionStatus::PastDue));
    assert_eq!(plan(&writer).as_deref(), Some("acme/small"), "while the provider tries again");
    report(&writer, 5, paid("in_2", 6_000)).unwrap();
    assert_eq!(status(&writer), Some(SubscriptionStatus::Active));
    report(&writer, 6, updated(Some("acme/large"), None)).unwrap();
    assert_eq!(plan(&writer).as_deref(), Some("acme/large"));
    report(&writer, 7, updated(None, Some(7_000))).unwrap();
    assert_eq!(status(&writer), Some(SubscriptionStatus::Canceled));
    assert_eq!(plan(&writer).as_deref(), Some("acme/large"), "until it ends");
    report(&writer, 8, ProviderChange::Ended { subscription: "sub_1".to_owned() }).unwrap();
    assert_eq!((status(&writer), plan(&writer).as_deref()), (None, Some("acme/free")));
    let expected = [
        ("in_0", InvoiceStatus::Paid),
        ("in_1", InvoiceStatus::Paid),
        ("in_2", InvoiceStatus::Paid),
    ];
    assert_eq!(invoices(&writer), expected.map(|(id, status)| (id.to_owned(), Some(status))));
    report(&writer, 9, started("sub_2", "acme/small")).unwrap();
    check_rebuild(&writer);
}

#[test]
fn reports_are_applied_once_and_old_ones_change_no_state() {
    let (writer, _) = given("acme/free");
    report(&writer, 10, started("sub_1", "acme/small")).unwrap();
    report(&writer, 20, paid("in_1", 5_000)).unwrap();
    let before = subscription(&writer);
    let end = writer.log.end();
    report(&writer, 20, failed("in_9")).unwrap();
    report(&writer, 10, started("sub_1", "acme/large")).unwrap();
    assert_eq!((subscription(&writer), writer.log.end()), (before.clone(), end), "replayed");
    report_at(&writer, 21, 15, failed("in_0")).unwrap();
    report_at(&writer, 22, 15, updated(Some("acme/large"), Some(1))).unwrap();
    assert_eq!(subscription(&writer), before, "reported late");
    assert!(invoices(&writer).contains(&("in_0".to_owned(), Some(InvoiceStatus::Failed))));
    check_rebuild(&writer);
}

#[test]
fn wrong_reports_change_nothing() {
    let (writer, _) = given("acme/free");
    let refused = |id, change| {
        let error = report(&writer, id, change).unwrap_err();
        (error.code, error.fields.into_keys().next().unwrap_or_default())
    };
    let conflict = |field: &str| (ErrorCode::Conflict, field.to_owned());
    assert_eq!(refused(1, paid("in_1", 1)), conflict("subscription"));
    assert_eq!(refused(2, started("sub_1", "acme/none")), (ErrorCode::Invalid, "plan".to_owned()));
    report(&writer, 3, started("sub_1", "acme/small")).unwrap();
    assert_eq!(refused(4, started("sub_2", "acme/large")), conflict("subscription"));
    assert_eq!(plan(&writer).as_deref(), Some("acme/small"));
    let refund =
        |refunded_minor| ProviderChange::Refunded { payment: "pi_in_1".to_owned(), refunded_minor };
    assert_eq!(refused(5, refund(1)), conflict("payment"));
    // A refused report can be sent again.
    report(&writer, 1, paid("in_1", 1)).unwrap();
    assert_eq!(refused(6, refund(801)).0, ErrorCode::Invalid);
    assert_eq!(refused(6, refund(-1)).0, ErrorCode::Invalid);
    report(&writer, 6, refund(800)).unwrap();
    assert_eq!(invoices(&writer), [("in_1".to_owned(), Some(InvoiceStatus::Refunded))]);
}

#[test]
fn refunds_withdraw_bought_credits_that_are_left() {
    let (writer, _) = given("acme/free");
    let charge = charge("in_1", "10");
    let bought = ProviderChange::CreditsBought {
        kind: CreditKind::Links,
        amount: 100,
        charge,
        recharge: None,
    };
    report(&writer, 1, bought.clone()).unwrap();
    report(&writer, 1, bought).unwrap();
    assert_eq!(balance(&writer), 100);
    let refund =
        |refunded_minor| ProviderChange::Refunded { payment: "pi_in_1".to_owned(), refunded_minor };
    report(&writer, 2, refund(250)).unwrap();
    assert_eq!(balance(&writer), 75, "a quarter");
    report(&writer, 3, refund(250)).unwrap();
    assert_eq!(balance(&writer), 75, "the same again");
    report(&writer, 4, refund(1_000)).unwrap();
    assert_eq!(balance(&writer), 0);
    check_rebuild(&writer);
}

#[test]
fn a_canceled_subscription_ends_even_if_the_provider_is_silent() {
    let (writer, _) = given("acme/free");
    report(&writer, 1, started("sub_1", "acme/small")).unwrap();
    bill(&writer, BillingCommand::EndSubscription).unwrap();
    report(&writer, 2, updated(None, Some(now_ms() + 3_600_000))).unwrap();
    bill(&writer, BillingCommand::EndSubscription).unwrap();
    assert_eq!(status(&writer), Some(SubscriptionStatus::Canceled));
    report(&writer, 3, updated(None, None)).unwrap();
    assert_eq!(status(&writer), Some(SubscriptionStatus::Active), "it goes on");
    report(&writer, 4, updated(None, Some(1))).unwrap();
    bill(&writer, BillingCommand::EndSubscription).unwrap();
    assert_eq!((status(&writer), plan(&writer).as_deref()), (None, Some("acme/free")));
}

/// Otherwise the customer would pay for nothing.
#[test]
fn a_new_subscription_takes_the_place_of_a_canceled_one() {
    let (writer, _) = given("acme/free");
    report(&writer, 1, started("sub_1", "acme/small")).unwrap();
    report(&writer, 2, updated(None, Some(now_ms() + 3_600_000))).unwrap();
    report(&writer, 3, started("sub_2", "acme/large")).unwrap();
    assert_eq!(plan(&writer).as_deref(), Some("acme/large"));
    // What comes about the first one changes nothing, but is not sent again for ever.
    report(&writer, 4, ProviderChange::Ended { subscription: "sub_1".to_owned() }).unwrap();
    report(&writer, 5, updated(None, Some(1))).unwrap();
    report(&writer, 6, failed("in_last")).unwrap();
    assert_eq!(subscription(&writer).unwrap().reference, "sub_2");
    assert_eq!(plan(&writer).as_deref(), Some("acme/large"));
    assert_eq!(invoices(&writer), [("in_last".to_owned(), Some(InvoiceStatus::Failed))]);
    check_rebuild(&writer);
}

#[test]
fn an_unpaid_subscription_has_no_plan_until_it_is_paid() {
    let (writer, _) = given("acme/free");
    report(&writer, 1, started("sub_1", "acme/large")).unwrap();
    let unpaid = ProviderChange::Updated {
        subscription: "sub_1".to_owned(),
        plan: None,
        status: Some(SubscriptionStatus::Unpaid),
        period: None,
        ends_at_ms: None,
        proration_minor: None,
    };
    report(&writer, 2, unpaid).unwrap();
    assert_eq!(status(&writer), Some(SubscriptionStatus::Unpaid));
    assert_eq!(plan(&writer).as_deref(), Some("acme/free"));
    report(&writer, 3, failed("in_1")).unwrap();
    assert_eq!(plan(&writer).as_deref(), Some("acme/free"));
    report(&writer, 4, paid("in_1", 5_000)).unwrap();
    assert_eq!(status(&writer), Some(SubscriptionStatus::Active));
    assert_eq!(plan(&writer).as_deref(), Some("acme/large"));
    // A plan that the operator sets stays while the subscription's does not change.
    super::billing_tests::set_plan(&writer, "acme/small", &[]).unwrap();
    report(&writer, 5, paid("in_2", 6_000)).unwrap();
    assert_eq!(plan(&writer).as_deref(), Some("acme/small"));
    check_rebuild(&writer);
}

#[test]
fn invoices_keep_their_later_status_and_credits_are_bought_once() {
    let (writer, _) = given("acme/free");
    report(&writer, 1, started("sub_1", "acme/small")).unwrap();
    report(&writer, 3, paid("in_1", 5_000)).unwrap();
    report_at(&writer, 4, 2, failed("in_1")).unwrap();
    assert_eq!(invoices(&writer), [("in_1".to_owned(), Some(InvoiceStatus::Paid))]);
    let bought = || ProviderChange::CreditsBought {
        kind: CreditKind::Links,
        amount: 10,
        charge: charge("in_2", "3"),
        recharge: None,
    };
    report(&writer, 5, bought()).unwrap();
    report(&writer, 6, bought()).unwrap();
    assert_eq!(balance(&writer), 10, "the same invoice");
    for cents in 1..=10 {
        let payment = "in_2".to_owned();
        let refund = ProviderChange::Refunded { payment, refunded_minor: cents };
        report(&writer, 10 + cents.unsigned_abs(), refund).unwrap();
    }
    assert_eq!(balance(&writer), 9, "a thirtieth, rounded up");
    check_rebuild(&writer);
}

/// What the operator had assigned comes back with its overrides.
#[test]
fn the_plan_from_before_a_subscription_applies_after_it() {
    let (writer, _) = given("acme/free");
    let overrides = [("links_per_month", Some(7))];
    super::billing_tests::set_plan(&writer, "acme/large", &overrides).unwrap();
    let assigned = || writer.index.workspace(writer.actor.workspace).unwrap().unwrap().plan;
    let before = assigned();
    report(&writer, 1, started("sub_1", "acme/small")).unwrap();
    report(&writer, 2, updated(None, Some(now_ms() + 3_600_000))).unwrap();
    report(&writer, 3, started("sub_2", "acme/small")).unwrap();
    super::billing_tests::set_plan(&writer, "acme/free", &[]).unwrap();
    report(&writer, 4, ProviderChange::Ended { subscription: "sub_2".to_owned() }).unwrap();
    assert_eq!(assigned(), before, "as before the first subscription");
    bill(&writer, BillingCommand::ChangePlan(None)).unwrap();
    report(&writer, 5, started("sub_3", "acme/small")).unwrap();
    report(&writer, 6, ProviderChange::Ended { subscription: "sub_3".to_owned() }).unwrap();
    assert_eq!(assigned(), None);
    check_rebuild(&writer);
}

/// Stripe reports the payment apart from the invoice.
#[test]
fn a_refund_finds_its_invoice_by_the_payment_that_is_reported_later() {
    let (writer, _) = given("acme/free");
    report(&writer, 1, started("sub_1", "acme/small")).unwrap();
    let invoice_paid =
        || ProviderChange::InvoicePaid { invoice: "in_1".to_owned(), payment: "pi_9".to_owned() };
    let error = report(&writer, 2, invoice_paid()).unwrap_err();
    assert_eq!(error.code, ErrorCode::Conflict, "sent again later");
    let without_payment = || {
        let charge = Charge { payment: String::new(), ..charge("in_1", "8") };
        ProviderChange::Paid { subscription: "sub_1".to_owned(), charge, period: None }
    };
    report(&writer, 3, without_payment()).unwrap();
    report(&writer, 2, invoice_paid()).unwrap();
    report(&writer, 4, without_payment()).unwrap();
    let end = writer.log.end();
    report(&writer, 5, invoice_paid()).unwrap();
    assert_eq!(writer.log.end(), end, "known already");
    let refund = ProviderChange::Refunded { payment: "pi_9".to_owned(), refunded_minor: 800 };
    report(&writer, 6, refund).unwrap();
    assert_eq!(invoices(&writer), [("in_1".to_owned(), Some(InvoiceStatus::Refunded))]);
    check_rebuild(&writer);
}

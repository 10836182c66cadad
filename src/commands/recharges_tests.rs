//! Auto-recharge: given a workspace whose credits are used up, when links are created and payments
//! are reported, then credits are requested, one request at a time and within the monthly limit.

use super::billing_tests::{balance, bill, check_rebuild, create, given, grant, input, set_plan};
use super::decide::CommandHandler;
use super::tests::Writer;
use super::*;
use crate::domain::error::Result;
use crate::domain::event::{AutoRecharge, Event, Recharge, WorkspaceDeleted};
use crate::domain::ids::RechargeId;
use crate::domain::money::Money;
use crate::domain::plan::Month;
use crate::domain::plan::command::BillingCommand;
use crate::domain::plan::credit::CreditKind;
use crate::domain::plan::recharge::{ANSWER_TIMEOUT_MS, AutoRechargeState};
use crate::domain::plan::subscription::{Charge, ProviderChange, ProviderReport};
use crate::projections::index::ReadBilling;

const SETTINGS: AutoRecharge = AutoRecharge {
    kind: CreditKind::Links as u32,
    enabled: true,
    threshold: 2,
    amount: 3,
    monthly_limit: 7,
};

/// Given a workspace without an allowance, with as many credits as the threshold.
fn workspace() -> (Writer, Policies) {
    let (writer, policies) = given("acme/free");
    set_plan(&writer, "acme/free", &[("links_per_month", Some(0))]).unwrap();
    grant(&writer, 2, None).unwrap();
    bill(&writer, BillingCommand::ChangeAutoRecharge(SETTINGS)).unwrap();
    (writer, policies)
}

fn state(writer: &Writer) -> AutoRechargeState {
    writer.index.auto_recharge(writer.actor.workspace, CreditKind::Links).unwrap()
}

fn open(writer: &Writer) -> Option<Recharge> {
    state(writer).open
}

fn id(recharge: &Recharge) -> RechargeId {
    RechargeId::from_bytes(&recharge.id).unwrap()
}

fn report(writer: &Writer, report: &str, change: ProviderChange) -> Result<()> {
    let report = ProviderReport { provider: "test", id: report.to_owned(), at_ms: 1, change };
    bill(writer, BillingCommand::Report(report.into())).map(drop)
}

fn bought(invoice: &str, amount: u64, recharge: &Recharge) -> ProviderChange {
    let money = Money::parse("3", "EUR".parse().unwrap()).unwrap();
    let charge = Charge { invoice: invoice.to_owned(), payment: String::new(), money };
    let (kind, recharge) = (CreditKind::Links, Some(id(recharge)));
    ProviderChange::CreditsBought { kind, amount, charge, recharge }
}

fn failed(recharge: &Recharge) -> ProviderChange {
    ProviderChange::RechargeFailed { recharge: id(recharge), reason: "declined".to_owned() }
}

#[test]
fn credits_are_requested_with_the_debit_that_leaves_too_few() {
    let (writer, _) = workspace();
    assert_eq!(open(&writer), None, "as many as the threshold are left");
    create(&writer, input()).unwrap();
    let first = open(&writer).unwrap();
    assert_eq!((first.amount, balance(&writer)), (3, 1));
    create(&writer, input()).unwrap();
    assert_eq!(open(&writer), Some(first.clone()), "one is open");
    let error = report(&writer, "1", bought("in_1", 4, &first)).unwrap_err();
    assert_eq!(error.fields.into_keys().collect::<Vec<_>>(), ["credits"]);
    report(&writer, "1", bought("in_1", 3, &first)).unwrap();
    assert_eq!((open(&writer), balance(&writer)), (None, 3));
    let end = writer.log.end();
    report(&writer, "1", bought("in_1", 3, &first)).unwrap();
    report(&writer, "2", bought("in_1", 3, &first)).unwrap();
    report(&writer, "3", failed(&first)).unwrap();
    assert_eq!((writer.log.end(), balance(&writer)), (end, 3), "reported before");
    check_rebuild(&writer);
}

/// Many clients use credits while every request is answered at once.
#[test]
fn the_monthly_limit_holds_while_clients_race() {
    let (writer, policies) = workspace();
    let mut reports = 0;
    loop {
        let clients: Vec<_> = (0..20)
            .map(|_| {
                let (commands, actor) = (writer.commands.clone(), writer.actor);
                let command = Command::CreateLink(input());
                writer.runtime.spawn(async move { commands.run(actor, command, None).await })
            })
            .collect();
        let results = clients.into_iter().map(|client| writer.runtime.block_on(client).unwrap());
        let created = results.flatten().count();
        let Some(open) = open(&writer) else {
            assert_eq!(created, 3, "the last credits");
            break;
        };
        reports += 1;
        report(&writer, &reports.to_string(), bought(&format!("in_{reports}"), 3, &open)).unwrap();
    }
    let state = state(&writer);
    assert_eq!((reports, state.requested_in(Month::of(now_ms()))), (2, 6), "at most 7");
    let next_ms = Month::of(now_ms()).next().start().as_millisecond().unsigned_abs();
    let recharge_at = |now_ms: u64| {
        let (state, actor) = (&*writer.index, &writer.actor);
        let handler = CommandHandler { state, policies: &policies, actor, now_ms };
        handler.recharge(CreditKind::Links).unwrap()
    };
    assert_eq!(recharge_at(next_ms - 1), None);
    let next = recharge_at(next_ms);
    assert!(matches!(next, Some(Event::RechargeRequested(_))), "{next:?}");
    check_rebuild(&writer);
}

#[test]
fn three_failures_disable_it_until_it_is_enabled_again() {
    let (writer, _) = workspace();
    grant(&writer, 3, None).unwrap();
    let settings = AutoRecharge { threshold: 10, ..SETTINGS };
    bill(&writer, BillingCommand::ChangeAutoRecharge(settings)).unwrap();
    for failures in 1..=3 {
        let recharge = open(&writer).unwrap();
        report(&writer, &failures.to_string(), failed(&recharge)).unwrap();
        report(&writer, &format!("{failures} again"), failed(&recharge)).unwrap();
        assert_eq!((open(&writer), state(&writer).failures), (None, failures));
        create(&writer, input()).unwrap();
    }
    assert_eq!(open(&writer), None);
    assert!(!state(&writer).settings.unwrap().enabled);
    bill(&writer, BillingCommand::ChangeAutoRecharge(settings)).unwrap();
    assert!(open(&writer).is_some());
    assert_eq!(state(&writer).failures, 0);
    check_rebuild(&writer);
}

#[test]
fn a_request_without_an_answer_is_closed_and_paid_credits_are_granted_later() {
    let (writer, policies) = workspace();
    create(&writer, input()).unwrap();
    let recharge = open(&writer).unwrap();
    let recharge_at = |now_ms: u64| {
        let (state, actor) = (&*writer.index, &writer.actor);
        let handler = CommandHandler { state, policies: &policies, actor, now_ms };
        handler.recharge(CreditKind::Links).unwrap()
    };
    let late_ms = recharge.at_ms + ANSWER_TIMEOUT_MS;
    assert_eq!(recharge_at(late_ms - 1), None);
    let Some(event) = recharge_at(late_ms) else { panic!("still open") };
    writer.log_event(writer.actor.workspace, event);
    assert_eq!((open(&writer), state(&writer).failures), (None, 1));
    report(&writer, "1", bought("in_1", 3, &recharge)).unwrap();
    assert_eq!((balance(&writer), state(&writer).failures), (4, 0));
    assert_eq!(state(&writer).requested_in(Month::of(recharge.at_ms)), 3);
    // Another report of the same payment, and one of credits that were never requested.
    report(&writer, "2", bought("in_2", 3, &recharge)).unwrap();
    report(&writer, "3", failed(&recharge)).unwrap();
    let other = Recharge { id: vec![7; 16], ..recharge };
    let unknown = report(&writer, "4", bought("in_3", 3, &other)).unwrap_err();
    assert_eq!((unknown.code, balance(&writer)), (ErrorCode::Conflict, 4));
    check_rebuild(&writer);
}

#[test]
fn a_deleted_workspace_requests_nothing() {
    let (writer, _) = workspace();
    let deleted = WorkspaceDeleted { purged_at_ms: now_ms() + ANSWER_TIMEOUT_MS };
    writer.log_event(writer.actor.workspace, Event::WorkspaceDeleted(deleted));
    create(&writer, input()).unwrap();
    bill(&writer, BillingCommand::Recharge(CreditKind::Links)).unwrap();
    assert_eq!(open(&writer), None);
}

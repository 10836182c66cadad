//! Reservations: given a workspace with an allowance and credits, when an import reserves what it
//! needs, then it can use that and nothing else can.

use super::billing_tests::{
    balance, bill, check_rebuild, create, given, grant, input, ledger, set_plan,
};
use super::decide::CommandHandler;
use super::tests::Writer;
use super::*;
use crate::domain::command::{Fate, Import, OnConflict, Payment};
use crate::domain::error::Result;
use crate::domain::event::{AutoRecharge, Event, TokenState};
use crate::domain::ids::{GrantId, ImportId};
use crate::domain::plan::command::BillingCommand;
use crate::domain::plan::credit::{CreditKind, LedgerEntryKind};
use crate::domain::plan::state::CreditsState;
use crate::domain::plan::{Limit, Month};
use crate::projections::index::ReadBilling;

const IMPORT: ImportId = ImportId::new(uuid::Uuid::from_u128(7));

/// Given a workspace with an allowance, one link and some credits.
fn workspace(allowance: u64, credits: u64) -> (Writer, Policies) {
    let (writer, policies) = given("acme/free");
    set_plan(&writer, "acme/free", &[("links_per_month", Some(allowance))]).unwrap();
    let token = TokenState {
        id: writer.actor.token.as_bytes().to_vec(),
        abilities: vec!["*".to_owned()],
        secret_sha256: vec![1; 32],
        ..TokenState::default()
    };
    writer.log_event(writer.actor.workspace, Event::TokenCreated(token));
    create(&writer, input()).unwrap();
    grant(&writer, credits, None).unwrap();
    (writer, policies)
}

fn reserve(writer: &Writer, links: u64, is_partial: bool) -> Result<Outcome> {
    bill(writer, BillingCommand::Reserve { import: IMPORT, links, is_partial })
}

fn import_command() -> Command {
    let (on_conflict, payment) = (OnConflict::default(), Payment::Reserved(IMPORT));
    Command::ImportLink(Import { input: input(), from_host: None, on_conflict, payment }.into())
}

fn import(writer: &Writer) -> Result<()> {
    let run = writer.commands.run(writer.actor, import_command(), None);
    let done = writer.runtime.block_on(run)?;
    assert!(matches!(done.outcome, Outcome::Imported(_, Fate::Created)));
    Ok(())
}

fn state(writer: &Writer) -> CreditsState {
    writer.index.credits(writer.actor.workspace).unwrap()
}

/// The changes of credits, oldest first, after which the balances follow from them.
fn changes(writer: &Writer) -> Vec<(&'static str, u64)> {
    let mut expected = 0;
    let entries = ledger(writer).into_iter().map(|(_, entry)| {
        let kind = LedgerEntryKind::from_number(entry.entry).unwrap();
        match kind {
            LedgerEntryKind::Granted | LedgerEntryKind::Released => expected += entry.amount,
            LedgerEntryKind::Debited if !entry.reservation.is_empty() => {}
            _ => expected -= entry.amount,
        }
        assert_eq!(entry.balance, expected);
        (kind.as_str(), entry.amount)
    });
    entries.collect()
}

#[test]
fn what_an_import_reserves_is_left_for_it_alone() {
    let (writer, _) = workspace(3, 5);
    reserve(&writer, 4, false).unwrap();
    let end = writer.log.end();
    reserve(&writer, 4, false).unwrap();
    assert_eq!(writer.log.end(), end, "a resumed import reserves nothing again");
    assert_eq!((balance(&writer), state(&writer).reserved(CreditKind::Links)), (3, 2));

    // Others can use the other credits, but neither the allowance nor the reserved ones.
    for _ in 0..3 {
        create(&writer, input()).unwrap();
    }
    assert_eq!(create(&writer, input()).unwrap_err().code, ErrorCode::PlanLimit);
    for _ in 0..4 {
        import(&writer).unwrap();
    }
    assert_eq!(import(&writer).unwrap_err().code, ErrorCode::PlanLimit);
    bill(&writer, BillingCommand::Release(IMPORT)).unwrap();
    assert_eq!((state(&writer), balance(&writer)), (CreditsState::default(), 0));
    let debited = ("debited", 1);
    let expected = [("granted", 5), ("reserved", 2), debited, debited, debited, debited, debited];
    assert_eq!(changes(&writer), expected);
    check_rebuild(&writer);
}

#[test]
fn what_is_not_used_is_released_once() {
    let (writer, _) = workspace(1, 5);
    reserve(&writer, 4, false).unwrap();
    import(&writer).unwrap();
    let grant = GrantId::from_bytes(&state(&writer).grants[0].id).unwrap();
    bill(&writer, BillingCommand::RefundCredits(grant, 5)).unwrap();
    let end = writer.log.end();
    bill(&writer, BillingCommand::RefundCredits(grant, 5)).unwrap();
    assert_eq!((balance(&writer), writer.log.end()), (0, end), "only what is not reserved");
    for _ in 0..2 {
        bill(&writer, BillingCommand::Release(IMPORT)).unwrap();
    }
    assert_eq!(balance(&writer), 3);
    let expected =
        [("granted", 5), ("reserved", 4), ("debited", 1), ("refunded", 1), ("released", 3)];
    assert_eq!(changes(&writer), expected);
    check_rebuild(&writer);
}

#[test]
fn an_import_with_too_few_credits_is_refused_or_gets_what_there_is() {
    let (writer, _) = workspace(3, 5);
    let before = state(&writer);
    let refused = reserve(&writer, 20, false).unwrap_err();
    assert_eq!(refused.code, ErrorCode::PlanLimit);
    for part in ["20 links", "only 7 more", "13 credits are missing", "The plan Small has no limit"]
    {
        assert!(refused.message.contains(part), "{}", refused.message);
    }
    let reached = refused.limit.unwrap();
    assert_eq!((reached.limit, reached.max), (Limit::LinksPerMonth, 3));
    assert_eq!(state(&writer), before);
    reserve(&writer, 20, true).unwrap();
    let reservation = state(&writer).reservations.remove(0);
    assert_eq!((reservation.allowance, reservation.amount()), (2, 5));

    let (writer, _) = workspace(3, 1);
    set_plan(&writer, "acme/large", &[("links_per_month", None)]).unwrap();
    let end = writer.log.end();
    reserve(&writer, 20, false).unwrap();
    assert_eq!(writer.log.end(), end, "nothing without a limit");
}

/// The month's allowance begins again, for others without what the import has reserved.
#[test]
fn the_reservation_stays_at_the_end_of_a_month() {
    let (writer, policies) = workspace(3, 5);
    reserve(&writer, 6, false).unwrap();
    import(&writer).unwrap();
    let next_ms = Month::of(now_ms()).next().start().as_millisecond().unsigned_abs();
    let debit = |command: Command| {
        let (state, actor) = (&*writer.index, &writer.actor);
        let handler = CommandHandler { state, policies: &policies, actor, now_ms: next_ms };
        let payment = command.payment();
        let (event, _) = handler.decide(command).unwrap();
        handler.check_limits(&event.unwrap(), payment).unwrap().debit
    };
    assert_eq!(debit(import_command()), None);
    assert_eq!(debit(Command::CreateLink(input())), None, "one of three is reserved");
    set_plan(&writer, "acme/free", &[("links_per_month", Some(1))]).unwrap();
    assert_eq!(debit(import_command()), None);
    assert!(debit(Command::CreateLink(input())).is_some(), "one of one is reserved");
}

#[test]
fn credits_are_requested_when_too_few_are_not_reserved() {
    let (writer, _) = workspace(1, 5);
    let kind = CreditKind::Links as u32;
    let settings =
        AutoRecharge { kind, enabled: true, threshold: 3, amount: 10, monthly_limit: 10 };
    bill(&writer, BillingCommand::ChangeAutoRecharge(settings)).unwrap();
    let open = || {
        let recharge = writer.index.auto_recharge(writer.actor.workspace, CreditKind::Links);
        recharge.unwrap().open
    };
    assert_eq!(open(), None);
    reserve(&writer, 3, false).unwrap();
    assert_eq!(open().unwrap().amount, 10);
}

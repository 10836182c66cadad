//! QR codes: given links and codes, when commands are decided, then these events are logged.

use super::billing_tests::{bill, check_rebuild, create, given, input, set_plan};
use super::tests::Writer;
use super::*;
use crate::domain::command::LinkRef;
use crate::domain::error::Result;
use crate::domain::event::CreditGrant;
use crate::domain::ids::{LogoId, QrCodeId, WorkspaceId};
use crate::domain::link::{Field, Kind, Link};
use crate::domain::plan::command::BillingCommand;
use crate::domain::plan::credit::CreditKind;
use crate::domain::plan::limit::Counter;
use crate::domain::plan::{Limit, Month};
use crate::domain::qr::command::{NewLogo, QrCommand};
use crate::domain::qr::style::Color;
use crate::domain::qr::{MAX_CODES_PER_LINK, QrCode, QrCodeInput, QrDefaultsInput};
use crate::projections::index::{ReadBilling, ReadQrCodes};

const RED: &str = "#c80000";

fn run(writer: &Writer, command: QrCommand) -> Result<Outcome> {
    let run = writer.commands.run(writer.actor, Command::Qr(command), None);
    writer.runtime.block_on(run).map(|done| done.outcome)
}

fn code(outcome: Result<Outcome>) -> QrCode {
    match outcome.unwrap() {
        Outcome::QrCode(code) => *code,
        other => panic!("{other:?}"),
    }
}

fn link(writer: &Writer) -> Link {
    match create(writer, input()).unwrap() {
        Outcome::Link(link) => *link,
        other => panic!("{other:?}"),
    }
}

fn of(link: &Link) -> QrCodeInput {
    QrCodeInput { link: Field::Value(link.slug.to_string()), ..QrCodeInput::default() }
}

fn text(text: &str) -> Field<String> {
    Field::Value(text.to_owned())
}

fn change(writer: &Writer, id: QrCodeId, input: QrCodeInput) -> Result<Outcome> {
    run(writer, QrCommand::Change(id, input.into(), None))
}

fn store_logo(writer: &Writer, number: u8) -> Result<LogoId> {
    let id = LogoId::from_bytes(&[number; 16]).unwrap();
    let logo = NewLogo { id, image: vec![number; 9], content_type: "image/png".to_owned() };
    run(writer, QrCommand::StoreLogo(logo.into())).map(|_| id)
}

#[test]
fn a_code_is_created_changed_and_deleted() {
    let (writer, _) = given("acme/large");
    let link = link(&writer);
    let made = code(run(&writer, QrCommand::Create(of(&link).into())));
    assert_eq!((made.link, made.version, made.size), (link.id, 1, 300));
    let same = QrCodeInput { size: Field::Value(300), ..QrCodeInput::default() };
    let before = writer.log.end();
    assert_eq!(code(change(&writer, made.id, same)), made);
    assert_eq!(writer.log.end(), before, "nothing changes, so nothing is logged");

    let red = QrCodeInput { color: text(RED), name: text("Poster"), ..QrCodeInput::default() };
    let changed = code(change(&writer, made.id, red.clone()));
    assert_eq!((changed.version, changed.style.color.to_string().as_str()), (2, RED));
    let outdated = QrCommand::Change(made.id, red.into(), Some(1));
    assert_eq!(run(&writer, outdated).unwrap_err().code, ErrorCode::PreconditionFailed);
    let moved = change(&writer, made.id, of(&link)).unwrap_err();
    assert!(moved.fields.contains_key("link"));

    let reverted = QrCommand::Revert { to: made.clone().into(), expected: Some(2) };
    let reverted = code(run(&writer, reverted));
    assert_eq!(QrCode { version: 1, updated_at_ms: made.updated_at_ms, ..reverted }, made);
    run(&writer, QrCommand::Delete(made.id, None)).unwrap();
    let gone = run(&writer, QrCommand::Delete(made.id, None)).unwrap_err();
    assert_eq!(gone.code, ErrorCode::NotFound);
    check_rebuild(&writer);
}

#[test]
fn a_code_needs_a_link_of_the_workspace_that_is_not_deleted() {
    let (writer, _) = given("acme/large");
    let link = link(&writer);
    let made = code(run(&writer, QrCommand::Create(of(&link).into())));
    let missing = run(&writer, QrCommand::Create(Box::default())).unwrap_err();
    assert!(missing.fields.contains_key("link"));
    let other = Actor { workspace: WorkspaceId::new(uuid::Uuid::from_u128(8)), ..writer.actor };
    let foreign = |command| {
        let run = writer.commands.run(other, Command::Qr(command), None);
        writer.runtime.block_on(run).unwrap_err().code
    };
    assert_eq!(foreign(QrCommand::Create(of(&link).into())), ErrorCode::NotFound);
    assert_eq!(foreign(QrCommand::Delete(made.id, None)), ErrorCode::NotFound);
    let change = QrCommand::Change(made.id, Box::default(), None);
    assert_eq!(foreign(change), ErrorCode::NotFound);

    let delete = Command::DeleteLink(LinkRef::Id(link.id), None);
    writer.runtime.block_on(writer.commands.run(writer.actor, delete, None)).unwrap();
    for command in [QrCommand::Create(of(&link).into()), QrCommand::Delete(made.id, None)] {
        assert_eq!(run(&writer, command).unwrap_err().code, ErrorCode::NotFound);
    }
}

#[test]
fn only_pages_have_a_payload_to_encode() {
    let (writer, _) = given("acme/large");
    let direct = |link: &Link| QrCodeInput { direct: Field::Value(true), ..of(link) };
    let refused = run(&writer, QrCommand::Create(direct(&link(&writer)).into())).unwrap_err();
    assert!(refused.fields.contains_key("direct"));
    let mut page = input();
    page.destination = Field::Absent;
    page.kind = Field::Value(Kind::Text);
    let payload = serde_json::json!({ "text": "hi" });
    page.payload = Field::Value(payload.as_object().unwrap().clone());
    let Outcome::Link(page) = create(&writer, page).unwrap() else { panic!("no link") };
    assert!(code(run(&writer, QrCommand::Create(direct(&page).into()))).direct);
}

#[test]
fn a_dialect_has_one_code_per_link_which_it_replaces_for_nothing() {
    let (writer, _) = given("acme/large");
    set_plan(&writer, "acme/large", &[("qr_codes_per_month", Some(2))]).unwrap();
    let link = link(&writer);
    let own = code(run(&writer, QrCommand::Create(of(&link).into())));
    let red = QrCodeInput { color: text(RED), name: text("Lens"), ..of(&link) };
    let first = code(run(&writer, QrCommand::CreateFor("lynklens", red.into())));
    assert_eq!((first.version, first.dialect.as_deref()), (1, Some("lynklens")));
    let blue = QrCodeInput { size: Field::Value(400), ..of(&link) };
    let second = code(run(&writer, QrCommand::CreateFor("lynklens", blue.into())));
    assert_eq!((second.id, second.version, second.size), (first.id, 2, 400));
    assert_eq!((second.style.color, second.name), (Color::BLACK, None), "replaced, not changed");
    let other = run(&writer, QrCommand::CreateFor("shortlink", of(&link).into()));
    assert_eq!(other.unwrap_err().code, ErrorCode::PlanLimit);
    let codes = writer.index.qr_codes_of_link(link.id).unwrap();
    assert_eq!(codes.iter().map(|(code, _)| code.id).collect::<Vec<_>>(), [own.id, first.id]);
}

#[test]
fn beyond_the_plan_credits_pay_and_the_last_unit_is_used_once() {
    let (writer, _) = given("acme/large");
    set_plan(&writer, "acme/large", &[("qr_codes_per_month", Some(20))]).unwrap();
    let link = link(&writer);
    let race = || {
        let clients: Vec<_> = (0..40)
            .map(|_| {
                let (commands, actor) = (writer.commands.clone(), writer.actor);
                let command = Command::Qr(QrCommand::Create(of(&link).into()));
                writer.runtime.spawn(async move { commands.run(actor, command, None).await })
            })
            .collect();
        let results = clients.into_iter().map(|one| writer.runtime.block_on(one).unwrap());
        let refused = |error: &ServiceError| {
            let limit = error.limit.as_ref().map(|reached| reached.limit);
            assert_eq!((error.code, limit), (ErrorCode::PlanLimit, Some(Limit::QrCodesPerMonth)));
        };
        results.filter(|result| result.as_ref().inspect_err(|one| refused(one)).is_ok()).count()
    };
    assert_eq!(race(), 20);
    let kind = CreditKind::QrCodes;
    let grant = CreditGrant { kind: kind as u32, amount: 3, ..CreditGrant::default() };
    bill(&writer, BillingCommand::GrantCredits(grant.into())).unwrap();
    assert_eq!(race(), 3);
    let credits = writer.index.credits(writer.actor.workspace).unwrap();
    assert_eq!(credits.balance(kind, now_ms()), 0);
    let month = Month::of(now_ms());
    let used = writer.index.used(writer.actor.workspace, month, Counter::QrCodes).unwrap();
    assert_eq!(used, 23);
    check_rebuild(&writer);
}

#[test]
fn a_link_has_at_most_a_hundred_codes() {
    let writer = Writer::new();
    let link = link(&writer);
    for _ in 0..MAX_CODES_PER_LINK {
        code(run(&writer, QrCommand::Create(of(&link).into())));
    }
    let refused = run(&writer, QrCommand::Create(of(&link).into())).unwrap_err();
    assert_eq!(refused.code, ErrorCode::Conflict);
}

#[test]
fn a_logo_is_kept_while_it_is_used() {
    let (writer, _) = given("acme/large");
    let link = link(&writer);
    let unknown = LogoId::from_bytes(&[1; 16]).unwrap();
    let with = |logo: LogoId| QrCodeInput { logo: text(&logo.to_string()), ..of(&link) };
    let refused = run(&writer, QrCommand::Create(with(unknown).into())).unwrap_err();
    assert!(refused.fields.contains_key("logo"));
    let logo = store_logo(&writer, 1).unwrap();
    let before = writer.log.end();
    assert_eq!(store_logo(&writer, 1).unwrap(), logo);
    assert_eq!(writer.log.end(), before, "the workspace has it");

    let made = code(run(&writer, QrCommand::Create(with(logo).into())));
    let refused = run(&writer, QrCommand::DeleteLogo(logo)).unwrap_err();
    assert_eq!(refused.code, ErrorCode::Conflict);
    assert!(refused.message.contains("(1 in all)") && refused.message.contains("purge"));
    let none = QrCodeInput { logo: Field::Null, ..QrCodeInput::default() };
    code(change(&writer, made.id, none));
    run(&writer, QrCommand::DeleteLogo(logo)).unwrap();
    let gone = run(&writer, QrCommand::DeleteLogo(logo)).unwrap_err();
    assert_eq!(gone.code, ErrorCode::NotFound);
    let revert = QrCommand::Revert { to: made.into(), expected: None };
    assert_eq!(run(&writer, revert).unwrap_err().code, ErrorCode::Conflict, "its logo is gone");
}

/// Both events or none; a replay is none.
#[test]
fn a_logo_is_stored_with_the_code_that_needs_it() {
    let (writer, _) = given("acme/large");
    let link = link(&writer);
    let id = LogoId::from_bytes(&[3; 16]).unwrap();
    let create = |size: u32, key: &str| {
        let logo = NewLogo { id, image: vec![3; 9], content_type: "image/png".to_owned() };
        let first = Some(Command::Qr(QrCommand::StoreLogo(logo.into())));
        let (logo, size) = (text(&id.to_string()), Field::Value(size));
        let input = QrCodeInput { logo, size, ..of(&link) };
        let command = Command::Qr(QrCommand::Create(input.into()));
        let idempotency = Idempotency { key: key.to_owned(), request_sha256: vec![1; 32] };
        let run = writer.commands.run_after(writer.actor, first, command, Some(idempotency));
        writer.runtime.block_on(run)
    };
    let before = writer.log.end();
    assert!(create(1, "a").unwrap_err().fields.contains_key("size"));
    assert_eq!(writer.log.end(), before);
    let made = code(create(300, "b").map(|done| done.outcome));
    assert_eq!(writer.log.end(), before + 2);
    run(&writer, QrCommand::Delete(made.id, None)).unwrap();
    run(&writer, QrCommand::DeleteLogo(id)).unwrap();
    let before = writer.log.end();
    assert!(create(300, "b").unwrap().is_replay);
    assert_eq!(writer.log.end(), before);
    assert!(writer.index.logo(writer.actor.workspace, id).unwrap().is_none());
    check_rebuild(&writer);
}

#[test]
fn defaults_are_copied_into_new_codes_only() {
    let (writer, _) = given("acme/large");
    let link = link(&writer);
    let old = code(run(&writer, QrCommand::Create(of(&link).into())));
    let logo = store_logo(&writer, 2).unwrap();
    let defaults = QrDefaultsInput {
        color: text(RED),
        logo: text(&logo.to_string()),
        logo_size: Field::Value(15),
        ..QrDefaultsInput::default()
    };
    let set = |input: QrDefaultsInput| run(&writer, QrCommand::SetDefaults(None, input.into()));
    set(defaults.clone()).unwrap();
    let before = writer.log.end();
    set(defaults).unwrap();
    assert_eq!(writer.log.end(), before, "nothing changes, so nothing is logged");
    let new = code(run(&writer, QrCommand::Create(of(&link).into())));
    assert_eq!(new.style.color.to_string(), RED);
    assert_eq!(new.style.logo.map(|placed| (placed.logo, placed.size_percent)), Some((logo, 15)));
    let plain = QrCodeInput { color: Field::Null, logo: Field::Null, ..of(&link) };
    let plain = code(run(&writer, QrCommand::Create(plain.into())));
    assert_eq!(plain.style, old.style, "null is the built-in default");
    let stored = writer.index.linked_qr_code(writer.actor.workspace, old.id).unwrap().unwrap();
    assert_eq!(stored.code, old);
    run(&writer, QrCommand::Delete(new.id, None)).unwrap();
    let used = run(&writer, QrCommand::DeleteLogo(logo)).unwrap_err();
    assert_eq!(used.code, ErrorCode::Conflict, "by the defaults");
    set(QrDefaultsInput::default()).unwrap();
    run(&writer, QrCommand::DeleteLogo(logo)).unwrap();
    let bad = QrDefaultsInput { color: text("red"), ..QrDefaultsInput::default() };
    assert!(set(bad).unwrap_err().fields.contains_key("color"));
    check_rebuild(&writer);
}

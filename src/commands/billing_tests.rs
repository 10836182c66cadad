//! Plans and credits: given a workspace on a plan, when commands are decided, then only what the
//! plan and the credits allow is logged.

use std::sync::Arc;

use super::decide::CommandHandler;
use super::tests::Writer;
use super::*;
use crate::domain::command::LinkRef;
use crate::domain::error::Result;
use crate::domain::event::{AssignedPlan, CreditGrant, Debit, Event, WorkspaceCreated};
use crate::domain::ids::{GrantId, WorkspaceId};
use crate::domain::link::{Field, Link, LinkInput};
use crate::domain::plan::command::BillingCommand;
use crate::domain::plan::credit::CreditKind;
use crate::domain::plan::limit::Counter;
use crate::domain::plan::state::{LedgerEntry, LimitOverride};
use crate::domain::plan::{Catalogue, Limit, Month};
use crate::domain::token::Actor;
use crate::projections::index::{ReadBilling, ReadWorkspaces};

const PLANS: &str = r#"
[[plans]]
id = "acme/free"
name = "Free"
kinds = ["url"]
features = ["api"]
limits = { links_per_month = 5, domains = 0, tags = 2 }

[[plans]]
id = "acme/small"
name = "Small"
limits = { links = 2 }

[[plans]]
id = "acme/large"
name = "Large"
limits = { links_per_month = 50 }
"#;

/// Given a workspace on a plan.
pub fn given(plan: &str) -> (Writer, Policies) {
    let policies = Policies::default();
    policies.plans.store(Arc::new(Catalogue::parse(PLANS).unwrap()));
    let writer = Writer::with(policies.clone());
    let created = WorkspaceCreated { name: "w".to_owned(), owner: Vec::new() };
    writer.log_event(writer.actor.workspace, Event::WorkspaceCreated(created));
    set_plan(&writer, plan, &[]).unwrap();
    (writer, policies)
}

pub fn set_plan(writer: &Writer, plan: &str, overrides: &[(&str, Option<u64>)]) -> Result<Outcome> {
    let changed = |(limit, value): &(&str, Option<u64>)| LimitOverride {
        limit: (*limit).to_owned(),
        value: *value,
    };
    let overrides = overrides.iter().map(changed).collect();
    let plan = AssignedPlan { id: plan.to_owned(), overrides };
    bill(writer, BillingCommand::ChangePlan(Some(plan)))
}

pub fn bill(writer: &Writer, command: BillingCommand) -> Result<Outcome> {
    let operator = Actor::operator(writer.actor.workspace);
    let run = writer.commands.run(operator, Command::Billing(command), None);
    writer.runtime.block_on(run).map(|done| done.outcome)
}

pub fn grant(writer: &Writer, amount: u64, expires_at_ms: Option<u64>) -> Result<CreditGrant> {
    let kind = CreditKind::Links as u32;
    let grant = CreditGrant { kind, amount, expires_at_ms, ..CreditGrant::default() };
    match bill(writer, BillingCommand::GrantCredits(grant.into()))? {
        Outcome::Granted(grant) => Ok(*grant),
        other => panic!("{other:?}"),
    }
}

pub fn input() -> LinkInput {
    LinkInput {
        destination: Field::Value("https://example.com".to_owned()),
        ..LinkInput::default()
    }
}

pub fn create(writer: &Writer, input: LinkInput) -> Result<Outcome> {
    let run = writer.commands.run(writer.actor, Command::CreateLink(input), None);
    writer.runtime.block_on(run).map(|done| done.outcome)
}

pub fn balance(writer: &Writer) -> u64 {
    let credits = writer.index.credits(writer.actor.workspace).unwrap();
    credits.balance(CreditKind::Links, now_ms())
}

/// The changes of credits, oldest first.
pub fn ledger(writer: &Writer) -> Vec<(u64, LedgerEntry)> {
    let (scan, workspace) = (writer.index.scan(), writer.actor.workspace);
    let (mut entries, total) = scan.ledger(workspace, 0..100).unwrap();
    assert_eq!(entries.len() as u64, total);
    assert_eq!(scan.ledger(workspace, 1..3).unwrap(), (entries[1..3].to_vec(), total));
    entries.reverse();
    entries
}

fn used(writer: &Writer) -> u64 {
    let month = Month::of(now_ms());
    writer.index.used(writer.actor.workspace, month, Counter::Links).unwrap()
}

/// Creates links with many clients at once; the number that were created.
fn race(writer: &Writer, clients: usize) -> usize {
    let clients: Vec<_> = (0..clients)
        .map(|_| {
            let (commands, actor) = (writer.commands.clone(), writer.actor);
            let command = Command::CreateLink(input());
            writer.runtime.spawn(async move { commands.run(actor, command, None).await })
        })
        .collect();
    let results = clients.into_iter().map(|client| writer.runtime.block_on(client).unwrap());
    let refused = |error: &ServiceError| {
        let reached = error.limit.as_ref().map(|reached| (reached.limit, reached.max));
        assert_eq!((error.code, reached), (ErrorCode::PlanLimit, Some((Limit::LinksPerMonth, 50))));
    };
    results.filter(|result| result.as_ref().inspect_err(|error| refused(error)).is_ok()).count()
}

/// Then the same follows from the log alone.
pub fn check_rebuild(writer: &Writer) {
    let folder = tempfile::tempdir().unwrap();
    let rebuilt = Index::open(folder.path(), &*writer.log).unwrap();
    assert_eq!(writer.index.digest().unwrap(), rebuilt.digest().unwrap());
}

#[test]
fn a_thousand_clients_create_as_many_links_as_the_plan_and_the_credits_allow() {
    let (writer, _) = given("acme/large");
    assert_eq!(race(&writer, 1_000), 50);
    grant(&writer, 10, None).unwrap();
    assert_eq!(race(&writer, 1_000), 10);
    assert_eq!((used(&writer), balance(&writer)), (60, 0));
    let ledger = ledger(&writer);
    let balances: Vec<_> = ledger.iter().map(|(_, entry)| entry.balance).collect();
    assert_eq!(balances, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    check_rebuild(&writer);
}

#[test]
fn the_allowance_is_used_before_credits_and_begins_again_each_month() {
    let (writer, policies) = given("acme/free");
    for _ in 0..5 {
        create(&writer, input()).unwrap();
    }
    let now_ms = now_ms();
    let end_ms = Month::of(now_ms).next().start().as_millisecond().unsigned_abs();
    let expires_at_ms = Some(end_ms + 1);
    grant(&writer, 2, expires_at_ms).unwrap();
    let debit_at = |now_ms: u64| {
        let (state, actor) = (&*writer.index, &writer.actor);
        let handler = CommandHandler { state, policies: &policies, actor, now_ms };
        let (event, _) = handler.decide(Command::CreateLink(input())).unwrap();
        handler.check_limits(&event.unwrap(), None).map(|charge| charge.debit)
    };
    let debit = Some(Debit { kind: CreditKind::Links as u32, amount: 1 });
    assert_eq!(debit_at(now_ms).unwrap(), debit);
    assert_eq!(debit_at(end_ms - 1).unwrap(), debit, "the last millisecond of the month");
    assert_eq!(debit_at(end_ms).unwrap(), None, "a new allowance");
    create(&writer, input()).unwrap();
    create(&writer, input()).unwrap();
    assert_eq!(debit_at(end_ms - 1).unwrap_err().code, ErrorCode::PlanLimit);
    let refused = create(&writer, input()).unwrap_err();
    let recommended = refused.limit.unwrap().recommended.unwrap();
    assert_eq!(recommended.id, "acme/small", "it has no limit of this kind");
    assert_eq!(used(&writer), 7);
    check_rebuild(&writer);
}

#[test]
fn credits_expire_and_are_refunded() {
    let (writer, policies) = given("acme/free");
    set_plan(&writer, "acme/free", &[("links_per_month", Some(0))]).unwrap();
    let expires_at_ms = now_ms() + 3_600_000;
    let short = grant(&writer, 3, Some(expires_at_ms)).unwrap();
    let long = grant(&writer, 4, None).unwrap();
    create(&writer, input()).unwrap();
    let amounts = || {
        let credits = writer.index.credits(writer.actor.workspace).unwrap();
        credits.grants.iter().map(|grant| (grant.id.clone(), grant.amount)).collect::<Vec<_>>()
    };
    assert_eq!(amounts(), [(short.id.clone(), 2), (long.id.clone(), 4)]);
    let id = |grant: &CreditGrant| GrantId::from_bytes(&grant.id).unwrap();
    let decide_at = |now_ms: u64, command| {
        let actor = Actor::operator(writer.actor.workspace);
        let (state, actor) = (&*writer.index, &actor);
        let handler = CommandHandler { state, policies: &policies, actor, now_ms };
        handler.decide(Command::Billing(command)).unwrap().0
    };
    let expire = || BillingCommand::ExpireCredits(id(&short));
    assert_eq!(decide_at(expires_at_ms - 1, expire()), None);
    let Some(Event::CreditsExpired(expired)) = decide_at(expires_at_ms, expire()) else {
        panic!("not expired")
    };
    assert_eq!((&expired.grant, expired.amount), (&short.id, 2));
    bill(&writer, BillingCommand::RefundCredits(id(&long), 3)).unwrap();
    assert_eq!(amounts(), [(short.id, 2), (long.id.clone(), 1)]);
    bill(&writer, BillingCommand::RefundCredits(id(&long), 3)).unwrap();
    bill(&writer, BillingCommand::RefundCredits(id(&long), 3)).unwrap();
    assert_eq!(balance(&writer), 2, "only what is left is taken, and nothing twice");
    let ledger = ledger(&writer);
    let refunds = ledger.iter().filter(|(_, entry)| entry.subject == long.id);
    assert_eq!(refunds.map(|(_, entry)| entry.amount).collect::<Vec<_>>(), [4, 3, 1]);
    check_rebuild(&writer);
}

/// A downgrade keeps everything, and blocks what would add to it.
#[test]
fn a_smaller_plan_keeps_links_and_blocks_new_ones() {
    let (writer, _) = given("acme/large");
    let mut ids = Vec::new();
    for _ in 0..3 {
        let Outcome::Link(link) = create(&writer, input()).unwrap() else { panic!("no link") };
        ids.push(link.id);
    }
    set_plan(&writer, "acme/small", &[]).unwrap();
    let refused = create(&writer, input()).unwrap_err();
    let reached = refused.limit.unwrap();
    assert_eq!((reached.limit, reached.max), (Limit::Links, 2));
    let run = |command| {
        let run = writer.commands.run(writer.actor, command, None);
        writer.runtime.block_on(run).map(|done| done.outcome)
    };
    let title = LinkInput { title: Field::Value("t".to_owned()), ..LinkInput::default() };
    let link = |place: usize| LinkRef::Id(ids[place]);
    run(Command::ChangeLink(link(0), title, None)).unwrap();
    run(Command::DeleteLink(link(0), None)).unwrap();
    assert_eq!(create(&writer, input()).unwrap_err().code, ErrorCode::PlanLimit, "two are left");
    run(Command::DeleteLink(link(1), None)).unwrap();
    create(&writer, input()).unwrap();
    let restore = Command::RestoreLink { link: ids[1], deleted_version: 2, slug: None };
    assert_eq!(run(restore.clone()).unwrap_err().code, ErrorCode::PlanLimit);
    set_plan(&writer, "acme/small", &[("links", None)]).unwrap();
    run(restore).unwrap();
}

#[test]
fn a_plan_lacks_features() {
    let (writer, _) = given("acme/free");
    let refused = |input: LinkInput| {
        let error = create(&writer, input).unwrap_err();
        assert_eq!(error.code, ErrorCode::FeatureNotAvailable);
        error.fields.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(refused(LinkInput { slug: Field::Value("mine".to_owned()), ..input() }), ["slug"]);
    let wifi: LinkInput = serde_json::from_value(serde_json::json!({
        "kind": "wifi", "payload": { "ssid": "Home", "encryption": "nopass" }
    }))
    .unwrap();
    assert_eq!(refused(wifi), ["kind"]);
    let locked: LinkInput = serde_json::from_value(serde_json::json!({
        "destination": "https://example.com", "password": "secret"
    }))
    .unwrap();
    assert_eq!(refused(locked.clone()), ["password"]);
    let ruled: LinkInput = serde_json::from_value(serde_json::json!({
        "destination": "https://example.com",
        "rules": [{ "target": { "destination": "https://example.com/de" } }]
    }))
    .unwrap();
    assert_eq!(refused(ruled), ["rules"]);
    let domain = serde_json::from_value(serde_json::json!({ "hostname": "go.example" })).unwrap();
    let run = writer.commands.run(writer.actor, Command::AddDomain(domain), None);
    let error = writer.runtime.block_on(run).unwrap_err();
    assert_eq!(error.code, ErrorCode::FeatureNotAvailable);
    // What was allowed before stays and can be changed.
    set_plan(&writer, "acme/large", &[]).unwrap();
    let Outcome::Link(link) = create(&writer, locked).unwrap() else { panic!("no link") };
    set_plan(&writer, "acme/free", &[]).unwrap();
    let title = LinkInput { title: Field::Value("t".to_owned()), ..LinkInput::default() };
    let change = Command::ChangeLink(LinkRef::Id(link.id), title, None);
    writer.runtime.block_on(writer.commands.run(writer.actor, change, None)).unwrap();
}

#[test]
fn tags_are_limited_together() {
    let (writer, _) = given("acme/free");
    let tagged = |tags: &[&str]| LinkInput {
        tags: Field::Value(tags.iter().map(|tag| (*tag).to_owned()).collect()),
        ..input()
    };
    create(&writer, tagged(&["a"])).unwrap();
    create(&writer, tagged(&["A", "b"])).unwrap();
    let refused = create(&writer, tagged(&["c"])).unwrap_err();
    assert_eq!(refused.limit.unwrap().limit, Limit::Tags);
    let Outcome::Link(link) = create(&writer, tagged(&["b", "a"])).unwrap() else {
        panic!("no link")
    };
    let change = |link: &Link, tags: &[&str]| {
        let input = LinkInput { destination: Field::Absent, ..tagged(tags) };
        let change = Command::ChangeLink(LinkRef::Id(link.id), input, None);
        writer.runtime.block_on(writer.commands.run(writer.actor, change, None))
    };
    // Other links have both tags, too.
    change(&link, &["B", "c"]).unwrap_err();
    set_plan(&writer, "acme/free", &[("tags", Some(3))]).unwrap();
    change(&link, &["c"]).unwrap();
    set_plan(&writer, "acme/free", &[("tags", Some(1))]).unwrap();
    change(&link, &["d"]).unwrap();
    change(&link, &["D", "e"]).unwrap_err();
    check_rebuild(&writer);
}

#[test]
fn wrong_billing_commands_are_refused() {
    let (writer, _) = given("acme/free");
    let field = |result: Result<Outcome>| {
        let error = result.unwrap_err();
        assert_eq!(error.code, ErrorCode::Invalid);
        error.fields.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(field(set_plan(&writer, "acme/none", &[])), ["plan"]);
    assert_eq!(field(set_plan(&writer, "acme/free", &[("slugs", None)])), ["overrides"]);
    let twice = [("links", None), ("links", Some(1))];
    assert_eq!(field(set_plan(&writer, "acme/free", &twice)), ["overrides"]);
    let huge = [("links", Some(u64::MAX))];
    assert_eq!(field(set_plan(&writer, "acme/free", &huge)), ["overrides"]);
    for (amount, expires_at_ms) in [(0, None), (u64::MAX, None), (1, Some(1))] {
        assert_eq!(grant(&writer, amount, expires_at_ms).unwrap_err().code, ErrorCode::Invalid);
    }
    let nowhere = Actor::operator(WorkspaceId::new(uuid::Uuid::from_u128(77)));
    let command = Command::Billing(BillingCommand::CountApiCalls(1));
    let run = writer.commands.run(nowhere, command, None);
    assert_eq!(writer.runtime.block_on(run).unwrap_err().code, ErrorCode::NotFound);
    let workspace = writer.index.workspace(writer.actor.workspace).unwrap().unwrap();
    assert_eq!(workspace.plan.unwrap().id, "acme/free");
}

#[test]
fn api_calls_are_counted_and_not_audited() {
    let (writer, _) = given("acme/free");
    let audited = || {
        let all = (1_000, 1_000);
        writer.index.audited(writer.actor.workspace, None, all, |_| true).unwrap().0.len()
    };
    let before = audited();
    for calls in [3, 4] {
        bill(&writer, BillingCommand::CountApiCalls(calls)).unwrap();
    }
    let month = Month::of(now_ms());
    let used = writer.index.used(writer.actor.workspace, month, Counter::ApiCalls).unwrap();
    assert_eq!((used, audited()), (7, before));
    check_rebuild(&writer);
}

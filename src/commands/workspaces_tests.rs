//! Workspaces: given a workspace with members, when a command is decided, then it has this result.
use uuid::Uuid;

use super::tests::Writer;
use super::users_tests::{id, user};
use super::*;
use crate::domain::command::{Import, NewSecret, NewToken, OnConflict, Payment, TokenChange};
use crate::domain::error::Result;
use crate::domain::event::{
    AssignedPlan, Event, Idempotency, InvitationState, PlanChanged, WorkspacePurged,
};
use crate::domain::ids::{InvitationId, UserId, WorkspaceId};
use crate::domain::link::{Field, LinkInput};
use crate::domain::token::{Abilities, Ability, Token};
use crate::domain::user::command::UserCommand;
use crate::domain::workspace::Role;
use crate::domain::workspace::command::WorkspaceCommand;
use crate::projections::index::ReadWorkspaces;

const OWNER: u8 = 1;
const ADMIN: u8 = 2;
const MEMBER: u8 = 3;
const VIEWER: u8 = 4;
const STRANGER: u8 = 5;

fn shared() -> WorkspaceId {
    WorkspaceId::new(Uuid::from_u128(9))
}

/// Given a shared workspace with an owner, an admin, a member and a viewer.
fn given() -> Writer {
    let writer = Writer::with_users(&[OWNER, ADMIN, MEMBER, VIEWER, STRANGER]);
    let create = WorkspaceCommand::Create { name: "team".to_owned(), owner: Some(id(OWNER)) };
    when(&writer, operator(), create).unwrap();
    for (user, role) in [(ADMIN, Role::Admin), (MEMBER, Role::Member), (VIEWER, Role::Viewer)] {
        when(&writer, operator(), WorkspaceCommand::AddMember(id(user), role)).unwrap();
    }
    writer
}

fn operator() -> Actor {
    Actor::operator(shared())
}

fn as_member(writer: &Writer, user: u8) -> Actor {
    let role = writer.index.role(shared(), id(user)).unwrap().unwrap();
    Actor::member(shared(), id(user), role)
}

fn when(writer: &Writer, actor: Actor, command: WorkspaceCommand) -> Result<Outcome> {
    let run = writer.commands.run(actor, Command::Workspace(command), None);
    writer.runtime.block_on(run).map(|done| done.outcome)
}

fn code(result: Result<Outcome>) -> ErrorCode {
    result.unwrap_err().code
}

fn invitation(number: u8, email: u8, role: Role) -> WorkspaceCommand {
    WorkspaceCommand::Invite(Box::new(InvitationState {
        id: vec![number; 16],
        email_hash: vec![email; 32],
        role: role as u32,
        ..InvitationState::default()
    }))
}

fn invitation_id(number: u8) -> InvitationId {
    InvitationId::from_bytes(&[number; 16]).unwrap()
}

#[test]
fn nobody_gives_a_role_that_can_do_more() {
    let writer = given();
    let change = |by, user, role| {
        when(&writer, as_member(&writer, by), WorkspaceCommand::ChangeMember(id(user), role))
    };
    assert_eq!(code(change(MEMBER, VIEWER, Role::Member)), ErrorCode::Forbidden);
    assert_eq!(code(change(ADMIN, MEMBER, Role::Owner)), ErrorCode::Invalid);
    assert_eq!(code(change(ADMIN, OWNER, Role::Viewer)), ErrorCode::Conflict);
    assert_eq!(code(change(ADMIN, STRANGER, Role::Viewer)), ErrorCode::NotFound);
    change(ADMIN, VIEWER, Role::Admin).unwrap();
    change(VIEWER, ADMIN, Role::Billing).unwrap();
    assert_eq!(writer.index.role(shared(), id(ADMIN)).unwrap(), Some(Role::Billing));
}

#[test]
fn members_leave_and_are_removed_but_the_owner_stays() {
    let writer = given();
    let remove = |by, user: u8| {
        when(&writer, as_member(&writer, by), WorkspaceCommand::RemoveMember(id(user)))
    };
    assert_eq!(code(remove(VIEWER, MEMBER)), ErrorCode::Forbidden);
    assert_eq!(code(remove(ADMIN, OWNER)), ErrorCode::Conflict);
    assert_eq!(code(remove(OWNER, OWNER)), ErrorCode::Conflict);
    remove(VIEWER, VIEWER).unwrap();
    remove(ADMIN, MEMBER).unwrap();
    assert_eq!(code(remove(ADMIN, MEMBER)), ErrorCode::NotFound);
    assert_eq!(writer.index.workspace(shared()).unwrap().unwrap().members, 2);
    assert_eq!(writer.index.members(shared()).unwrap().len(), 2);
}

#[test]
fn an_invitation_makes_its_addressee_a_member_once() {
    let writer = given();
    let by = as_member(&writer, ADMIN);
    assert_eq!(code(when(&writer, by, invitation(1, VIEWER, Role::Member))), ErrorCode::Conflict);
    when(&writer, by, invitation(1, STRANGER, Role::Member)).unwrap();
    assert_eq!(code(when(&writer, by, invitation(2, STRANGER, Role::Viewer))), ErrorCode::Conflict);
    let below = as_member(&writer, MEMBER);
    assert_eq!(code(when(&writer, below, invitation(3, 50, Role::Viewer))), ErrorCode::Forbidden);
    let accept = |number, user: u8| {
        let actor = Actor { abilities: Abilities::ACCOUNT, ..operator() };
        let accept = WorkspaceCommand::AcceptInvitation(invitation_id(number), id(user));
        when(&writer, actor, accept)
    };
    assert_eq!(code(accept(1, VIEWER)), ErrorCode::Forbidden, "it is for another address");
    assert_eq!(code(accept(7, STRANGER)), ErrorCode::NotFound);
    accept(1, STRANGER).unwrap();
    assert_eq!(writer.index.role(shared(), id(STRANGER)).unwrap(), Some(Role::Member));
    assert_eq!(code(accept(1, STRANGER)), ErrorCode::NotFound);
    when(&writer, by, invitation(4, 60, Role::Viewer)).unwrap();
    when(&writer, by, WorkspaceCommand::ResendInvitation(invitation_id(4))).unwrap();
    when(&writer, by, WorkspaceCommand::RevokeInvitation(invitation_id(4))).unwrap();
    assert!(writer.index.invitations(shared()).unwrap().is_empty());
}

#[test]
fn ownership_is_offered_and_accepted() {
    let writer = given();
    let by = |user| as_member(&writer, user);
    let offer = |user| WorkspaceCommand::OfferOwnership(id(user));
    assert_eq!(code(when(&writer, by(ADMIN), offer(ADMIN))), ErrorCode::Forbidden);
    assert_eq!(code(when(&writer, by(OWNER), offer(STRANGER))), ErrorCode::NotFound);
    when(&writer, by(OWNER), offer(MEMBER)).unwrap();
    let accept = WorkspaceCommand::AcceptOwnership;
    assert_eq!(code(when(&writer, by(ADMIN), accept.clone())), ErrorCode::NotFound);
    when(&writer, by(MEMBER), WorkspaceCommand::WithdrawOffer).unwrap();
    assert_eq!(code(when(&writer, by(MEMBER), accept.clone())), ErrorCode::NotFound);
    when(&writer, by(OWNER), offer(MEMBER)).unwrap();
    when(&writer, by(MEMBER), accept).unwrap();
    let role = |user| writer.index.role(shared(), id(user)).unwrap();
    assert_eq!((role(OWNER), role(MEMBER)), (Some(Role::Admin), Some(Role::Owner)));
    assert_eq!(
        writer.user(MEMBER, UserCommand::Delete(id(MEMBER))).unwrap_err().code,
        ErrorCode::Conflict,
        "the owner of a shared workspace can't be deleted"
    );
}

#[test]
fn a_deleted_workspace_can_be_restored_by_its_owner_only() {
    let writer = given();
    let by = |user| as_member(&writer, user);
    assert_eq!(code(when(&writer, by(ADMIN), WorkspaceCommand::Delete)), ErrorCode::Forbidden);
    when(&writer, by(OWNER), WorkspaceCommand::Delete).unwrap();
    let rename = WorkspaceCommand::Rename("other".to_owned());
    assert_eq!(code(when(&writer, by(OWNER), rename.clone())), ErrorCode::Conflict);
    assert_eq!(code(when(&writer, operator(), WorkspaceCommand::Purge)), ErrorCode::Conflict);
    assert_eq!(code(when(&writer, by(ADMIN), WorkspaceCommand::Restore)), ErrorCode::Forbidden);
    when(&writer, by(OWNER), WorkspaceCommand::Restore).unwrap();
    assert_eq!(code(when(&writer, by(VIEWER), rename.clone())), ErrorCode::Forbidden);
    when(&writer, by(ADMIN), rename).unwrap();
    assert_eq!(writer.index.workspace(shared()).unwrap().unwrap().name, "other");
}

#[test]
fn a_personal_workspace_stays_personal() {
    let writer = Writer::with_users(&[OWNER, ADMIN]);
    let personal = WorkspaceId::new(id(OWNER).uuid());
    let actor = Actor::member(personal, id(OWNER), Role::Owner);
    for command in [
        WorkspaceCommand::Delete,
        WorkspaceCommand::AddMember(id(ADMIN), Role::Member),
        WorkspaceCommand::OfferOwnership(id(OWNER)),
        invitation(1, 50, Role::Member),
    ] {
        assert_eq!(code(when(&writer, actor, command.clone())), ErrorCode::Conflict, "{command:?}");
    }
}

#[test]
fn a_workspace_without_an_owner_gets_one_from_the_operator() {
    let writer = Writer::with_users(&[OWNER]);
    let create = WorkspaceCommand::Create { name: "old".to_owned(), owner: None };
    when(&writer, operator(), create).unwrap();
    let own = |user: UserId| WorkspaceCommand::AddMember(user, Role::Owner);
    when(&writer, operator(), own(id(OWNER))).unwrap();
    writer.user(ADMIN, UserCommand::Create(Box::new(user(ADMIN)))).unwrap();
    assert_eq!(code(when(&writer, operator(), own(id(ADMIN)))), ErrorCode::Conflict);
    let found = writer.index.workspace(shared()).unwrap().unwrap();
    assert_eq!((found.owner, found.members), (id(OWNER).as_bytes().to_vec(), 1));
}

fn run(
    writer: &Writer,
    actor: Actor,
    command: Command,
    key: Option<&str>,
) -> Result<CommandResult> {
    let idempotency =
        key.map(|key| Idempotency { key: key.to_owned(), request_sha256: vec![1; 32] });
    writer.runtime.block_on(writer.commands.run(actor, command, idempotency))
}

fn link() -> Command {
    Command::CreateLink(LinkInput {
        destination: Field::Value("https://example.com".to_owned()),
        ..LinkInput::default()
    })
}

fn token(number: u8, is_machine: bool) -> Command {
    Command::CreateToken(Box::new(NewToken {
        name: "ci".to_owned(),
        abilities: Abilities::ACCOUNT,
        expires_at_ms: None,
        networks: Vec::new(),
        is_machine,
        secret: NewSecret { sha256: [number; 32], prefix: "slk_".to_owned() },
    }))
}

fn create_token(writer: &Writer, actor: Actor, number: u8, is_machine: bool) -> Token {
    match run(writer, actor, token(number, is_machine), None).unwrap().outcome {
        Outcome::Token(token) => *token,
        other => panic!("{other:?}"),
    }
}

/// A request is authenticated before its body arrives, which may take long.
#[test]
fn a_command_is_decided_with_the_role_that_its_user_has_then() {
    let writer = given();
    let (owner, member) = (as_member(&writer, OWNER), as_member(&writer, MEMBER));
    run(&writer, member, link(), None).unwrap();
    let offer = |user| WorkspaceCommand::OfferOwnership(id(user));
    when(&writer, owner, offer(ADMIN)).unwrap();
    when(&writer, as_member(&writer, ADMIN), WorkspaceCommand::AcceptOwnership).unwrap();
    assert_eq!(code(when(&writer, owner, offer(OWNER))), ErrorCode::Forbidden);
    let demote = WorkspaceCommand::ChangeMember(id(MEMBER), Role::Viewer);
    when(&writer, operator(), demote).unwrap();
    assert_eq!(run(&writer, member, link(), None).unwrap_err().code, ErrorCode::Forbidden);
    when(&writer, operator(), WorkspaceCommand::RemoveMember(id(OWNER))).unwrap();
    assert_eq!(run(&writer, owner, token(1, true), None).unwrap_err().code, ErrorCode::Forbidden);
    when(&writer, as_member(&writer, ADMIN), WorkspaceCommand::Delete).unwrap();
    let admin = as_member(&writer, ADMIN);
    assert_eq!(run(&writer, admin, link(), None).unwrap_err().code, ErrorCode::Conflict);
}

/// As [`Job::actor`](crate::jobs::imports::Job) makes the actor of an import.
#[test]
fn an_import_of_a_session_goes_on_while_its_user_may_write_links() {
    let writer = given();
    let importer = || Actor {
        user: Some((id(MEMBER), Role::Owner)),
        abilities: Abilities::only(Ability::LinksWrite),
        ..operator()
    };
    let import = || {
        let Command::CreateLink(input) = link() else { panic!() };
        let on_conflict = OnConflict::default();
        let import = Import { input, from_host: None, on_conflict, payment: Payment::DryRun(0) };
        Command::ImportLink(import.into())
    };
    run(&writer, importer(), import(), None).unwrap();
    let demote = WorkspaceCommand::ChangeMember(id(MEMBER), Role::Viewer);
    when(&writer, operator(), demote).unwrap();
    let refused = run(&writer, importer(), import(), None).unwrap_err();
    assert_eq!(refused.code, ErrorCode::Forbidden);
    let nobody = Actor { user: None, ..importer() };
    assert_eq!(run(&writer, nobody, import(), None).unwrap_err().code, ErrorCode::Forbidden);
}

#[test]
fn the_token_of_another_user_can_be_disabled_but_not_taken_over() {
    let writer = given();
    let (admin, member) = (as_member(&writer, ADMIN), as_member(&writer, MEMBER));
    let theirs = create_token(&writer, member, 1, false);
    let machine = create_token(&writer, admin, 2, true);
    let rotate = |token: &Token, number| Command::RotateToken {
        id: token.id,
        secret: NewSecret { sha256: [number; 32], prefix: "slk_".to_owned() },
        overlap_ms: 0,
    };
    let change = |change| Command::ChangeToken(theirs.id, change);
    let enable =
        |is_enabled: bool| TokenChange { is_disabled: Some(!is_enabled), ..TokenChange::default() };
    let loosen = TokenChange { networks: Some(Vec::new()), ..enable(false) };
    for by in [admin, Actor::from(&machine)] {
        for command in [rotate(&theirs, 3), change(enable(true)), change(loosen.clone())] {
            let refused = run(&writer, by, command.clone(), None).unwrap_err();
            assert_eq!(refused.code, ErrorCode::Forbidden, "{command:?}");
        }
        run(&writer, by, change(enable(false)), None).unwrap();
    }
    run(&writer, member, rotate(&theirs, 4), None).unwrap();
    run(&writer, admin, rotate(&machine, 5), None).unwrap();
}

#[test]
fn an_idempotency_key_replays_for_its_user_only() {
    let writer = given();
    let create =
        |user, number| run(&writer, as_member(&writer, user), token(number, false), Some("k"));
    assert!(!create(MEMBER, 1).unwrap().is_replay);
    assert!(create(MEMBER, 2).unwrap().is_replay);
    assert_eq!(create(ADMIN, 3).unwrap_err().code, ErrorCode::IdempotencyKeyReused);
}

#[test]
fn the_workspaces_of_each_plan_are_counted() {
    let writer = given();
    let other = WorkspaceId::new(id(OWNER).uuid());
    let set = |workspace, plan: Option<&str>| {
        let plan = plan.map(|id| AssignedPlan { id: id.to_owned(), ..AssignedPlan::default() });
        writer.log_event(workspace, Event::PlanChanged(PlanChanged { plan }));
    };
    let counts = || writer.index.plans().unwrap();
    let expected = |all: &[(&str, u64)]| {
        all.iter().map(|(plan, count)| ((*plan).to_owned(), *count)).collect::<Vec<_>>()
    };
    assert_eq!(counts(), []);
    set(shared(), Some("a/free"));
    set(other, Some("a/free"));
    set(other, Some("a/free"));
    assert_eq!(counts(), expected(&[("a/free", 2)]));
    set(other, Some("a/core"));
    when(&writer, operator(), WorkspaceCommand::Rename("crew".to_owned())).unwrap();
    assert_eq!(counts(), expected(&[("a/core", 1), ("a/free", 1)]));
    set(other, None);
    assert_eq!(counts(), expected(&[("a/free", 1)]));
    writer.log_event(shared(), Event::WorkspacePurged(WorkspacePurged {}));
    assert_eq!(counts(), []);
}

//! Workspaces: given a workspace with members, when a command is decided, then it has this result.
use uuid::Uuid;

use super::tests::Writer;
use super::users_tests::{id, user};
use super::*;
use crate::domain::error::Result;
use crate::domain::event::InvitationState;
use crate::domain::ids::{InvitationId, UserId, WorkspaceId};
use crate::domain::token::Abilities;
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

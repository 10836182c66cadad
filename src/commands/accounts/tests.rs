//! Accounts over a real writer, with keys in a temporary folder.

use uuid::Uuid;

use super::*;
use crate::commands::tests::Writer;
use crate::commands::users_tests::id;
use crate::domain::command::{NewSecret, NewToken};
use crate::domain::event::{Event, UserDeleted, WorkspaceDeleted};
use crate::domain::link::{Field, LinkInput};
use crate::domain::preset::{UtmPresetInput, UtmPresetKind};
use crate::domain::token::Abilities;
use crate::projections::index::{Read, ReadRanges};

const OWNER: u8 = 1;
const MEMBER: u8 = 2;

pub(super) fn accounts(writer: &Writer, folder: &std::path::Path) -> Accounts {
    let personal = PersonalData::open(&folder.join("personal.keys")).unwrap();
    let jwt = JwtKeys::open(&folder.join("jwt.keys"), "http://sho.rt", 1).unwrap();
    let settings = AccountSettings {
        sign_up: SignUpMode::Closed,
        jwt_lifetime: Duration::from_secs(60),
        issuer: "sho.rt".to_owned(),
        has_mail: false,
    };
    let parts = (writer.commands.clone(), Arc::clone(&writer.index));
    Accounts::new(parts, (personal, jwt), &[7; 32], settings)
}

fn link(slug: &str) -> Command {
    Command::CreateLink(LinkInput {
        slug: Field::Value(slug.to_owned()),
        destination: Field::Value("https://example.com".to_owned()),
        ..LinkInput::default()
    })
}

/// A workspace with something of each kind.
fn given(writer: &Writer, workspace: WorkspaceId, slug: &str) {
    let actor = Actor::operator(workspace);
    let run = |command| writer.runtime.block_on(writer.commands.run(actor, command, None)).unwrap();
    let create = WorkspaceCommand::Create { name: "w".to_owned(), owner: Some(id(OWNER)) };
    run(Command::Workspace(create));
    run(Command::Workspace(WorkspaceCommand::AddMember(id(MEMBER), Role::Member)));
    run(link(&format!("{slug}-live")));
    let Outcome::Link(deleted) = run(link(&format!("{slug}-deleted"))).outcome else { panic!() };
    run(Command::DeleteLink(crate::domain::command::LinkRef::Id(deleted.id), None));
    let name = UtmPresetInput { name: Field::Value("c".to_owned()), ..UtmPresetInput::default() };
    run(Command::CreatePreset(UtmPresetKind::Campaign, name));
    let secret = NewSecret { sha256: [slug.as_bytes()[0]; 32], prefix: "slk_".to_owned() };
    run(Command::CreateToken(Box::new(NewToken {
        name: "ci".to_owned(),
        abilities: Abilities::ALL,
        expires_at_ms: None,
        networks: Vec::new(),
        is_machine: true,
        secret,
    })));
    let invitation =
        InvitationState { id: vec![slug.as_bytes()[0]; 16], role: 3, ..Default::default() };
    run(Command::Workspace(WorkspaceCommand::Invite(Box::new(invitation))));
}

#[test]
fn a_deleted_workspace_is_purged_with_all_that_it_has_and_no_other() {
    let writer = Writer::with_users(&[OWNER, MEMBER]);
    let folder = tempfile::tempdir().unwrap();
    let accounts = accounts(&writer, folder.path());
    let [gone, kept] = [1, 2].map(|number| WorkspaceId::new(Uuid::from_u128(number)));
    given(&writer, gone, "gone");
    given(&writer, kept, "kept");
    writer.log_event(gone, Event::WorkspaceDeleted(WorkspaceDeleted { purged_at_ms: 1 }));
    // Subjects without a time are as old as can be: one of a user, one of nobody.
    let nobody = Uuid::from_u128(9);
    for subject in [id(OWNER).uuid(), nobody] {
        accounts.personal.create_key(subject).unwrap();
    }
    writer.runtime.block_on(accounts.purge()).unwrap();

    let left = |workspace| {
        let index = &writer.index;
        (
            index.workspace(workspace).unwrap().is_some(),
            index.link_count(workspace).unwrap(),
            index.tombstone_count(workspace).unwrap(),
            index.tokens(workspace).unwrap().len(),
            index.members(workspace).unwrap().len(),
            index.invitations(workspace).unwrap().len(),
            index.scan().presets(workspace, UtmPresetKind::Campaign, 0..9).unwrap().1,
            index.workspaces_of(id(MEMBER)).unwrap().contains(&workspace),
        )
    };
    assert_eq!(left(gone), (false, 0, 0, 0, 0, 0, 0, false));
    assert_eq!(left(kept), (true, 1, 1, 1, 2, 1, 1, true));
    assert_eq!(accounts.personal.subjects(), [id(OWNER).uuid()]);
    // Nothing is left to do.
    writer.runtime.block_on(accounts.purge()).unwrap();
}

/// A crash after a user was deleted leaves the memberships.
#[test]
fn an_interrupted_deletion_of_a_user_is_completed() {
    let writer = Writer::with_users(&[OWNER, MEMBER]);
    let folder = tempfile::tempdir().unwrap();
    let accounts = accounts(&writer, folder.path());
    let workspace = WorkspaceId::new(Uuid::from_u128(1));
    given(&writer, workspace, "team");
    let user = id(MEMBER).as_bytes().to_vec();
    let deleted = Event::UserDeleted(UserDeleted { user, purged_at_ms: u64::MAX });
    writer.log_event(personal_workspace(id(MEMBER)), deleted);
    assert_eq!(writer.index.members(workspace).unwrap().len(), 2);
    for _ in 0..2 {
        writer.runtime.block_on(accounts.purge()).unwrap();
        let members = writer.index.members(workspace).unwrap();
        assert_eq!(members.len(), 1);
        assert_eq!(members[0].user, id(OWNER).as_bytes());
        // The personal workspace still waits for its purge.
        assert!(writer.index.workspace(personal_workspace(id(MEMBER))).unwrap().is_some());
    }
}

#[test]
fn a_deleted_workspace_is_purged_after_its_time_only() {
    let writer = Writer::with_users(&[OWNER, MEMBER]);
    let folder = tempfile::tempdir().unwrap();
    let accounts = accounts(&writer, folder.path());
    let workspace = WorkspaceId::new(Uuid::from_u128(1));
    given(&writer, workspace, "team");
    let owner = Actor::member(workspace, id(OWNER), Role::Owner);
    let run = |command| writer.runtime.block_on(accounts.run_in_workspace(owner, command));
    run(WorkspaceCommand::Delete).unwrap();
    let purged_at_ms = accounts.workspace(workspace).unwrap().unwrap().purged_at_ms.unwrap();
    let left_ms = purged_at_ms - crate::commands::now_ms();
    let day_ms = 24 * 3_600 * 1_000;
    assert!((29 * day_ms..=30 * day_ms).contains(&left_ms), "{left_ms}");
    writer.runtime.block_on(accounts.purge()).unwrap();
    assert_eq!(writer.index.link_count(workspace).unwrap(), 1);
    run(WorkspaceCommand::Restore).unwrap();
    // The same workspace, deleted 30 days ago.
    writer.log_event(workspace, Event::WorkspaceDeleted(WorkspaceDeleted { purged_at_ms: 1 }));
    assert_eq!(run(WorkspaceCommand::Restore).err().unwrap().code, ErrorCode::Gone);
    writer.runtime.block_on(accounts.purge()).unwrap();
    assert!(accounts.workspace(workspace).unwrap().is_none());
}

#[test]
fn an_expired_invitation_is_gone_until_it_is_sent_again() {
    let writer = Writer::with_users(&[OWNER, MEMBER]);
    let folder = tempfile::tempdir().unwrap();
    let accounts = accounts(&writer, folder.path());
    let workspace = WorkspaceId::new(Uuid::from_u128(1));
    let actor = Actor::operator(workspace);
    let run = |command| writer.runtime.block_on(accounts.run_in_workspace(actor, command));
    let create = WorkspaceCommand::Create { name: "w".to_owned(), owner: Some(id(OWNER)) };
    run(create).unwrap();
    let invitation = crate::domain::ids::InvitationId::from_bytes(&[7; 16]).unwrap();
    let email_hash = accounts.user(id(MEMBER)).unwrap().email_hash;
    let expired = InvitationState {
        id: vec![7; 16],
        email_hash,
        role: Role::Viewer as u32,
        expires_at_ms: crate::commands::now_ms() - 1,
        ..InvitationState::default()
    };
    writer.log_event(workspace, Event::InvitationSent(expired));
    let token = accounts.invitation_link(invitation.uuid(), workspace.uuid());
    let accept = || writer.runtime.block_on(accounts.accept_invitation(&token, id(MEMBER)));
    assert_eq!(accept().err().unwrap().code, ErrorCode::Gone);
    let directly = run(WorkspaceCommand::AcceptInvitation(invitation, id(MEMBER)));
    assert_eq!(directly.err().unwrap().code, ErrorCode::Gone);
    run(WorkspaceCommand::ResendInvitation(invitation)).unwrap();
    let (_, member) = accept().ok().unwrap();
    assert_eq!(member.role, Role::Viewer as u32);
    assert_eq!(accept().err().unwrap().code, ErrorCode::Gone);
}

#[test]
fn an_unknown_address_and_a_wrong_password_are_answered_alike() {
    let writer = Writer::new();
    let folder = tempfile::tempdir().unwrap();
    let accounts = accounts(&writer, folder.path());
    let password = "correct horse battery".to_owned();
    let new = NewUser {
        email: "Ada@Example.com".to_owned(),
        password: Some(password.clone()),
        ..NewUser::default()
    };
    let user = writer.runtime.block_on(accounts.create(new.clone(), None)).unwrap();
    let again = writer.runtime.block_on(accounts.create(new, None)).unwrap_err();
    assert_eq!(again.code, ErrorCode::Conflict);
    assert_eq!(accounts.personal.subjects().len(), 1, "no key for a user who was refused");
    let sign_in = |email: &str, password: &str| {
        let (email, password) = (email.to_owned(), password.to_owned());
        let credentials = Credentials { email, password, code: None };
        writer.runtime.block_on(accounts.sign_in(credentials, SessionKind::Jwt, String::new()))
    };
    let wrong = sign_in("ada@example.com", "wrong horse battery").err().unwrap();
    let unknown = sign_in("eve@example.com", &password).err().unwrap();
    assert_eq!(wrong, unknown);
    let signed_in = sign_in(" ADA@example.com", &password).ok().unwrap();
    assert_eq!(signed_in.profile.email.as_deref(), Some("ada@example.com"));
    let found = accounts.by_jwt(&signed_in.secret).ok().unwrap();
    assert_eq!(found.user.id, user.id);
    // Deleted, nobody can sign in, and nothing can be read.
    let id = user.user_id().unwrap();
    let other = NewUser { email: "b@example.com".to_owned(), ..NewUser::default() };
    writer.runtime.block_on(accounts.create(other, None)).unwrap();
    writer.runtime.block_on(accounts.delete(id, None)).unwrap();
    assert_eq!(accounts.profile(&user).email, None);
    assert!(accounts.by_jwt(&signed_in.secret).is_err());
    assert_eq!(sign_in("ada@example.com", &password).err().unwrap(), unknown);
}

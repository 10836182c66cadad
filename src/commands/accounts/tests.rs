//! Accounts over a real writer, with keys in a temporary folder.

use uuid::Uuid;

use super::*;
use crate::commands::tests::Writer;
use crate::commands::users_tests::id;
use crate::domain::command::{NewSecret, NewToken};
use crate::domain::event::{Event, WorkspaceDeleted};
use crate::domain::link::{Field, LinkInput};
use crate::domain::preset::{UtmPresetInput, UtmPresetKind};
use crate::domain::token::Abilities;
use crate::projections::index::{Read, ReadRanges};

const OWNER: u8 = 1;
const MEMBER: u8 = 2;

fn accounts(writer: &Writer, folder: &std::path::Path) -> Accounts {
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
    let (found, _) = accounts.by_jwt(&signed_in.secret).unwrap();
    assert_eq!(found.id, user.id);
    // Deleted, nobody can sign in, and nothing can be read.
    let id = user.user_id().unwrap();
    let other = NewUser { email: "b@example.com".to_owned(), ..NewUser::default() };
    writer.runtime.block_on(accounts.create(other, None)).unwrap();
    writer.runtime.block_on(accounts.delete(id, None)).unwrap();
    assert_eq!(accounts.profile(&user).email, None);
    assert!(accounts.by_jwt(&signed_in.secret).is_err());
    assert_eq!(sign_in("ada@example.com", &password).err().unwrap(), unknown);
}

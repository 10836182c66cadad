//! Users and sessions: given some users, when a command is decided, then it has this result.
use uuid::Uuid;

use super::tests::Writer;
use super::*;
use crate::domain::error::Result;
use crate::domain::event::{SessionState, UserState};
use crate::domain::ids::{SessionId, UserId};
use crate::domain::user::SecondFactor;
use crate::domain::user::command::{EmailChange, TwoFactorChange, UserChange, UserCommand};
use crate::domain::user::state::personal_workspace;
use crate::projections::index::{ReadUsers, ReadWorkspaces};

pub fn id(number: u8) -> UserId {
    UserId::new(Uuid::from_u128(u128::from(number) + 100))
}

fn hash(number: u8) -> [u8; 32] {
    [number; 32]
}

pub fn user(number: u8) -> UserState {
    UserState {
        id: id(number).as_bytes().to_vec(),
        email_hash: hash(number).to_vec(),
        password: Some(b"sealed".to_vec()),
        ..UserState::default()
    }
}

impl Writer {
    pub fn user(&self, number: u8, command: UserCommand) -> Result<Outcome> {
        let actor = Actor::user(personal_workspace(id(number)), id(number));
        let run = self.commands.run(actor, Command::User(command), None);
        self.runtime.block_on(run).map(|done| done.outcome)
    }

    /// Given these users; the first is a superadmin.
    pub fn with_users(numbers: &[u8]) -> Self {
        let writer = Self::new();
        for (place, number) in numbers.iter().enumerate() {
            let user = UserState { is_superadmin: place == 0, ..user(*number) };
            writer.user(*number, UserCommand::Create(Box::new(user))).unwrap();
        }
        writer
    }

    fn change(&self, number: u8, change: UserChange) -> Result<UserState> {
        match self.user(number, UserCommand::Change(id(number), change))? {
            Outcome::User(user) => Ok(*user),
            other => panic!("{other:?}"),
        }
    }

    fn start(&self, number: u8, factor: Option<SecondFactor>) -> Result<SessionState> {
        let session = SessionState {
            id: Uuid::now_v7().as_bytes().to_vec(),
            user: id(number).as_bytes().to_vec(),
            epoch: self.index.user(id(number)).unwrap().map_or(0, |user| user.session_epoch),
            expires_at_ms: u64::MAX / 2,
            ..SessionState::default()
        };
        match self.user(number, UserCommand::StartSession(Box::new(session), factor))? {
            Outcome::Session(session) => Ok(*session),
            other => panic!("{other:?}"),
        }
    }
}

fn code<T: std::fmt::Debug>(result: Result<T>) -> ErrorCode {
    result.unwrap_err().code
}

#[test]
fn an_email_address_belongs_to_one_user() {
    let writer = Writer::with_users(&[1, 2]);
    let same = UserState { email_hash: hash(1).to_vec(), ..user(3) };
    assert_eq!(code(writer.user(3, UserCommand::Create(Box::new(same)))), ErrorCode::Conflict);
    let request =
        |number| UserChange::Email(EmailChange::Request { hash: hash(number), sealed: vec![1] });
    writer.change(2, request(1)).unwrap();
    let confirm = UserChange::Email(EmailChange::Confirm(hash(1)));
    assert_eq!(code(writer.change(2, confirm)), ErrorCode::Conflict);
    let requested = writer.change(2, request(9)).unwrap();
    assert_eq!(requested.email_hash, hash(2), "it is not used until it is confirmed");
    assert_eq!(
        code(writer.change(2, UserChange::Email(EmailChange::Confirm(hash(8))))),
        ErrorCode::Gone
    );
    // Somebody else takes the address before it is confirmed.
    let taken = UserState { email_hash: hash(9).to_vec(), ..user(3) };
    writer.user(3, UserCommand::Create(Box::new(taken))).unwrap();
    assert_eq!(
        code(writer.change(2, UserChange::Email(EmailChange::Confirm(hash(9))))),
        ErrorCode::Conflict
    );
    writer.user(3, UserCommand::Delete(id(3))).unwrap();
    let confirmed = writer.change(2, UserChange::Email(EmailChange::Confirm(hash(9)))).unwrap();
    assert_eq!((confirmed.email_hash, confirmed.is_verified), (hash(9).to_vec(), true));
    assert_eq!(writer.index.user_by_email(&hash(2)).unwrap(), None);
    assert_eq!(writer.index.user_by_email(&hash(9)).unwrap(), Some(id(2)));
    assert_eq!(
        code(writer.change(2, UserChange::Email(EmailChange::Confirm(hash(9))))),
        ErrorCode::Gone
    );
}

#[test]
fn a_set_up_link_works_once() {
    let writer = Writer::with_users(&[1]);
    let empty = UserState { email_hash: Vec::new(), password: None, ..user(2) };
    writer.user(2, UserCommand::Create(Box::new(empty))).unwrap();
    let set_up =
        |number| UserChange::SetUp { email_hash: hash(number), email: vec![1], password: vec![2] };
    assert_eq!(code(writer.change(2, set_up(1))), ErrorCode::Conflict);
    writer.change(2, set_up(2)).unwrap();
    assert_eq!(code(writer.change(2, set_up(2))), ErrorCode::Gone);
    assert_eq!(writer.index.user_by_email(&hash(2)).unwrap(), Some(id(2)));
}

#[test]
fn a_second_factor_is_accepted_once() {
    let writer = Writer::with_users(&[1]);
    let enable = || {
        UserChange::TwoFactor(TwoFactorChange::Enable { step: 50, recovery_sha256: vec![hash(7)] })
    };
    assert_eq!(code(writer.change(1, enable())), ErrorCode::Conflict, "it was not begun");
    writer.change(1, UserChange::TwoFactor(TwoFactorChange::Begin(vec![1]))).unwrap();
    assert!(writer.start(1, None).is_ok(), "it is not on yet");
    assert!(writer.change(1, enable()).unwrap().has_two_factor());
    assert_eq!(code(writer.change(1, enable())), ErrorCode::Conflict);
    assert_eq!(
        code(writer.change(1, UserChange::TwoFactor(TwoFactorChange::Begin(vec![2])))),
        ErrorCode::Conflict,
        "nobody replaces the secret of a user who has one"
    );
    assert_eq!(code(writer.start(1, None)), ErrorCode::InvalidCredential);
    let totp = |step| Some(SecondFactor::Totp(step));
    assert_eq!(code(writer.start(1, totp(50))), ErrorCode::InvalidCredential, "used to confirm");
    writer.start(1, totp(51)).unwrap();
    assert_eq!(code(writer.start(1, totp(51))), ErrorCode::InvalidCredential);
    let recovery = Some(SecondFactor::RecoveryCode(hash(7)));
    writer.start(1, recovery).unwrap();
    assert_eq!(code(writer.start(1, recovery)), ErrorCode::InvalidCredential);
    writer.change(1, UserChange::TwoFactor(TwoFactorChange::Disable)).unwrap();
    writer.start(1, None).unwrap();
}

/// A session is valid if its epoch is the user's.
#[test]
fn changes_of_the_password_and_blocks_end_all_sessions() {
    let writer = Writer::with_users(&[1, 2]);
    let epoch = |writer: &Writer| writer.index.user(id(2)).unwrap().unwrap().session_epoch;
    for (change, ends) in [
        (UserChange::Name(Some(vec![1])), false),
        (UserChange::Password { password: vec![3], epoch: 0 }, true),
        (UserChange::EndSessions, true),
        (UserChange::Block(true), true),
    ] {
        let session = writer.start(2, None).unwrap();
        assert_eq!(session.epoch, epoch(&writer));
        writer.change(2, change.clone()).unwrap();
        assert_eq!(session.epoch != epoch(&writer), ends, "{change:?}");
    }
    assert_eq!(code(writer.start(2, None)), ErrorCode::InvalidCredential, "the user is blocked");
    writer.change(2, UserChange::Block(false)).unwrap();
    let session = SessionId::from_bytes(&writer.start(2, None).unwrap().id).unwrap();
    writer.user(2, UserCommand::EndSession(id(2), session)).unwrap();
    assert_eq!(writer.index.session(id(2), session).unwrap(), None);
}

#[test]
fn the_last_superadmin_stays() {
    assert!(!Writer::new().index.has_users().unwrap());
    let writer = Writer::with_users(&[1, 2]);
    let demote = || UserChange::Role(crate::domain::user::UserRole::User);
    assert_eq!(code(writer.change(1, demote())), ErrorCode::Conflict);
    assert_eq!(code(writer.change(1, UserChange::Block(true))), ErrorCode::Conflict);
    assert_eq!(code(writer.user(1, UserCommand::Delete(id(1)))), ErrorCode::Conflict);
    writer.change(2, UserChange::Role(crate::domain::user::UserRole::Superadmin)).unwrap();
    writer.change(2, UserChange::Block(true)).unwrap();
    assert_eq!(code(writer.change(1, demote())), ErrorCode::Conflict, "the other can't sign in");
    writer.change(2, UserChange::Block(false)).unwrap();
    writer.change(1, demote()).unwrap();
    assert_eq!(code(writer.change(2, demote())), ErrorCode::Conflict);
    assert_eq!(writer.index.superadmins().unwrap(), [id(2)]);
    assert!(writer.index.has_users().unwrap());
}

#[test]
fn a_deleted_user_leaves_a_deleted_personal_workspace() {
    let writer = Writer::with_users(&[1, 2]);
    let personal = personal_workspace(id(2));
    assert_eq!(writer.index.workspace(personal).unwrap().unwrap().members, 1);
    writer.user(2, UserCommand::Delete(id(2))).unwrap();
    assert!(writer.index.workspace(personal).unwrap().unwrap().purged_at_ms.is_some());
    assert_eq!(writer.index.user(id(2)).unwrap(), None);
    assert_eq!(code(writer.start(2, None)), ErrorCode::NotFound);
    assert_eq!(code(writer.user(2, UserCommand::Delete(id(2)))), ErrorCode::NotFound);
}

/// Hashing takes long, and more may happen meanwhile.
#[test]
fn what_was_proven_before_a_change_of_the_password_proves_nothing_after_it() {
    let writer = Writer::with_users(&[1]);
    let password = |epoch| UserChange::Password { password: vec![3], epoch };
    let proven = SessionState {
        id: vec![7; 16],
        user: id(1).as_bytes().to_vec(),
        epoch: 0,
        expires_at_ms: u64::MAX / 2,
        ..SessionState::default()
    };
    let start =
        |session: SessionState| writer.user(1, UserCommand::StartSession(Box::new(session), None));
    start(proven.clone()).unwrap();
    let email = EmailChange::Request { hash: hash(9), sealed: vec![1] };
    writer.change(1, UserChange::Email(email)).unwrap();
    assert_eq!(writer.change(1, password(0)).unwrap().requested_email, None);
    assert_eq!(code(start(proven)), ErrorCode::InvalidCredential);
    assert_eq!(code(writer.change(1, password(0))), ErrorCode::Gone);
    writer.change(1, password(1)).unwrap();
}

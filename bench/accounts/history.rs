//! The measured log: users with workspaces, plans, tokens and sessions, in an order in which a service
//! could have logged them.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use slugline::commands::secret;
use slugline::domain::event::{
    ApiCallsCounted, AssignedPlan, CreditGrant, Envelope, Event, PlanChanged, SessionState,
    TokenState, UserState, VERSION, WorkspaceCreated,
};
use slugline::domain::ids::{SessionId, UserId, WorkspaceId};
use slugline::domain::plan::credit::CreditKind;
use slugline::domain::plan::state::LimitOverride;
use slugline::identity::{Passwords, PersonalData, personal_data};
use slugline::log::{DiskStorage, LocalLog, Log, LogOptions, NewRecord};
use uuid::Uuid;

use crate::Options;

/// The number of records per append.
const GROUP: usize = 4_096;
const STARTED_MS: u64 = 1_760_000_000_000;
/// After any run of this benchmark.
const EXPIRES_MS: u64 = 4_000_000_000_000;
/// Users with an email address and a password; the others have bytes of the same length instead,
/// since creating the key of a user takes a sync.
pub const KNOWN_USERS: u64 = 100;
/// About as long as sealed values are.
const SEALED_EMAIL_LEN: usize = 50;
const SEALED_PASSWORD_LEN: usize = 125;

/// What an id belongs to.
#[derive(Debug, Clone, Copy)]
enum Kind {
    User = 1,
    Workspace = 2,
    Token = 3,
    JwtSession = 4,
    CookieSession = 5,
    Filler = 6,
}

/// Opens the log below a folder.
pub fn open(folder: &Path) -> anyhow::Result<LocalLog> {
    let dir = folder.join("log/mutations");
    Ok(LocalLog::open(Arc::new(DiskStorage), &dir, LogOptions::default())?)
}

/// Writes the log, unless it is there; returns how many events it has.
pub fn write(folder: &Path, options: &Options) -> anyhow::Result<u64> {
    let log = open(folder)?;
    if log.end() > 0 {
        return Ok(log.end());
    }
    let personal = PersonalData::open(&folder.join(personal_data::FILE))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let phc = runtime.block_on(Passwords::default().hash("correct horse battery".to_owned()));
    let phc = phc.map_err(anyhow::Error::msg)?;
    let mut group = Group { log: &log, payloads: Vec::new() };
    for number in 0..options.workspaces {
        let mut user = user(number);
        if let Some(email) = known_email(number, options.workspaces) {
            make_known(&mut user, &email, &phc, &personal)?;
        }
        let personal_workspace = user_id(number).uuid();
        group.add(number, personal_workspace, Event::UserCreated(user))?;
        let owner = user_id(number).as_bytes().to_vec();
        let created = WorkspaceCreated { name: format!("Team {number}"), owner };
        let workspace = workspace_id(number).uuid();
        group.add(number, workspace, Event::WorkspaceCreated(created))?;
        for token in 0..options.tokens_per_workspace {
            group.add(number, workspace, Event::TokenCreated(token_state(number, token)))?;
        }
        for event in billing(number) {
            group.add(number, workspace, event)?;
        }
        for session in [jwt_session(number), cookie_session(number)] {
            group.add(number, personal_workspace, Event::SessionStarted(session))?;
        }
    }
    group.write()?;
    log.sync()?;
    Ok(log.end())
}

/// The plan of a workspace, with an override, its usage of a month, and credits.
fn billing(number: u64) -> [Event; 3] {
    let overrides = vec![LimitOverride { limit: "links_per_month".to_owned(), value: Some(500) }];
    let plan = Some(AssignedPlan { id: "acme/core".to_owned(), overrides });
    let credits = CreditGrant {
        id: filler(number, 2, 16),
        kind: CreditKind::Links as u32,
        amount: 50,
        ..CreditGrant::default()
    };
    [
        Event::PlanChanged(PlanChanged { plan }),
        Event::ApiCallsCounted(ApiCallsCounted { calls: 1 + number }),
        Event::CreditsGranted(credits),
    ]
}

struct Group<'l> {
    log: &'l dyn Log,
    payloads: Vec<(u16, Vec<u8>)>,
}

impl Group<'_> {
    fn add(&mut self, number: u64, workspace: Uuid, event: Event) -> anyhow::Result<()> {
        let kind = event.kind();
        let envelope = Envelope {
            at_ms: created_at_ms(number),
            workspace: workspace.as_bytes().to_vec(),
            user: user_id(number).as_bytes().to_vec(),
            event: Some(event),
            ..Envelope::default()
        };
        self.payloads.push((kind.number(), envelope.encode_to_vec()));
        if self.payloads.len() >= GROUP { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> anyhow::Result<()> {
        let records = self.payloads.iter();
        let records: Vec<_> = records
            .map(|(kind, payload)| NewRecord { kind: *kind, version: VERSION, payload })
            .collect();
        self.log.append(&records).context("cannot append to the log")?;
        self.payloads.clear();
        Ok(())
    }
}

/// The email address of a user, if the user has one.
pub fn known_email(number: u64, users: u64) -> Option<String> {
    let every = users / KNOWN_USERS;
    let known = number / every;
    let is_known = number.is_multiple_of(every) && known < KNOWN_USERS;
    is_known.then(|| format!("user-{known}@example.com"))
}

fn make_known(
    user: &mut UserState,
    email: &str,
    phc: &str,
    personal: &PersonalData,
) -> anyhow::Result<()> {
    let id = user.user_id()?.uuid();
    personal.create_key(id)?;
    user.email_hash = personal.email_hash(email).to_vec();
    user.email = personal.seal(id, "email", email).context("the user has no key")?;
    user.password = personal.seal(id, "password", phc);
    Ok(())
}

fn user(number: u64) -> UserState {
    UserState {
        id: user_id(number).as_bytes().to_vec(),
        email_hash: filler(number, 0, 32),
        email: filler(number, 1, SEALED_EMAIL_LEN),
        password: Some(filler(number, 2, SEALED_PASSWORD_LEN)),
        is_verified: true,
        default_workspace: workspace_id(number).as_bytes().to_vec(),
        created_at_ms: created_at_ms(number),
        updated_at_ms: created_at_ms(number),
        ..UserState::default()
    }
}

fn token_state(workspace: u64, token: u64) -> TokenState {
    let secret = token_secret(workspace, token);
    TokenState {
        id: token_id(workspace, token).as_bytes().to_vec(),
        name: format!("Token {token}"),
        abilities: vec!["links:read".to_owned(), "links:write".to_owned()],
        secret_sha256: secret::hash(&secret).to_vec(),
        created_at_ms: created_at_ms(workspace),
        prefix: Some(secret::prefix(&secret)),
        user: (token > 0).then(|| user_id(workspace).as_bytes().to_vec()),
        ..TokenState::default()
    }
}

fn jwt_session(user: u64) -> SessionState {
    SessionState {
        id: jwt_session_id(user).as_bytes().to_vec(),
        user: user_id(user).as_bytes().to_vec(),
        created_at_ms: created_at_ms(user),
        expires_at_ms: EXPIRES_MS,
        client: "Firefox, Linux".to_owned(),
        ..SessionState::default()
    }
}

fn cookie_session(user: u64) -> SessionState {
    SessionState {
        id: id(Kind::CookieSession, user, 0).as_bytes().to_vec(),
        secret_sha256: Sha256::digest(cookie_secret(user)).to_vec(),
        ..jwt_session(user)
    }
}

/// The user with a number.
pub fn user_id(number: u64) -> UserId {
    UserId::new(id(Kind::User, number, 0))
}

/// The shared workspace of a user.
pub fn workspace_id(number: u64) -> WorkspaceId {
    WorkspaceId::new(id(Kind::Workspace, number, 0))
}

/// A token of a workspace.
pub fn token_id(workspace: u64, token: u64) -> Uuid {
    id(Kind::Token, workspace, token)
}

/// A user's session with a JWT.
pub fn jwt_session_id(user: u64) -> SessionId {
    SessionId::new(id(Kind::JwtSession, user, 0))
}

/// The bytes of a user's cookie.
pub fn cookie(user: u64) -> Vec<u8> {
    let session = id(Kind::CookieSession, user, 0);
    [&user_id(user).as_bytes()[..], session.as_bytes(), &cookie_secret(user)].concat()
}

fn cookie_secret(user: u64) -> Vec<u8> {
    filler(user, 3, 32)
}

/// The secret of a token of a workspace: the first is a machine token, the others are the owner's.
pub fn token_secret(workspace: u64, token: u64) -> String {
    format!("slk_{:016x}{workspace:012x}{token:08x}", mixed(workspace ^ (token << 40)))
}

fn created_at_ms(number: u64) -> u64 {
    STARTED_MS + number / 8
}

/// Random bytes, the same each time.
fn filler(number: u64, field: u64, len: usize) -> Vec<u8> {
    let seed = mixed(number << 8 | field << 4 | Kind::Filler as u64);
    (0..).flat_map(|at| mixed(seed.wrapping_add(at)).to_be_bytes()).take(len).collect()
}

/// A `UUIDv7` of the time of a user's creation.
fn id(kind: Kind, number: u64, of: u64) -> Uuid {
    let high = created_at_ms(number) << 16 | 0x7000 | (number % 8) << 8;
    let low = mixed(number << 16 | of << 4 | kind as u64) & !(0b11 << 62) | 0b10 << 62;
    Uuid::from_u64_pair(high, low)
}

/// `SplitMix64`: the same for the same number.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

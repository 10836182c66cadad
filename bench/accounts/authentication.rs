//! The cost of authenticating a request: what `http::auth` does for each kind of credential, on one
//! thread, and each part of the reads of the first request.

use std::hint::black_box;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};
use slugline::commands::accounts::{KnownCaller, LiveSession, SessionKind, Stamp};
use slugline::commands::{now_ms, secret};
use slugline::domain::token::{Abilities, Actor, Token};

use crate::service::Service;
use crate::statistics::{as_f64, median};
use crate::{Options, history, machine};

/// Requests per round.
const REQUESTS: usize = 20_000;
/// The number of tokens of a hot set.
const HOT: usize = 100;
const SEED: u64 = 0x0061_6363_6f75_6e74;

/// Who makes a request.
#[derive(Debug, Clone, Copy)]
struct Who {
    /// The number of the user and the shared workspace.
    user: u64,
    /// The number of the token.
    token: u64,
}

/// A kind of credential.
struct Kind {
    name: &'static str,
    credential: fn(&Service, Who) -> String,
    /// The numbers of its tokens, of so many per workspace.
    tokens: fn(u64) -> Range<u64>,
    key: fn(&str) -> [u8; 32],
    /// Reads the index.
    read: fn(&Service, &str) -> anyhow::Result<(Stamp, KnownCaller)>,
}

const KINDS: &[Kind] = &[
    Kind {
        name: "machine token",
        credential: machine_token,
        tokens: |_| 0..1,
        key: secret::hash,
        read: by_token,
    },
    Kind {
        name: "member's token",
        credential: member_token,
        tokens: |count| 1..count,
        key: secret::hash,
        read: by_token,
    },
    Kind {
        name: "JWT",
        credential: jwt,
        tokens: |_| 0..1,
        key: |c| session_key(1, c),
        read: |s, c| by_session(s, SessionKind::Jwt, s.accounts.by_jwt(c)),
    },
    Kind {
        name: "cookie",
        credential: cookie,
        tokens: |_| 0..1,
        key: |c| session_key(2, c),
        read: |s, c| by_session(s, SessionKind::Browser, s.accounts.by_cookie(c.as_bytes())),
    },
];

/// A part of the authentication of a first request.
struct Part {
    name: &'static str,
    credential: fn(&Service, Who) -> String,
    run: fn(&Service, Who, &str) -> anyhow::Result<()>,
}

const PARTS: &[Part] = &[
    Part { name: "SHA-256", credential: member_token, run: |_, _, c| hash(c) },
    Part { name: "token", credential: member_token, run: |s, _, c| token(s, c).map(drop) },
    Part { name: "user", credential: none, run: |s, who, _| user(s, who) },
    Part { name: "role and workspace", credential: none, run: |s, who, _| role(s, who) },
    Part { name: "workspace", credential: none, run: |s, who, _| workspace(s, who) },
    Part { name: "JWT's signature", credential: jwt, run: |s, _, c| signature(s, c) },
];

/// Measures all kinds and parts, and prints tables.
pub fn measure(folder: &Path, options: &Options) -> anyhow::Result<()> {
    println!(
        "\n| authentication, µs | first request | later ones, all {} workspaces | later ones, {HOT} \
         tokens | memory, MiB |\n|---|---|---|---|---|",
        options.workspaces
    );
    for kind in KINDS {
        kind.measure(&Service::open(folder)?, options)?;
    }
    let service = Service::open(folder)?;
    println!("\n| part, µs | all workspaces | {HOT} tokens |\n|---|---|---|");
    for part in PARTS {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED);
        let run = |who: Who, credential: &str| (part.run)(&service, who, credential);
        let all = || draw(&mut random, REQUESTS, options, 1..options.tokens_per_workspace);
        let cold = rounds(options, all, |who| (part.credential)(&service, who), run)?;
        let few = draw(&mut random, HOT, options, 1..options.tokens_per_workspace);
        let few = || few.iter().copied().cycle().take(REQUESTS).collect();
        let hot = rounds(options, few, |who| (part.credential)(&service, who), run)?;
        println!("| {} | {cold:.2} | {hot:.2} |", part.name);
    }
    Ok(())
}

impl Kind {
    fn measure(&self, service: &Service, options: &Options) -> anyhow::Result<()> {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED);
        let tokens = (self.tokens)(options.tokens_per_workspace);
        let credential = |who: Who| (self.credential)(service, who);
        let mut all = || draw(&mut random, REQUESTS, options, tokens.clone());
        let first = rounds(options, &mut all, credential, |_, credential: &str| {
            black_box((self.read)(service, credential)?);
            Ok(())
        })?;
        for user in 0..options.workspaces {
            for token in tokens.clone() {
                self.authenticate(service, &credential(Who { user, token }))?;
            }
        }
        let again = |_, credential: &str| self.authenticate(service, credential);
        let later = rounds(options, &mut all, credential, again)?;
        let few = draw(&mut random, HOT, options, tokens.clone());
        let few = || few.iter().copied().cycle().take(REQUESTS).collect();
        let hot = rounds(options, few, credential, again)?;
        let memory = machine::memory(std::process::id())?.rss_kib >> 10;
        println!("| {} | {first:.2} | {later:.2} | {hot:.2} | {memory} |", self.name);
        Ok(())
    }

    /// As `http::auth`: from memory, else from the index.
    fn authenticate(&self, service: &Service, credential: &str) -> anyhow::Result<()> {
        let key = (self.key)(credential);
        if let Some(known) = service.accounts.known_caller(&key, now_ms()) {
            black_box(known);
            return Ok(());
        }
        let (stamp, caller) = (self.read)(service, credential)?;
        service.accounts.store_caller(key, stamp, caller);
        Ok(())
    }
}

fn draw(
    random: &mut Xoshiro256PlusPlus,
    count: usize,
    options: &Options,
    tokens: Range<u64>,
) -> Vec<Who> {
    let mut who = || Who {
        user: random.random_range(0..options.workspaces),
        token: random.random_range(tokens.clone()),
    };
    (0..count).map(|_| who()).collect()
}

/// The median of the rounds, in microseconds per request.
fn rounds(
    options: &Options,
    mut draw: impl FnMut() -> Vec<Who>,
    credential: impl Fn(Who) -> String,
    run: impl Fn(Who, &str) -> anyhow::Result<()>,
) -> anyhow::Result<f64> {
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        let requests: Vec<_> = draw().into_iter().map(|who| (who, credential(who))).collect();
        let started = Instant::now();
        for (who, credential) in &requests {
            run(*who, credential)?;
        }
        rounds.push(started.elapsed().as_secs_f64() * 1e6 / as_f64(requests.len() as u64));
    }
    Ok(median(rounds.into_iter()))
}

fn machine_token(_: &Service, who: Who) -> String {
    history::token_secret(who.user, 0)
}

fn member_token(_: &Service, who: Who) -> String {
    history::token_secret(who.user, who.token)
}

fn jwt(service: &Service, who: Who) -> String {
    let (user, session) = (history::user_id(who.user), history::jwt_session_id(who.user));
    // The same each time, so that a later request has the same credential.
    service.jwt.issue(user, session, service.opened_at_ms, Duration::from_secs(3_600))
}

fn cookie(_: &Service, who: Who) -> String {
    URL_SAFE_NO_PAD.encode(history::cookie(who.user))
}

fn none(_: &Service, _: Who) -> String {
    String::new()
}

/// As `by_token` and `actor_of` in `http::auth`.
fn by_token(service: &Service, credential: &str) -> anyhow::Result<(Stamp, KnownCaller)> {
    let (accounts, hash) = (&service.accounts, secret::hash(credential));
    let mut stamp = Stamp::default();
    hash.first_chunk().into_iter().for_each(|hash| accounts.note(&mut stamp, hash));
    let token = token_of(service, &hash)?;
    anyhow::ensure!(token.is_valid_at(now_ms()), "the token is not valid");
    accounts.note(&mut stamp, token.workspace.as_bytes());
    let actor = if let Some(user) = token.user {
        accounts.note(&mut stamp, user.as_bytes());
        let found = accounts.find(user).map_err(anyhow::Error::msg)?;
        let is_active = found.is_some_and(|user| !user.is_blocked);
        anyhow::ensure!(is_active, "the user is blocked or deleted");
        let role = accounts.membership(token.workspace, user).map_err(anyhow::Error::msg)?;
        let Some((role, _)) = role else { anyhow::bail!("not a member") };
        let member = Actor::member(token.workspace, user, role);
        let abilities: Abilities = token.abilities.and(member.abilities);
        Actor { token: token.id, abilities, ..member }
    } else {
        let is_deleted = accounts.is_deleted(token.workspace).map_err(anyhow::Error::msg)?;
        anyhow::ensure!(!is_deleted, "the workspace is deleted");
        Actor::from(&token)
    };
    let known = KnownCaller {
        actor,
        session: None,
        is_superadmin: false,
        created_at_ms: token.created_at_ms,
        expires_at_ms: token.expires_at_ms.unwrap_or(u64::MAX),
        networks: None,
        plan: service.plans.of(token.workspace).map_err(anyhow::Error::msg)?,
    };
    Ok((stamp, known))
}

/// As in `http::auth`, without `X-Workspace`.
fn session_key(kind: u8, credential: &str) -> [u8; 32] {
    let hash = Sha256::new().chain_update([kind]).chain_update([0; 16]);
    hash.chain_update(credential).finalize().into()
}

/// As `by_session` in `http::auth`, without `X-Workspace`.
fn by_session(
    service: &Service,
    kind: SessionKind,
    found: slugline::domain::error::Result<LiveSession>,
) -> anyhow::Result<(Stamp, KnownCaller)> {
    let found = found.map_err(anyhow::Error::msg)?;
    let LiveSession { user, session, expires_at_ms, mut stamp } = found;
    anyhow::ensure!(!user.is_blocked, "the user is blocked");
    let ((id, session_id), workspace) = (session.ids()?, user.default_workspace());
    service.accounts.note(&mut stamp, workspace.as_bytes());
    let role = service.accounts.membership(workspace, id).map_err(anyhow::Error::msg)?;
    let Some((role, _)) = role else { anyhow::bail!("not a member") };
    let known = KnownCaller {
        actor: Actor::member(workspace, id, role),
        session: Some((session_id, kind)),
        is_superadmin: user.is_superadmin,
        created_at_ms: session.created_at_ms,
        expires_at_ms,
        networks: None,
        plan: service.plans.of(workspace).map_err(anyhow::Error::msg)?,
    };
    Ok((stamp, known))
}

#[expect(clippy::unnecessary_wraps, reason = "as the other parts")]
fn hash(credential: &str) -> anyhow::Result<()> {
    black_box(secret::hash(credential));
    Ok(())
}

fn token(service: &Service, credential: &str) -> anyhow::Result<Token> {
    token_of(service, &secret::hash(credential))
}

fn token_of(service: &Service, secret_sha256: &[u8; 32]) -> anyhow::Result<Token> {
    let found = service.links.token_by_secret(secret_sha256);
    found.map_err(anyhow::Error::msg)?.ok_or_else(|| anyhow::anyhow!("an unknown token"))
}

fn user(service: &Service, who: Who) -> anyhow::Result<()> {
    let found = service.accounts.find(history::user_id(who.user)).map_err(anyhow::Error::msg)?;
    anyhow::ensure!(black_box(found).is_some(), "an unknown user");
    Ok(())
}

fn role(service: &Service, who: Who) -> anyhow::Result<()> {
    let (workspace, user) = (history::workspace_id(who.user), history::user_id(who.user));
    let found = service.accounts.membership(workspace, user).map_err(anyhow::Error::msg)?;
    anyhow::ensure!(black_box(found).is_some(), "not a member");
    Ok(())
}

fn workspace(service: &Service, who: Who) -> anyhow::Result<()> {
    let found = service.accounts.is_deleted(history::workspace_id(who.user));
    anyhow::ensure!(!black_box(found.map_err(anyhow::Error::msg)?), "a deleted workspace");
    Ok(())
}

fn signature(service: &Service, credential: &str) -> anyhow::Result<()> {
    black_box(service.jwt.verify(credential, now_ms())?);
    Ok(())
}

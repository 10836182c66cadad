//! The cost of authenticating a request: the reads of `http::auth` for each kind of credential, on
//! one thread, and for each part of them.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};
use slugline::commands::{now_ms, secret};
use slugline::domain::event::{SessionState, UserState};
use slugline::domain::token::{Abilities, Actor, Token};

use crate::service::Service;
use crate::statistics::{as_f64, median};
use crate::{Options, history};

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

/// A kind of credential, or a part of its authentication. Makes one request's work; what is passed
/// is the credential.
struct Row {
    name: &'static str,
    credential: fn(&Service, Who) -> String,
    run: fn(&Service, Who, &str) -> anyhow::Result<()>,
}

const ROWS: &[Row] = &[
    Row { name: "machine token", credential: machine_token, run: |s, _, c| by_token(s, c) },
    Row { name: "member's token", credential: member_token, run: |s, _, c| by_token(s, c) },
    Row { name: "JWT", credential: jwt, run: |s, _, c| by_session(s, s.accounts.by_jwt(c)) },
    Row {
        name: "cookie",
        credential: cookie,
        run: |s, _, c| by_session(s, s.accounts.by_cookie(c.as_bytes())),
    },
    Row { name: "part: SHA-256", credential: member_token, run: |_, _, c| hash(c) },
    Row { name: "part: token", credential: member_token, run: |s, _, c| token(s, c).map(drop) },
    Row { name: "part: user", credential: none, run: |s, who, _| user(s, who) },
    Row { name: "part: role and workspace", credential: none, run: |s, who, _| role(s, who) },
    Row { name: "part: workspace", credential: none, run: |s, who, _| workspace(s, who) },
    Row { name: "part: JWT's signature", credential: jwt, run: |s, _, c| signature(s, c) },
];

/// Measures all kinds and parts, and prints a table.
pub fn measure(folder: &Path, options: &Options) -> anyhow::Result<()> {
    let service = Service::open(folder)?;
    let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED);
    println!(
        "\n| authentication, µs | all {} workspaces | {HOT} tokens |\n|---|---|---|",
        options.workspaces
    );
    for row in ROWS {
        let cold = row.median(&service, options, || draw(&mut random, REQUESTS, options))?;
        let few = draw(&mut random, HOT, options);
        let hot =
            row.median(&service, options, || few.iter().copied().cycle().take(REQUESTS).collect())?;
        println!("| {} | {cold:.2} | {hot:.2} |", row.name);
    }
    Ok(())
}

fn draw(random: &mut Xoshiro256PlusPlus, count: usize, options: &Options) -> Vec<Who> {
    let mut who = || Who {
        user: random.random_range(0..options.workspaces),
        token: random.random_range(1..options.tokens_per_workspace),
    };
    (0..count).map(|_| who()).collect()
}

impl Row {
    /// The median of the rounds, in microseconds per request.
    fn median(
        &self,
        service: &Service,
        options: &Options,
        mut draw: impl FnMut() -> Vec<Who>,
    ) -> anyhow::Result<f64> {
        let mut rounds = Vec::new();
        for _ in 0..options.rounds {
            let requests = draw().into_iter();
            let requests: Vec<_> =
                requests.map(|who| (who, (self.credential)(service, who))).collect();
            let started = Instant::now();
            for (who, credential) in &requests {
                (self.run)(service, *who, credential)?;
            }
            rounds.push(started.elapsed().as_secs_f64() * 1e6 / as_f64(requests.len() as u64));
        }
        Ok(median(rounds.into_iter()))
    }
}

fn machine_token(_: &Service, who: Who) -> String {
    history::token_secret(who.user, 0)
}

fn member_token(_: &Service, who: Who) -> String {
    history::token_secret(who.user, who.token)
}

fn jwt(service: &Service, who: Who) -> String {
    let (user, session) = (history::user_id(who.user), history::jwt_session_id(who.user));
    service.jwt.issue(user, session, now_ms(), Duration::from_secs(3_600))
}

fn cookie(_: &Service, who: Who) -> String {
    URL_SAFE_NO_PAD.encode(history::cookie(who.user))
}

fn none(_: &Service, _: Who) -> String {
    String::new()
}

/// As `by_token` and `actor_of` in `http::auth`.
fn by_token(service: &Service, credential: &str) -> anyhow::Result<()> {
    let token = token(service, credential)?;
    anyhow::ensure!(token.is_valid_at(now_ms()), "the token is not valid");
    let accounts = &service.accounts;
    let Some(user) = token.user else {
        let is_deleted = accounts.is_deleted(token.workspace).map_err(anyhow::Error::msg)?;
        anyhow::ensure!(!is_deleted, "the workspace is deleted");
        black_box(Actor::from(&token));
        return Ok(());
    };
    let found = accounts.find(user).map_err(anyhow::Error::msg)?;
    anyhow::ensure!(found.is_some_and(|user| !user.is_blocked), "the user is blocked or deleted");
    let role = accounts.membership(token.workspace, user).map_err(anyhow::Error::msg)?;
    let Some((role, _)) = role else { anyhow::bail!("not a member") };
    let member = Actor::member(token.workspace, user, role);
    let abilities: Abilities = token.abilities.and(member.abilities);
    black_box(Actor { token: token.id, abilities, ..member });
    Ok(())
}

/// As `by_session` in `http::auth`, without `X-Workspace`.
fn by_session(
    service: &Service,
    found: slugline::domain::error::Result<(UserState, SessionState)>,
) -> anyhow::Result<()> {
    let (user, session) = found.map_err(anyhow::Error::msg)?;
    anyhow::ensure!(!user.is_blocked, "the user is blocked");
    let ((id, _), workspace) = (session.ids()?, user.default_workspace());
    let role = service.accounts.membership(workspace, id).map_err(anyhow::Error::msg)?;
    let Some((role, _)) = role else { anyhow::bail!("not a member") };
    black_box(Actor::member(workspace, id, role));
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "as the other parts")]
fn hash(credential: &str) -> anyhow::Result<()> {
    black_box(secret::hash(credential));
    Ok(())
}

fn token(service: &Service, credential: &str) -> anyhow::Result<Token> {
    let found = service.links.token_by_secret(&secret::hash(credential));
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

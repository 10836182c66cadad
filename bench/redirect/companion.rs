//! Sign-ins beside the redirects, at a fixed rate whatever the answers are.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::Xoshiro256PlusPlus;
use tokio::task::JoinSet;

use crate::slugline::Api;
use crate::traffic::public_address;

/// The number of users who sign in, in turn: so many that at 200 per second, the limit of attempts
/// per account is not reached while the first ones wait.
pub const USERS: u32 = 128;
/// Everybody's password.
pub const PASSWORD: &str = "correct horse battery";

/// The milliseconds of each answer by its status; 0 if there was none.
pub type Answers = BTreeMap<u16, Vec<f64>>;

/// The email address of a user.
pub fn email(user: u32) -> String {
    format!("user-{user}@example.com")
}

/// Sends sign-ins for the duration of a phase, each from another address, and waits for all
/// answers.
pub async fn send(api: Api, per_second: u32, phase: Duration) -> Answers {
    let mut random = Xoshiro256PlusPlus::from_rng(&mut rand::rng());
    let mut due = tokio::time::interval(Duration::from_secs(1) / per_second);
    let (end, mut sent) = (Instant::now() + phase, JoinSet::new());
    for number in 0_u32.. {
        due.tick().await;
        if Instant::now() >= end {
            break;
        }
        let (api, from) = (api.clone(), public_address(&mut random));
        sent.spawn(async move {
            let begun = Instant::now();
            let answer = api.sign_in(number % USERS, from).await;
            let status = answer.map_or(0, |answer| answer.status().as_u16());
            (status, begun.elapsed().as_secs_f64() * 1e3)
        });
    }
    let mut answers = Answers::new();
    while let Some(answer) = sent.join_next().await {
        let (status, ms) = answer.unwrap_or_default();
        answers.entry(status).or_default().push(ms);
    }
    answers
}

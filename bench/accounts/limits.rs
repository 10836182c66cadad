//! What limits add to a request, with as many tokens as the log has, each with a window: their
//! memory, and the time on one thread.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};
use slugline::domain::plan::Month;
use slugline::domain::plan::rate::{RateClass, RateLimit, RateScope, RateWindow};
use slugline::http::api_meter::ApiMeter;
use slugline::http::attempt_limiter::{ANY_SUBJECT, AddressLimits};
use slugline::http::rate_limit::{Caller, RateLimiter};

use crate::statistics::{as_f64, median};
use crate::{Options, history, machine};

/// Requests per round.
const REQUESTS: u64 = 100_000;
const SEED: u64 = 0x6c69_6d69_7473;
/// A limit that is never reached, and one that is.
const LARGE: u32 = 1_000;
const SMALL: u32 = 60;

const fn limit(scope: RateScope, requests: u32, window: RateWindow) -> RateLimit {
    RateLimit { scope, class: None, requests, window }
}

const BY_TOKEN: [RateLimit; 1] = [limit(RateScope::Token, LARGE, RateWindow::Minute)];
const THREE: [RateLimit; 3] = [
    BY_TOKEN[0],
    limit(RateScope::User, LARGE, RateWindow::Minute),
    limit(RateScope::Workspace, 1_000_000, RateWindow::Hour),
];
const REACHED: [RateLimit; 1] = [limit(RateScope::Token, SMALL, RateWindow::Minute)];

/// A table with a window for each token.
struct World {
    limiter: RateLimiter,
    started: Instant,
    tokens: u64,
    per_workspace: u64,
}

/// Measures, and prints a table.
pub fn measure(options: &Options) -> anyhow::Result<()> {
    let before = machine::memory(std::process::id())?.rss_kib;
    let per_workspace = options.tokens_per_workspace;
    let world = World {
        limiter: RateLimiter::default(),
        started: Instant::now(),
        tokens: options.workspaces * per_workspace,
        per_workspace,
    };
    for (requests, limits) in [(1, &BY_TOKEN), (SMALL, &REACHED)] {
        for number in 0..requests {
            // A millisecond each.
            let at = world.started + Duration::from_millis(number.into());
            for token in 0..world.tokens {
                world.limiter.take(limits, RateClass::Standard, &world.caller(token), at);
            }
        }
        let memory = machine::memory(std::process::id())?.rss_kib - before;
        println!(
            "{} windows of tokens, up to {requests} requests each: {} MiB",
            world.limiter.windows(),
            memory >> 10
        );
    }
    println!("\n| limits, µs per request | random tokens |\n|---|---|");
    world.row("a limit of a token", options, |token, at| world.request(&BY_TOKEN, token, at));
    world.row("limits of a token, a user and a workspace", options, |token, at| {
        world.request(&THREE, token, at);
    });
    world.row("a limit that is reached", options, |token, at| world.request(&REACHED, token, at));
    let (meter, month) = (ApiMeter::default(), Month::of(0));
    world.row("counting the call", options, |token, _| {
        let counted = meter.count(world.caller(token).workspace, month, Some(u64::MAX), || Ok(0));
        let _counted = black_box(counted);
    });
    let addresses = AddressLimits::new(None, Some(LARGE));
    if let Some(visits) = &addresses.visits {
        for token in 0..world.tokens {
            let _allowed = visits.take_at(address(token), &ANY_SUBJECT, world.started);
        }
        world.row("the limit of visits of an address", options, |token, at| {
            let _taken = black_box(visits.take_at(address(token), &ANY_SUBJECT, at));
        });
    }
    Ok(())
}

fn address(number: u64) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(number).unwrap_or_default()))
}

impl World {
    fn caller(&self, token: u64) -> Caller {
        let user = token / self.per_workspace;
        Caller {
            dialect: "",
            workspace: history::workspace_id(user),
            user: Some(history::user_id(user)),
            credential: history::token_id(user, token % self.per_workspace),
        }
    }

    /// What a request does: count, and state the result in the response's headers.
    fn request(&self, limits: &[RateLimit], token: u64, at: Instant) {
        let usage = self.limiter.take(limits, RateClass::Standard, &self.caller(token), at);
        if let Some(usage) = usage {
            let mut headers = HeaderMap::with_capacity(16);
            usage.write(&mut headers, 1_800_000_000_000);
            black_box((usage.refusal().is_some(), headers));
        }
    }

    fn row(&self, name: &str, options: &Options, run: impl Fn(u64, Instant)) {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED);
        let rounds = (0..options.rounds).map(|round| {
            let tokens: Vec<_> =
                (0..REQUESTS).map(|_| random.random_range(0..self.tokens)).collect();
            let at = self.started + Duration::from_millis(1_000 + u64::from(round));
            let started = Instant::now();
            for token in &tokens {
                run(*token, at);
            }
            started.elapsed().as_secs_f64() * 1e6 / as_f64(REQUESTS)
        });
        println!("| {name} | {:.2} |", median(rounds));
    }
}

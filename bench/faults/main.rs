//! `cargo bench --bench faults -- SCENARIO`: fault injection on the real program, with any number
//! of rounds.
//!
//! The scenarios are those of `tests/faults`, which runs a short form of each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a scenario fails by a panic, and prints what it counted"
)]

#[path = "../../tests/simulation/chance.rs"]
mod chance;
#[allow(dead_code, unused_imports, reason = "the scenarios use a part of it")]
#[path = "../../tests/service/harness/mod.rs"]
mod harness;
#[path = "../../tests/faults/scenarios/mod.rs"]
mod scenarios;

use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};

use scenarios::eio::Of;
use scenarios::{Counts, chaos, claims, disk, eio, engine, history, idempotency, kill, removals};

/// Runs slugline through faults; fails when a promise is broken.
#[derive(Parser)]
struct Options {
    /// Which faults
    #[arg(value_enum)]
    scenario: Scenario,
    /// How many rounds (kills, batches, keys, syncs, …); each scenario has a number of its own
    #[arg(long)]
    rounds: Option<u64>,
    /// Where chance begins
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// What `cargo bench` passes
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// SIGKILL under 32 writers and visitors [1000 rounds]
    Kill,
    /// The engine is killed under visitors [200 rounds]
    Engine,
    /// ClickHouse is away for minutes [rounds of 1 minute: 3]
    Away,
    /// Batches across months, under SIGKILLs of engine and slugline [10000 batches]
    Chaos,
    /// The same, and some starts find the plan of an earlier moment [1000 batches]
    OlderPlans,
    /// Links are deleted, and whoever removes their clicks is killed [50 rounds]
    Removals,
    /// 10,000 clients claim one slug at once [3 rounds]
    Claims,
    /// Keys, 20 requests each, with a SIGKILL in the midst [1000 keys]
    Idempotency,
    /// Histories of few slugs through SIGKILLs, checked for linearizability [50 rounds]
    Histories,
    /// The Nth sync of the log of changes fails with EIO [each of the first 200]
    Eio,
    /// The same of the log of clicks [each of the first 20]
    EioClicks,
    /// The disk fills up and has room again [20 rounds]
    FullDisk,
}

fn main() {
    let Options { scenario, rounds, seed, json, bench: _ } = Options::parse();
    let rounds = |usual: u64| rounds.unwrap_or(usual);
    let started = Instant::now();
    let counts: Counts = match scenario {
        Scenario::Kill => kill::run(rounds(1_000), seed),
        Scenario::Engine => engine::killed(rounds(200), seed),
        Scenario::Away => engine::away(rounds(3), Duration::from_secs(60)),
        Scenario::Chaos => chaos::run(rounds(10_000), seed, false),
        Scenario::OlderPlans => chaos::run(rounds(1_000), seed, true),
        Scenario::Removals => removals::run(rounds(50), seed),
        Scenario::Claims => claims::run(10_000, rounds(3)),
        Scenario::Idempotency => idempotency::run(rounds(1_000)),
        Scenario::Histories => history::run(rounds(50), seed),
        Scenario::Eio => eio::run(1..=rounds(200), Of::Mutations),
        Scenario::EioClicks => eio::run(1..=rounds(20), Of::Clicks),
        Scenario::FullDisk => disk::run(rounds(20)),
    };
    if json {
        let rows = counts.rows().into_iter().map(|(what, count)| (what.to_owned(), count.into()));
        println!("{}", serde_json::Value::Object(rows.collect()));
        return;
    }
    for (what, count) in counts.rows() {
        println!("{count:>12}  {what}");
    }
    println!("{:>12.0}  seconds", started.elapsed().as_secs_f64());
}

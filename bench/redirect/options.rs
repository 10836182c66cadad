//! What the command line says.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use serde::Serialize;

/// One of the two servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Contestant {
    /// The axum server that only redirects.
    Bare,
    /// slugline.
    Slugline,
}

impl Contestant {
    /// The name in tables and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare axum",
            Self::Slugline => "slugline",
        }
    }
}

/// Measures slugline's redirects beside a bare axum server.
#[derive(Debug, Parser)]
#[command(name = "cargo bench --bench redirect --")]
pub struct Arguments {
    /// Links to create
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=9_999_999))]
    links: u32,
    /// Connections of the load generator
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Seconds of each phase
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Rounds: each drives both servers in both ways
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Threads of the load generator
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
    /// Also writes all results to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measures one server alone
    #[arg(long, value_name = "SERVER")]
    only: Option<Contestant>,
    /// A smoke run: 5,000 links, phases of 2 s, 1 round
    #[arg(long, conflicts_with_all = ["links", "seconds", "rounds"])]
    quick: bool,
    /// What `cargo bench` adds, and `cargo test` doesn't
    #[arg(long, hide = true)]
    pub bench: bool,
}

/// What a run measures.
#[derive(Debug, Serialize)]
pub struct Options {
    /// Links to create.
    pub links: u32,
    /// Connections of the load generator.
    pub connections: usize,
    /// How long each phase lasts.
    #[serde(rename = "phase_seconds", serialize_with = "crate::report::as_seconds")]
    pub phase: Duration,
    /// How often both servers are measured.
    pub rounds: u32,
    /// Threads of the load generator.
    pub threads: usize,
    /// Where the results go beside the terminal.
    #[serde(skip)]
    pub json: Option<PathBuf>,
    /// The only server measured.
    pub only: Option<Contestant>,
}

impl Options {
    /// Whether the run measures this server.
    pub fn measures(&self, contestant: Contestant) -> bool {
        self.only.is_none_or(|only| only == contestant)
    }

    /// How long each server is driven before its first measured phase.
    pub fn warm_up(&self) -> Duration {
        self.phase.min(Duration::from_secs(3))
    }
}

impl From<Arguments> for Options {
    fn from(given: Arguments) -> Self {
        let (links, seconds, rounds) =
            if given.quick { (5_000, 2, 1) } else { (given.links, given.seconds, given.rounds) };
        Self {
            links,
            connections: usize::from(given.connections),
            phase: Duration::from_secs(seconds),
            rounds,
            threads: usize::from(given.threads),
            json: given.json,
            only: given.only,
        }
    }
}

//! What the command line says.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Parser;
use serde::{Serialize, Serializer};
use url::Url;

use crate::agents::Profile;
use crate::companion::Companion;
use crate::contestant::Contestant;
use crate::scenario::{SUSTAINED_LINKS, Scenario};
use crate::steps::Step;
use crate::traffic::{LinkKind, Traffic};

/// Compares slugline's redirects with a bare axum server.
#[derive(Debug, Parser)]
#[command(name = "cargo bench --bench redirect --")]
pub struct Arguments {
    /// Links of most scenarios
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=9_999_999))]
    links: u32,
    /// Links of the scenario `many`
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=9_999_999))]
    many_links: u32,
    /// What is measured, each beside the bare server; all but `sustained`, if none is named
    #[arg(long = "scenario", value_name = "SCENARIO")]
    scenarios: Vec<Scenario>,
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
    /// Requests per second of open loops; by default, half of what the closed loop of the same round
    /// reaches
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Repeats each open loop of slugline beside so many sign-ins per second
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    sign_ins: Option<u32>,
    /// Repeats each open loop of slugline beside so many requests for images of QR codes
    #[arg(long, value_name = "PER_SECOND", conflicts_with = "sign_ins", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    qr_images: Option<u32>,
    /// Measures the server at this URL instead of slugline: another shortener, or slugline on another
    /// machine. It needs links with the slugs b0000000, b0000001, … (as many as --links), or those of
    /// --paths
    #[arg(long, value_name = "URL", conflicts_with_all = ["sign_ins", "qr_images", "scenarios"])]
    target: Option<Url>,
    /// With --target: a file with the path of a link on each line
    #[arg(long, value_name = "FILE", requires = "target")]
    paths: Option<PathBuf>,
    /// A smoke run: 5,000 and 10,000 links, phases of 2 s, 1 round
    #[arg(long, conflicts_with_all = ["links", "many_links", "seconds", "rounds"])]
    quick: bool,
    /// Says what each step of a redirect costs, and measures nothing else
    #[arg(long)]
    pub steps: bool,
    /// With `--steps`: this one alone
    #[arg(long, requires = "steps")]
    pub step: Option<Step>,
    /// With `--steps`: how often each is taken
    #[arg(long, requires = "steps", default_value_t = 400_000)]
    pub times: usize,
    /// What `cargo bench` adds, and `cargo test` doesn't
    #[arg(long, hide = true)]
    pub bench: bool,
}

/// The measurements of a run.
#[derive(Debug, Serialize)]
pub struct Options {
    /// Links of most scenarios.
    pub links: u32,
    /// Links of [`Scenario::Many`].
    pub many_links: u32,
    /// The scenarios, in this order.
    pub scenarios: Vec<Scenario>,
    /// Connections of the load generator.
    pub connections: usize,
    /// The duration of each phase.
    #[serde(rename = "phase_seconds", serialize_with = "as_seconds")]
    pub phase: Duration,
    /// The number of rounds for both servers.
    pub rounds: u32,
    /// Threads of the load generator.
    pub threads: usize,
    /// The output file for the results.
    #[serde(skip)]
    pub json: Option<PathBuf>,
    /// The only server measured.
    pub only: Option<Contestant>,
    /// Requests per second of open loops, if not half of the closed loop's.
    pub rate: Option<u32>,
    /// The server to measure instead of slugline.
    pub target: Option<Url>,
    /// The file with the paths of its links.
    pub paths: Option<PathBuf>,
    /// Other requests per second beside a second open loop.
    pub companion: Option<(Companion, u32)>,
}

impl Options {
    /// Whether the run measures this server.
    pub fn measures(&self, contestant: Contestant) -> bool {
        match contestant {
            Contestant::Slugline if self.target.is_some() => false,
            _ => self.only.is_none_or(|only| only == contestant),
        }
    }

    /// The requests to a target.
    pub fn traffic_of(
        &self,
        target: &Url,
        scenario: Scenario,
        profiles: &[Profile],
    ) -> anyhow::Result<Traffic> {
        ensure!(target.scheme() == "http", "the target must be an http URL");
        let host = target.host_str().context("the target has no host")?;
        let host = target.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let paths: Vec<String> = match &self.paths {
            Some(file) => {
                let text = std::fs::read_to_string(file)
                    .with_context(|| format!("cannot read {}", file.display()))?;
                text.lines().map(|line| line.trim_start_matches('/').to_owned()).collect()
            }
            None => (0..self.links_of(scenario)).map(|link| LinkKind::Plain.slug(link)).collect(),
        };
        ensure!(!paths.is_empty(), "there are no paths");
        Ok(Traffic::render_paths(&host, paths, profiles))
    }

    /// The warm-up duration of each server.
    pub fn warm_up(&self) -> Duration {
        self.phase.min(Duration::from_secs(3))
    }
}

impl From<Arguments> for Options {
    fn from(given: Arguments) -> Self {
        let (links, many_links, seconds, rounds) = if given.quick {
            (5_000, 10_000, 2, 1)
        } else {
            (given.links, given.many_links.max(given.links), given.seconds, given.rounds)
        };
        let is_wanted = |scenario: &Scenario| {
            if given.target.is_some() {
                *scenario == Scenario::Plain
            } else if given.scenarios.is_empty() {
                scenario.is_default()
            } else {
                given.scenarios.contains(scenario)
            }
        };
        Self {
            links,
            many_links,
            scenarios: Scenario::ALL.into_iter().filter(is_wanted).collect(),
            connections: usize::from(given.connections),
            phase: Duration::from_secs(seconds),
            rounds,
            threads: usize::from(given.threads),
            json: given.json,
            only: given.only,
            target: given.target,
            paths: given.paths,
            rate: given.rate,
            companion: given
                .sign_ins
                .map(|rate| (Companion::SignIns, rate))
                .or_else(|| given.qr_images.map(|rate| (Companion::QrImages, rate))),
        }
    }
}

/// Writes a duration as a number of seconds.
fn as_seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

impl Options {
    /// The number of links of a scenario.
    pub const fn links_of(&self, scenario: Scenario) -> u32 {
        match scenario {
            Scenario::Many => self.many_links,
            Scenario::Sustained => SUSTAINED_LINKS,
            _ => self.links,
        }
    }
}

//! All results of a run, for the report file.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::Value;

use crate::companion::Answers;
use crate::contender::{ClosedLoop, Contender, OpenLoop, Percentiles};
use crate::contestant::Contestant;
use crate::counts::Counts;
use crate::machine::{self, Machine, Memory};
use crate::options::Options;
use crate::scenario::Scenario;
use crate::statistics::median;
use crate::sustained::Sustained;
use crate::traffic;

/// The results of a run and its environment.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The command line to repeat the run.
    pub command: String,
    /// When it ended.
    pub date: String,
    /// The builds of the servers and the generator.
    pub build: Build,
    /// The machine that all of them shared.
    pub machine: Machine,
    /// The options of the run.
    pub options: Value,
    /// Each scenario's results.
    pub scenarios: Vec<ScenarioReport>,
    /// Measurements of slugline alone.
    pub slugline: Option<SluglineReport>,
}

/// The builds of the executables.
#[derive(Debug, Serialize)]
pub struct Build {
    /// `release` or `debug`.
    pub profile: &'static str,
    /// The compiler in use, if it says so.
    pub rustc: Option<String>,
}

/// The results of a scenario.
#[derive(Debug, Serialize)]
pub struct ScenarioReport {
    /// Which one.
    pub scenario: Scenario,
    /// The number of links.
    pub links: u32,
    /// The requests.
    pub traffic: traffic::Summary,
    /// Each server's results.
    pub servers: Vec<ServerReport>,
    /// The other server's throughput by the bare server's, each round by itself.
    pub ratios: Vec<f64>,
    /// The median of the ratios.
    pub ratio: Option<f64>,
    /// Batches of questions that were answered meanwhile, where any were asked.
    pub batches: Option<u64>,
    /// What was seen beside the load, where it was looked at.
    pub sustained: Option<Sustained>,
}

/// The results of one server.
#[derive(Debug, Serialize)]
pub struct ServerReport {
    /// Which one.
    pub server: Contestant,
    /// The median of the rounds.
    pub requests_per_second: f64,
    /// At half load, the medians of the rounds.
    #[serde(rename = "latency_us")]
    pub latency: Percentiles,
    /// After the load, of a server of this run.
    pub memory: Option<Memory>,
    /// The closed loops, by round.
    pub closed: Vec<ClosedLoop>,
    /// The open loops, by round.
    pub open: Vec<OpenLoop>,
    /// The open loops beside other requests, by round.
    pub accompanied: Vec<OpenLoop>,
    /// The answers to these requests.
    pub answers: Answers,
}

/// Measurements of slugline alone.
#[derive(Debug, Serialize)]
pub struct SluglineReport {
    /// Links created, and loaded at the restart.
    pub links: u32,
    /// From the first start, on an empty folder, until ready.
    pub first_ready_seconds: f64,
    /// The time to create the links.
    pub fill_seconds: f64,
    /// Links created per second.
    pub creates_per_second: f64,
    /// Before any redirect.
    pub memory_with_links: Memory,
    /// After the last one.
    pub memory_after_load: Memory,
    /// From a start with the links until ready, the files in the page cache.
    pub restart_ready_seconds: f64,
    /// slugline's reported projection status after the load.
    pub projection: Value,
    /// The clicks, counted three times.
    pub counts: Counts,
}

impl ScenarioReport {
    /// Puts together what the contenders, which must still run, have shown.
    pub fn new(
        scenario: Scenario,
        links: u32,
        traffic: traffic::Summary,
        contenders: &[Contender],
        batches: Option<u64>,
    ) -> anyhow::Result<Self> {
        let servers = contenders
            .iter()
            .map(|contender| {
                Ok(ServerReport {
                    server: contender.contestant,
                    requests_per_second: contender.requests_per_second(),
                    latency: Percentiles::medians(&contender.open),
                    memory: contender.process.map(machine::memory).transpose()?,
                    closed: contender.closed.clone(),
                    open: contender.open.clone(),
                    accompanied: contender.accompanied.clone(),
                    answers: contender.answers.clone(),
                })
            })
            .collect::<anyhow::Result<_>>()?;
        let ratios = ratios(contenders);
        let ratio = (!ratios.is_empty()).then(|| median(ratios.iter().copied()));
        Ok(Self { scenario, links, traffic, servers, ratios, ratio, batches, sustained: None })
    }
}

impl Report {
    /// Of a run on this machine.
    pub fn new(
        machine: Machine,
        options: &Options,
        scenarios: Vec<ScenarioReport>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            command: command(),
            date: jiff::Timestamp::now().to_string(),
            build: Build::read(),
            machine,
            options: serde_json::to_value(options)?,
            scenarios,
            slugline: None,
        })
    }

    /// Writes all of it.
    pub fn write(&self, file: &Path) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    }
}

impl Build {
    /// Build information; whether such a build is comparable is up to the reader.
    pub fn read() -> Self {
        Self { profile: profile(), rustc: rustc() }
    }
}

/// The kind of this build.
pub const fn profile() -> &'static str {
    if cfg!(debug_assertions) { "debug" } else { "release" }
}

fn rustc() -> Option<String> {
    let answer = Command::new("rustc").arg("--version").output().ok()?;
    let version = String::from_utf8(answer.stdout).ok()?;
    answer.status.success().then(|| version.trim().to_owned())
}

/// The command line that repeats this run.
fn command() -> String {
    let arguments = std::env::args().skip(1).filter(|word| word != "--bench");
    let words: Vec<_> = arguments.collect();
    format!("cargo bench --bench redirect -- {}", words.join(" "))
        .trim_end_matches([' ', '-'])
        .to_owned()
}

/// The other server's throughput by the bare server's in the same round.
fn ratios(contenders: &[Contender]) -> Vec<f64> {
    let [bare, other] = contenders else {
        return Vec::new();
    };
    let pairs = other.closed.iter().zip(&bare.closed);
    pairs.map(|(other, bare)| other.requests_per_second / bare.requests_per_second).collect()
}

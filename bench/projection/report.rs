//! The results, for people and as JSON.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::lag::Lag;
use crate::machine::Machine;
use crate::options::Options;
use crate::rounds::{Aim, Rounds};

/// All of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    pub machine: Machine,
    pub options: Options,
    /// Clicks a second, from memory by the `clickhouse` crate alone.
    pub memory_per_second: Rounds,
    /// Clicks a second, from the log by the projector.
    pub projector_per_second: Rounds,
    /// The projector's by the crate's of the same round.
    pub ratio: Rounds,
    pub lag: Option<Lag>,
    pub aims: Vec<Aim>,
}

impl Report {
    /// Sums up the rounds: clicks a second from memory, and from the log.
    pub fn new(
        machine: Machine,
        options: Options,
        rounds: &[(f64, f64)],
        lag: Option<Lag>,
    ) -> Self {
        let ratio = Rounds::of(rounds.iter().map(|(memory, projector)| projector / memory));
        let what = "clicks/s from the log by clicks/s from memory";
        let mut aims = vec![Aim::at_least(what, ratio.median, 0.8)];
        if let Some(lag) = &lag {
            aims.push(Aim::at_most("p99 of the lag in seconds", lag.p99_ms / 1_000.0, 2.0));
        }
        Self {
            machine,
            options,
            memory_per_second: Rounds::of(rounds.iter().map(|(memory, _)| *memory)),
            projector_per_second: Rounds::of(rounds.iter().map(|(_, projector)| *projector)),
            ratio,
            lag,
            aims,
        }
    }

    /// Prints the table, or JSON where that was asked for.
    pub fn show(&self, json: Option<&Path>) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        match json {
            Some(path) if path == Path::new("-") => println!("{text}"),
            Some(path) => {
                fs::write(path, text + "\n")?;
                self.print();
            }
            None => self.print(),
        }
        Ok(())
    }

    fn print(&self) {
        let Machine { cpu, cores, memory_mib, kernel } = &self.machine;
        println!("{cpu}, {cores} cores, {memory_mib} MiB, Linux {kernel}");
        println!(
            "{} clicks in {}; {} rounds: median (lowest … highest)\n",
            self.options.clicks,
            self.options.folder.display(),
            self.options.rounds
        );
        println!("from memory, clickhouse crate   {:>32} clicks/s", self.memory_per_second);
        println!("from the log, projector         {:>32} clicks/s", self.projector_per_second);
        println!("projector by crate              {:>32.2}", self.ratio);
        if let Some(Lag { clicks, per_second, p50_ms, p99_ms, max_ms }) = &self.lag {
            println!(
                "\nlag of {clicks} clicks at {per_second:.0}/s: \
                 p50 {p50_ms:.0} ms, p99 {p99_ms:.0} ms, most {max_ms:.0} ms"
            );
        }
        println!();
        for aim in &self.aims {
            println!("{aim}");
        }
    }
}

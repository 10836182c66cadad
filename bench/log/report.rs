//! The results, for people and as JSON.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::machine::Machine;
use crate::measured::Measured;
use crate::options::Options;
use crate::rounds::{Aim, Rounds};

/// The measurements of one contender, by round.
pub struct Contender {
    pub name: String,
    pub rounds: Vec<Measured>,
}

impl Contender {
    /// Adds to the round under way.
    pub fn add(&mut self, measured: &Measured) {
        if let Some(round) = self.rounds.last_mut() {
            round.add(measured);
        }
    }
}

/// What the rounds have shown of one contender.
#[derive(Debug, Serialize)]
pub struct Line {
    pub name: String,
    /// Records made durable in a second.
    pub per_second: Rounds,
    /// That by the bare loop's of the same round.
    pub ratio: Rounds,
    /// Half of the records took less, in microseconds.
    pub p50_us: Rounds,
    /// 99 of a hundred took less, in microseconds.
    pub p99_us: Rounds,
    /// The p50 by the bare loop's of the same round.
    pub p50_in_syncs: Rounds,
}

/// All of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    pub machine: Machine,
    pub options: Options,
    /// The payload of a record, in bytes.
    pub payload_bytes: usize,
    pub lines: Vec<Line>,
    pub aims: Vec<Aim>,
}

impl Line {
    pub fn new(contender: &Contender, bare: &Contender) -> Self {
        let rounds = || contender.rounds.iter();
        let pairs = || rounds().zip(&bare.rounds);
        Self {
            name: contender.name.clone(),
            per_second: Rounds::of(rounds().map(Measured::per_second)),
            ratio: Rounds::of(pairs().map(|(round, bare)| round.per_second() / bare.per_second())),
            p50_us: Rounds::of(rounds().map(|round| round.quantile_us(0.5))),
            p99_us: Rounds::of(rounds().map(|round| round.quantile_us(0.99))),
            p50_in_syncs: Rounds::of(
                pairs().map(|(round, bare)| round.quantile_us(0.5) / bare.quantile_us(0.5)),
            ),
        }
    }
}

impl Report {
    /// Prints the table, or writes JSON where that was asked for.
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
            "payloads of {} bytes in {}; {} rounds of {} s: median (lowest … highest)\n",
            self.payload_bytes,
            self.options.folder.display(),
            self.options.rounds,
            self.options.seconds
        );
        println!(
            "{:<24} {:>32} {:>24} {:>26} {:>30}",
            "", "durable/s", "by bare", "p50 µs", "p99 µs"
        );
        for line in &self.lines {
            let Line { name, per_second, ratio, p50_us, p99_us, .. } = line;
            println!("{name:<24} {per_second:>32} {ratio:>24.2} {p50_us:>26} {p99_us:>30}");
        }
        println!();
        for aim in &self.aims {
            println!("{aim}");
        }
    }
}

//! The results, as text and as JSON.

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::lag::Lag;
use crate::machine::Machine;
use crate::options::Options;
use crate::rounds::{Aim, Rounds};

/// One way of all the clicks.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Round {
    pub clicks_per_second: f64,
    /// This process's processor time for a click, in microseconds.
    pub own_us: f64,
    /// The engine's.
    pub engine_us: f64,
}

impl Round {
    /// From the processor times before and after: this process's, the engine's.
    pub fn new(clicks: u64, took: Duration, before: [Duration; 2], after: [Duration; 2]) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2⁵²")]
        let clicks = clicks as f64;
        let [own_us, engine_us] =
            [0, 1].map(|at| after[at].saturating_sub(before[at]).as_secs_f64() * 1e6 / clicks);
        Self { clicks_per_second: clicks / took.as_secs_f64(), own_us, engine_us }
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clicks_per_second, own_us, engine_us } = self;
        write!(f, "{clicks_per_second:.0}/s, {own_us:.2} + {engine_us:.2} µs of processors a click")
    }
}

/// What the rounds have shown of one way.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Rates {
    pub clicks_per_second: Rounds,
    pub own_us: Rounds,
    pub engine_us: Rounds,
}

impl Rates {
    fn of(rounds: &[Round]) -> Self {
        let of = |figure: fn(Round) -> f64| Rounds::of(rounds.iter().copied().map(figure));
        Self {
            clicks_per_second: of(|round| round.clicks_per_second),
            own_us: of(|round| round.own_us),
            engine_us: of(|round| round.engine_us),
        }
    }
}

/// All of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    pub machine: Machine,
    pub options: Options,
    /// From memory, by the `clickhouse` crate alone.
    pub memory: Rates,
    /// From the log, by the projector.
    pub projector: Rates,
    /// The projector's clicks a second by the crate's of the same round.
    pub ratio: Rounds,
    /// The same by what they cost: the crate's processor time for a click, with the engine's, by
    /// the projector's. Other programs hardly change it.
    pub ratio_of_work: Rounds,
    /// From memory, by the `clickhouse` crate alone, without rollups.
    pub without: Rates,
    /// Clicks a second with rollups by those without, both from memory.
    pub ratio_of_rollups: Rounds,
    pub lag: Option<Lag>,
    pub aims: Vec<Aim>,
}

impl Report {
    /// Sums up the rounds: from memory, from the log, and from memory without rollups.
    pub fn new(
        machine: Machine,
        options: Options,
        rounds: &[[Round; 3]],
        lag: Option<Lag>,
    ) -> Self {
        let ratio = |figure: fn(Round, Round) -> f64| {
            Rounds::of(rounds.iter().map(|[memory, projector, _]| figure(*memory, *projector)))
        };
        let with = |[memory, _, without]: &[Round; 3]| {
            memory.clicks_per_second / without.clicks_per_second
        };
        let ratio_of_rollups = Rounds::of(rounds.iter().map(with));
        let by_time =
            ratio(|memory, projector| projector.clicks_per_second / memory.clicks_per_second);
        let by_work = ratio(|memory, projector| {
            (memory.own_us + memory.engine_us) / (projector.own_us + projector.engine_us)
        });
        let of = |at: usize| -> Vec<Round> {
            rounds.iter().filter_map(|round| round.get(at).copied()).collect()
        };
        let (memory, projector, without) = (of(0), of(1), of(2));
        let mut aims = vec![
            Aim::at_least("clicks/s from the log by clicks/s from memory", by_time.median, 0.8),
            Aim::at_least("the same by processor time", by_work.median, 0.8),
            Aim::at_least("clicks/s with rollups by without", ratio_of_rollups.median, 0.6),
        ];
        if let Some(lag) = &lag {
            aims.push(Aim::at_most("p99 of the lag in seconds", lag.p99_ms / 1_000.0, 2.0));
        }
        Self {
            machine,
            options,
            memory: Rates::of(&memory),
            projector: Rates::of(&projector),
            ratio: by_time,
            ratio_of_work: by_work,
            without: Rates::of(&without),
            ratio_of_rollups,
            lag,
            aims,
        }
    }

    /// Prints the table, or JSON if requested.
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
        println!("{:<31} {:>32} {:>24} {:>24}", "", "clicks/s", "own µs/click", "engine µs/click");
        for (name, way) in [
            ("from memory, clickhouse crate", self.memory),
            ("from the log, projector", self.projector),
            ("from memory, no rollups", self.without),
        ] {
            let Rates { clicks_per_second, own_us, engine_us } = way;
            println!("{name:<31} {clicks_per_second:>32} {own_us:>24.2} {engine_us:>24.2}");
        }
        println!("{:<31} {:>32.2}", "projector by crate", self.ratio);
        println!("{:<31} {:>32.2}", "the same by processor time", self.ratio_of_work);
        println!("{:<31} {:>32.2}", "with rollups by without", self.ratio_of_rollups);
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

//! The results, as text and as JSON.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::machine::Machine;
use crate::measured::Measured;
use crate::options::Options;
use crate::rounds::{Aim, Rounds};

/// A pass counts when the bare loop's p50 was at most so many times the least of the run.
const USUAL: f64 = 1.5;
/// The minimum number of valid passes.
const ENOUGH: usize = 20;
const BARE: &str = "bare append + fdatasync";

/// All contenders, measured one right after the other.
pub struct Pass {
    /// The bare loop.
    pub before: Measured,
    pub contenders: Vec<Measured>,
    /// The bare loop again.
    pub after: Measured,
}

/// The results of one contender over all passes.
#[derive(Debug, Serialize)]
pub struct Line {
    pub name: String,
    /// Records made durable in a second.
    pub per_second: Rounds,
    /// That by the bare loop's of the same pass.
    pub ratio: Rounds,
    /// Half of the records took less, in microseconds.
    pub p50_us: f64,
    /// 99 of a hundred took less, in microseconds.
    pub p99_us: f64,
    /// The p50 by the bare loop's of the same pass.
    pub p50_in_syncs: Rounds,
}

/// All of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    pub machine: Machine,
    pub options: Options,
    /// The payload of a record, in bytes.
    pub payload_bytes: usize,
    /// The number of passes.
    pub passes: usize,
    /// The number of passes without interference from the machine.
    pub passes_counted: usize,
    pub lines: Vec<Line>,
    pub aims: Vec<Aim>,
}

impl Pass {
    /// The bare loop of the whole pass.
    fn bare(&self) -> Measured {
        let mut bare = Measured::nothing();
        bare.add(&self.before);
        bare.add(&self.after);
        bare
    }

    /// The latency of the bare loop at its slow end.
    fn bare_p50_us(&self) -> f64 {
        self.before.quantile_us(0.5).max(self.after.quantile_us(0.5))
    }
}

/// The passes in which the bare loop had its usual speed.
fn undisturbed(passes: &[Pass]) -> Vec<&Pass> {
    let least = passes.iter().map(Pass::bare_p50_us).fold(f64::INFINITY, f64::min);
    passes.iter().filter(|pass| pass.bare_p50_us() <= USUAL * least).collect()
}

impl Line {
    /// Of a contender's measurements, each with the bare loop's of its pass.
    fn new(name: String, measured: &[(&Measured, &Measured)]) -> Self {
        let mut all = Measured::nothing();
        for (own, _) in measured {
            all.add(own);
        }
        let of_passes = |figure: fn(&Measured, &Measured) -> f64| {
            Rounds::of(measured.iter().map(|(own, bare)| figure(own, bare)))
        };
        Self {
            name,
            per_second: of_passes(|own, _| own.per_second()),
            ratio: of_passes(|own, bare| own.per_second() / bare.per_second()),
            p50_us: all.quantile_us(0.5),
            p99_us: all.quantile_us(0.99),
            p50_in_syncs: of_passes(|own, bare| own.quantile_us(0.5) / bare.quantile_us(0.5)),
        }
    }
}

impl Report {
    /// Sums up the passes, whose contenders have these names; the last three are the
    /// creates, of one writer to many.
    pub fn new(
        options: Options,
        payload_bytes: usize,
        passes: &[Pass],
        names: impl Iterator<Item = String>,
    ) -> anyhow::Result<Self> {
        let counted = undisturbed(passes);
        let bare: Vec<_> = counted.iter().map(|pass| pass.bare()).collect();
        let pairs: Vec<_> = bare.iter().map(|bare| (bare, bare)).collect();
        let mut lines = vec![Line::new(BARE.to_owned(), &pairs)];
        for (at, name) in names.enumerate() {
            let own = counted.iter().map(|pass| &pass.contenders[at]);
            lines.push(Line::new(name, &own.zip(&bare).collect::<Vec<_>>()));
        }
        let mut aims = Vec::new();
        if let [.., one, _, most] = &lines[..] {
            let many = "creates of 256 writers by the bare loop's records";
            let alone = "p50 of one writer by the bare loop's";
            aims.push(Aim::at_least(many, most.ratio.median, 4.0));
            aims.push(Aim::at_most(alone, one.p50_in_syncs.median, 2.0));
        }
        if counted.len() < ENOUGH {
            for aim in &mut aims {
                aim.is_reached = None;
            }
        }
        let (passes, passes_counted) = (passes.len(), counted.len());
        let machine = Machine::read()?;
        Ok(Self { machine, options, payload_bytes, passes, passes_counted, lines, aims })
    }

    /// Prints the table, or writes JSON if requested.
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
            "payloads of {} bytes in {}\n{} passes, of which {} count: median (lowest … highest)\n",
            self.payload_bytes,
            self.options.folder.display(),
            self.passes,
            self.passes_counted
        );
        println!(
            "{:<24} {:>28} {:>22} {:>10} {:>10}",
            "", "durable/s", "by bare", "p50 µs", "p99 µs"
        );
        for line in &self.lines {
            let Line { name, per_second, ratio, p50_us, p99_us, .. } = line;
            println!("{name:<24} {per_second:>28} {ratio:>22.2} {p50_us:>10.0} {p99_us:>10.0}");
        }
        println!();
        for aim in &self.aims {
            println!("{aim}");
        }
        if self.passes_counted < ENOUGH {
            println!("The machine was too busy: {ENOUGH} undisturbed passes are needed.");
        }
    }
}

//! `cargo bench --bench simulate`: the log in many simulated runs on a failing disk, and every
//! corruption of a segment.
//!
//! The lives and their auditor are those of `tests/simulation`, which runs a short form of this.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is for the person who runs it")]

#[path = "../../tests/simulation/chance.rs"]
mod chance;
#[path = "../../tests/simulation/corruption.rs"]
mod corruption;
#[path = "../../tests/simulation/disk/mod.rs"]
mod disk;
#[path = "../../tests/simulation/world.rs"]
mod world;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use corruption::{Found, Sample};
use world::{Broken, Counts, World};

/// Runs the log through many lives on a simulated disk.
#[derive(Parser)]
struct Options {
    /// The number of simulated runs
    #[arg(long, default_value_t = 100_000)]
    seeds: u64,
    /// One life alone
    #[arg(long)]
    seed: Option<u64>,
    /// Flip each bit of three segments and cut the last at each byte instead
    #[arg(long)]
    corruption: bool,
    /// Syncs that do nothing, to see that the auditor notices
    #[arg(long)]
    lying_disk: bool,
    /// What `cargo bench` passes
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let is_kept = match options {
        Options { corruption: true, .. } => damage_all(),
        Options { lying_disk: true, seeds, .. } => lie(seeds),
        Options { seed: Some(seed), .. } => live(seed..seed + 1),
        Options { seeds, .. } => live(0..seeds),
    };
    if is_kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Lives these lives, on as many threads as there are processors.
fn live(seeds: std::ops::Range<u64>) -> bool {
    let (next, failed) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let counts = Mutex::new(Counts::default());
    let bar = progress(seeds.end - seeds.start, "lives");
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| {
                let mut own = Counts::default();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    let mut world = World::new(seed);
                    if let Err(Broken(promise)) = world.run() {
                        eprintln!("seed {seed}: {promise}");
                        eprintln!("replay it: cargo bench --bench simulate -- --seed {seed}");
                        failed.store(true, Ordering::Relaxed);
                    }
                    own.add(&world.counts);
                    bar.inc(1);
                }
                if let Ok(mut counts) = counts.lock() {
                    counts.add(&own);
                }
            });
        }
    });
    bar.finish_and_clear();
    if let Ok(counts) = counts.lock() {
        print_counts(&counts, started.elapsed().as_secs_f64());
    }
    let is_kept = !failed.load(Ordering::Relaxed);
    println!("promises broken  {:>12}", if is_kept { "0" } else { "see above" });
    is_kept
}

/// Lives on disks that only say that they sync: most lives must be found broken.
fn lie(seeds: u64) -> bool {
    let found = (0..seeds).filter(|seed| World::on_a_lying_disk(*seed).run().is_err()).count();
    println!("on lying disks, {found} of {seeds} lives were found broken");
    found as u64 > seeds / 2
}

fn print_counts(counts: &Counts, seconds: f64) {
    for (name, count) in [
        ("lives", counts.lives),
        ("groups appended", counts.appended),
        ("changes answered", counts.answered),
        ("clicks followed", counts.consumed),
        ("crashes", counts.crashes),
        ("faults planned", counts.faults),
        ("refused: stopped", counts.poisoned),
        ("refused: full", counts.full),
        ("segments dropped", counts.dropped),
    ] {
        println!("{name:<16} {count:>12}");
    }
    println!("{:<16} {seconds:>12.1}", "seconds");
}

/// Flips each bit of each segment, and cuts the last one at each byte.
fn damage_all() -> bool {
    let Ok(sample) = Sample::new() else {
        eprintln!("the sample could not be made");
        return false;
    };
    let mut is_whole = true;
    let last = sample.segments.len() - 1;
    for segment in 0..=last {
        let what = format!("bits flipped, segment {} of {}", segment + 1, last + 1);
        let flip =
            |bit: usize| sample.try_damage(segment, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        is_whole &= damage_each(&what, sample.len(segment) * 8, flip);
    }
    let cut = |length: usize| sample.try_damage(last, |bytes| bytes.truncate(length));
    is_whole & damage_each("cuts of the last segment", sample.len(last), cut)
}

fn damage_each(what: &str, count: usize, damage: impl Fn(usize) -> Found + Sync) -> bool {
    let found = Mutex::new(Found::default());
    let bar = progress(count as u64, "damages");
    let threads = threads();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (found, bar, damage) = (&found, &bar, &damage);
            scope.spawn(move || {
                let mut own = Found::default();
                for at in (thread..count).step_by(threads) {
                    own.add(damage(at));
                    bar.inc(1);
                }
                if let Ok(mut found) = found.lock() {
                    found.add(own);
                }
            });
        }
    });
    bar.finish_and_clear();
    let found = found.into_inner().unwrap_or_default();
    let Found { damages, by_open, by_reading, missed } = found;
    println!(
        "{what:<32} {damages:>8}: {by_open} refused at the start, {by_reading} by reading, {missed} missed"
    );
    missed == 0 && damages == count as u64
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn progress(length: u64, what: &str) -> ProgressBar {
    let template = format!("{{bar:30}} {{human_pos}}/{{human_len}} {what}, {{eta}} left");
    let style = ProgressStyle::with_template(&template);
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

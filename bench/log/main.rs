//! The log benchmark: durable creates beside what the disk can do, in one run.
//!
//! `cargo bench --bench log` measures in turn, round by round: a bare loop that appends to a file
//! and syncs it; the same over slugline's log; and links created through the command path, by 1,
//! 16 and 256 writers who each wait for their answer. Creates are answered when they are durable,
//! so one writer can do no better than the bare loop, and many do better by sharing syncs.
//!
//! A round goes through the contenders again and again in short slices: where the machine is
//! busy for a while, or the disk is, all of them have their share of it.
//!
//! The measurement reads `/proc`, hence runs on Linux only.

mod creates;
mod loops;
#[path = "../redirect/machine.rs"]
#[allow(dead_code, reason = "the other benchmark reads more of it")]
mod machine;
mod measured;
mod options;
mod report;
mod rounds;

use std::time::Duration;

use clap::Parser as _;

use crate::creates::House;
use crate::loops::{BareFile, BareLog};
use crate::machine::Machine;
use crate::measured::Measured;
use crate::options::Options;
use crate::report::{Contender, Line, Report};
use crate::rounds::Aim;

/// As slugline's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WRITERS: [usize; 3] = [1, 16, 256];
/// How long one contender is measured before the next.
const SLICE: Duration = Duration::from_millis(100);
/// How many of them are a second.
const SLICES: u64 = 10;
const WARM_UP: Duration = Duration::from_secs(1);

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if !options.bench {
        println!("log bench: measures under `cargo bench --bench log` only");
        return Ok(());
    }
    let folder = tempfile::Builder::new().prefix("log-bench-").tempdir_in(&options.folder)?;
    let house = House::open(&folder.path().join("house"))?;
    house.measure(16, WARM_UP)?;
    let payload_bytes = house.payload_bytes()?;
    let mut file = BareFile::create(&folder.path().join("bare"), payload_bytes)?;
    let log = BareLog::open(&folder.path().join("log"), payload_bytes)?;

    let contender = |name: String| Contender { name, rounds: Vec::new() };
    let mut bare = contender("bare append + fdatasync".to_owned());
    let mut bare_log = contender("slugline's log".to_owned());
    let mut creates = WRITERS.map(|writers| contender(format!("creates, {writers} writers")));
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        let all = [&mut bare, &mut bare_log].into_iter().chain(&mut creates);
        all.for_each(|contender| contender.rounds.push(Measured::nothing()));
        for _ in 0..options.seconds * SLICES {
            bare.add(&file.measure(SLICE)?);
            bare_log.add(&log.measure(SLICE)?);
            for (contender, writers) in creates.iter_mut().zip(WRITERS) {
                contender.add(&house.measure(writers, SLICE)?);
            }
        }
    }
    house.close();

    let contenders = [&bare, &bare_log].into_iter().chain(&creates);
    let lines: Vec<_> = contenders.map(|contender| Line::new(contender, &bare)).collect();
    let [.., one, _, most] = &lines[..] else { return Ok(()) };
    let aims = vec![
        Aim::at_least("creates of 256 writers by the bare loop's records", most.ratio.median, 4.0),
        Aim::at_most("p50 of one writer by the bare loop's", one.p50_in_syncs.median, 2.0),
    ];
    let json = options.json.clone();
    let machine = Machine::read()?;
    Report { machine, options, payload_bytes, lines, aims }.show(json.as_deref())
}

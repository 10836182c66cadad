//! The log benchmark: durable creates compared with the disk's sync rate, in one run.
//!
//! `cargo bench --bench log` measures in turn, round by round: a bare loop that appends to a file
//! and syncs it; the same over slugline's log; and links created through the command path, by 1,
//! 16 and 256 writers who each wait for their answer. Creates are answered when they are durable,
//! so one writer can do no better than the bare loop, and many do better by sharing syncs.
//!
//! Ratios are taken within a pass, which goes through all the contenders in short slices, and
//! begins and ends with the bare loop. Where other programs keep the processors busy, a thread
//! that waited for the disk waits a second time, for a processor: some milliseconds on top of a
//! sync that may take a twentieth of one. So a pass counts only when the bare loop had its usual
//! speed before it and after it, and where few passes count, no aim is judged.
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

use std::time::{Duration, Instant};

use clap::Parser as _;

use crate::creates::House;
use crate::loops::{BareFile, BareLog};
use crate::options::Options;
use crate::report::{Pass, Report};

/// As slugline's own.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const WRITERS: [usize; 3] = [1, 16, 256];
/// The duration of one measurement of one contender
const SLICE: Duration = Duration::from_millis(50);
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

    let span = Duration::from_secs(options.seconds);
    let started = Instant::now();
    let mut passes = Vec::new();
    while started.elapsed() < span {
        let before = file.measure(SLICE)?;
        let mut contenders = vec![log.measure(SLICE)?];
        for writers in WRITERS {
            contenders.push(house.measure(writers, SLICE)?);
        }
        passes.push(Pass { before, contenders, after: file.measure(SLICE)? });
    }
    house.close();

    let names = ["slugline's log".to_owned()].into_iter();
    let names = names.chain(WRITERS.map(|writers| format!("creates, {writers} writers")));
    let json = options.json.clone();
    Report::new(options, payload_bytes, &passes, names)?.show(json.as_deref())
}

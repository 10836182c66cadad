//! The measured cases, each in a separate process.

use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use slugline::log::Log;
use slugline::projections::index::{Index, Tuning};

use crate::history;

/// A case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Case {
    /// All of the log into a new base, by the way of sorted runs.
    Rebuild,
    /// Replays the whole log into sled, as a start without an index does.
    Replay,
    /// A base is there, its overlay is not.
    LostOverlay,
    /// A base and its overlay are there.
    Start,
}

impl Case {
    /// As the command line has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rebuild => "rebuild",
            Self::Replay => "replay",
            Self::LostOverlay => "lost-overlay",
            Self::Start => "start",
        }
    }

    /// As the table has it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Rebuild => "rebuild from the log",
            Self::Replay => "start by full replay into sled",
            Self::LostOverlay => "start with base, overlay lost",
            Self::Start => "start with base and overlay",
        }
    }

    /// Measures it and says seconds, the highest resident memory and the index's size in KiB.
    pub fn run(self, folder: &Path) -> anyhow::Result<()> {
        let log = history::open(folder)?;
        let index = folder.join("index");
        if self == Self::Replay {
            std::fs::remove_dir_all(&index)?;
        }
        if self == Self::LostOverlay {
            for entry in std::fs::read_dir(&index)? {
                let path = entry?.path();
                if path.is_dir() {
                    std::fs::remove_dir_all(path)?;
                }
            }
        }
        let started = Instant::now();
        let opened = match self {
            Self::Rebuild => Index::rebuild_folder(&index, &log, &|done, total| {
                if total > 1_000_000 && done % (total / 10) < 512 {
                    eprintln!("{:6.2} s: {done} of {total}", started.elapsed().as_secs_f64());
                }
            })?,
            Self::Replay => {
                let tuning = Tuning { start_events_min: u64::MAX, ..Tuning::default() };
                Index::open_tuned(&index, &log, tuning)?
            }
            Self::LostOverlay | Self::Start => Index::open(&index, &log)?,
        };
        let seconds = started.elapsed().as_secs_f64();
        let memory_kib = highest_memory_kib()?;
        anyhow::ensure!(opened.applied() == log.end(), "the index is not at the log's end");
        opened.flush()?;
        drop(opened);
        println!("{seconds} {memory_kib} {}", size_kib(&index)?);
        Ok(())
    }
}

fn highest_memory_kib() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next()).context("no VmHWM")?;
    Ok(number.parse()?)
}

fn size_kib(folder: &Path) -> anyhow::Result<u64> {
    let mut size = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let is_folder = entry.file_type()?.is_dir();
        size += if is_folder { size_kib(&entry.path())? } else { entry.metadata()?.len() >> 10 };
    }
    Ok(size)
}

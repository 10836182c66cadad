//! The time and the memory that opening the index takes.

use std::path::Path;
use std::time::Instant;

use slugline::log::Log as _;
use slugline::projections::index::Index;

use crate::{history, machine};

/// Opens the index, without what is on disk if `is_new`.
pub fn measure(folder: &Path, is_new: bool) -> anyhow::Result<()> {
    let log = history::open(folder)?;
    let path = folder.join("index");
    if is_new && path.exists() {
        std::fs::remove_dir_all(&path)?;
    }
    let started = Instant::now();
    let index = Index::open(&path, &log)?;
    let seconds = started.elapsed().as_secs_f64();
    let memory = machine::memory(std::process::id())?;
    anyhow::ensure!(index.applied() == log.end(), "the index is not at the log's end");
    index.flush()?;
    drop(index);
    println!(
        "{:<11} {seconds:6.2} s, resident {} MiB, at most {} MiB; on disk: index {} MiB, log {} MiB",
        if is_new { "first build" } else { "start" },
        memory.rss_kib >> 10,
        memory.peak_kib >> 10,
        size(&path)? >> 20,
        size(&folder.join("log"))? >> 20,
    );
    Ok(())
}

fn size(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let is_folder = entry.file_type()?.is_dir();
        bytes += if is_folder { size(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

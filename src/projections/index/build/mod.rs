//! Builds a base: folds the log into sorted runs, and merges them into one table.
//!
//! No store is involved, and memory is bounded: entries are collected in a memtable; a full one is
//! written as a sorted run while the next one fills. One thread reads and decodes, one folds, one
//! sorts and writes. A new link needs no lookup in the runs; the old state that a change or a
//! deletion needs is found through the runs' filters.

mod memtable;
mod state;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::fold::fold;
use super::{IndexError, keys};
use crate::domain::event::Envelope;
use crate::log::Log;
use crate::sst::{self, Origin, Table, TableWriter};
use memtable::Memtable;
use state::Building;

/// The maximum size of a memtable; there may be two.
const MEMTABLE_BYTES: usize = 64 << 20;
/// The size of the batches between the reading and the folding thread, in events and bytes, and the
/// number of batches queued.
const BATCH_EVENTS: usize = 512;
const BATCH_BYTES: usize = 1 << 20;
const BATCHES_WAITING: usize = 8;

/// A build job.
pub struct Job<'a> {
    /// The log to fold.
    pub log: &'a dyn Log,
    /// The offset of the last event.
    pub upto: u64,
    /// The base that replaces the events up to its offset.
    pub base: Option<&'a Table>,
    /// The path of the new table. Until it is complete, it must not have the name of a base.
    pub target: &'a Path,
    /// A folder for the runs, created and removed by the job.
    pub scratch: &'a Path,
    /// The time of the build, in milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// The amount of memory to fold before writing a run.
    pub memtable_bytes: usize,
    /// Called with the progress and the total, twice the number of events: events are folded, then
    /// merged. Returns whether to continue.
    pub on_progress: &'a (dyn Fn(u64, u64) -> bool + Sync),
}

impl<'a> Job<'a> {
    /// A job over the whole log, without a base.
    pub fn new(log: &'a dyn Log, upto: u64, target: &'a Path, scratch: &'a Path) -> Self {
        Self {
            log,
            upto,
            base: None,
            target,
            scratch,
            now_ms: 0,
            memtable_bytes: MEMTABLE_BYTES,
            on_progress: &|_, _| true,
        }
    }

    /// Builds the table. Its content is synced on return, its name is not.
    pub fn run(&self) -> Result<Table, IndexError> {
        remove_dir(self.scratch)?;
        std::fs::create_dir_all(self.scratch).map_err(IndexError::io(self.scratch))?;
        let table = self.fold().and_then(|building| self.merge(&building));
        if table.is_err() {
            let _not_there = std::fs::remove_file(self.target);
        }
        remove_dir(self.scratch)?;
        table
    }

    fn from(&self) -> u64 {
        self.base.map_or(0, |base| base.origin.offset)
    }

    fn events(&self) -> u64 {
        self.upto.saturating_sub(self.from())
    }

    fn origin(&self) -> Origin {
        Origin { log: self.log.id(), offset: self.upto }
    }

    fn fold(&self) -> Result<Building<'a>, IndexError> {
        let (events, decoded) = sync_channel(BATCHES_WAITING);
        let (full, to_sort) = sync_channel(1);
        let (sorted, runs) = sync_channel(1);
        std::thread::scope(|scope| {
            scope.spawn(move || self.read(&events));
            scope.spawn(move || self.sort(&to_sort, &sorted));
            let (building, spare) = (Building::new(self.base), Memtable::default());
            Folding { job: self, building, full, runs, spare }.run(&decoded)
        })
    }

    /// Reads and decodes the log, on its own thread.
    fn read(&self, events: &SyncSender<Result<Vec<Envelope>, IndexError>>) {
        let mut reader = match self.log.read_from(self.from() + 1) {
            Ok(reader) => reader,
            Err(error) => {
                let _receiver_gone = events.send(Err(error.into()));
                return;
            }
        };
        let mut next = || -> Result<Vec<Envelope>, IndexError> {
            let mut batch = Vec::with_capacity(BATCH_EVENTS);
            let mut bytes = 0;
            while batch.len() < BATCH_EVENTS && bytes < BATCH_BYTES {
                let Some(record) = reader.next_through(self.upto)? else { break };
                bytes += record.payload.len();
                let of = (record.offset, record.kind, record.version);
                batch.push(Envelope::of_record(of, &record.payload)?);
            }
            Ok(batch)
        };
        loop {
            let batch = next();
            let is_last = !matches!(&batch, Ok(batch) if !batch.is_empty());
            if events.send(batch).is_err() || is_last {
                return;
            }
        }
    }

    /// Sorts memtables and writes them as runs, on its own thread.
    fn sort(&self, full: &Receiver<Arc<Memtable>>, runs: &SyncSender<Result<Table, IndexError>>) {
        let mut number = 0_u64;
        while let Ok(memtable) = full.recv() {
            let path = self.scratch.join(format!("run-{number}"));
            number += 1;
            let run = TableWriter::create(&path, keys::FOLDED_OVER, memtable.filtered());
            let run = run.map_err(IndexError::from).and_then(|mut run| {
                memtable.write_sorted(&mut run)?;
                Ok(run.finish_run(self.origin())?)
            });
            drop(memtable);
            if runs.send(run).is_err() {
                return;
            }
        }
    }

    fn merge(&self, building: &Building<'_>) -> Result<Table, IndexError> {
        let tables: Vec<&Table> = self.base.into_iter().chain(&building.runs).collect();
        let entries: u64 = tables.iter().map(|table| table.entries).sum();
        // A run's filter has no slugs: each of its links may have one, and a removed one.
        let filtered = |table: &&Table| table.filtered;
        let filtered: u64 = building.runs.iter().map(|run| 2 * filtered(&run)).sum::<u64>()
            + self.base.as_ref().map_or(0, filtered);
        let mut writer = TableWriter::create(self.target, keys::LOOKED_UP, filtered)?;
        let (events, total) = (self.events(), 2 * self.events());
        sst::merge(&tables, &mut writer, &|read| {
            let merged = u128::from(events) * u128::from(read) / u128::from(entries.max(1));
            (self.on_progress)(events + u64::try_from(merged).unwrap_or(events), total)
        })?;
        let table = writer.finish(self.origin(), keys::FORMAT, self.now_ms)?;
        (self.on_progress)(total, total);
        Ok(table)
    }
}

/// The state of the folding thread.
struct Folding<'j, 'a> {
    job: &'j Job<'a>,
    building: Building<'a>,
    full: SyncSender<Arc<Memtable>>,
    runs: Receiver<Result<Table, IndexError>>,
    /// The memory of a written memtable, for reuse.
    spare: Memtable,
}

impl<'a> Folding<'_, 'a> {
    fn run(
        mut self,
        decoded: &Receiver<Result<Vec<Envelope>, IndexError>>,
    ) -> Result<Building<'a>, IndexError> {
        let (mut folded, events) = (0, self.job.events());
        while folded < events {
            let batch =
                decoded.recv().map_err(|_| IndexError::Broken("reading the log panicked"))?;
            let batch = batch?;
            if batch.is_empty() {
                return Err(IndexError::Broken("the log ends early"));
            }
            for envelope in &batch {
                folded += 1;
                fold(&mut self.building, self.job.from() + folded, envelope)?;
                if self.building.memtable.memory_bytes() >= self.job.memtable_bytes {
                    self.spill()?;
                }
            }
            if !(self.job.on_progress)(folded, 2 * events) {
                return Err(IndexError::Stopped);
            }
        }
        self.spill()?;
        self.take_run()?;
        Ok(self.building)
    }

    /// Passes the memtable to the sorting thread; waits for the previous one.
    fn spill(&mut self) -> Result<(), IndexError> {
        self.take_run()?;
        if !self.building.memtable.is_empty() {
            let empty = std::mem::take(&mut self.spare);
            let full = Arc::new(std::mem::replace(&mut self.building.memtable, empty));
            self.building.frozen = Some(Arc::clone(&full));
            self.full.send(full).map_err(|_| SORTING_PANICKED)?;
        }
        Ok(())
    }

    fn take_run(&mut self) -> Result<(), IndexError> {
        if let Some(frozen) = &self.building.frozen {
            let run = self.runs.recv().map_err(|_| SORTING_PANICKED)??;
            debug_assert_eq!(Arc::strong_count(frozen), 1);
            self.building.runs.push(run);
            self.spare = self.building.frozen.take().and_then(Arc::into_inner).unwrap_or_default();
            self.spare.clear();
        }
        Ok(())
    }
}

const SORTING_PANICKED: IndexError = IndexError::Broken("sorting a run panicked");

fn remove_dir(folder: &Path) -> Result<(), IndexError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(IndexError::Io(PathBuf::from(folder), error))
        }
        _ => Ok(()),
    }
}

//! Making a base: the log folded into sorted runs, and those merged into one table.
//!
//! No store is involved, and memory is bounded: what is folded gathers in a memtable; a full one
//! is written as a sorted run while the next one fills. One thread reads and decodes, one
//! folds, one sorts and writes. A new link needs no look into the runs; what a change or a
//! deletion needs of an old one is found through the runs' filters.

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

/// How much a memtable takes at most; there may be two.
const MEMTABLE_BYTES: usize = 64 << 20;
/// How many events the reading thread hands on at a time, of how many bytes, and how many such
/// batches may wait.
const BATCH_EVENTS: usize = 512;
const BATCH_BYTES: usize = 1 << 20;
const BATCHES_WAITING: usize = 8;

/// What is to be built, and where.
pub struct Job<'a> {
    /// The log to fold.
    pub log: &'a Log,
    /// The offset of the last event to fold.
    pub upto: u64,
    /// What the events up to its offset are taken from instead of the log.
    pub base: Option<&'a Table>,
    /// Where the new table goes. What it is called must not be believed before it is whole.
    pub target: &'a Path,
    /// A folder for the runs, made here and taken away again.
    pub scratch: &'a Path,
    /// When this happens, in milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// How much is folded before it is sorted and written.
    pub memtable_bytes: usize,
    /// Hears how far it is, in events and twice their number: they are folded, and what comes of
    /// that is merged. Says whether to go on.
    pub goes_on: &'a (dyn Fn(u64, u64) -> bool + Sync),
}

impl<'a> Job<'a> {
    /// A job over the whole log, with nothing to begin with.
    pub fn new(log: &'a Log, upto: u64, target: &'a Path, scratch: &'a Path) -> Self {
        Self {
            log,
            upto,
            base: None,
            target,
            scratch,
            now_ms: 0,
            memtable_bytes: MEMTABLE_BYTES,
            goes_on: &|_, _| true,
        }
    }

    /// Builds the table; it is on disk on return, its name is not.
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
        self.base.map_or(0, |base| base.origin().offset)
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

    /// Reads the log and decodes it, on a thread of its own.
    fn read(&self, events: &SyncSender<Result<Vec<Envelope>, IndexError>>) {
        let mut reader = match self.log.read_from(self.from() + 1) {
            Ok(reader) => reader,
            Err(error) => {
                let _nobody_asks = events.send(Err(error.into()));
                return;
            }
        };
        let mut next = || -> Result<Vec<Envelope>, IndexError> {
            let mut batch = Vec::with_capacity(BATCH_EVENTS);
            let mut bytes = 0;
            while batch.len() < BATCH_EVENTS && bytes < BATCH_BYTES {
                if reader.next_offset() > self.upto {
                    break;
                }
                let Some(record) = reader.next_record()? else { break };
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

    /// Sorts memtables and writes them as runs, on a thread of its own.
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
        let entries: u64 = tables.iter().map(|table| table.entries()).sum();
        // A run's filter has no slugs: for each link that it speaks of there may be one, and a
        // slug that is gone.
        let filtered = |table: &&Table| table.filtered();
        let filtered: u64 = building.runs.iter().map(|run| 2 * filtered(&run)).sum::<u64>()
            + self.base.as_ref().map_or(0, filtered);
        let mut writer = TableWriter::create(self.target, keys::LOOKED_UP, filtered)?;
        let (events, total) = (self.events(), 2 * self.events());
        sst::merge(&tables, &mut writer, &|read| {
            let merged = u128::from(events) * u128::from(read) / u128::from(entries.max(1));
            (self.goes_on)(events + u64::try_from(merged).unwrap_or(events), total)
        })?;
        let table = writer.finish(self.origin(), keys::FORMAT, self.now_ms)?;
        (self.goes_on)(total, total);
        Ok(table)
    }
}

/// The folding thread's side of a job.
struct Folding<'j, 'a> {
    job: &'j Job<'a>,
    building: Building<'a>,
    full: SyncSender<Arc<Memtable>>,
    runs: Receiver<Result<Table, IndexError>>,
    /// The memory of a memtable that was written, to be filled anew.
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
                return Err(IndexError::Broken("the log ends before its end"));
            }
            for envelope in &batch {
                folded += 1;
                fold(&mut self.building, self.job.from() + folded, envelope)?;
                if self.building.memtable.memory_bytes() >= self.job.memtable_bytes {
                    self.spill()?;
                }
            }
            if !(self.job.goes_on)(folded, 2 * events) {
                return Err(IndexError::Stopped);
            }
        }
        self.spill()?;
        self.take_run()?;
        Ok(self.building)
    }

    /// Hands the memtable on to be sorted; waits until the one before is.
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

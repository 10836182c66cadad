//! Bit flips and truncations of a log must be detected.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::SimulatedStorage;
use slugline::log::{LocalLog, Log, LogError, LogOptions, NewRecord, verify};

const DIR: &str = "log";
/// The size of a segment.
const SEGMENT_BYTES: u64 = 64 << 10;

/// Two full segments and a third that is nearly so; all of it synced, group by group.
pub struct Sample {
    storage: SimulatedStorage,
    /// Segments as their files, the one being written last.
    pub segments: Vec<PathBuf>,
    end: u64,
}

/// What became of some damages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    pub damages: u64,
    /// Refused when the log was opened.
    pub by_open: u64,
    /// Noticed when it was read.
    pub by_reading: u64,
    /// Not noticed by one or the other, or not by `verify`.
    pub missed: u64,
}

impl Sample {
    pub fn new() -> Result<Self, LogError> {
        let storage = SimulatedStorage::default();
        let options = LogOptions { segment_bytes: SEGMENT_BYTES };
        let log = LocalLog::open(Arc::new(storage.clone()), Path::new(DIR), options)?;
        let mut segments = Vec::new();
        let mut payload = Vec::new();
        let last_of =
            |log: &dyn Log| log.sealed_segments().last().map_or(1, |sealed| sealed.last + 1);
        let path = |first: u64| Path::new(DIR).join(format!("{first:020}.seg"));
        let is_done = |log: &dyn Log| {
            let bytes = storage.bytes(&path(last_of(log))).len() as u64;
            log.sealed_segments().len() == 2 && bytes > SEGMENT_BYTES - 1_000
        };
        while !is_done(&log) {
            payload.resize(20 + usize::try_from(log.end() * 37 % 280).unwrap_or(0), 0);
            payload.fill(log.end().to_le_bytes()[0]);
            log.append(&[NewRecord { kind: 3, version: 1, payload: &payload }; 3])?;
            log.sync()?;
        }
        let firsts = log.sealed_segments().into_iter().map(|sealed| sealed.first);
        for first in firsts.chain([last_of(&log)]) {
            segments.push(path(first));
        }
        Ok(Self { storage, segments, end: log.end() })
    }

    /// The size of a segment's file in bytes.
    pub fn len(&self, segment: usize) -> usize {
        self.storage.bytes(&self.segments[segment]).len()
    }

    /// Damages a copy of the disk and looks for what notices it.
    pub fn try_damage(&self, segment: usize, damage: impl FnOnce(&mut Vec<u8>)) -> Found {
        let path = &self.segments[segment];
        let storage = self.storage.copy();
        let mut bytes = storage.bytes(path);
        damage(&mut bytes);
        storage.set_bytes(path, bytes.clone());
        let is_verified = verify(&storage, Path::new(DIR))
            .is_ok_and(|report| report.problems.iter().any(|problem| problem.file == *path));
        let mut found = Found { damages: 1, ..Found::default() };
        let options = LogOptions { segment_bytes: SEGMENT_BYTES };
        let is_named = |error: &LogError| {
            let text = error.to_string();
            matches!(error, LogError::Corrupt { file, .. } if file == path)
                && text.contains("slugline log verify")
                && text.contains("slugline log quarantine")
        };
        match LocalLog::open(Arc::new(storage.clone()), Path::new(DIR), options) {
            Err(error) if is_named(&error) => found.by_open = 1,
            Err(_) => found.missed = 1,
            Ok(log) => match self.read(&log) {
                Err(error) if is_named(&error) => found.by_reading = 1,
                _ => found.missed = 1,
            },
        }
        // Nothing may have been cut off or mended in passing.
        if !is_verified || storage.bytes(path) != bytes {
            found.missed = 1;
        }
        found
    }

    fn read(&self, log: &dyn Log) -> Result<(), LogError> {
        let mut reader = log.read_from(0)?;
        while reader.next_record()?.is_some() {}
        assert_eq!(reader.next_offset(), self.end + 1, "records were lost without an error");
        Ok(())
    }
}

impl Found {
    pub fn add(&mut self, other: Self) {
        self.damages += other.damages;
        self.by_open += other.by_open;
        self.by_reading += other.by_reading;
        self.missed += other.missed;
    }
}

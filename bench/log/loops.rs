//! Baselines for creates: one thread that repeatedly writes and syncs one record.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use slugline::log::{DiskStorage, LocalLog, Log, LogOptions, NewRecord};

use crate::measured::{Measured, Stopwatch};

/// The overhead of a log record over its payload, in bytes.
const FRAME_BYTES: usize = 24;

/// A file that grows at its end, and is synced after each record: what the disk can do.
pub struct BareFile {
    file: File,
    length: u64,
    record: Vec<u8>,
}

impl BareFile {
    /// Records as large as the log's with payloads of this size.
    pub fn create(path: &Path, payload_bytes: usize) -> anyhow::Result<Self> {
        let record = vec![0x5a; FRAME_BYTES + payload_bytes];
        Ok(Self { file: File::create_new(path)?, length: 0, record })
    }

    /// Appends and syncs for a while.
    pub fn measure(&mut self, span: Duration) -> anyhow::Result<Measured> {
        let mut watch = Stopwatch::start();
        while watch.elapsed() < span {
            let begun = Instant::now();
            self.file.write_all_at(&self.record, self.length)?;
            self.length += self.record.len() as u64;
            self.file.sync_data()?;
            watch.note(begun.elapsed());
        }
        Ok(watch.stop())
    }
}

/// The same with slugline's log in the file's place.
pub struct BareLog {
    log: LocalLog,
    payload: Vec<u8>,
}

impl BareLog {
    /// A log of its own with payloads of this size.
    pub fn open(folder: &Path, payload_bytes: usize) -> anyhow::Result<Self> {
        let log = LocalLog::open(Arc::new(DiskStorage), folder, LogOptions::default())?;
        Ok(Self { log, payload: vec![0x5a; payload_bytes] })
    }

    /// Appends and syncs for a while.
    pub fn measure(&self, span: Duration) -> anyhow::Result<Measured> {
        let mut watch = Stopwatch::start();
        while watch.elapsed() < span {
            let begun = Instant::now();
            self.log.append(&[NewRecord { kind: 1, version: 1, payload: &self.payload }])?;
            self.log.sync()?;
            watch.note(begun.elapsed());
        }
        Ok(watch.stop())
    }
}

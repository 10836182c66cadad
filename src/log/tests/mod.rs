//! Tests of the log on the real file system and on a fault-injecting one in memory.
mod basics;
mod crashes;
mod damage;
mod faults;
mod following;
mod sparse_index;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::simulated::SimulatedStorage;
use super::{LocalLog, Log, LogError, LogOptions, NewRecord, Reader, Record, segment};

/// The folder of the in-memory logs.
const DIR: &str = "log";

fn dir() -> &'static Path {
    Path::new(DIR)
}

fn segment_path(first: u64) -> PathBuf {
    segment::path(dir(), first)
}

/// Opens the in-memory log with segments of `segment_bytes`.
fn open(storage: &SimulatedStorage, segment_bytes: u64) -> Result<LocalLog, LogError> {
    let options = LogOptions { segment_bytes };
    LocalLog::open(Arc::new(storage.clone()), dir(), options)
}

/// The payload of record `offset`: unique and of varying length.
fn payload(offset: u64) -> Vec<u8> {
    let length = usize::try_from(offset * 7 % 40).unwrap();
    let mut bytes = offset.to_le_bytes().to_vec();
    bytes.resize(8 + length, offset.to_le_bytes()[0]);
    bytes
}

/// Appends `count` records in one batch.
fn append(log: &dyn Log, count: u64) -> Result<u64, LogError> {
    let start = log.end() + 1;
    let payloads: Vec<Vec<u8>> = (start..start + count).map(payload).collect();
    log.append_payloads(1, 1, &payloads)
}

/// Reads to the current end.
fn drain(reader: &mut Reader) -> Result<Vec<Record>, LogError> {
    let mut records = Vec::new();
    while let Some(record) = reader.next_record()? {
        records.push(record);
    }
    Ok(records)
}

/// Checks that the log has exactly the records that [`append`] added.
fn check_contents(log: &dyn Log) {
    let records = drain(&mut log.read_from(1).unwrap()).unwrap();
    assert_eq!(records.len() as u64, log.end());
    for (record, offset) in records.iter().zip(1..) {
        assert_eq!(record.offset, offset);
        assert_eq!(record.payload, payload(offset));
    }
}

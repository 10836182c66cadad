//! Tests of the log as a whole, over the real file system and over a failing one in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod basics;
mod crashes;
mod damage;
mod faults;
mod following;
mod sparse_index;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::simulated::SimulatedStorage;
use super::{Log, LogError, LogOptions, NewRecord, Reader, Record, segment};

/// The folder of the logs kept in memory.
const DIR: &str = "log";

fn dir() -> &'static Path {
    Path::new(DIR)
}

fn segment_path(first: u64) -> PathBuf {
    segment::path(dir(), first)
}

/// Opens the log in memory with segments of `segment_bytes`.
fn open(storage: &SimulatedStorage, segment_bytes: u64) -> Result<Log, LogError> {
    let options = LogOptions { segment_bytes };
    Log::open(Arc::new(storage.clone()), dir(), options)
}

/// The payload given to record `offset`: telling it from others, of varied length.
fn payload(offset: u64) -> Vec<u8> {
    let length = usize::try_from(offset * 7 % 40).unwrap();
    let mut bytes = offset.to_le_bytes().to_vec();
    bytes.resize(8 + length, offset.to_le_bytes()[0]);
    bytes
}

/// Appends `count` records in one group, with the payloads of the offsets they will get.
fn append(log: &Log, count: u64) -> Result<u64, LogError> {
    let start = log.end() + 1;
    let payloads: Vec<Vec<u8>> = (start..start + count).map(payload).collect();
    let parts: Vec<[&[u8]; 1]> = payloads.iter().map(|bytes| [bytes.as_slice()]).collect();
    let records: Vec<NewRecord<'_>> =
        parts.iter().map(|parts| NewRecord { kind: 1, version: 1, parts }).collect();
    log.append(&records)
}

/// Reads to the present end.
fn drain(reader: &mut Reader) -> Result<Vec<Record>, LogError> {
    let mut records = Vec::new();
    while let Some(record) = reader.next_record()? {
        records.push(record);
    }
    Ok(records)
}

/// Checks that the log holds exactly the records [`append`] gave it.
fn check_contents(log: &Log) {
    let records = drain(&mut log.read_from(1).unwrap()).unwrap();
    assert_eq!(records.len() as u64, log.end());
    for (record, offset) in records.iter().zip(1..) {
        assert_eq!(record.offset, offset);
        assert_eq!(record.payload, payload(offset));
    }
}

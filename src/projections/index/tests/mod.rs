mod billing;
mod crashes;
mod damage;
mod domains;
mod folds;
mod history;
mod numbers;
mod qr_codes;
mod repairs;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use sha2::{Digest, Sha256};

use super::fold::fold;
use super::read::{Read, ReadRanges};
use super::state::State;
use super::{Index, IndexError, Tuning, keys};
use crate::domain::event::{Envelope, Event, VERSION};
use crate::log::{DiskStorage, LocalLog, Log, LogOptions, NewRecord};

/// Bases are built only when a test does so.
const NO_BASES: Tuning = Tuning {
    start_events_min: u64::MAX,
    live_events_min: u64::MAX,
    idle: Duration::MAX,
    events_max: u64::MAX,
    memtable_bytes: 4 << 10,
    unflushed_max: 32_768,
};

/// A commit waits for the store if the previous one is not flushed.
const NO_BUFFER: Tuning = Tuning { unflushed_max: 0, ..NO_BASES };

/// The simplest state: a map.
#[derive(Default, Clone)]
struct Map(BTreeMap<Vec<u8>, Vec<u8>>);

impl Read for Map {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        Ok(self.0.get(key).cloned())
    }
}

impl State for Map {
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.0.insert(key, value);
    }

    fn remove(&mut self, key: Vec<u8>) {
        self.0.remove(&key);
    }

    fn first_expiries(&mut self, limit: usize, _: u64) -> Result<Vec<Vec<u8>>, IndexError> {
        let all = self.0.range(keys::EXPIRIES.to_vec()..keys::EXPIRIES_END.to_vec());
        Ok(all.map(|(key, _)| key.clone()).take(limit).collect())
    }

    fn touch(&mut self, _: &str, _: &str) {}
}

impl Map {
    fn of(events: &[Envelope]) -> Self {
        let mut map = Self::default();
        for (offset, event) in (1..).zip(events) {
            fold(&mut map, offset, event).unwrap();
        }
        map
    }

    fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for (key, value) in &self.0 {
            for part in [key, value] {
                digest.update((part.len() as u64).to_be_bytes());
                digest.update(part);
            }
        }
        digest.finalize().into()
    }
}

/// A folder with a log and an index.
struct Place {
    folder: tempfile::TempDir,
    log: Arc<dyn Log>,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log: Arc<dyn Log> = Arc::new(open_log(&folder.path().join("log")));
        Self { folder, log }
    }

    fn with(events: &[Envelope]) -> Self {
        let place = Self::new();
        append(&*place.log, events);
        place
    }

    fn index(&self) -> PathBuf {
        self.folder.path().join("index")
    }

    fn open(&self, tuning: Tuning) -> Index {
        Index::open_tuned(&self.index(), &*self.log, tuning).unwrap()
    }

    /// The files in the index's folder with a prefix.
    fn names(&self, prefix: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.index()).unwrap().map(|entry| entry.unwrap().path());
        let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        let mut names: Vec<_> = entries.filter(|path| name(path).starts_with(prefix)).collect();
        names.sort();
        names
    }
}

fn open_log(dir: &Path) -> LocalLog {
    LocalLog::open(Arc::new(DiskStorage), dir, LogOptions::default()).unwrap()
}

fn append(log: &dyn Log, events: &[Envelope]) -> u64 {
    let payloads: Vec<_> = events.iter().map(Message::encode_to_vec).collect();
    let kinds =
        events.iter().map(|event| event.event.as_ref().map_or(0, |event| event.kind().number()));
    let records: Vec<_> = kinds
        .zip(&payloads)
        .map(|(kind, payload)| NewRecord { kind, version: VERSION, payload })
        .collect();
    let offset = log.append(&records).unwrap();
    log.sync().unwrap();
    offset
}

/// Decides, logs and commits, as the dispatcher does.
fn write(index: &Index, log: &dyn Log, events: &[Envelope]) -> Result<(), IndexError> {
    let mut pending = index.begin();
    for event in events {
        pending.apply(event).unwrap();
    }
    let offset = append(log, events);
    index.commit(pending, offset)
}

/// Copies a folder, as a crash would leave it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, target).unwrap();
        }
    }
}

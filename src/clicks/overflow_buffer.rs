//! Clicks that wait for room: while the disk is full they are kept in memory, up to a bound.
//!
//! What waits is lost if the process ends before there is room. So a click that waits counts as
//! not logged for its user agent: the next click brings the agent's record again.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::log::{Log, LogError, NewRecord};

/// How much may wait, in bytes: some 100,000 clicks.
const MAX_BYTES: usize = 16 << 20;
/// What a record takes beside its payload.
const RECORD_BYTES: usize = 48;
/// How many records are appended at once.
const GROUP_LEN: usize = 512;

/// A record as it will be appended.
struct Kept {
    kind: u16,
    version: u16,
    payload: Vec<u8>,
}

impl Kept {
    fn bytes(&self) -> usize {
        RECORD_BYTES + self.payload.len()
    }
}

#[derive(Default)]
struct Queue {
    records: VecDeque<Kept>,
    bytes: usize,
}

/// Records that the log had no room for, in order.
#[derive(Default)]
pub struct OverflowBuffer {
    queue: Mutex<Queue>,
    len: AtomicU64,
}

impl OverflowBuffer {
    /// Keeps a copy of the records, all or none; `false` when there is no place for them.
    pub fn keep(&self, records: &[NewRecord<'_>]) -> bool {
        let copies: Vec<_> = records
            .iter()
            .map(|record| Kept {
                kind: record.kind,
                version: record.version,
                payload: record.parts.concat(),
            })
            .collect();
        let bytes: usize = copies.iter().map(Kept::bytes).sum();
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.bytes + bytes > MAX_BYTES {
            return false;
        }
        queue.bytes += bytes;
        queue.records.extend(copies);
        self.len.store(queue.records.len() as u64, Ordering::Release);
        true
    }

    /// How many records wait.
    pub fn len(&self) -> u64 {
        self.len.load(Ordering::Acquire)
    }

    /// Appends what waits, as far as there is room.
    pub fn append_to(&self, log: &Log) -> Result<(), LogError> {
        if self.len() == 0 {
            return Ok(());
        }
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        while !queue.records.is_empty() {
            let group = queue.records.len().min(GROUP_LEN);
            let parts: Vec<[&[u8]; 1]> =
                queue.records.iter().take(group).map(|kept| [kept.payload.as_slice()]).collect();
            let records: Vec<_> = queue
                .records
                .iter()
                .zip(&parts)
                .map(|(kept, parts)| NewRecord { kind: kept.kind, version: kept.version, parts })
                .collect();
            log.append(&records)?;
            let done: usize = queue.records.drain(..group).map(|kept| kept.bytes()).sum();
            queue.bytes -= done;
            self.len.store(queue.records.len() as u64, Ordering::Release);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use super::*;
    use crate::log::{DiskStorage, LogOptions};

    fn record<'a>(parts: &'a [&'a [u8]]) -> NewRecord<'a> {
        NewRecord { kind: 100, version: 1, parts }
    }

    #[test]
    fn what_waits_is_appended_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::open(Arc::new(DiskStorage), folder.path(), LogOptions::default()).unwrap();
        let waiting = OverflowBuffer::default();
        for number in 0..1_300_u32 {
            let bytes = number.to_be_bytes();
            assert!(waiting.keep(&[record(&[&bytes[..2], &bytes[2..]])]));
        }
        assert_eq!(waiting.len(), 1_300);
        waiting.append_to(&log).unwrap();
        assert_eq!((waiting.len(), log.end()), (0, 1_300));
        let mut reader = log.read_from(1).unwrap();
        for number in 0..1_300_u32 {
            let record = reader.next_record().unwrap().unwrap();
            assert_eq!(record.payload.as_ref(), number.to_be_bytes());
        }
    }

    #[test]
    fn the_memory_is_bounded() {
        let waiting = OverflowBuffer::default();
        let large = vec![0; 1 << 20];
        let kept = (0..40).filter(|_| waiting.keep(&[record(&[&large])])).count();
        assert_eq!(kept, 15);
        assert!(waiting.keep(&[record(&[b"small"])]));
    }
}

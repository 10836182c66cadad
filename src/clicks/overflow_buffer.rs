//! A bounded in-memory buffer for clicks while the disk is full.
//!
//! Buffered clicks are lost if the process ends before they are written. So a buffered click does
//! not mark its user agent as logged: the next click adds the agent's record again.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::log::{Log, LogError, NewRecord};

/// Capacity in bytes: about 100,000 clicks.
const MAX_BYTES: usize = 16 << 20;
/// Memory per record in addition to its payload.
const RECORD_BYTES: usize = 48;
/// Number of records per append.
const BATCH_LEN: usize = 512;

/// A record to append.
struct BufferedRecord {
    kind: u16,
    version: u16,
    payload: Vec<u8>,
}

impl BufferedRecord {
    fn bytes(&self) -> usize {
        RECORD_BYTES + self.payload.len()
    }
}

#[derive(Default)]
struct Queue {
    records: VecDeque<BufferedRecord>,
    bytes: usize,
}

/// Records that did not fit on the disk, in order.
#[derive(Default)]
pub struct OverflowBuffer {
    queue: Mutex<Queue>,
    len: AtomicU64,
}

impl OverflowBuffer {
    /// Copies the records into the buffer, all or none; `false` if they do not fit.
    pub fn push(&self, records: &[NewRecord<'_>]) -> bool {
        let copies: Vec<_> = records
            .iter()
            .map(|record| BufferedRecord {
                kind: record.kind,
                version: record.version,
                payload: record.payload.to_vec(),
            })
            .collect();
        let bytes: usize = copies.iter().map(BufferedRecord::bytes).sum();
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.bytes + bytes > MAX_BYTES {
            return false;
        }
        queue.bytes += bytes;
        queue.records.extend(copies);
        self.len.store(queue.records.len() as u64, Ordering::Release);
        true
    }

    /// Number of buffered records.
    pub fn len(&self) -> u64 {
        self.len.load(Ordering::Acquire)
    }

    /// Appends the buffered records until the disk is full.
    pub fn append_to(&self, log: &dyn Log) -> Result<(), LogError> {
        if self.len() == 0 {
            return Ok(());
        }
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        while !queue.records.is_empty() {
            let count = queue.records.len().min(BATCH_LEN);
            let records = queue.records.iter().take(count);
            let records = records.map(|BufferedRecord { kind, version, payload }| NewRecord {
                kind: *kind,
                version: *version,
                payload,
            });
            let records: Vec<_> = records.collect();
            log.append(&records)?;
            let bytes: usize = queue.records.drain(..count).map(|record| record.bytes()).sum();
            queue.bytes -= bytes;
            self.len.store(queue.records.len() as u64, Ordering::Release);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::log::{DiskStorage, LocalLog, LogOptions};

    fn record(payload: &[u8]) -> NewRecord<'_> {
        NewRecord { kind: 100, version: 1, payload }
    }

    #[test]
    fn buffered_records_are_appended_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let log =
            LocalLog::open(Arc::new(DiskStorage), folder.path(), LogOptions::default()).unwrap();
        let buffer = OverflowBuffer::default();
        for number in 0..1_300_u32 {
            assert!(buffer.push(&[record(&number.to_be_bytes())]));
        }
        assert_eq!(buffer.len(), 1_300);
        buffer.append_to(&log).unwrap();
        assert_eq!((buffer.len(), log.end()), (0, 1_300));
        let mut reader = log.read_from(1).unwrap();
        for number in 0..1_300_u32 {
            let record = reader.next_record().unwrap().unwrap();
            assert_eq!(record.payload.as_ref(), number.to_be_bytes());
        }
    }

    #[test]
    fn the_memory_is_bounded() {
        let buffer = OverflowBuffer::default();
        let large = vec![0; 1 << 20];
        let accepted = (0..40).filter(|_| buffer.push(&[record(&large)])).count();
        assert_eq!(accepted, 15);
        assert!(buffer.push(&[record(b"small")]));
    }
}

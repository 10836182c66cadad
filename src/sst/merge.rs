//! K-way merge of a base and newer sorted runs into a new base.

use std::cmp::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::{Cursor, SstError, Table, TableWriter};

/// Size of the batches passed from the merging thread to the writing thread.
const BATCH_BYTES: usize = 256 << 10;
const BATCH_QUEUE_LEN: usize = 4;
/// Number of entries between two calls of `keep_going`.
const PROGRESS_EVERY: u64 = 1 << 16;

/// Entries in transit: key and value lengths, and the keys and values back to back.
#[derive(Default)]
struct Batch {
    lengths: Vec<(u32, u32)>,
    bytes: Vec<u8>,
}

/// Merges `tables`, oldest first, and writes the live entries. Calls `keep_going` with the number
/// of entries read; the merge stops when it returns `false`.
pub fn merge(
    tables: &[&Table],
    writer: &mut TableWriter,
    keep_going: &dyn Fn(u64) -> bool,
) -> Result<(), SstError> {
    std::thread::scope(|scope| {
        let (sender, batches) = sync_channel(BATCH_QUEUE_LEN);
        let writing = scope.spawn(move || write(writer, &batches));
        let merged = read(tables, &sender, keep_going);
        drop(sender);
        let written = writing.join().map_err(|_| SstError::Panicked);
        written?.and(merged)
    })
}

fn write(writer: &mut TableWriter, batches: &Receiver<Batch>) -> Result<(), SstError> {
    while let Ok(batch) = batches.recv() {
        let mut rest = batch.bytes.as_slice();
        for (key, value) in batch.lengths {
            let (entry, after) = rest.split_at(key as usize + value as usize);
            let (key, value) = entry.split_at(key as usize);
            writer.add(key, Some(value))?;
            rest = after;
        }
    }
    Ok(())
}

fn read(
    tables: &[&Table],
    sender: &SyncSender<Batch>,
    keep_going: &dyn Fn(u64) -> bool,
) -> Result<(), SstError> {
    let mut heap = Heap::new(tables)?;
    let mut batch = Batch::default();
    let mut last_key: Option<Vec<u8>> = None;
    let mut read = 0;
    while let Some(cursor) = heap.first() {
        let key = &cursor.key;
        // Among equal keys the newest comes first; skip the others.
        if last_key.as_deref() != Some(key) {
            if let Some(value) = cursor.value() {
                let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                batch.lengths.push((length(key), length(value)));
                batch.bytes.extend_from_slice(key);
                batch.bytes.extend_from_slice(value);
            }
            let last_key = last_key.get_or_insert_default();
            last_key.clear();
            last_key.extend_from_slice(key);
        }
        if batch.bytes.len() >= BATCH_BYTES && sender.send(std::mem::take(&mut batch)).is_err() {
            // The writer failed; `merge` returns its error.
            return Ok(());
        }
        read += 1;
        if read % PROGRESS_EVERY == 0 && !keep_going(read) {
            return Err(SstError::Stopped);
        }
        heap.advance()?;
    }
    let _writer_failed = sender.send(batch);
    Ok(())
}

/// A min-heap of cursors by key; among equal keys the newest comes first.
struct Heap<'t> {
    /// Each with its table's age: higher is newer.
    cursors: Vec<(Cursor<'t>, usize)>,
}

impl<'t> Heap<'t> {
    fn new(tables: &[&'t Table]) -> Result<Self, SstError> {
        let mut cursors = Vec::new();
        for (age, table) in tables.iter().enumerate() {
            let mut cursor = Cursor::new(table);
            if cursor.advance()? {
                cursors.push((cursor, age));
            }
        }
        let mut heap = Self { cursors };
        for at in (0..heap.cursors.len() / 2).rev() {
            heap.sift_down(at);
        }
        Ok(heap)
    }

    fn first(&self) -> Option<&Cursor<'t>> {
        self.cursors.first().map(|(cursor, _)| cursor)
    }

    fn advance(&mut self) -> Result<(), SstError> {
        let Some((cursor, _)) = self.cursors.first_mut() else { return Ok(()) };
        if !cursor.advance()? {
            self.cursors.swap_remove(0);
        }
        self.sift_down(0);
        Ok(())
    }

    fn is_before(&self, a: usize, b: usize) -> bool {
        let (Some((a, a_age)), Some((b, b_age))) = (self.cursors.get(a), self.cursors.get(b))
        else {
            return false;
        };
        match a.key.cmp(&b.key) {
            Ordering::Equal => a_age > b_age,
            order => order.is_lt(),
        }
    }

    fn sift_down(&mut self, mut at: usize) {
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let child = if self.is_before(right, left) { right } else { left };
            if !self.is_before(child, at) {
                return;
            }
            self.cursors.swap(at, child);
            at = child;
        }
    }
}

//! Merging sorted runs, and the base they came after, into a new base.

use std::cmp::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::{Cursor, SstError, Table, TableWriter};

/// How much is handed from the merging thread to the writing one at a time.
const BATCH_BYTES: usize = 256 << 10;
const BATCHES_WAITING: usize = 4;
/// How often it is asked whether to go on, in entries.
const ASK_EVERY: u64 = 1 << 16;

/// Entries on their way: their lengths, and their keys and values end to end.
#[derive(Default)]
struct Batch {
    lengths: Vec<(u32, u32)>,
    bytes: Vec<u8>,
}

/// Merges `tables`, oldest first, and writes what still stands. `goes_on` hears how many entries
/// were read.
pub fn merge(
    tables: &[&Table],
    writer: &mut TableWriter,
    goes_on: &dyn Fn(u64) -> bool,
) -> Result<(), SstError> {
    std::thread::scope(|scope| {
        let (sender, batches) = sync_channel(BATCHES_WAITING);
        let writing = scope.spawn(move || write(writer, &batches));
        let merged = read(tables, &sender, goes_on);
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
    goes_on: &dyn Fn(u64) -> bool,
) -> Result<(), SstError> {
    let mut heap = Heap::new(tables)?;
    let mut batch = Batch::default();
    let mut last_key: Option<Vec<u8>> = None;
    let mut read = 0;
    while let Some(cursor) = heap.first() {
        let key = cursor.key();
        // Of equal keys the newest comes first, and the others are passed over.
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
            // The writer has failed and says why.
            return Ok(());
        }
        read += 1;
        if read % ASK_EVERY == 0 && !goes_on(read) {
            return Err(SstError::Stopped);
        }
        heap.advance()?;
    }
    let _writer_failed = sender.send(batch);
    Ok(())
}

/// The cursors, the one with the first key on top; of equal keys the newest.
struct Heap<'t> {
    /// Each with its age: the higher, the newer.
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
        match a.key().cmp(b.key()) {
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

//! Batches of records that share one buffer.

/// A record that borrows its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// See [`Record::offset`](super::Record::offset).
    pub offset: u64,
    /// See [`Record::kind`](super::Record::kind).
    pub kind: u16,
    /// See [`Record::version`](super::Record::version).
    pub version: u16,
    /// The payload.
    pub payload: &'a [u8],
}

/// A reusable batch of records with contiguous payloads, filled by
/// [`Reader::read_batch`](super::Reader::read_batch).
#[derive(Debug, Default)]
pub struct RecordBatch {
    payloads: Vec<u8>,
    entries: Vec<Entry>,
}

/// A record of a batch. Its payload starts at the end of the previous one's.
#[derive(Debug, Clone, Copy)]
struct Entry {
    offset: u64,
    payload_end: usize,
    kind: u16,
    version: u16,
}

impl RecordBatch {
    /// Number of records.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has no records.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Removes the records but keeps the allocated memory.
    pub fn clear(&mut self) {
        self.payloads.clear();
        self.entries.clear();
    }

    /// The records, in order.
    pub fn iter(&self) -> impl Iterator<Item = RecordRef<'_>> {
        let mut start = 0;
        self.entries.iter().map(move |entry| {
            let payload = &self.payloads[start..entry.payload_end];
            start = entry.payload_end;
            let Entry { offset, kind, version, .. } = *entry;
            RecordRef { offset, kind, version, payload }
        })
    }

    pub(super) fn push(&mut self, record: RecordRef<'_>) {
        self.payloads.extend_from_slice(record.payload);
        let RecordRef { offset, kind, version, .. } = record;
        self.entries.push(Entry { offset, payload_end: self.payloads.len(), kind, version });
    }
}

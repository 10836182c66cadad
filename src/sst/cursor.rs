//! Sequential scan of a table without an allocation per entry, for merging.

use std::ops::Range;

use super::SstError;
use super::block::Entry;
use super::reader::Table;

/// A forward cursor over a table's entries.
pub struct Cursor<'t> {
    table: &'t Table,
    next_block: usize,
    bytes: Vec<u8>,
    entries_end: usize,
    at: usize,
    /// The entry's key.
    pub key: Vec<u8>,
    value: Option<Range<usize>>,
}

impl<'t> Cursor<'t> {
    /// Positions the cursor before the first entry.
    pub const fn new(table: &'t Table) -> Self {
        Self {
            table,
            next_block: 0,
            bytes: Vec::new(),
            entries_end: 0,
            at: 0,
            key: Vec::new(),
            value: None,
        }
    }

    /// Moves to the next entry; `false` at the end.
    pub fn advance(&mut self) -> Result<bool, SstError> {
        if self.at == self.entries_end {
            if self.next_block == self.table.index.len() {
                return Ok(false);
            }
            self.entries_end = self.table.read_block(self.next_block, &mut self.bytes)?;
            self.next_block += 1;
            self.at = 0;
            self.key.clear();
        }
        self.parse().ok_or_else(|| self.table.damaged(self.next_block - 1))?;
        Ok(true)
    }

    fn parse(&mut self) -> Option<()> {
        let entry = Entry::parse(&self.bytes, self.at).filter(|e| e.end <= self.entries_end)?;
        entry.key_into(&self.bytes, &mut self.key)?;
        self.at = entry.end;
        self.value = entry.value;
        Some(())
    }

    /// The entry's value; `None` for a tombstone.
    pub fn value(&self) -> Option<&[u8]> {
        self.value.clone().and_then(|range| self.bytes.get(range))
    }
}

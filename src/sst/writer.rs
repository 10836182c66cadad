//! Writes a table from entries in ascending key order.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::Origin;
use super::SstError;
use super::block::{BlockBuilder, put_varint};
use super::filter::Filter;
use super::footer::{Footer, Section};
use super::reader::{BlockHandle, Table};

/// Size of the write buffer.
const WRITE_BYTES: usize = 1 << 20;

/// Writes a new table.
pub struct TableWriter {
    path: PathBuf,
    file: File,
    /// Not yet written.
    bytes: Vec<u8>,
    /// File position of the next block.
    position: u64,
    block: BlockBuilder,
    first_key: Vec<u8>,
    index: Vec<BlockHandle>,
    filter: Filter,
    /// The first bytes of the keys that go into the filter.
    first_bytes: &'static [u8],
    entries: u64,
    filtered: u64,
}

impl TableWriter {
    /// Creates a table at `path`. Its filter covers keys that start with one of `first_bytes`, about
    /// `filtered` of them.
    pub fn create(
        path: &Path,
        first_bytes: &'static [u8],
        filtered: u64,
    ) -> Result<Self, SstError> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path);
        Ok(Self {
            file: file.map_err(SstError::io(path))?,
            path: path.to_owned(),
            bytes: Vec::with_capacity(WRITE_BYTES + (64 << 10)),
            position: 0,
            block: BlockBuilder::default(),
            first_key: Vec::new(),
            index: Vec::new(),
            filter: Filter::with_capacity(filtered),
            first_bytes,
            entries: 0,
            filtered: 0,
        })
    }

    /// Adds an entry. Keys must be strictly ascending; `None` writes a tombstone.
    pub fn add(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), SstError> {
        debug_assert!(self.entries == 0 || *key > *self.block.last_key);
        if self.block.is_empty() {
            self.first_key.clear();
            self.first_key.extend_from_slice(key);
        }
        self.block.add(key, value);
        self.entries += 1;
        if key.first().is_some_and(|first| self.first_bytes.contains(first)) {
            self.filter.add(key);
            self.filtered += 1;
        }
        if self.block.is_full() { self.close_block() } else { Ok(()) }
    }

    fn close_block(&mut self) -> Result<(), SstError> {
        if self.block.is_empty() {
            return Ok(());
        }
        let length = self.block.finish(self.position, &mut self.bytes);
        self.index.push(BlockHandle {
            first_key: self.first_key.as_slice().into(),
            position: self.position,
            length: u32::try_from(length).unwrap_or(u32::MAX),
        });
        self.position += length as u64;
        if self.bytes.len() >= WRITE_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), SstError> {
        self.file.write_all(&self.bytes).map_err(SstError::io(&self.path))?;
        self.bytes.clear();
        Ok(())
    }

    /// Finishes a run: a temporary table that is not synced and never opened again.
    pub fn finish_run(mut self, origin: Origin) -> Result<Table, SstError> {
        self.close_block()?;
        self.write()?;
        Ok(self.into_table(origin, 0))
    }

    /// Finishes a table and syncs it to disk.
    pub fn finish(
        mut self,
        origin: Origin,
        format: u64,
        made_at_ms: u64,
    ) -> Result<Table, SstError> {
        self.close_block()?;
        let filter = self.section(0, &self.filter.bytes);
        self.bytes.extend_from_slice(&self.filter.bytes);
        let mut index = Vec::new();
        for handle in &self.index {
            put_varint(&mut index, handle.first_key.len());
            index.extend_from_slice(&handle.first_key);
            put_varint(&mut index, handle.length as usize);
        }
        let footer = Footer {
            format,
            origin,
            entries: self.entries,
            filtered: self.filtered,
            made_at_ms,
            filter,
            index: self.section(filter.length, &index),
        };
        self.bytes.extend_from_slice(&index);
        self.bytes.extend_from_slice(&footer.encode());
        self.write()?;
        self.file.sync_all().map_err(SstError::io(&self.path))?;
        Ok(self.into_table(origin, made_at_ms))
    }

    /// Describes a section that starts `skipped` bytes after the last block.
    fn section(&self, skipped: u64, bytes: &[u8]) -> Section {
        Section {
            position: self.position + skipped,
            length: bytes.len() as u64,
            crc: crc32c::crc32c(bytes),
        }
    }

    fn into_table(self, origin: Origin, made_at_ms: u64) -> Table {
        Table::new(self.path, self.file, origin, made_at_ms, self.index, self.filter)
            .with_counts(self.entries, self.filtered)
    }
}

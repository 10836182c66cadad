//! Writing a table: entries come in ascending order, blocks go out.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::Origin;
use super::SstError;
use super::block::{BlockBuilder, put_number};
use super::filter::Filter;
use super::footer::{Footer, Part};
use super::reader::{Placed, Table};

/// How much is gathered before it is written.
const WRITE_BYTES: usize = 1 << 20;

/// A table that is being written.
pub struct TableWriter {
    path: PathBuf,
    file: File,
    /// Not yet written.
    bytes: Vec<u8>,
    /// Where the next block begins in the file.
    position: u64,
    block: BlockBuilder,
    first_key: Vec<u8>,
    index: Vec<Placed>,
    filter: Filter,
    /// The first bytes of the keys that go into the filter.
    first_bytes: &'static [u8],
    entries: u64,
    filtered: u64,
}

impl TableWriter {
    /// Begins a table at `path`, whose filter is for `first_bytes` and for about `filtered` keys.
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

    /// Adds an entry, whose key is beyond all before it; without a value it says that the key is
    /// gone.
    pub fn add(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), SstError> {
        debug_assert!(self.entries == 0 || key > self.block.last_key());
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
        self.index.push(Placed {
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

    /// Ends a run: a table that nobody opens again, and that needs not outlive the process.
    pub fn finish_run(mut self, origin: Origin) -> Result<Table, SstError> {
        self.close_block()?;
        self.write()?;
        Ok(self.into_table(origin, 0))
    }

    /// Ends a table so that it can be opened again; it is on disk on return.
    pub fn finish(
        mut self,
        origin: Origin,
        format: u64,
        made_at_ms: u64,
    ) -> Result<Table, SstError> {
        self.close_block()?;
        let filter = self.part(0, self.filter.as_bytes());
        self.bytes.extend_from_slice(self.filter.as_bytes());
        let mut index = Vec::new();
        for placed in &self.index {
            put_number(&mut index, placed.first_key.len());
            index.extend_from_slice(&placed.first_key);
            put_number(&mut index, placed.length as usize);
        }
        let footer = Footer {
            format,
            origin,
            entries: self.entries,
            filtered: self.filtered,
            made_at_ms,
            filter,
            index: self.part(filter.length, &index),
        };
        self.bytes.extend_from_slice(&index);
        self.bytes.extend_from_slice(&footer.encode());
        self.write()?;
        self.file.sync_all().map_err(SstError::io(&self.path))?;
        Ok(self.into_table(origin, made_at_ms))
    }

    /// A part that stands `skipped` bytes after the last block.
    fn part(&self, skipped: u64, bytes: &[u8]) -> Part {
        Part {
            position: self.position + skipped,
            length: bytes.len() as u64,
            crc: crc32c::crc32c(bytes),
        }
    }

    fn into_table(self, origin: Origin, made_at_ms: u64) -> Table {
        Table::new(self.path, self.file, origin, made_at_ms, self.index, self.filter)
            .counted(self.entries, self.filtered)
    }
}

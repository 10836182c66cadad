//! Reading a table: by key, and by range in both directions.

use std::collections::VecDeque;
use std::fs::File;
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::block::{Entry, Found, MAX_BLOCK_BYTES, check, find, read_varint};
use super::filter::Filter;
use super::footer::{FOOTER_BYTES, Footer, Section};
use super::{KeyRange, Lookup, Origin, SstError};

/// Capacity of the block cache, which sits on top of the page cache.
const CACHE_BYTES: u64 = 16 << 20;
const CACHE_EXPECTED_BLOCKS: usize = 1_024;

/// An index entry: the position and the first key of a block.
pub struct BlockHandle {
    pub first_key: Box<[u8]>,
    pub position: u64,
    pub length: u32,
}

/// A verified block.
struct Block {
    bytes: Vec<u8>,
    entries_end: usize,
}

#[derive(Clone)]
struct ByteWeighter;

impl Weighter<usize, Arc<Block>> for ByteWeighter {
    fn weight(&self, _: &usize, block: &Arc<Block>) -> u64 {
        block.bytes.len() as u64 + 64
    }
}

/// A table open for reading.
pub struct Table {
    /// The path of the file.
    pub path: PathBuf,
    file: File,
    /// The log and the offset that it reflects.
    pub origin: Origin,
    /// Creation time, in milliseconds since the Unix epoch.
    pub made_at_ms: u64,
    /// Number of entries.
    pub entries: u64,
    /// Number of entries in the filter.
    pub filtered: u64,
    pub(super) index: Vec<BlockHandle>,
    filter: Filter,
    /// `None` for runs: there are many, and each of their blocks is rarely read.
    cache: Option<Cache<usize, Arc<Block>, ByteWeighter>>,
}

impl Table {
    pub(super) fn new(
        path: PathBuf,
        file: File,
        origin: Origin,
        made_at_ms: u64,
        index: Vec<BlockHandle>,
        filter: Filter,
    ) -> Self {
        let (entries, filtered) = (0, 0);
        Self { path, file, origin, made_at_ms, entries, filtered, index, filter, cache: None }
    }

    pub(super) fn with_counts(self, entries: u64, filtered: u64) -> Self {
        Self { entries, filtered, ..self }
    }

    fn with_cache(self) -> Self {
        let cache = Cache::with_weighter(CACHE_EXPECTED_BLOCKS, CACHE_BYTES, ByteWeighter);
        Self { cache: Some(cache), ..self }
    }

    /// Opens a table with a format number that `is_readable` accepts. Verifies everything but the
    /// blocks, which are verified when they are read.
    pub fn open(path: &Path, is_readable: fn(u64) -> bool) -> Result<Self, SstError> {
        let file = File::open(path).map_err(SstError::io(path))?;
        let length = file.metadata().map_err(SstError::io(path))?.len();
        let damaged = |position: u64, what: &'static str| SstError::Damaged {
            file: path.to_owned(),
            position,
            what,
        };
        let footer_at = length.checked_sub(FOOTER_BYTES as u64);
        let footer_at = footer_at.ok_or_else(|| damaged(0, "the file is too short"))?;
        let mut bytes = vec![0; FOOTER_BYTES];
        file.read_exact_at(&mut bytes, footer_at).map_err(SstError::io(path))?;
        let footer = Footer::decode(&bytes).filter(|footer| is_readable(footer.format));
        let footer = footer
            .ok_or_else(|| damaged(footer_at, "the footer is damaged or of another format"))?;
        let read = |section: Section, what: &'static str| {
            let is_inside =
                section.position.checked_add(section.length).is_some_and(|to| to <= footer_at);
            let length = usize::try_from(section.length).ok().filter(|_| is_inside);
            let mut bytes = vec![0; length.ok_or_else(|| damaged(section.position, what))?];
            file.read_exact_at(&mut bytes, section.position).map_err(SstError::io(path))?;
            if crc32c::crc32c(&bytes) != section.crc {
                return Err(damaged(section.position, what));
            }
            Ok(bytes)
        };
        let index = read(footer.index, "the block index is damaged")?;
        let index = parse_index(&index, footer.filter.position);
        let index =
            index.ok_or_else(|| damaged(footer.index.position, "the block index is malformed"))?;
        let filter = Filter::from_bytes(read(footer.filter, "the filter is damaged")?);
        let filter =
            filter.ok_or_else(|| damaged(footer.filter.position, "the filter is malformed"))?;
        let table =
            Self::new(path.to_owned(), file, footer.origin, footer.made_at_ms, index, filter);
        Ok(table.with_counts(footer.entries, footer.filtered).with_cache())
    }

    /// `false` if the filter rules out the key, whose first byte the filter must cover.
    pub fn may_hold(&self, key: &[u8]) -> bool {
        self.filter.may_hold(key)
    }

    /// Looks up a key that the filter covers.
    pub fn get(&self, key: &[u8]) -> Result<Lookup, SstError> {
        if !self.may_hold(key) {
            return Ok(Lookup::Nothing);
        }
        let following = self.index.partition_point(|block| *block.first_key <= *key);
        let Some(number) = following.checked_sub(1) else { return Ok(Lookup::Nothing) };
        let block = self.block(number)?;
        let found = find(&block.bytes, block.entries_end, key);
        match found.ok_or_else(|| self.damaged(number))? {
            Found::Nothing => Ok(Lookup::Nothing),
            Found::Gone => Ok(Lookup::Gone),
            Found::Value(range) => {
                let value = block.bytes.get(range).ok_or_else(|| self.damaged(number))?;
                Ok(Lookup::Value(value.to_vec()))
            }
        }
    }

    fn block(&self, number: usize) -> Result<Arc<Block>, SstError> {
        if let Some(block) = self.cache.as_ref().and_then(|cache| cache.get(&number)) {
            return Ok(block);
        }
        let mut bytes = Vec::new();
        let entries_end = self.read_block(number, &mut bytes)?;
        let block = Arc::new(Block { bytes, entries_end });
        if let Some(cache) = &self.cache {
            cache.insert(number, Arc::clone(&block));
        }
        Ok(block)
    }

    /// Reads and verifies a block; returns where its entries end.
    pub(super) fn read_block(&self, number: usize, bytes: &mut Vec<u8>) -> Result<usize, SstError> {
        let handle = self.index.get(number).ok_or_else(|| self.damaged(number))?;
        bytes.resize(handle.length as usize, 0);
        if let Err(error) = self.file.read_exact_at(bytes, handle.position) {
            return Err(match error.kind() {
                std::io::ErrorKind::UnexpectedEof => self.damaged(number),
                _ => SstError::Io(self.path.clone(), error),
            });
        }
        check(handle.position, bytes).ok_or_else(|| self.damaged(number))
    }

    pub(super) fn damaged(&self, number: usize) -> SstError {
        SstError::Damaged {
            file: self.path.clone(),
            position: self.index.get(number).map_or(0, |handle| handle.position),
            what: "a block is damaged",
        }
    }

    /// Reads and verifies every block, until `keep_going` returns `false`.
    pub fn check(&self, mut keep_going: impl FnMut() -> bool) -> Result<(), SstError> {
        let mut bytes = Vec::new();
        for number in 0..self.index.len() {
            if !keep_going() {
                break;
            }
            self.read_block(number, &mut bytes)?;
        }
        Ok(())
    }

    /// Scans a range, in descending order if `is_reverse`.
    pub fn rows(&self, range: KeyRange, is_reverse: bool) -> TableRows<'_> {
        let (from, to) = range;
        let first = match &from {
            Bound::Unbounded => 0,
            Bound::Included(key) | Bound::Excluded(key) => {
                self.index.partition_point(|block| *block.first_key <= **key).saturating_sub(1)
            }
        };
        let end = match &to {
            Bound::Unbounded => self.index.len(),
            Bound::Included(key) => self.index.partition_point(|block| *block.first_key <= **key),
            Bound::Excluded(key) => self.index.partition_point(|block| *block.first_key < **key),
        };
        TableRows {
            table: self,
            range: (from, to),
            is_reverse,
            blocks: first..end.max(first),
            bytes: Vec::new(),
            loaded: VecDeque::new(),
        }
    }
}

/// Parses the block index. Blocks are contiguous from the start of the file to `end`.
fn parse_index(bytes: &[u8], end: u64) -> Option<Vec<BlockHandle>> {
    let (mut at, mut position, mut index) = (0, 0, Vec::<BlockHandle>::new());
    while at < bytes.len() {
        let key_length = read_varint(bytes, &mut at)?;
        let first_key = bytes.get(at..at.checked_add(key_length)?)?;
        at += key_length;
        let length = read_varint(bytes, &mut at).filter(|length| *length <= MAX_BLOCK_BYTES)?;
        if index.last().is_some_and(|before| *before.first_key >= *first_key) {
            return None;
        }
        let length = u32::try_from(length).ok()?;
        index.push(BlockHandle { first_key: first_key.into(), position, length });
        position += u64::from(length);
    }
    (position == end).then_some(index)
}

/// The rows of a scan, including tombstones.
pub struct TableRows<'t> {
    table: &'t Table,
    range: KeyRange,
    is_reverse: bool,
    /// Not yet loaded.
    blocks: std::ops::Range<usize>,
    bytes: Vec<u8>,
    loaded: VecDeque<(Vec<u8>, Option<Vec<u8>>)>,
}

impl TableRows<'_> {
    fn load(&mut self, number: usize) -> Result<(), SstError> {
        let end = self.table.read_block(number, &mut self.bytes)?;
        let (mut at, mut key) = (0, Vec::new());
        while at < end {
            let entry = Entry::parse(&self.bytes, at);
            let entry = entry.ok_or_else(|| self.table.damaged(number))?;
            let whole = entry.key_into(&self.bytes, &mut key);
            whole.ok_or_else(|| self.table.damaged(number))?;
            at = entry.end;
            let is_before = match &self.range.0 {
                Bound::Unbounded => false,
                Bound::Included(from) => key < *from,
                Bound::Excluded(from) => key <= *from,
            };
            let is_beyond = match &self.range.1 {
                Bound::Unbounded => false,
                Bound::Included(to) => key > *to,
                Bound::Excluded(to) => key >= *to,
            };
            if is_beyond {
                break;
            }
            if !is_before {
                let value = entry.value.and_then(|range| self.bytes.get(range));
                self.loaded.push_back((key.clone(), value.map(<[u8]>::to_vec)));
            }
        }
        Ok(())
    }
}

impl Iterator for TableRows<'_> {
    type Item = Result<(Vec<u8>, Option<Vec<u8>>), SstError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let row =
                if self.is_reverse { self.loaded.pop_back() } else { self.loaded.pop_front() };
            if let Some(row) = row {
                return Some(Ok(row));
            }
            let number =
                if self.is_reverse { self.blocks.next_back() } else { self.blocks.next() }?;
            if let Err(error) = self.load(number) {
                // A scan ends with its first error.
                self.blocks = 0..0;
                self.loaded.clear();
                return Some(Err(error));
            }
        }
    }
}

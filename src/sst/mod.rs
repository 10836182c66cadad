//! Sorted string tables: immutable files of sorted entries, and the merge of several into one.
//!
//! A table does not interpret its keys and values. Its footer carries the caller's format number,
//! which decides whether a file is readable when it is opened.
//!
//! ```text
//! block … block  filter  index  footer
//! ```
//!
//! - A **block** holds about 16 KiB of entries in ascending key order. An entry is `shared`,
//!   `rest`, `value` (LEB128 numbers), then `rest` bytes of the key, then the value. The key starts
//!   with the first `shared` bytes of the previous key. `value` is the value's length plus one; 0
//!   marks a tombstone, which only runs contain. Every 16th entry, a *restart*, shares nothing. The
//!   entries are followed by the positions of the restarts and their count (u32 each), and the
//!   CRC-32C of the block's position in the file and all of the block.
//! - The **filter** is a Bloom filter over the keys that are looked up individually, see
//!   [`filter`]. It answers most lookups of absent keys without reading a block.
//! - The **index** has the first key and the length of each block; blocks are contiguous.
//! - The **footer** has 108 bytes: the magic `SLUGTBL1`, the format number (u64), the log's id, the
//!   log offset that the table reflects, the number of entries, the number of those in the filter,
//!   the creation time (milliseconds since the Unix epoch), then position, length (u64 each) and
//!   CRC-32C of the filter and of the index, and the CRC-32C of the footer.
//!
//! Fixed-size numbers are little endian. Everything read is verified first: a damaged file is an
//! error ([`SstError::Damaged`]), never a wrong answer. Reads are positional, so any number of
//! threads can share a table.

mod block;
mod cursor;
mod error;
mod filter;
mod footer;
mod merge;
mod reader;
mod writer;

pub use cursor::Cursor;
pub use error::SstError;
pub use filter::Filter;
pub use merge::merge;
pub use reader::{Table, TableRows};
pub use writer::TableWriter;

#[cfg(test)]
mod tests;

use std::ops::Bound;

/// The result of looking a key up in one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// No entry: an older layer may have one.
    Nothing,
    /// A tombstone: the key is deleted.
    Gone,
    /// The value.
    Value(Vec<u8>),
}

impl Lookup {
    /// The value, if there is one.
    pub fn value(self) -> Option<Vec<u8>> {
        match self {
            Self::Value(value) => Some(value),
            Self::Nothing | Self::Gone => None,
        }
    }
}

/// The key range of a scan.
pub type KeyRange = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// The log and the offset that a table reflects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The id of the log.
    pub log: [u8; 16],
    /// The offset of the last event included.
    pub offset: u64,
}

//! Sorted string tables: immutable files of sorted entries, and the merge of several into one.
//!
//! A table knows nothing of what its keys mean. Its footer carries a format number of the caller's,
//! which decides at the opening whether a file is readable.
//!
//! ```text
//! block … block  filter  index  footer
//! ```
//!
//! - A **block** holds entries in ascending order of their keys, about 16 KiB of them. An entry is
//!   `shared`, `rest`, `value` (LEB128 numbers), then `rest` bytes of the key and the value: the
//!   key's first `shared` bytes are those of the entry before. `value` is the value's length and
//!   one more; 0 says that the key is gone, which only runs hold. Every 16th entry, a *restart*,
//!   shares nothing. After the entries stand the restarts' positions and their number (u32 each),
//!   and the CRC-32C of the block's position in the file and all of the block.
//! - The **filter** is a Bloom filter over the keys that are looked up one by one, see
//!   [`filter`]; most names that are asked for in vain are refused without a look at a block.
//! - The **index** has for each block its first key and its length; blocks stand end to end.
//! - The **footer** is of 108 bytes: the magic `SLUGTBL1`, layout (u64), the log's id, the offset
//!   up to which the log is folded, the number of entries, of those that are in the filter, when
//!   it was made (milliseconds since the epoch), then position, length (u64 each) and CRC-32C
//!   of the filter and of the index, and the CRC-32C of the footer.
//!
//! Numbers of a fixed size are little endian. What is read is checked before it is believed, so
//! that a damaged file is an error ([`SstError::Damaged`]) and never an
//! answer. Reading is by position: any number of threads may.

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
    /// Nothing: an older one may know.
    Nothing,
    /// That it is gone.
    Gone,
    /// Its value.
    Value(Vec<u8>),
}

impl Lookup {
    /// The value, where there is one.
    pub fn value(self) -> Option<Vec<u8>> {
        match self {
            Self::Value(value) => Some(value),
            Self::Nothing | Self::Gone => None,
        }
    }
}

/// From where to where rows are wanted.
pub type KeyRange = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// What a table was built from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The id of the log.
    pub log: [u8; 16],
    /// The offset of the last event that went into it.
    pub offset: u64,
}

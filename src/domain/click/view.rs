//! A click as the log holds it, read without copying.

pub use super::ClickView;
use super::{BotReason, Device};
use crate::domain::link::Block;

/// A field of a click.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name in [`Click`](super::Click).
    pub name: &'static str,
    /// Its column in ClickHouse's table `clicks`, if it has one.
    pub column: Option<&'static str>,
    /// Its value.
    pub value: FieldValue<'a>,
}

/// The value of a [`Field`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldValue<'a> {
    /// A time, in milliseconds since the Unix epoch.
    Time(u64),
    /// A number.
    Number(u64),
    /// A smaller number.
    Short(u32),
    /// A 64-bit hash.
    Hash(u64),
    /// The 16 bytes of an ID.
    Id(&'a [u8]),
    /// A text, or the word for a variant of an enumeration.
    Text(&'a str),
    /// A flag.
    Bool(bool),
}

impl ClickView<'_> {
    /// What kind of machine; `Other` where a newer slugline wrote a kind that is unknown here.
    pub fn device(&self) -> Device {
        Device::try_from(self.device).unwrap_or_default()
    }

    /// The gate that stopped the visit; `None` where none did, or one that is unknown here.
    pub fn block(&self) -> Block {
        Block::try_from(self.block).unwrap_or(Block::None)
    }

    /// Why it is not taken for a human's click; `Human` where the reason is unknown here.
    pub fn bot(&self) -> BotReason {
        BotReason::try_from(self.bot).unwrap_or_default()
    }
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;

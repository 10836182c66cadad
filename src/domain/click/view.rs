//! A zero-copy view of an encoded click.

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
    /// A 32-bit number.
    Short(u32),
    /// A 64-bit hash.
    Hash(u64),
    /// The 16 bytes of an ID.
    Id(&'a [u8]),
    /// A text, or the name of an enumeration's variant.
    Text(&'a str),
    /// A flag.
    Bool(bool),
}

impl ClickView<'_> {
    /// The device type; `Other` for an unknown one, written by a newer version of slugline.
    pub fn device(&self) -> Device {
        Device::try_from(self.device).unwrap_or_default()
    }

    /// The gate that blocked the visit; `None` if none did, or for an unknown one.
    pub fn block(&self) -> Block {
        Block::try_from(self.block).unwrap_or(Block::None)
    }

    /// Why it is classified as a bot's click; `Human` for an unknown reason.
    pub fn bot(&self) -> BotReason {
        BotReason::try_from(self.bot).unwrap_or_default()
    }
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;

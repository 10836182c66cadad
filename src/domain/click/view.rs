//! A click as the log holds it, read without copying: what reads clicks by the million uses this
//! in place of [`Click`](super::Click).

use super::{BotReason, Device};
use crate::domain::link::Block;
use crate::domain::wire::{Malformed, Wire};

/// The fields of a [`Click`](super::Click), borrowed from its encoding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is that of the same name in `Click`")]
pub struct ClickView<'a> {
    pub at_ms: u64,
    pub workspace: &'a [u8],
    pub link: &'a [u8],
    pub link_version: u32,
    pub agent: u64,
    pub browser: &'a str,
    pub browser_version: &'a str,
    pub os: &'a str,
    pub os_version: &'a str,
    pub device: i32,
    pub bot: i32,
    pub visitor: u64,
    pub country: &'a str,
    pub region: &'a str,
    pub city: &'a str,
    pub referrer: &'a str,
    pub referrer_url: &'a str,
    pub language: &'a str,
    pub head: bool,
    pub prefetch: bool,
    pub domain: &'a str,
    pub destination: &'a str,
    pub utm_source: &'a str,
    pub utm_medium: &'a str,
    pub utm_campaign: &'a str,
    pub utm_content: &'a str,
    pub utm_term: &'a str,
    pub qr: bool,
    pub rule: &'a str,
    pub variant: &'a str,
    pub limited_since: u32,
    pub limited_nth: u64,
    pub block: i32,
}

impl<'a> ClickView<'a> {
    /// Reads an encoded click: what `Click::decode` takes, it takes, and what that refuses, it
    /// refuses.
    pub fn parse(encoded: &'a [u8]) -> Result<Self, Malformed> {
        let mut click = Self::default();
        let mut wire = Wire::new(encoded);
        while let Some(key) = wire.key()? {
            match key.tag {
                1 => click.at_ms = wire.uint64(key)?,
                2 => click.workspace = wire.bytes(key)?,
                3 => click.link = wire.bytes(key)?,
                4 => click.link_version = wire.uint32(key)?,
                5 => click.agent = wire.fixed64(key)?,
                6 => click.browser = wire.string(key)?,
                7 => click.browser_version = wire.string(key)?,
                8 => click.os = wire.string(key)?,
                9 => click.os_version = wire.string(key)?,
                10 => click.device = wire.enumeration(key)?,
                11 => click.bot = wire.enumeration(key)?,
                12 => click.visitor = wire.fixed64(key)?,
                13 => click.country = wire.string(key)?,
                14 => click.region = wire.string(key)?,
                15 => click.city = wire.string(key)?,
                16 => click.referrer = wire.string(key)?,
                17 => click.referrer_url = wire.string(key)?,
                18 => click.language = wire.string(key)?,
                19 => click.head = wire.bool(key)?,
                20 => click.prefetch = wire.bool(key)?,
                21 => click.domain = wire.string(key)?,
                22 => click.destination = wire.string(key)?,
                23 => click.utm_source = wire.string(key)?,
                24 => click.utm_medium = wire.string(key)?,
                25 => click.utm_campaign = wire.string(key)?,
                26 => click.utm_content = wire.string(key)?,
                27 => click.utm_term = wire.string(key)?,
                28 => click.qr = wire.bool(key)?,
                29 => click.rule = wire.string(key)?,
                30 => click.variant = wire.string(key)?,
                31 => click.limited_since = wire.uint32(key)?,
                32 => click.limited_nth = wire.uint64(key)?,
                33 => click.block = wire.enumeration(key)?,
                _ => wire.skip(key)?,
            }
        }
        Ok(click)
    }

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

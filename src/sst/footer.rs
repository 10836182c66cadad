//! The footer of a table.

use super::Origin;

pub const FOOTER_BYTES: usize = 108;
const MAGIC: &[u8; 8] = b"SLUGTBL1";

/// See the [file format](super).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footer {
    /// The caller's format number.
    pub format: u64,
    pub origin: Origin,
    pub entries: u64,
    pub filtered: u64,
    pub made_at_ms: u64,
    pub filter: Section,
    pub index: Section,
}

/// A section of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    pub position: u64,
    pub length: u64,
    pub crc: u32,
}

impl Footer {
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FOOTER_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.format.to_le_bytes());
        bytes.extend_from_slice(&self.origin.log);
        for number in [self.origin.offset, self.entries, self.filtered, self.made_at_ms] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for section in [self.filter, self.index] {
            bytes.extend_from_slice(&section.position.to_le_bytes());
            bytes.extend_from_slice(&section.length.to_le_bytes());
            bytes.extend_from_slice(&section.crc.to_le_bytes());
        }
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    /// `None` if the magic or the checksum does not match.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; FOOTER_BYTES] = bytes.try_into().ok()?;
        let (body, crc) = bytes.split_at(FOOTER_BYTES - 4);
        let number = |at: usize| body.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        if body.get(..8)? != MAGIC || crc32c::crc32c(body).to_le_bytes() != crc {
            return None;
        }
        let section = |at: usize| {
            let crc = u32::from_le_bytes(body.get(at + 16..at + 20)?.try_into().ok()?);
            Some(Section { position: number(at)?, length: number(at + 8)?, crc })
        };
        Some(Self {
            format: number(8)?,
            origin: Origin { log: body.get(16..32)?.try_into().ok()?, offset: number(32)? },
            entries: number(40)?,
            filtered: number(48)?,
            made_at_ms: number(56)?,
            filter: section(64)?,
            index: section(84)?,
        })
    }
}

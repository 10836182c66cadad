//! The record format, little endian:
//!
//! | bytes | field     | meaning                                                              |
//! |-------|-----------|----------------------------------------------------------------------|
//! | 0–3   | `len`     | payload length in bytes                                              |
//! | 4–7   | `crc`     | CRC-32C of the rest of the header and the payload                     |
//! | 8–15  | `offset`  | the record's number: dense, starting at 1                            |
//! | 16–19 | `lag`     | `offset` minus the durable offset at the time of writing             |
//! | 20–21 | `kind`    | application-defined type of the payload                               |
//! | 22–23 | `version` | application-defined version of the kind's encoding                    |
//! | 24–   | payload   |                                                                      |
//!
//! `offset - lag` is the *watermark*: recovery uses it to tell damage to durable records from the
//! torn end that a crash leaves. A lag too large for its field is stored as `u32::MAX`
//! ("unknown").

use std::fmt;

use bytes::Bytes;

/// The largest payload a record may have, in bytes (1 MiB).
pub const MAX_PAYLOAD_BYTES: usize = 1 << 20;

/// Size of a record's header in bytes.
pub(super) const HEADER_BYTES: usize = 24;

const LAG_UNKNOWN: u32 = u32::MAX;

/// A record to append.
#[derive(Debug, Clone, Copy)]
pub struct NewRecord<'a> {
    /// Type of the payload; not interpreted by the log.
    pub kind: u16,
    /// Version of the kind's encoding; not interpreted by the log.
    pub version: u16,
    /// The payload: at most [`MAX_PAYLOAD_BYTES`]; may be empty.
    pub payload: &'a [u8],
}

/// A record read from the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The record's number in its log: dense, starting at 1.
    pub offset: u64,
    /// See [`NewRecord::kind`].
    pub kind: u16,
    /// See [`NewRecord::version`].
    pub version: u16,
    /// The payload.
    pub payload: Bytes,
}

/// The fixed fields before a record's payload.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    /// The length field as stored, for error messages.
    pub(super) len: u32,
    crc: u32,
    pub(super) offset: u64,
    lag: u32,
    pub(super) kind: u16,
    pub(super) version: u16,
}

impl Header {
    /// Decodes the header at the start of `bytes`; `None` if they are too short.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<HEADER_BYTES>()?;
        Some(Self {
            len: u32::from_le_bytes(field(bytes, 0)),
            crc: u32::from_le_bytes(field(bytes, 4)),
            offset: u64::from_le_bytes(field(bytes, 8)),
            lag: u32::from_le_bytes(field(bytes, 16)),
            kind: u16::from_le_bytes(field(bytes, 20)),
            version: u16::from_le_bytes(field(bytes, 22)),
        })
    }

    /// Size of header and payload in bytes; `None` if the length exceeds the limit.
    pub(super) fn record_bytes(&self) -> Option<usize> {
        let payload = usize::try_from(self.len).ok()?;
        (payload <= MAX_PAYLOAD_BYTES).then_some(HEADER_BYTES + payload)
    }

    /// The durable offset when this record was written, if known.
    pub(super) fn watermark(&self) -> Option<u64> {
        if self.lag == LAG_UNKNOWN {
            return None;
        }
        self.offset.checked_sub(u64::from(self.lag))
    }

    /// Whether the checksum matches `record`, the bytes of the record including the header.
    pub(super) fn matches(&self, record: &[u8]) -> bool {
        checksum(record) == self.crc
    }
}

fn field<const N: usize>(bytes: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

/// CRC-32C of a record without its checksum field.
fn checksum(record: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&record[..4]), &record[8..])
}

/// Appends the encoded `record` to `buffer`. `synced` is the durable offset.
///
/// The payload must have been checked against [`MAX_PAYLOAD_BYTES`].
pub(super) fn encode(buffer: &mut Vec<u8>, offset: u64, synced: u64, record: &NewRecord<'_>) {
    let start = buffer.len();
    // Both fallbacks mean "unknown"; the first is unreachable once the payload was checked.
    let len = u32::try_from(record.payload.len()).unwrap_or(u32::MAX);
    let lag = u32::try_from(offset.saturating_sub(synced)).unwrap_or(LAG_UNKNOWN);
    buffer.extend_from_slice(&len.to_le_bytes());
    buffer.extend_from_slice(&[0; 4]);
    buffer.extend_from_slice(&offset.to_le_bytes());
    buffer.extend_from_slice(&lag.to_le_bytes());
    buffer.extend_from_slice(&record.kind.to_le_bytes());
    buffer.extend_from_slice(&record.version.to_le_bytes());
    buffer.extend_from_slice(record.payload);
    let crc = checksum(&buffer[start..]);
    buffer[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
}

/// Why the bytes at some position are not the record expected there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// The file ends within the header.
    HeaderCut,
    /// The length field is over the limit.
    Length(u32),
    /// The file ends within the payload.
    PayloadCut,
    /// The checksum does not match.
    Checksum,
    /// A valid record, but with another offset than expected.
    OutOfSequence(u64),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeaderCut => f.write_str("the file ends within a record's header"),
            Self::Length(len) => write!(f, "the record's length, {len}, exceeds the limit"),
            Self::PayloadCut => f.write_str("the file ends within a record's payload"),
            Self::Checksum => f.write_str("the record's checksum does not match"),
            Self::OutOfSequence(found) => write!(f, "record {found} is stored there instead"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watermark_is_what_was_durable_at_the_time_of_writing() {
        let new = NewRecord { kind: 1, version: 2, payload: b"abc" };
        let mut bytes = Vec::new();
        encode(&mut bytes, 10, 7, &new);
        assert_eq!(bytes.len(), HEADER_BYTES + 3);
        let header = Header::decode(&bytes).unwrap();
        assert_eq!((header.offset, header.watermark()), (10, Some(7)));
        assert!(header.matches(&bytes));
        assert_eq!(&bytes[HEADER_BYTES..], b"abc");
    }

    #[test]
    fn a_lag_too_large_to_store_vouches_for_nothing() {
        let new = NewRecord { kind: 0, version: 0, payload: &[] };
        let far = u64::from(u32::MAX) + 5;
        for synced in [0, 4, 5] {
            let mut bytes = Vec::new();
            encode(&mut bytes, far, synced, &new);
            assert_eq!(Header::decode(&bytes).unwrap().watermark(), None);
        }
        let mut bytes = Vec::new();
        encode(&mut bytes, far, 6, &new);
        assert_eq!(Header::decode(&bytes).unwrap().watermark(), Some(6));
    }
}

//! A zero-copy reader of the protobuf wire format.
//!
//! It accepts and rejects exactly the same bytes as prost: unknown fields are skipped, including
//! nested groups, and the last value of a repeated scalar field wins.

use std::str;

/// The maximum nesting depth of unknown groups.
const GROUP_DEPTH: u32 = 100;

/// Bytes that are not a valid message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed protobuf")]
pub struct Malformed;

/// The wire type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Varint,
    Fixed64,
    Bytes,
    GroupStart,
    GroupEnd,
    Fixed32,
}

/// The key of a field: its tag and wire type.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The field's number.
    pub tag: u32,
    form: Form,
}

impl Key {
    fn must_be(self, form: Form) -> Result<(), Malformed> {
        if self.form == form { Ok(()) } else { Err(Malformed) }
    }
}

/// The rest of a message. The value of each [key](Self::key) has to be read or skipped.
#[derive(Debug, Clone, Copy)]
pub struct Wire<'a> {
    rest: &'a [u8],
}

impl<'a> Wire<'a> {
    /// A reader of a message.
    pub const fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The key of the next field; `None` at the end of the message.
    pub fn key(&mut self) -> Result<Option<Key>, Malformed> {
        if self.rest.is_empty() { Ok(None) } else { self.read_key().map(Some) }
    }

    fn read_key(&mut self) -> Result<Key, Malformed> {
        let key = u32::try_from(self.varint()?).map_err(|_| Malformed)?;
        let form = match key & 7 {
            0 => Form::Varint,
            1 => Form::Fixed64,
            2 => Form::Bytes,
            3 => Form::GroupStart,
            4 => Form::GroupEnd,
            5 => Form::Fixed32,
            _ => return Err(Malformed),
        };
        let tag = key >> 3;
        if tag == 0 { Err(Malformed) } else { Ok(Key { tag, form }) }
    }

    /// The value of a `uint64`.
    pub fn uint64(&mut self, key: Key) -> Result<u64, Malformed> {
        key.must_be(Form::Varint)?;
        self.varint()
    }

    /// The value of a `uint32`; larger numbers are truncated.
    #[expect(clippy::cast_possible_truncation, reason = "as protobuf has it")]
    pub fn uint32(&mut self, key: Key) -> Result<u32, Malformed> {
        Ok(self.uint64(key)? as u32)
    }

    /// The value of an enumeration; larger numbers are truncated.
    pub fn enumeration(&mut self, key: Key) -> Result<i32, Malformed> {
        Ok(self.uint32(key)?.cast_signed())
    }

    /// The value of a `bool`.
    pub fn bool(&mut self, key: Key) -> Result<bool, Malformed> {
        Ok(self.uint64(key)? != 0)
    }

    /// The value of a `fixed64`.
    pub fn fixed64(&mut self, key: Key) -> Result<u64, Malformed> {
        key.must_be(Form::Fixed64)?;
        let (value, rest) = self.rest.split_first_chunk().ok_or(Malformed)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*value))
    }

    /// The value of a `bytes`.
    pub fn bytes(&mut self, key: Key) -> Result<&'a [u8], Malformed> {
        key.must_be(Form::Bytes)?;
        let length = self.varint()?;
        self.take(length)
    }

    /// The value of a `string`.
    pub fn string(&mut self, key: Key) -> Result<&'a str, Malformed> {
        str::from_utf8(self.bytes(key)?).map_err(|_| Malformed)
    }

    /// Skips a value.
    pub fn skip(&mut self, key: Key) -> Result<(), Malformed> {
        self.skip_nested(key, GROUP_DEPTH)
    }

    fn skip_nested(&mut self, key: Key, depth_left: u32) -> Result<(), Malformed> {
        if depth_left == 0 {
            return Err(Malformed);
        }
        let length = match key.form {
            Form::Varint => self.varint().map(|_| 0)?,
            Form::Fixed64 => 8,
            Form::Fixed32 => 4,
            Form::Bytes => self.varint()?,
            Form::GroupStart => return self.skip_group(key.tag, depth_left),
            Form::GroupEnd => return Err(Malformed),
        };
        self.take(length).map(drop)
    }

    fn skip_group(&mut self, tag: u32, depth_left: u32) -> Result<(), Malformed> {
        loop {
            let key = self.read_key()?;
            if key.form == Form::GroupEnd {
                return if key.tag == tag { Ok(()) } else { Err(Malformed) };
            }
            self.skip_nested(key, depth_left - 1)?;
        }
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(length).map_err(|_| Malformed)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        match self.rest.split_first() {
            Some((&byte, rest)) if byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    /// Seven bits per byte, least significant first; at most ten bytes, the tenth with one bit.
    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for (at, &byte) in self.rest.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                if at == 9 && byte > 1 {
                    break;
                }
                self.rest = &self.rest[at + 1..];
                return Ok(value);
            }
        }
        Err(Malformed)
    }
}

/// The value of one `uint64` field of a message; 0 if absent.
pub fn uint64_of(message: &[u8], tag: u32) -> Result<u64, Malformed> {
    let mut wire = Wire::new(message);
    let mut value = 0;
    while let Some(key) = wire.key()? {
        if key.tag == tag {
            value = wire.uint64(key)?;
        } else {
            wire.skip(key)?;
        }
    }
    Ok(value)
}

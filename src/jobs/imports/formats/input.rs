//! Streaming input, validated as UTF-8, without a byte order mark.

use std::io::Read;

use super::error::FileError;

const BUFFER_BYTES: usize = 64 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Reads a file in chunks. The chunks of [`Self::fill`] are valid UTF-8.
pub(super) struct Input {
    file: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    /// Start of the unconsumed bytes.
    start: usize,
    /// The buffer is valid UTF-8 up to here.
    checked: usize,
    /// End of the buffered bytes.
    filled: usize,
    /// How many bytes were consumed.
    pub(super) consumed: u64,
    /// The line of the next byte, from 1.
    pub(super) line: u64,
}

impl Input {
    pub(super) fn new(file: Box<dyn Read + Send>) -> Result<Self, FileError> {
        let buffer = vec![0; BUFFER_BYTES];
        let mut input =
            Self { file, buffer, start: 0, checked: 0, filled: 0, consumed: 0, line: 1 };
        if input.fill()?.starts_with(BYTE_ORDER_MARK) {
            input.consume(BYTE_ORDER_MARK.len());
        }
        Ok(input)
    }

    /// The next chunk; empty only at the end.
    pub(super) fn fill(&mut self) -> Result<&[u8], FileError> {
        while self.start == self.checked {
            // At most three bytes are left, the start of a character.
            self.buffer.copy_within(self.checked..self.filled, 0);
            self.filled -= self.checked;
            (self.start, self.checked) = (0, 0);
            let read = self.read_full()?;
            let buffered = self.buffer.get(..self.filled).unwrap_or_default();
            match std::str::from_utf8(buffered) {
                Ok(_) => self.checked = self.filled,
                Err(error) => {
                    self.checked = error.valid_up_to();
                    let is_broken = error.error_len().is_some() || read == 0;
                    if self.checked == 0 && is_broken {
                        return Err(FileError::NotUtf8 { at: self.consumed + 1 });
                    }
                }
            }
            if read == 0 {
                break;
            }
        }
        Ok(self.buffer.get(self.start..self.checked).unwrap_or_default())
    }

    /// Fills the buffer, so that a chunk contains the whole header line.
    fn read_full(&mut self) -> Result<usize, FileError> {
        let before = self.filled;
        while let Some(free) = self.buffer.get_mut(self.filled..).filter(|free| !free.is_empty()) {
            match self.file.read(free) {
                Ok(0) => break,
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.filled - before)
    }

    /// Consumes bytes of the current chunk.
    pub(super) fn consume(&mut self, bytes: usize) {
        let end = (self.start + bytes).min(self.checked);
        let consumed = self.buffer.get(self.start..end).unwrap_or_default();
        self.line += consumed.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
        self.consumed += (end - self.start) as u64;
        self.start = end;
    }

    /// Skips matching bytes; returns whether any bytes are left.
    pub(super) fn skip_while(&mut self, matches: impl Fn(u8) -> bool) -> Result<bool, FileError> {
        loop {
            let piece = self.fill()?;
            if piece.is_empty() {
                return Ok(false);
            }
            let (whole, position) = (piece.len(), piece.iter().position(|byte| !matches(*byte)));
            self.consume(position.unwrap_or(whole));
            if position.is_some() {
                return Ok(true);
            }
        }
    }

    /// Reads the rest.
    pub(super) fn read_to_string(&mut self, max_bytes: u64) -> Result<String, FileError> {
        let mut text = String::new();
        loop {
            let piece = self.fill()?;
            if piece.is_empty() {
                return Ok(text);
            }
            let taken = piece.len();
            if (text.len() + taken) as u64 > max_bytes {
                return Err(FileError::TooLarge { max_bytes });
            }
            text.push_str(std::str::from_utf8(piece).unwrap_or_default());
            self.consume(taken);
        }
    }
}

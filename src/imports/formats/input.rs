//! A file's bytes, checked to be UTF-8 as they come, without a byte order mark.

use std::io::Read;

use super::error::FileError;

const BUFFER_BYTES: usize = 64 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Reads a file in pieces. What [`Self::fill`] gives is UTF-8 and ends between two characters.
pub(super) struct Input {
    file: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    /// Where what is not consumed begins.
    start: usize,
    /// Up to where the buffer is known to be UTF-8.
    checked: usize,
    /// Up to where the buffer is filled.
    filled: usize,
    /// How many bytes were consumed.
    consumed: u64,
    /// The line at which the next byte stands, from 1 on.
    line: u64,
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

    /// What comes next; empty at the end only.
    pub(super) fn fill(&mut self) -> Result<&[u8], FileError> {
        while self.start == self.checked {
            // At most three bytes are left: the beginning of a character.
            self.buffer.copy_within(self.checked..self.filled, 0);
            self.filled -= self.checked;
            (self.start, self.checked) = (0, 0);
            let read = self.read_full()?;
            let looked_at = self.buffer.get(..self.filled).unwrap_or_default();
            match std::str::from_utf8(looked_at) {
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

    /// Fills the buffer as far as the file goes, so that one piece holds a header's line.
    fn read_full(&mut self) -> Result<usize, FileError> {
        let before = self.filled;
        while let Some(room) = self.buffer.get_mut(self.filled..).filter(|room| !room.is_empty()) {
            match self.file.read(room) {
                Ok(0) => break,
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.filled - before)
    }

    /// Goes on by some of what [`Self::fill`] gave.
    pub(super) fn consume(&mut self, bytes: usize) {
        let end = (self.start + bytes).min(self.checked);
        let gone = self.buffer.get(self.start..end).unwrap_or_default();
        self.line += gone.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
        self.consumed += (end - self.start) as u64;
        self.start = end;
    }

    /// Goes past bytes that fit; whether anything is left.
    pub(super) fn skip_while(&mut self, fits: impl Fn(u8) -> bool) -> Result<bool, FileError> {
        loop {
            let piece = self.fill()?;
            if piece.is_empty() {
                return Ok(false);
            }
            let (whole, place) = (piece.len(), piece.iter().position(|byte| !fits(*byte)));
            self.consume(place.unwrap_or(whole));
            if place.is_some() {
                return Ok(true);
            }
        }
    }

    /// How many bytes were consumed.
    pub(super) const fn consumed(&self) -> u64 {
        self.consumed
    }

    /// The line at which the next byte stands.
    pub(super) const fn line(&self) -> u64 {
        self.line
    }

    /// All that is left.
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

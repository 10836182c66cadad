//! Newline-delimited JSON objects. Empty lines are skipped.

use super::error::FileError;
use super::input::Input;
use super::record::{MAX_RECORD_BYTES, Record, object, too_large};

pub(super) struct Lines {
    pub(super) input: Input,
    number: u64,
}

impl Lines {
    /// # Errors
    /// If the first line is not an object: then the file is something else.
    pub(super) fn new(mut input: Input) -> Result<Self, FileError> {
        if !input.skip_while(|byte| byte.is_ascii_whitespace())? {
            return Err(FileError::Empty);
        }
        let line = usize::try_from(input.line).unwrap_or(usize::MAX);
        if !input.fill()?.starts_with(b"{") {
            let reason = "each line must be a JSON object".to_owned();
            return Err(FileError::NotJson { reason, line, column: 1 });
        }
        Ok(Self { input, number: 0 })
    }

    pub(super) fn next(&mut self) -> Result<Option<Record>, FileError> {
        if !self.input.skip_while(|byte| byte.is_ascii_whitespace())? {
            return Ok(None);
        }
        self.number += 1;
        let line = self.input.line;
        let mut text = String::new();
        let mut is_too_large = false;
        loop {
            let piece = self.input.fill()?;
            let end = piece.iter().position(|byte| *byte == b'\n');
            let taken = piece.get(..end.unwrap_or(piece.len())).unwrap_or_default();
            is_too_large |= text.len() + taken.len() > MAX_RECORD_BYTES;
            if !is_too_large {
                text.push_str(std::str::from_utf8(taken).unwrap_or_default());
            }
            let (taken, is_last) = (taken.len(), end.is_some() || piece.is_empty());
            self.input.consume(taken);
            if is_last {
                break;
            }
        }
        let values = if is_too_large { Err(too_large()) } else { object(&text) };
        Ok(Some(Record { number: self.number, line: Some(line), values, cells: Vec::new() }))
    }
}

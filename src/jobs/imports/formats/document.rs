//! A JSON document with a list of links. Its text is held in memory; its links are parsed one at a
//! time, so that a malformed one is refused alone. A file may have several documents in a row, such
//! as concatenated pages of an API response.

use std::collections::HashMap;

use serde_json::Deserializer;
use serde_json::value::RawValue;

use super::error::FileError;
use super::input::Input;
use super::record::{MAX_RECORD_BYTES, Product, Record, object, too_large};

const MAX_BYTES: u64 = 128 * 1024 * 1024;

/// The links of a text whose documents have the expected product.
pub(super) struct Document {
    text: String,
    product: &'static Product,
    /// The position of the text in the file.
    offset: u64,
    /// The position after the last link.
    at: usize,
    /// The end of the current list, and whether it is an object.
    list: Option<(usize, bool)>,
    /// The end of the current document.
    end: usize,
    number: u64,
    /// The line in the file at which the text starts.
    first_line: u64,
    line: u64,
    /// Lines are counted up to this position.
    counted: usize,
}

impl Document {
    pub(super) fn new(mut input: Input, product: &'static Product) -> Result<Self, FileError> {
        let (offset, line) = (input.consumed, input.line);
        let text = input.read_to_string(MAX_BYTES)?;
        let mut documents = Deserializer::from_str(&text).into_iter::<&RawValue>().peekable();
        if documents.peek().is_none() {
            return Err(FileError::Empty);
        }
        for document in documents {
            let document = document.map_err(|error| FileError::not_json(&error))?;
            list(document, product)?;
        }
        let (number, first_line) = (0, line);
        let (at, list, end, counted) = (0, None, 0, 0);
        Ok(Self { text, product, offset, at, list, end, number, first_line, line, counted })
    }

    /// Starts again with the first link.
    pub(super) fn rewind(&mut self) {
        (self.at, self.list, self.end) = (0, None, 0);
        (self.number, self.line, self.counted) = (0, self.first_line, 0);
    }

    /// Number of bytes of the file that were processed.
    pub(super) const fn consumed(&self) -> u64 {
        self.offset + self.at as u64
    }

    pub(super) fn next(&mut self) -> Option<Record> {
        loop {
            if let Some((end, is_named)) = self.list {
                if let Some(record) = self.step(end, is_named) {
                    return Some(record);
                }
                self.list = None;
                self.at = self.end;
            }
            if !self.find_list() {
                self.at = self.text.len();
                return None;
            }
        }
    }

    /// Moves to the list of the next document; `false` if there is none.
    fn find_list(&mut self) -> bool {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let mut documents = Deserializer::from_str(rest).into_iter::<&RawValue>();
        let Some(Ok(document)) = documents.next() else { return false };
        let Ok(list) = list(document, self.product) else { return false };
        self.end = self.at + documents.byte_offset();
        let start = position(&self.text, list.get());
        // The list without its brackets.
        self.list = Some((start + list.get().len() - 1, list.get().starts_with('{')));
        self.at = start + 1;
        true
    }

    /// The next link of a list.
    fn step(&mut self, end: usize, is_named: bool) -> Option<Record> {
        let is_between = |letter: char| letter == ',' || letter.is_ascii_whitespace();
        let mut rest = self.text.get(self.at..end)?.trim_start_matches(is_between);
        if is_named {
            let mut names = Deserializer::from_str(rest).into_iter::<&RawValue>();
            names.next()?.ok()?;
            let behind = rest.get(names.byte_offset()..)?.trim_start();
            rest = behind.strip_prefix(':')?.trim_start();
        }
        let link = Deserializer::from_str(rest).into_iter::<&RawValue>().next()?.ok()?.get();
        let start = position(&self.text, link);
        let values = if link.len() > MAX_RECORD_BYTES { Err(too_large()) } else { object(link) };
        self.at = start + link.len();
        let before = self.text.as_bytes().get(self.counted..start).unwrap_or_default();
        self.line += before.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
        self.counted = start;
        self.number += 1;
        Some(Record { number: self.number, line: Some(self.line), values, cells: Vec::new() })
    }
}

/// The position of a part of a text.
fn position(text: &str, part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize)
}

/// The list of a document's links: an array, or an object with arbitrary names.
fn list<'a>(document: &'a RawValue, product: &Product) -> Result<&'a RawValue, FileError> {
    let wrong = || FileError::MissingList { expected: product.expected };
    if document.get().starts_with('[') {
        return Ok(document);
    }
    let mut list = document;
    for name in product.path {
        let members = serde_json::from_str::<HashMap<String, &RawValue>>(list.get());
        list = members.ok().and_then(|mut members| members.remove(*name)).ok_or_else(wrong)?;
    }
    if list.get().starts_with(['[', '{']) { Ok(list) } else { Err(wrong()) }
}

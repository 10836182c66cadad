//! A JSON document with a list of links in it. It is held whole, as text; its links are
//! gone through one by one and parsed each by itself, so that a broken one is refused alone. Several documents may stand
//! one behind another, as pages of an answer that were put together.

use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::Deserializer;
use serde_json::value::RawValue;

use super::error::FileError;
use super::input::Input;
use super::record::{MAX_RECORD_BYTES, Record, object, too_large};

const MAX_BYTES: u64 = 128 * 1024 * 1024;

/// Where a product's documents have their links.
pub(super) struct Shape {
    /// The names that lead to the list; a document may also be the list itself.
    pub(super) path: &'static [&'static str],
    /// The same for people.
    pub(super) expected: &'static str,
}

/// The links of a text that was found to be documents of their shape.
pub(super) struct Document {
    text: String,
    shape: &'static Shape,
    /// Where the text begins in the file.
    offset: u64,
    /// Where the next link is looked for.
    at: usize,
    /// Where the list ends that it is in, and whether its values have names.
    list: Option<(usize, bool)>,
    /// Where the document ends that the list is in.
    end: usize,
    number: u64,
    line: u64,
    /// Up to where lines were counted.
    counted: usize,
}

impl Document {
    pub(super) fn new(mut input: Input, shape: &'static Shape) -> Result<Self, FileError> {
        let (offset, line) = (input.consumed(), input.line());
        let text = input.read_to_string(MAX_BYTES)?;
        let mut documents = Deserializer::from_str(&text).into_iter::<&RawValue>().peekable();
        if documents.peek().is_none() {
            return Err(FileError::Empty);
        }
        for document in documents {
            let document = document.map_err(|error| FileError::not_json(&error))?;
            list(document, shape)?;
        }
        Ok(Self { text, shape, offset, at: 0, list: None, end: 0, number: 0, line, counted: 0 })
    }

    /// How many bytes of the file are done with.
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

    /// Goes to the list of the next document; whether there is one.
    fn find_list(&mut self) -> bool {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let mut documents = Deserializer::from_str(rest).into_iter::<&RawValue>();
        let Some(Ok(document)) = documents.next() else { return false };
        let Ok(list) = list(document, self.shape) else { return false };
        self.end = self.at + documents.byte_offset();
        let start = place(&self.text, list.get());
        // Between the brackets.
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
        let start = place(&self.text, link);
        let values = if link.len() > MAX_RECORD_BYTES { Err(too_large()) } else { object(link) };
        self.at = start + link.len();
        let before = self.text.as_bytes().get(self.counted..start).unwrap_or_default();
        self.line += before.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
        self.counted = start;
        self.number += 1;
        Some(Record { number: self.number, line: Some(self.line), values })
    }
}

/// Where a part of a text stands in it.
fn place(text: &str, part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize)
}

/// The list of a document's links: a list, or an object whose names mean nothing.
fn list<'a>(document: &'a RawValue, shape: &Shape) -> Result<&'a RawValue, FileError> {
    let wrong = || FileError::NoList { expected: shape.expected };
    if document.get().starts_with('[') {
        return Ok(document);
    }
    let mut list = document;
    for name in shape.path {
        let found = Member(name).deserialize(&mut Deserializer::from_str(list.get()));
        list = found.ok().flatten().ok_or_else(wrong)?;
    }
    if list.get().starts_with(['[', '{']) { Ok(list) } else { Err(wrong()) }
}

/// Looks for a value of an object by its name.
struct Member<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = object.next_key::<String>()? {
            if name == self.0 {
                found = Some(object.next_value()?);
            } else {
                object.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

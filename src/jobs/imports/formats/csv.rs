//! Comma-separated values (RFC 4180) with a header. Semicolons and tabs are detected from the
//! header line. Records are parsed one at a time, as they are read.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use serde_json::{Map, Value};

use super::error::FileError;
use super::fields::folded;
use super::input::Input;
use super::quotes::Quotes;
use super::record::{MAX_RECORD_BYTES, Product, Record, too_large};
use crate::domain::csv_cell;

/// More columns than the links of any product have fields.
const MAX_COLUMNS: usize = 1_024;

/// Maximum length of a column's name in a report, in characters.
const MAX_SHOWN_CHARS: usize = 64;

/// Columns that identify our own files, a link export and an import report, whose cells are escaped
/// ([`csv_cell`]). In any other file an apostrophe is part of the value.
const OWN_COLUMNS: [&[&str]; 2] = [&["forward_path", "max_clicks_bots"], &["row", "line", "field"]];

pub(super) struct Csv {
    pub(super) input: Input,
    reader: Reader,
    quotes: Quotes,
    /// Whether cells are escaped against formula injection.
    is_escaped: bool,
    /// The normalized column names; empty for an ignored column.
    header: Vec<String>,
    /// The names of all columns, as in the file.
    pub(super) columns: Vec<String>,
    /// The names of unknown columns.
    pub(super) ignored: Vec<String>,
    number: u64,
    /// The fields of a record, back to back.
    output: Vec<u8>,
    /// The end of each field.
    ends: Vec<usize>,
}

/// A record's fields, or why it is malformed.
enum Cells {
    Fields(Vec<String>),
    Malformed(String),
}

impl Csv {
    pub(super) fn new(mut input: Input, product: &Product) -> Result<Self, FileError> {
        if !input.skip_while(|byte| matches!(byte, b'\r' | b'\n'))? {
            return Err(FileError::Empty);
        }
        let delimiter = delimiter(input.fill()?);
        let mut csv = Self {
            input,
            reader: ReaderBuilder::new().delimiter(delimiter).build(),
            quotes: Quotes::new(delimiter),
            is_escaped: false,
            header: Vec::new(),
            columns: Vec::new(),
            ignored: Vec::new(),
            number: 0,
            output: vec![0; MAX_RECORD_BYTES],
            ends: vec![0; MAX_COLUMNS],
        };
        let header = match csv.cells()? {
            Some((_, Cells::Fields(names))) => names,
            Some((_, Cells::Malformed(_))) => return Err(FileError::NoHeader),
            None => return Err(FileError::Empty),
        };
        csv.take_header(&header, product)?;
        Ok(csv)
    }

    fn take_header(&mut self, header: &[String], product: &Product) -> Result<(), FileError> {
        let is_one_of = |names: &str, name: &str| {
            names.split_ascii_whitespace().any(|known| folded(known) == *name)
        };
        let is_destination = |name: &str| is_one_of(product.destination, name);
        let cut = |name: &String| name.trim().chars().take(MAX_SHOWN_CHARS).collect();
        self.columns = header.iter().map(cut).collect();
        for shown in header {
            let name = folded(shown);
            let is_there = self.header.contains(&name);
            if (is_destination(&name) || is_one_of(product.used, &name)) && !is_there {
                self.header.push(name);
                continue;
            }
            if is_there || !is_one_of(product.silent, &name) {
                self.ignored.push(cut(shown));
            }
            // Silent columns keep their names: one of them tells whether a link has a password.
            self.header.push(if is_there || name.is_empty() { String::new() } else { name });
        }
        let has = |name: &&str| self.header.contains(&folded(name));
        self.is_escaped = OWN_COLUMNS.iter().any(|columns| columns.iter().all(has));
        if self.header.iter().any(|name| is_destination(name)) {
            return Ok(());
        }
        if header.iter().any(|cell| cell.trim().starts_with("http") && cell.contains("://")) {
            return Err(FileError::NoHeader);
        }
        let quoted = |name: &str| {
            format!("`{}`", name.trim().chars().take(MAX_SHOWN_CHARS).collect::<String>())
        };
        let names: Vec<_> = product.destination.split_ascii_whitespace().map(quoted).collect();
        let found: Vec<_> = header.iter().take(20).map(|name| quoted(name)).collect();
        Err(FileError::NoDestination { names: names.join(" or "), found: found.join(", ") })
    }

    pub(super) fn next(&mut self) -> Result<Option<Record>, FileError> {
        loop {
            let Some((line, cells)) = self.cells()? else { return Ok(None) };
            let (values, cells) = match cells {
                // Spreadsheets leave lines of separators in place of deleted rows.
                Cells::Fields(cells) if cells.iter().all(|cell| cell.trim().is_empty()) => continue,
                Cells::Fields(mut cells) => {
                    for cell in cells.iter_mut().filter(|_| self.is_escaped) {
                        *cell = csv_cell::unescape(cell).to_owned();
                    }
                    let values = self.values(&cells);
                    // A report keeps the cells, but nobody's address.
                    let named = self.header.iter().zip(&mut cells);
                    named.filter(|(name, _)| *name == "ip").for_each(|(_, cell)| cell.clear());
                    (values, cells)
                }
                Cells::Malformed(reason) => (Err(reason), Vec::new()),
            };
            self.number += 1;
            return Ok(Some(Record { number: self.number, line: Some(line), values, cells }));
        }
    }

    fn values(&self, cells: &[String]) -> Result<Map<String, Value>, String> {
        let (found, expected) = (cells.len(), self.header.len());
        if found != expected {
            return Err(format!("has {found} columns where the header has {expected}"));
        }
        let named = self.header.iter().zip(cells);
        let named = named.filter(|(name, cell)| !name.is_empty() && !cell.is_empty());
        Ok(named.map(|(name, cell)| (name.clone(), Value::from(cell.as_str()))).collect())
    }

    /// The next record and the line at which it starts.
    fn cells(&mut self) -> Result<Option<(u64, Cells)>, FileError> {
        if !self.input.skip_while(|byte| matches!(byte, b'\r' | b'\n'))? {
            return Ok(None);
        }
        let line = self.input.line;
        self.quotes.begin(line);
        let (mut written, mut fields, mut is_too_large) = (0, 0, false);
        loop {
            let piece = self.input.fill()?;
            let output = self.output.get_mut(written..).unwrap_or_default();
            let ends = self.ends.get_mut(fields..).unwrap_or_default();
            if let (true, Some(line)) = (piece.is_empty(), self.quotes.open_at()) {
                return Err(FileError::UnclosedQuote { row: self.number + 1, line });
            }
            let (result, read, wrote, ended) = self.reader.read_record(piece, output, ends);
            self.quotes.follow(piece.get(..read).unwrap_or_default());
            self.input.consume(read);
            written += wrote;
            fields += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                // Skip to the end of a record that is too large.
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    (written, fields, is_too_large) = (0, 0, true);
                }
                ReadRecordResult::Record if is_too_large => {
                    return Ok(Some((line, Cells::Malformed(too_large()))));
                }
                ReadRecordResult::Record => {
                    let cells = match self.quotes.stray_at {
                        Some(at) => Cells::Malformed(stray_quote(at)),
                        None => Cells::Fields(self.fields(fields)),
                    };
                    return Ok(Some((line, cells)));
                }
                ReadRecordResult::End => return Ok(None),
            }
        }
    }

    fn fields(&self, count: usize) -> Vec<String> {
        let mut start = 0;
        let mut fields = Vec::with_capacity(count);
        for end in self.ends.iter().take(count) {
            let field = self.output.get(start..*end).unwrap_or_default();
            fields.push(String::from_utf8_lossy(field).into_owned());
            start = *end;
        }
        fields
    }
}

fn stray_quote(line: u64) -> String {
    format!(
        "has text after a closing quote at line {line}: \
         double the quotes within a field (`\"\"`), and close each field that starts with one"
    )
}

/// The delimiter: the most frequent candidate in the first line, outside quotes.
pub(super) fn delimiter(head: &[u8]) -> u8 {
    let mut counts = [(b',', 0_u32), (b';', 0), (b'\t', 0)];
    let mut is_quoted = false;
    for byte in head {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\n' if !is_quoted => break,
            _ if is_quoted => {}
            byte => {
                for (separator, count) in &mut counts {
                    *count += u32::from(separator == byte);
                }
            }
        }
    }
    // The first among equals; the comma if there is none.
    counts.iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(separator, _)| *separator)
}

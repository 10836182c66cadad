//! Reads a file of links row by row.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::csv::Csv;
use super::document::Document;
use super::error::FileError;
use super::guess::is_dump;
use super::input::Input;
use super::lines::Lines;
use super::record::{Mapper, Product, Record, Row};
use super::sql::Dump;
use super::{Format, bitly, dub, kutt, own, shlink, yourls};

/// The rows of a file, in order. Ends after the first error.
pub struct Rows {
    source: Source,
    map: Mapper,
    /// Whether every link has a slug in the file: then none is generated.
    has_slugs: bool,
    /// Size of the file in bytes.
    pub bytes_total: u64,
    is_finished: bool,
}

enum Source {
    Csv(Box<Csv>),
    Lines(Lines),
    Document(Document),
    Dump(Dump),
}

impl Rows {
    /// Opens a file.
    pub fn open(format: Format, path: &Path) -> Result<Self, FileError> {
        let file = File::open(path)?;
        let bytes_total = file.metadata()?.len();
        Self::from_reader(format, Box::new(file), bytes_total)
    }

    /// Opens a file after reading it to its end once, so that errors that concern the whole file are
    /// found before any row is imported. Also returns the number of rows.
    ///
    /// # Errors
    /// Those of [`Self::open`], and if the file can't be read to its end.
    pub fn open_checked(format: Format, path: &Path) -> Result<(Self, u64), FileError> {
        let (mut rows, mut total) = (Self::open(format, path)?, 0);
        while rows.record()?.is_some() {
            total += 1;
        }
        if let Source::Document(document) = &mut rows.source {
            document.rewind();
            return Ok((rows, total));
        }
        Ok((Self::open(format, path)?, total))
    }

    pub(super) fn from_reader(
        format: Format,
        file: Box<dyn Read + Send>,
        bytes_total: u64,
    ) -> Result<Self, FileError> {
        let input = Input::new(file)?;
        let (source, map): (Source, Mapper) = match format {
            Format::Csv => (Source::Csv(Box::new(Csv::new(input, &own::product())?)), own::csv),
            Format::Ndjson => (Source::Lines(Lines::new(input)?), own::ndjson),
            Format::Bitly => product(input, &bitly::PRODUCT)?,
            Format::Dub => product(input, &dub::PRODUCT)?,
            Format::Shlink => product(input, &shlink::PRODUCT)?,
            Format::Yourls => product(input, &yourls::PRODUCT)?,
            Format::Kutt => product(input, &kutt::PRODUCT)?,
        };
        let has_slugs = !matches!(format, Format::Csv | Format::Ndjson);
        Ok(Self { source, map, has_slugs, bytes_total, is_finished: false })
    }

    /// Number of bytes of the file that were processed.
    pub const fn bytes_read(&self) -> u64 {
        match &self.source {
            Source::Csv(csv) => csv.input.consumed,
            Source::Lines(lines) => lines.input.consumed,
            Source::Document(document) => document.consumed(),
            Source::Dump(dump) => dump.input.consumed,
        }
    }

    /// The unknown columns of the header.
    pub fn ignored_columns(&self) -> &[String] {
        match &self.source {
            Source::Csv(csv) => &csv.ignored,
            Source::Lines(_) | Source::Document(_) | Source::Dump(_) => &[],
        }
    }

    /// The columns of the header.
    pub fn columns(&self) -> &[String] {
        match &self.source {
            Source::Csv(csv) => &csv.columns,
            Source::Lines(_) | Source::Document(_) | Source::Dump(_) => &[],
        }
    }

    fn record(&mut self) -> Result<Option<Record>, FileError> {
        match &mut self.source {
            Source::Csv(csv) => csv.next(),
            Source::Lines(lines) => lines.next(),
            Source::Document(document) => Ok(document.next()),
            Source::Dump(dump) => dump.next(),
        }
    }
}

impl Iterator for Rows {
    type Item = Result<Row, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_finished {
            return None;
        }
        let record = self.record().transpose();
        self.is_finished = !matches!(record, Some(Ok(_)));
        let (map, has_slugs) = (self.map, self.has_slugs);
        record.map(|record| record.map(|record| record.into_row(map, has_slugs)))
    }
}

/// Detects JSON, a dump or CSV by the first characters.
fn product(mut input: Input, product: &'static Product) -> Result<(Source, Mapper), FileError> {
    // A leading tab may delimit an empty column.
    if !input.skip_while(|byte| byte.is_ascii_whitespace() && byte != b'\t')? {
        return Err(FileError::Empty);
    }
    let head = std::str::from_utf8(input.fill()?).unwrap_or_default();
    let source = if head.starts_with(['[', '{']) {
        Source::Document(Document::new(input, product)?)
    } else if is_dump(head) && product.has_dumps {
        Source::Dump(Dump::new(input)?)
    } else {
        Source::Csv(Box::new(Csv::new(input, product)?))
    };
    Ok((source, product.map))
}

//! Records of a file, and the rows that they become.

use serde_json::{Map, Value};

use super::fit::fit;
use crate::domain::link::{Field, LinkInput};

/// Maximum size of a record, in bytes. A larger one is refused.
pub(super) const MAX_RECORD_BYTES: usize = 256 * 1024;

/// The field name of errors that concern the whole record.
const WHOLE_RECORD: &str = "row";

/// A link read from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The number of the record, counted from 1, without a header.
    pub number: u64,
    /// The line at which it starts, counted from 1.
    pub line: Option<u64>,
    /// The slug in the file.
    pub slug: Option<String>,
    /// The destination in the file.
    pub destination: Option<String>,
    /// The domain in the file.
    pub host: Option<String>,
    /// The cells of a CSV file, in the order of its columns.
    pub cells: Vec<String>,
    /// Changed values, by field.
    pub warnings: Vec<(String, String)>,
    /// The link without its domain; or each field that can't be mapped, and why.
    pub link: Result<LinkInput, Vec<(String, String)>>,
}

/// A record: its values by the file's field names.
pub(super) struct Record {
    pub(super) number: u64,
    pub(super) line: Option<u64>,
    /// The error is the reason why it is malformed.
    pub(super) values: Result<Map<String, Value>, String>,
    /// Its cells in the order of the columns, for CSV.
    pub(super) cells: Vec<String>,
}

/// Maps a record of a product to a link.
pub(super) type Mapper = fn(Map<String, Value>) -> Mapped;

/// The file formats of a product. Names are separated by spaces.
pub(super) struct Product {
    /// Names of the destination column.
    pub(super) destination: &'static str,
    /// The other columns that are used.
    pub(super) used: &'static str,
    /// Columns that are ignored without a warning.
    pub(super) silent: &'static str,
    /// The path to the list of links in a JSON document. A document may also be the list itself.
    pub(super) path: &'static [&'static str],
    /// The path in words, for error messages.
    pub(super) expected: &'static str,
    pub(super) map: Mapper,
    /// Whether database dumps are supported.
    pub(super) has_dumps: bool,
}

/// The result of mapping a record.
#[derive(Default)]
pub(super) struct Mapped {
    pub(super) host: Option<String>,
    /// Has the slug and destination even if the row is refused.
    pub(super) link: LinkInput,
    /// Each field that can't be mapped, and why.
    pub(super) refused: Vec<(String, String)>,
    /// Each field that is changed, and how.
    pub(super) warnings: Vec<(String, String)>,
}

impl Record {
    /// Maps the record to a row. If `has_slugs`, a record without a slug is refused instead of getting
    /// a generated one.
    pub(super) fn into_row(self, map: Mapper, has_slugs: bool) -> Row {
        let mapped = match self.values {
            Ok(values) => map(values),
            Err(reason) => {
                Mapped { refused: vec![(WHOLE_RECORD.to_owned(), reason)], ..Mapped::default() }
            }
        };
        let Mapped { host, mut link, mut refused, mut warnings } = mapped;
        if has_slugs && refused.is_empty() && !matches!(link.slug, Field::Value(_)) {
            refused
                .push(("slug".to_owned(), "is missing: the record has no short link".to_owned()));
        }
        fit(&mut link, &mut warnings);
        let found = |field: &Field<String>| match field {
            Field::Value(text) => Some(text.clone()),
            Field::Absent | Field::Null => None,
        };
        Row {
            number: self.number,
            line: self.line,
            slug: found(&link.slug),
            destination: found(&link.destination),
            host,
            cells: self.cells,
            warnings,
            link: if refused.is_empty() { Ok(link) } else { Err(refused) },
        }
    }
}

/// The error of a record that is too large.
pub(super) fn too_large() -> String {
    format!("is larger than {} KiB", MAX_RECORD_BYTES / 1024)
}

pub(super) fn object(text: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(values)) => Ok(values),
        Ok(_) => Err("is not a JSON object".to_owned()),
        Err(error) => Err(format!("is not JSON: {error}")),
    }
}

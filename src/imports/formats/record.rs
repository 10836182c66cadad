//! A record as a file holds it, and the row that it becomes.

use serde_json::{Map, Value};

use super::fit::fit;
use crate::domain::link::{Field, LinkInput};

/// The largest record, in bytes: a larger one is refused by itself.
pub(super) const MAX_RECORD_BYTES: usize = 256 * 1024;

/// The field of what is wrong with a record as a whole.
const WHOLE: &str = "row";

/// A link as a file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Which record of the file it is, counted from 1, without a header.
    pub number: u64,
    /// The line at which it begins, counted from 1.
    pub line: Option<u64>,
    /// Its slug, as found.
    pub slug: Option<String>,
    /// Where it leads, as found.
    pub destination: Option<String>,
    /// The domain that it had.
    pub host: Option<String>,
    /// What of it is taken otherwise than the file has it, by field.
    pub warnings: Vec<(String, String)>,
    /// What is asked for, its domain apart; or each field that can't be mapped, and why.
    pub link: Result<LinkInput, Vec<(String, String)>>,
}

/// One record: its values by the names that the file has for them.
pub(super) struct Record {
    pub(super) number: u64,
    pub(super) line: Option<u64>,
    /// The sentence says why it could not be taken apart.
    pub(super) values: Result<Map<String, Value>, String>,
}

/// A product's reader.
pub(super) type Mapper = fn(Map<String, Value>) -> Mapped;

/// What a product's reader makes of a record.
#[derive(Default)]
pub(super) struct Mapped {
    pub(super) host: Option<String>,
    /// Its slug and destination are there even when the row is refused.
    pub(super) link: LinkInput,
    /// Each field that can't be mapped, and why.
    pub(super) refused: Vec<(String, String)>,
    /// Each field that is taken otherwise than the file has it, and how.
    pub(super) warnings: Vec<(String, String)>,
}

impl Record {
    /// The row, by what a product's reader makes of the values. Where each link has its slug in the
    /// file, one without is refused: it would get a generated one.
    pub(super) fn into_row(self, map: Mapper, has_slugs: bool) -> Row {
        let mapped = match self.values {
            Ok(values) => map(values),
            Err(reason) => {
                Mapped { refused: vec![(WHOLE.to_owned(), reason)], ..Mapped::default() }
            }
        };
        let Mapped { host, mut link, mut refused, mut warnings } = mapped;
        if has_slugs && refused.is_empty() && !matches!(link.slug, Field::Value(_)) {
            refused
                .push(("slug".to_owned(), "is missing: no field names the short link".to_owned()));
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
            warnings,
            link: if refused.is_empty() { Ok(link) } else { Err(refused) },
        }
    }
}

/// Why a record of such a size is refused.
pub(super) fn too_large() -> String {
    format!("is larger than {} KiB", MAX_RECORD_BYTES / 1024)
}

/// The object that a text holds, or why it holds none.
pub(super) fn object(text: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(values)) => Ok(values),
        Ok(_) => Err("is not a JSON object".to_owned()),
        Err(error) => Err(format!("is not JSON: {error}")),
    }
}

//! Small files of each product, and invalid files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod bitly;
mod dub;
mod files;
mod guess;
mod kutt;
mod own;
mod random;
mod shlink;
mod yourls;

use super::{FileError, Format, Row, Rows};
use crate::domain::ids::RuleId;
use crate::domain::link::{Field, LinkContext, LinkInput, LinkPolicy, WriteMode};

fn open(format: Format, file: impl AsRef<[u8]>) -> Result<Rows, FileError> {
    let bytes = file.as_ref().to_vec();
    let total = bytes.len() as u64;
    Rows::from_reader(format, Box::new(std::io::Cursor::new(bytes)), total)
}

fn rows(format: Format, file: impl AsRef<[u8]>) -> Vec<Row> {
    let mut rows = open(format, file).map_err(|error| error.to_string()).unwrap();
    let read: Result<Vec<_>, _> = rows.by_ref().collect();
    assert_eq!(rows.bytes_read(), rows.bytes_total, "all of the file is done with");
    read.unwrap()
}

/// The error that concerns the whole file.
fn refused(format: Format, file: impl AsRef<[u8]>) -> String {
    let rows = open(format, file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    rows.map(|rows| rows.len()).unwrap_err().to_string()
}

/// The only row.
fn row(format: Format, file: impl AsRef<[u8]>) -> Row {
    let mut rows = rows(format, file);
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

fn link(format: Format, file: impl AsRef<[u8]>) -> LinkInput {
    row(format, file).link.unwrap()
}

/// The fields for which the only row is refused.
fn refused_fields(format: Format, file: impl AsRef<[u8]>) -> Vec<String> {
    row(format, file).link.unwrap_err().into_iter().map(|(field, _)| field).collect()
}

fn text(text: &str) -> Field<String> {
    Field::Value(text.to_owned())
}

fn texts(texts: &[&str]) -> Field<Vec<String>> {
    Field::Value(texts.iter().map(|text| (*text).to_owned()).collect())
}

/// Checks that the link is valid, including its routing rules.
fn assert_accepted(link: LinkInput) {
    let policy = LinkPolicy::default();
    let new_rule_id = || RuleId::new(uuid::Uuid::from_u128(1));
    let now_ms = 1_800_000_000_000;
    let context = LinkContext { policy: &policy, is_hosted: &|_| false, now_ms, new_rule_id };
    let accepted = link.accept(WriteMode::Create, Ok(String::new()), &context);
    assert_eq!(accepted.err(), None);
}

//! Errors that concern a whole file.

use std::io;

/// Why a file can't be imported, in words for the user.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// An I/O error.
    #[error("the file cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// The file is not UTF-8.
    #[error("the file is not UTF-8 text: byte {at} is invalid. Save it as UTF-8 and try again")]
    NotUtf8 {
        /// Counted from 1.
        at: u64,
    },
    /// The file is empty.
    #[error("the file is empty")]
    Empty,
    /// The first line is a link, not a header.
    #[error("the file has no header: the first line must name the columns (`slug,destination`)")]
    NoHeader,
    /// There is no destination column.
    #[error("there is no destination column: name it {names}. The header has {found}")]
    NoDestination {
        /// The accepted names.
        names: String,
        /// The names in the header.
        found: String,
    },
    /// The file ends inside a quoted field, which would contain all following rows.
    #[error(
        "the file ends inside a quoted field that begins in row {row}, at line {line}: close the quote, \
        or double the quotes within the field. Nothing was imported"
    )]
    UnclosedQuote {
        /// Counted from 1, without a header.
        row: u64,
        /// Counted from 1.
        line: u64,
    },
    /// The file is not JSON.
    #[error("the file is not JSON: {reason}, at line {line}, column {column}")]
    NotJson {
        /// The parse error.
        reason: String,
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// The JSON has another shape.
    #[error("the file has no list of links: {expected}")]
    MissingList {
        /// Where the product has the list.
        expected: &'static str,
    },
    /// The dump lacks the table of links.
    #[error("the dump has no rows of YOURLS' table of links (`yourls_url`)")]
    NoTable,
    /// The JSON document is too large to be held in memory.
    #[error("the file is too large: JSON documents may have {max_bytes} bytes")]
    TooLarge {
        /// The limit.
        max_bytes: u64,
    },
}

impl FileError {
    /// Converts a parse error, without the position that its text repeats.
    pub(super) fn not_json(error: &serde_json::Error) -> Self {
        let text = error.to_string();
        let reason = text.split(" at line ").next().unwrap_or_default().to_owned();
        Self::NotJson { reason, line: error.line(), column: error.column() }
    }
}

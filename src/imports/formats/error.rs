//! Why a file can't be read on.

use std::io;

/// What is wrong with a whole file, in words for whoever brought it.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The storage failed.
    #[error("the file cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It isn't text as we take it.
    #[error("the file is not UTF-8 text: byte {at} does not fit. Save it as UTF-8 and try again")]
    NotUtf8 {
        /// Counted from 1.
        at: u64,
    },
    /// There is nothing in it.
    #[error("the file is empty")]
    Empty,
    /// Its first line is a link already.
    #[error("the file has no header: its first line has to name the columns (`slug,destination`)")]
    NoHeader,
    /// No column says where links lead.
    #[error(
        "no column holds the destination: one has to be named {names}. The header names {found}"
    )]
    NoDestination {
        /// What it may be called.
        names: String,
        /// What there is.
        found: String,
    },
    /// It ends inside a quoted text: all that follows the quote would be one field.
    #[error(
        "the file ends inside a quoted text that begins in row {row}, at line {line}: close it \
         there, or double the quotes within it. Nothing was imported"
    )]
    UnclosedQuote {
        /// Counted from 1, without a header.
        row: u64,
        /// Counted from 1.
        line: u64,
    },
    /// It should be JSON.
    #[error("the file is not JSON: {reason}, at line {line}, column {column}")]
    NotJson {
        /// What doesn't fit.
        reason: String,
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// It is JSON, but of another shape.
    #[error("the file holds no list of links: {expected}")]
    NoList {
        /// Where the product has it.
        expected: &'static str,
    },
    /// It is a dump of something else.
    #[error("the dump holds no rows of YOURLS' table of links (`yourls_url`)")]
    NoTable,
    /// It would not fit into memory.
    #[error("the file is too large: JSON documents may have {max_bytes} bytes")]
    TooLarge {
        /// How large it may be.
        max_bytes: u64,
    },
}

impl FileError {
    /// What the JSON reader says, without the place that it repeats.
    pub(super) fn not_json(error: &serde_json::Error) -> Self {
        let said = error.to_string();
        let reason = said.split(" at line ").next().unwrap_or_default().to_owned();
        Self::NotJson { reason, line: error.line(), column: error.column() }
    }
}

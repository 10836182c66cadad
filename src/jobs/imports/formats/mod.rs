//! Parsers for files of links of other services and our own: each record becomes a [`Row`].
//!
//! A file is validated as UTF-8 (`input`) and split into records (`csv`, `lines`, `document`,
//! `sql`). Each record is mapped to a link by the module of its product (`own`, `bitly`, `dub`,
//! `shlink`, `yourls`, `kutt`). Files are streamed one record at a time, except for JSON documents,
//! which are held in memory.
//!
//! A row is refused here if it can't be mapped, or if the mapping would make a protected link
//! public. All other rules are checked when the link is created.

mod bitly;
mod csv;
mod document;
mod dub;
mod error;
mod fields;
mod fit;
mod guess;
mod input;
mod kutt;
mod lines;
mod own;
mod quotes;
mod record;
mod rows;
mod shlink;
mod shlink_rules;
mod short_link;
mod sql;
mod yourls;

use serde::{Deserialize, Serialize};

pub use error::FileError;
pub use record::Row;
pub use rows::Rows;

use crate::domain::named_enum;

named_enum! {
    /// The format of a file of links.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Format {
        /// Our own CSV, or any CSV with a header.
        Csv => "csv",
        /// Our own links, as newline-delimited JSON.
        Ndjson => "ndjson",
        /// Bitly: the app's CSV or the API's JSON.
        Bitly => "bitly",
        /// Dub: the dashboard's CSV or the API's JSON.
        Dub => "dub",
        /// Shlink: the web client's CSV or the API's JSON.
        Shlink => "shlink",
        /// YOURLS: a plugin's CSV, the API's JSON or a database dump.
        Yourls => "yourls",
        /// Kutt: the API's JSON.
        Kutt => "kutt",
    }
}

impl Format {
    /// Parses a name, case-insensitively.
    pub fn parse(word: &str) -> Option<Self> {
        Self::EVERY.iter().copied().find(|format| format.as_str().eq_ignore_ascii_case(word))
    }

    /// Detects the format of a file by its first bytes.
    pub fn guess(first_bytes: &[u8]) -> Option<Self> {
        guess::format(first_bytes)
    }
}

#[cfg(test)]
mod tests;

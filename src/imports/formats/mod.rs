//! Files of links as other services write them, and our own: each record becomes a [`Row`].
//!
//! A file comes in as checked UTF-8 (`input`), is taken apart into records (`csv`, `lines`,
//! `document`, `sql`), and each record is mapped onto a link by the one file that knows its
//! product (`own`, `bitly`, `dub`, `shlink`, `yourls`, `kutt`). What is streamed holds
//! one record at a time; only a JSON document is held whole.
//!
//! A row is refused here for what can't be mapped, and where mapping would open a link that was
//! closed. All other rules of a link are its own: whoever writes it checks them.

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

/// Where a file of links comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Our own CSV, or anybody's with a header that names the columns.
    Csv,
    /// Our own links, one JSON object a line.
    Ndjson,
    /// Bitly: the app's CSV, or its API's JSON.
    Bitly,
    /// Dub: the dashboard's CSV, or its API's JSON.
    Dub,
    /// Shlink: the web client's CSV, or its API's JSON.
    Shlink,
    /// YOURLS: a plugin's CSV, its API's JSON, or a dump of its database.
    Yourls,
    /// Kutt: its API's JSON.
    Kutt,
}

impl Format {
    /// All there are.
    pub const ALL: [Self; 7] =
        [Self::Csv, Self::Ndjson, Self::Bitly, Self::Dub, Self::Shlink, Self::Yourls, Self::Kutt];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Bitly => "bitly",
            Self::Dub => "dub",
            Self::Shlink => "shlink",
            Self::Yourls => "yourls",
            Self::Kutt => "kutt",
        }
    }

    /// The format of that word, whatever its case.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str().eq_ignore_ascii_case(word))
    }

    /// The format of a file that begins so; `None` where its header or its keys don't tell.
    pub fn guess(first_bytes: &[u8]) -> Option<Self> {
        guess::format(first_bytes)
    }
}

#[cfg(test)]
mod tests;

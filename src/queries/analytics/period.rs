//! A resolved time range.

use jiff::Timestamp;

/// A time range: from the first moment up to, and excluding, the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// `None` for no start.
    pub from: Option<Timestamp>,
    /// The end, exclusive.
    pub to: Timestamp,
}

//! Tracks the quotes of a CSV in parallel to `csv_core`, which silently accepts malformed ones.

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    FieldStart,
    Unquoted,
    Quoted,
    /// After a quote in a quoted field: its end, or the first of a doubled quote.
    Closed,
    /// Whitespace after the end of a quoted field.
    Padding,
}

/// Tracks the quotes of a record by the rules of `csv_core`.
pub(super) struct Quotes {
    delimiter: u8,
    state: State,
    line: u64,
    opened_at: u64,
    /// The line of the first text after a closing quote.
    pub(super) stray_at: Option<u64>,
}

impl Quotes {
    pub(super) const fn new(delimiter: u8) -> Self {
        Self { delimiter, state: State::FieldStart, line: 1, opened_at: 1, stray_at: None }
    }

    /// Starts a record at a line.
    pub(super) const fn begin(&mut self, line: u64) {
        (self.state, self.line, self.stray_at) = (State::FieldStart, line, None);
    }

    pub(super) fn follow(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.state = match (self.state, byte) {
                (State::FieldStart, b'"') => {
                    self.opened_at = self.line;
                    State::Quoted
                }
                (State::Quoted, b'"') => State::Closed,
                (State::Quoted, _) | (State::Closed, b'"') => State::Quoted,
                (_, b'\r' | b'\n') => State::FieldStart,
                (_, byte) if byte == self.delimiter => State::FieldStart,
                (State::Closed | State::Padding, b' ' | b'\t') => State::Padding,
                (State::Closed | State::Padding, _) => {
                    self.stray_at.get_or_insert(self.line);
                    State::Unquoted
                }
                (State::FieldStart | State::Unquoted, _) => State::Unquoted,
            };
            self.line += u64::from(byte == b'\n');
        }
    }

    /// The line of an open quote.
    pub(super) fn open_at(&self) -> Option<u64> {
        (self.state == State::Quoted).then_some(self.opened_at)
    }
}

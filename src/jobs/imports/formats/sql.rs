//! Rows of the YOURLS table of links in a database dump by `mysqldump` or phpMyAdmin: `INSERT`
//! statements with `MySQL` escapes. Everything else is skipped.

use serde_json::{Map, Value};

use super::error::FileError;
use super::input::Input;
use super::record::{MAX_RECORD_BYTES, Record, too_large};

/// The table's columns, in order of creation.
const COLUMNS: [&str; 6] = ["keyword", "url", "title", "timestamp", "ip", "clicks"];

/// Maximum number of columns.
const MAX_COLUMNS: usize = 64;

pub(super) struct Dump {
    pub(super) input: Input,
    /// The columns of the current statement; empty between statements.
    columns: Vec<String>,
    number: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Name(String),
    /// A quoted value.
    Text(String),
    /// A token that is too large.
    TooLarge,
    Symbol(u8),
}

impl Dump {
    pub(super) fn new(input: Input) -> Result<Self, FileError> {
        let mut dump = Self { input, columns: Vec::new(), number: 0 };
        if dump.find_statement()? { Ok(dump) } else { Err(FileError::NoTable) }
    }

    pub(super) fn next(&mut self) -> Result<Option<Record>, FileError> {
        loop {
            if self.columns.is_empty() && !self.find_statement()? {
                return Ok(None);
            }
            match self.token()? {
                None => return Ok(None),
                Some(Token::Symbol(b'(')) => {
                    self.number += 1;
                    let line = Some(self.input.line);
                    let values = self.values()?;
                    return Ok(Some(Record {
                        number: self.number,
                        line,
                        values,
                        cells: Vec::new(),
                    }));
                }
                Some(Token::Symbol(b',')) => {}
                Some(_) => self.columns.clear(),
            }
        }
    }

    /// Moves to the next list of values of the table; `false` if there is none.
    fn find_statement(&mut self) -> Result<bool, FileError> {
        let mut words = [const { String::new() }; 2];
        while let Some(token) = self.token()? {
            let (is_insert, is_into) =
                (words[0].eq_ignore_ascii_case("insert"), words[1].eq_ignore_ascii_case("into"));
            match token {
                Token::Name(name) | Token::Word(name) if is_insert && is_into => {
                    let table = name.to_ascii_lowercase();
                    if (table == "url" || table.ends_with("_url")) && self.find_values()? {
                        return Ok(true);
                    }
                    words = Default::default();
                }
                Token::Word(word) if word.eq_ignore_ascii_case("ignore") => {}
                Token::Word(word) => {
                    words.rotate_left(1);
                    words[1] = word;
                }
                _ => words = Default::default(),
            }
        }
        Ok(false)
    }

    /// Reads the column names of a statement, up to its values.
    fn find_values(&mut self) -> Result<bool, FileError> {
        let mut columns = Vec::new();
        while let Some(token) = self.token()? {
            match token {
                Token::Word(word) if word.eq_ignore_ascii_case("values") => {
                    let all = || COLUMNS.map(str::to_owned).to_vec();
                    self.columns = if columns.is_empty() { all() } else { columns };
                    return Ok(true);
                }
                Token::Name(name) | Token::Word(name) if columns.len() < MAX_COLUMNS => {
                    columns.push(name);
                }
                Token::Symbol(b'(' | b')' | b',') => {}
                _ => return Ok(false),
            }
        }
        Ok(false)
    }

    /// The values up to the closing bracket.
    fn values(&mut self) -> Result<Result<Map<String, Value>, String>, FileError> {
        let (mut values, mut bytes, mut wrong) = (vec![None], 0, None);
        loop {
            match self.token()? {
                None | Some(Token::Symbol(b')')) => break,
                Some(Token::Symbol(b',')) if values.len() <= MAX_COLUMNS => values.push(None),
                Some(Token::Symbol(_)) => wrong = Some("has more than values".to_owned()),
                Some(Token::TooLarge) => wrong = Some(too_large()),
                Some(Token::Word(word)) if word.eq_ignore_ascii_case("null") => {}
                Some(Token::Word(text) | Token::Name(text) | Token::Text(text)) => {
                    bytes += text.len();
                    if bytes > MAX_RECORD_BYTES {
                        wrong = Some(too_large());
                    } else if let Some(value) = values.last_mut() {
                        *value = Some(text);
                    }
                }
            }
        }
        if let Some(reason) = wrong {
            return Ok(Err(reason));
        }
        let (found, expected) = (values.len(), self.columns.len());
        if found != expected {
            return Ok(Err(format!("has {found} values where the table has {expected} columns")));
        }
        let named = self.columns.iter().zip(values);
        let named = named.filter_map(|(name, value)| Some((name.clone(), value?.into())));
        Ok(Ok(named.collect()))
    }

    fn token(&mut self) -> Result<Option<Token>, FileError> {
        loop {
            self.input.skip_while(|byte| byte.is_ascii_whitespace())?;
            let piece = self.input.fill()?;
            match (piece.first().copied(), piece.get(1).copied()) {
                (None, _) => return Ok(None),
                (Some(b'#'), _) | (Some(b'-'), Some(b'-')) => {
                    self.input.skip_while(|byte| byte != b'\n')?;
                }
                (Some(b'/'), Some(b'*')) => self.skip_comment()?,
                (Some(quote @ (b'\'' | b'"' | b'`')), _) => return self.quoted(quote).map(Some),
                (Some(byte), _) if is_letter(byte) => return self.word().map(Some),
                (Some(byte), _) => {
                    self.input.consume(1);
                    return Ok(Some(Token::Symbol(byte)));
                }
            }
        }
    }

    fn skip_comment(&mut self) -> Result<(), FileError> {
        self.input.consume(2);
        while self.input.skip_while(|byte| byte != b'*')? {
            self.input.consume(1);
            if self.input.fill()?.first() == Some(&b'/') {
                self.input.consume(1);
                break;
            }
        }
        Ok(())
    }

    fn word(&mut self) -> Result<Token, FileError> {
        let mut word = Vec::new();
        while let Some(byte) = self.input.fill()?.first().copied().filter(|byte| is_letter(*byte)) {
            self.input.consume(1);
            push(&mut word, byte);
        }
        Ok(finished(&word, Token::Word))
    }

    fn quoted(&mut self, quote: u8) -> Result<Token, FileError> {
        let mut text = Vec::new();
        // `number` already includes the current row.
        let unclosed = FileError::UnclosedQuote { row: self.number, line: self.input.line };
        self.input.consume(1);
        loop {
            let Some(byte) = self.input.fill()?.first().copied() else { return Err(unclosed) };
            self.input.consume(1);
            if byte == quote {
                // A doubled quote is a literal quote.
                if self.input.fill()?.first() != Some(&quote) {
                    break;
                }
                self.input.consume(1);
                push(&mut text, quote);
            } else if byte == b'\\' && quote != b'`' {
                let Some(escaped) = self.input.fill()?.first().copied() else {
                    return Err(unclosed);
                };
                self.input.consume(1);
                push(&mut text, unescaped(escaped));
            } else {
                push(&mut text, byte);
            }
        }
        Ok(finished(&text, if quote == b'`' { Token::Name } else { Token::Text }))
    }
}

const fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$' | b'+' | b'-') || byte >= 0x80
}

/// Resolves an escape sequence (`MySQL` manual, "String Literals").
const fn unescaped(letter: u8) -> u8 {
    match letter {
        b'0' => 0,
        b'b' => 8,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'Z' => 26,
        other => other,
    }
}

/// Appends a byte, up to one more than the limit, by which `finished` detects the excess.
fn push(text: &mut Vec<u8>, byte: u8) {
    if text.len() <= MAX_RECORD_BYTES {
        text.push(byte);
    }
}

fn finished(text: &[u8], token: fn(String) -> Token) -> Token {
    if text.len() > MAX_RECORD_BYTES {
        return Token::TooLarge;
    }
    token(String::from_utf8_lossy(text).into_owned())
}

//! Which clicks a question is about.

use regex::Regex;
use uuid::Uuid;

use super::dimension::Dimension;

/// How deep conditions may be nested.
pub const MAX_DEPTH: usize = 8;
/// How many conditions one question may have.
pub const MAX_CONDITIONS: usize = 100;
/// How many values one condition may list: the statistics of 10,000 links are one question.
pub const MAX_VALUES: usize = 10_000;
/// How long a value may be, in bytes.
pub const MAX_VALUE_BYTES: usize = 2_048;
/// How much text the conditions of one question may hold in all, in bytes as ClickHouse is sent it.
pub const MAX_TEXT_BYTES: usize = 400 << 10;
/// How long a pattern may be, in bytes.
const MAX_PATTERN_BYTES: usize = 200;

/// A condition, or some of them.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// Each of them holds; of none: true.
    And(Vec<Self>),
    /// One of them holds; of none: false.
    Or(Vec<Self>),
    /// It doesn't hold.
    Not(Box<Self>),
    /// One condition.
    Is(Condition),
}

/// One condition on one dimension.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// On what.
    pub dimension: Dimension,
    /// Which.
    pub test: Test,
}

/// What is asked of a dimension's value. An unknown value is the empty text.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// It is one of these texts.
    In(Vec<String>),
    /// The link is one of these.
    Links(Vec<Uuid>),
    /// It contains this text, whatever the case.
    Contains(String),
    /// It matches this pattern (RE2), somewhere.
    Matches(String),
    /// It is known.
    IsSet,
}

impl Condition {
    /// The value is one of these.
    ///
    /// # Errors
    /// A sentence that says what is wrong with them.
    pub fn is_in(dimension: Dimension, values: Vec<String>) -> Result<Self, String> {
        if values.len() > MAX_VALUES {
            return Err(format!("must not list more than {MAX_VALUES} values"));
        }
        for value in &values {
            bounded(value, MAX_VALUE_BYTES)?;
        }
        let words: &[&str] = match dimension {
            Dimension::Bot => &["true", "false"],
            Dimension::Trigger => &["link", "qr"],
            _ => &[],
        };
        if let Some(odd) = values.iter().find(|value| !words.is_empty() && !is_word(words, value)) {
            return Err(format!("must be one of {}, not `{odd}`", words.join(", ")));
        }
        let test = match dimension {
            Dimension::Time => return Err("is given by the date range".to_owned()),
            Dimension::Link => {
                let ids = values.iter().map(|value| Uuid::parse_str(value).ok());
                Test::Links(ids.collect::<Option<_>>().ok_or("must be links")?)
            }
            _ => Test::In(values),
        };
        Ok(Self { dimension, test })
    }

    /// The value contains a text.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn contains(dimension: Dimension, text: String) -> Result<Self, String> {
        Self::of_text(dimension)?;
        bounded(&text, MAX_VALUE_BYTES)?;
        Ok(Self { dimension, test: Test::Contains(text) })
    }

    /// The value matches a pattern.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn matches(dimension: Dimension, pattern: String) -> Result<Self, String> {
        Self::of_text(dimension)?;
        bounded(&pattern, MAX_PATTERN_BYTES)?;
        // RE2 and this one agree on nearly all; where RE2 refuses it still, ClickHouse says so.
        Regex::new(&pattern).map_err(|_| "is not a regular expression that RE2 takes")?;
        Ok(Self { dimension, test: Test::Matches(pattern) })
    }

    fn of_text(dimension: Dimension) -> Result<(), String> {
        if dimension.is_text() {
            return Ok(());
        }
        Err(format!("can't be used with {}: only is, is_not, in and is_set", dimension.as_str()))
    }
}

fn is_word(words: &[&str], value: &str) -> bool {
    words.contains(&value)
}

fn bounded(text: &str, max: usize) -> Result<(), String> {
    if text.len() > max { Err(format!("must not be longer than {max} bytes")) } else { Ok(()) }
}

impl Filter {
    /// How much text its conditions hold, in bytes.
    pub fn text_bytes(&self) -> usize {
        let of = |condition: &Condition| match &condition.test {
            Test::In(values) => values.iter().map(|value| wire_bytes(value) + 9).sum(),
            Test::Links(links) => links.len() * 40,
            Test::Contains(text) | Test::Matches(text) => wire_bytes(text),
            Test::IsSet => 0,
        };
        self.conditions().map(of).sum()
    }

    /// The conditions in it.
    pub fn conditions(&self) -> Box<dyn Iterator<Item = &Condition> + '_> {
        match self {
            Self::Is(condition) => Box::new(std::iter::once(condition)),
            Self::Not(one) => one.conditions(),
            Self::And(each) | Self::Or(each) => Box::new(each.iter().flat_map(Self::conditions)),
        }
    }
}

/// How many bytes a text takes at most on its way: most letters stand for themselves, the others
/// are escaped.
fn wire_bytes(text: &str) -> usize {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
    let others = text.bytes().filter(|byte| !plain(byte)).count();
    text.len() + 2 * others
}

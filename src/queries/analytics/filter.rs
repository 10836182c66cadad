//! Filters: which clicks a query is about.

use regex::Regex;
use uuid::Uuid;

use super::dimension::Dimension;
use crate::domain::click::BotReason;
use crate::domain::country;
use crate::domain::ids::{CampaignId, QrCodeId};
use crate::domain::link::folded;
use crate::domain::nearest::hint;

/// The maximum nesting depth of conditions.
pub const MAX_DEPTH: usize = 8;
/// The maximum number of conditions in a query.
pub const MAX_CONDITIONS: usize = 100;
/// The maximum number of values in a condition: the statistics of 10,000 links are one query.
pub const MAX_VALUES: usize = 10_000;
/// The maximum length of a value, in bytes.
pub const MAX_VALUE_BYTES: usize = 2_048;
/// The maximum total text in a query's conditions, in bytes as sent to ClickHouse.
pub const MAX_TEXT_BYTES: usize = 400 << 10;
/// The maximum length of a pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 200;

/// A condition, or a combination of conditions.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All hold; true if empty.
    And(Vec<Self>),
    /// At least one holds; false if empty.
    Or(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
    /// One condition.
    Is(Condition),
}

/// One condition on one dimension.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// The dimension.
    pub dimension: Dimension,
    /// The test.
    pub test: Test,
}

/// A test of a dimension's value. An unknown value is the empty text.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// It is one of these texts.
    In(Vec<String>),
    /// The link is one of these.
    Links(Vec<Uuid>),
    /// It contains this text, ignoring case.
    Contains(String),
    /// It contains a match of this pattern (RE2).
    Matches(String),
    /// It is known.
    IsSet,
}

impl Condition {
    /// The value is one of these.
    ///
    /// # Errors
    /// A message that says which limit the values break.
    pub fn is_in(dimension: Dimension, values: Vec<String>) -> Result<Self, String> {
        if values.len() > MAX_VALUES {
            return Err(format!("must not list more than {MAX_VALUES} values"));
        }
        for value in &values {
            bounded(value, MAX_VALUE_BYTES)?;
        }
        for value in &values {
            known(dimension, value)?;
        }
        let (ids, is_id): (_, fn(&str) -> bool) = match dimension {
            Dimension::QrCode => ("QR codes' ids (`qr_…`)", |id| id.parse::<QrCodeId>().is_ok()),
            Dimension::Campaign => {
                ("campaigns' ids (`camp_…`)", |id| id.parse::<CampaignId>().is_ok())
            }
            _ => ("", |_| true),
        };
        if let Some(odd) = values.iter().find(|value| !value.is_empty() && !is_id(value)) {
            return Err(format!("must be {ids}, which `{odd}` is not"));
        }
        let test = match dimension {
            Dimension::Tag => Test::In(values.iter().map(|tag| folded(tag)).collect()),
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
    /// A message that says which limit the text breaks.
    pub fn contains(dimension: Dimension, text: String) -> Result<Self, String> {
        Self::of_text(dimension)?;
        bounded(&text, MAX_VALUE_BYTES)?;
        Ok(Self { dimension, test: Test::Contains(text) })
    }

    /// The value matches a pattern.
    ///
    /// # Errors
    /// A message that says what is wrong with the pattern.
    pub fn matches(dimension: Dimension, pattern: String) -> Result<Self, String> {
        Self::of_text(dimension)?;
        bounded(&pattern, MAX_PATTERN_BYTES)?;
        // RE2 and this engine agree on nearly all patterns; ClickHouse reports the rest.
        Regex::new(&pattern).map_err(|_| "is not a valid RE2 regular expression")?;
        Ok(Self { dimension, test: Test::Matches(pattern) })
    }

    fn of_text(dimension: Dimension) -> Result<(), String> {
        if dimension.is_text() {
            return Ok(());
        }
        Err(format!("cannot be used with {}: use is, is_not, in or is_set", dimension.as_str()))
    }
}

/// Links that were in one of these folders or below when they were clicked.
///
/// # Errors
/// As [`Condition::is_in`].
pub fn in_or_below(folders: Vec<String>) -> Result<Filter, String> {
    let known = folders.iter().filter(|folder| !folder.is_empty());
    let escaped: Vec<_> = known.map(|folder| regex::escape(folder)).collect();
    let mut each = vec![Filter::Is(Condition::is_in(Dimension::Folder, folders)?)];
    if !escaped.is_empty() {
        let test = Test::Matches(format!("^(?:{})/", escaped.join("|")));
        each.push(Filter::Is(Condition { dimension: Dimension::Folder, test }));
    }
    Ok(Filter::Or(each))
}

/// A value of a dimension that has few. The empty text stands for an unknown value.
fn known(dimension: Dimension, value: &str) -> Result<(), String> {
    let words = match dimension {
        Dimension::Bot => vec!["true", "false"],
        Dimension::Trigger => vec!["link", "qr"],
        Dimension::Device => vec!["desktop", "mobile", "tablet", "bot", "other", ""],
        Dimension::Continent => vec!["AF", "AN", "AS", "EU", "NA", "OC", "SA", ""],
        Dimension::BotReason => BotReason::EVERY.iter().map(|reason| reason.as_str()).collect(),
        Dimension::LinkVersion if value.parse::<u32>().is_ok() => return Ok(()),
        Dimension::LinkVersion => return Err(format!("must be numbers, which `{value}` is not")),
        Dimension::Language if is_subtag(value) => return Ok(()),
        Dimension::Language => {
            let rule = "must be primary subtags of languages, such as `de`, which";
            return Err(format!("{rule} `{value}` is not"));
        }
        Dimension::Country if country::is_code(value) || value.is_empty() => return Ok(()),
        Dimension::Country => {
            let meant = country::code_near(value).map(|code| format!("; did you mean `{code}`?"));
            let meant = meant.unwrap_or_default();
            return Err(format!("must be codes of countries, which `{value}` is not{meant}"));
        }
        _ => return Ok(()),
    };
    if words.contains(&value) {
        return Ok(());
    }
    let shown: Vec<_> = words.iter().copied().filter(|word| !word.is_empty()).collect();
    let continent = (dimension == Dimension::Continent).then(|| country::continent_near(value));
    let hint = match continent.flatten() {
        Some(code) => format!("; did you mean `{code}`?"),
        None => hint(value, shown.iter().copied()),
    };
    Err(format!("must be one of {}, not `{value}`{hint}", shown.join(", ")))
}

/// Whether a text is a primary subtag as it is stored, RFC 5646 section 2.2.1, or none.
fn is_subtag(text: &str) -> bool {
    text.is_empty() || matches!(text.len(), 2..=3) && text.bytes().all(|b| b.is_ascii_lowercase())
}

fn bounded(text: &str, max: usize) -> Result<(), String> {
    if text.len() > max { Err(format!("must not be longer than {max} bytes")) } else { Ok(()) }
}

impl Filter {
    /// The total size of the text in the conditions, in bytes.
    pub fn text_bytes(&self) -> usize {
        let of = |condition: &Condition| match &condition.test {
            Test::In(values) => values.iter().map(|value| wire_bytes(value) + 9).sum(),
            Test::Links(links) => links.len() * 40,
            Test::Contains(text) | Test::Matches(text) => wire_bytes(text),
            Test::IsSet => 0,
        };
        self.conditions().map(of).sum()
    }

    /// All conditions in the filter.
    pub fn conditions(&self) -> Box<dyn Iterator<Item = &Condition> + '_> {
        match self {
            Self::Is(condition) => Box::new(std::iter::once(condition)),
            Self::Not(one) => one.conditions(),
            Self::And(each) | Self::Or(each) => Box::new(each.iter().flat_map(Self::conditions)),
        }
    }
}

/// The maximum size of a text on the wire: most characters are sent as they are, the others
/// percent-encoded.
fn wire_bytes(text: &str) -> usize {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
    let others = text.bytes().filter(|byte| !plain(byte)).count();
    text.len() + 2 * others
}

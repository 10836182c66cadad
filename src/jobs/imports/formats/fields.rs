//! Access to the values of a record by a product's field names.
//!
//! Any value may be a string, as all CSV values are. Names are compared without regard to case,
//! spaces, dashes and underscores: `longUrl`, `long_url` and `Long URL` are the same.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::record::Mapped;
use super::short_link::ShortLink;
use crate::domain::link::{Field, LinkInput, Password};

/// The normalized form of a name.
pub(super) fn folded(name: &str) -> String {
    let letters = name.chars().filter(|letter| !matches!(letter, ' ' | '_' | '-'));
    letters.flat_map(char::to_lowercase).collect()
}

/// Converts an optional value to a field of a link.
pub(super) fn field<T>(value: Option<T>) -> Field<T> {
    value.map_or(Field::Absent, Field::Value)
}

/// The values of a record.
pub(super) struct Fields {
    values: Map<String, Value>,
    /// The reasons to refuse the row.
    pub(super) refused: Vec<(String, String)>,
    warnings: Vec<(String, String)>,
}

impl Fields {
    pub(super) fn new(values: Map<String, Value>) -> Self {
        let values = values.into_iter().map(|(name, value)| (folded(&name), value));
        Self { values: values.collect(), refused: Vec::new(), warnings: Vec::new() }
    }

    /// Adds a reason to refuse the row.
    pub(super) fn refuse(&mut self, name: &str, reason: impl Into<String>) {
        self.refused.push((name.to_owned(), reason.into()));
    }

    /// Adds a warning about a value that is changed.
    pub(super) fn warn(&mut self, name: &str, text: impl Into<String>) {
        self.warnings.push((name.to_owned(), text.into()));
    }

    /// The link, with the row's errors and warnings.
    pub(super) fn into_mapped(self, host: Option<String>, link: LinkInput) -> Mapped {
        Mapped { host, link, refused: self.refused, warnings: self.warnings }
    }

    /// A full short link; empty if absent.
    pub(super) fn short_link(&mut self, names: &str) -> ShortLink {
        self.text(names).as_deref().map(ShortLink::parse).unwrap_or_default()
    }

    /// The first value among these names (words) that is neither null nor blank.
    pub(super) fn take<'n>(&mut self, names: &'n str) -> Option<(&'n str, Value)> {
        let is_set = |value: &Value| match value {
            Value::Null => false,
            Value::String(text) => !text.trim().is_empty(),
            _ => true,
        };
        names.split_ascii_whitespace().find_map(|name| {
            let value = self.values.remove(&folded(name)).filter(|value| is_set(value))?;
            Some((name, value))
        })
    }

    pub(super) fn object(&mut self, name: &str) -> Option<Map<String, Value>> {
        match self.take(name)? {
            (_, Value::Object(values)) => Some(values),
            // PHP writes an empty object as an empty array.
            (_, Value::Array(values)) if values.is_empty() => None,
            (name, _) => {
                self.refuse(name, "must be an object");
                None
            }
        }
    }

    pub(super) fn list(&mut self, name: &str) -> Vec<Value> {
        match self.take(name) {
            None => Vec::new(),
            Some((_, Value::Array(values))) => values,
            Some((name, _)) => {
                self.refuse(name, "must be a list");
                Vec::new()
            }
        }
    }

    /// A trimmed string.
    pub(super) fn text(&mut self, names: &str) -> Option<String> {
        match self.take(names)? {
            (_, Value::String(text)) => Some(text.trim().to_owned()),
            (_, Value::Number(number)) => Some(number.to_string()),
            (name, _) => {
                self.refuse(name, "must be a string");
                None
            }
        }
    }

    pub(super) fn flag(&mut self, names: &str) -> Option<bool> {
        let (name, value) = self.take(names)?;
        let flag = match &value {
            Value::Bool(flag) => Some(*flag),
            Value::Number(number) => as_flag(&number.to_string()),
            Value::String(text) => as_flag(text),
            _ => None,
        };
        if flag.is_none() {
            self.refuse(name, "must be true or false");
        }
        flag
    }

    pub(super) fn number(&mut self, names: &str) -> Option<u64> {
        let (name, value) = self.take(names)?;
        let number = match &value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        if number.is_none() {
            self.refuse(name, "must be a whole number");
        }
        number
    }

    /// A timestamp, in ISO 8601.
    pub(super) fn timestamp(&mut self, names: &str) -> Option<String> {
        let (name, value) = self.take(names)?;
        let moment = value.as_str().and_then(as_timestamp);
        if moment.is_none() {
            self.refuse(name, "must be a date and time (2026-12-01T00:00:00Z)");
        }
        moment
    }

    /// Tags: a list of names or of objects with a `name`, or a string separated by `separator`.
    pub(super) fn tags(&mut self, names: &str, separator: char) -> Option<Vec<String>> {
        let (name, value) = self.take(names)?;
        let tags = match value {
            Value::String(text) => Some(split_tags(&text, separator)),
            Value::Array(tags) => tags.iter().map(as_tag).collect(),
            _ => None,
        };
        if tags.is_none() {
            self.refuse(name, "must be a list of names");
        }
        tags
    }

    /// The password. A protected link without its password in the file is refused: it would become
    /// public.
    pub(super) fn password(&mut self, name: &str, flag_name: &str) -> Option<Password> {
        const HIDDEN: &str = "the link has a password that is not in the file: importing it would make it public. \
        Create it manually, with a password";
        let is_protected = self.flag(flag_name).unwrap_or(false);
        match self.take(name) {
            Some((_, Value::String(text))) if !is_hash_or_mask(&text) => {
                Some(Password::Chosen(text))
            }
            None | Some((_, Value::Bool(false))) if !is_protected => None,
            _ => {
                self.refuse(name, HIDDEN);
                None
            }
        }
    }
}

/// Whether a text stands in for a password: a mask, a flag or a hash.
fn is_hash_or_mask(text: &str) -> bool {
    let is_masked = text.chars().all(|letter| matches!(letter, '*' | '•' | '●' | '·'));
    let is_word = matches!(text.trim().to_ascii_lowercase().as_str(), "true" | "false");
    let begins = ["$2a$", "$2b$", "$2y$", "$argon2", "$scrypt", "$pbkdf2"];
    is_masked || is_word || begins.iter().any(|begin| text.starts_with(begin))
}

fn as_tag(tag: &Value) -> Option<String> {
    let name = tag.get("name").unwrap_or(tag);
    name.as_str().map(|name| name.trim().to_owned())
}

/// The non-blank tags in a text.
pub(super) fn split_tags(text: &str, separator: char) -> Vec<String> {
    let tags = text.split(separator).map(str::trim).filter(|tag| !tag.is_empty());
    tags.map(str::to_owned).collect()
}

/// Parses a boolean as written in tables.
pub(super) fn as_flag(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Some(true),
        "false" | "0" | "no" => Some(false),
        _ => None,
    }
}

/// Parses a timestamp; defaults to UTC and midnight.
pub(super) fn as_timestamp(text: &str) -> Option<String> {
    let text = text.trim();
    if text.parse::<jiff::Timestamp>().is_ok() {
        return Some(text.to_owned());
    }
    let moment = text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?;
    Some(moment.timestamp().to_string())
}

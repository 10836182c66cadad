//! The crawler list: patterns by which monitors, libraries and crawlers are known.
//!
//! The list is the `crawler-user-agents` JSON (<https://github.com/monperrus/crawler-user-agents>):
//! an array of objects whose `pattern` is a regular expression, case-sensitive, to be found
//! anywhere in a user agent. Nearly all of its 1,500 patterns are plain texts. These are looked up by
//! their first three bytes at each place of the user agent. One automaton of all would match
//! faster, but remembers megabytes of states for each thread.

use std::collections::HashMap;
use std::path::Path;

use regex::bytes::{RegexBuilder, RegexSet, RegexSetBuilder};
use serde::Deserialize;

/// How many bytes of a plain pattern are its key.
const KEY_LEN: usize = 3;

/// What the list's regular expressions, its few patterns that aren't plain, may take when
/// compiled, in bytes: far more than they do.
const COMPILED_LIMIT: usize = 4 << 20;

/// What each thread that matches may remember of the automaton, in bytes.
const REMEMBERED_LIMIT: usize = 256 << 10;

/// Why a crawler list can't be used.
#[derive(Debug, thiserror::Error)]
pub enum BotListError {
    /// The file can't be read.
    #[error("can't read the crawler list: {0}")]
    Unreadable(#[from] std::io::Error),
    /// It isn't an array of objects that have a `pattern`.
    #[error("the crawler list isn't of the form [{{\"pattern\": …}}, …]: {0}")]
    Malformed(#[from] serde_json::Error),
    /// It has no pattern that can be used.
    #[error("the crawler list has no usable pattern")]
    Empty,
    /// The patterns are too large together.
    #[error("the crawler list can't be compiled: {0}")]
    TooLarge(#[from] regex::Error),
}

#[derive(Deserialize)]
struct Entry {
    pattern: String,
}

/// A pattern that is a plain text.
struct Plain {
    text: Box<[u8]>,
    pattern: Box<str>,
}

/// A compiled crawler list. The default one knows no crawler.
#[derive(Default)]
pub struct BotList {
    plain: HashMap<[u8; KEY_LEN], Vec<Plain>>,
    expressions: RegexSet,
}

impl BotList {
    /// Reads and compiles a list file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, BotListError> {
        Self::from_json(&std::fs::read_to_string(path)?)
    }

    /// Compiles a list. A pattern that is no regular expression is left out with a warning.
    pub fn from_json(json: &str) -> Result<Self, BotListError> {
        let entries: Vec<Entry> = serde_json::from_str(json)?;
        let mut plain: HashMap<_, Vec<_>> = HashMap::new();
        let mut expressions = Vec::new();
        for Entry { pattern } in entries {
            if let Some((key, text)) = plain_text(&pattern) {
                let pattern = pattern.into_boxed_str();
                plain.entry(key).or_default().push(Plain { text, pattern });
            } else if let Err(error) = RegexBuilder::new(&pattern).unicode(false).build() {
                tracing::warn!(pattern, %error, "a pattern of the crawler list is left out");
            } else if pattern.is_empty() {
                tracing::warn!("an empty pattern of the crawler list is left out");
            } else {
                expressions.push(pattern);
            }
        }
        if plain.is_empty() && expressions.is_empty() {
            return Err(BotListError::Empty);
        }
        let expressions = RegexSetBuilder::new(expressions)
            .unicode(false)
            .size_limit(COMPILED_LIMIT)
            .dfa_size_limit(REMEMBERED_LIMIT)
            .build()?;
        Ok(Self { plain, expressions })
    }

    /// The pattern that a user agent is known by.
    pub fn matches(&self, user_agent: &str) -> Option<&str> {
        let text = user_agent.as_bytes();
        let plain = text.windows(KEY_LEN).enumerate().find_map(|(at, key)| {
            let candidates = self.plain.get(key)?;
            candidates.iter().find(|candidate| text[at..].starts_with(&candidate.text))
        });
        if let Some(Plain { pattern, .. }) = plain {
            return Some(pattern);
        }
        // Whether any matches is far cheaper to know than which: most match none.
        if !self.expressions.is_match(text) {
            return None;
        }
        let index = self.expressions.matches(text).iter().next()?;
        self.expressions.patterns().get(index).map(String::as_str)
    }
}

/// The text that a pattern stands for, and its key, when it has no operators and isn't too
/// short for a key. An escaped sign (`\/`, `\.`) is itself; an escaped letter or digit is a class.
fn plain_text(pattern: &str) -> Option<([u8; KEY_LEN], Box<[u8]>)> {
    let mut text = Vec::with_capacity(pattern.len());
    let mut bytes = pattern.bytes();
    while let Some(byte) = bytes.next() {
        text.push(match byte {
            b'\\' => bytes.next().filter(u8::is_ascii_punctuation)?,
            b'.' | b'^' | b'$' | b'*' | b'+' | b'?' | b'(' | b')' | b'[' | b']' | b'{' | b'}'
            | b'|' => {
                return None;
            }
            plain => plain,
        });
    }
    let key = *text.first_chunk()?;
    Some((key, text.into_boxed_slice()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_user_agent_is_known_by_a_pattern_of_either_kind() {
        let list = BotList::from_json(
            r#"[
                {"pattern": "Googlebot\\/", "instances": ["Googlebot/2.1"]},
                {"pattern": "facebookexternalhit"},
                {"pattern": "^curl"},
                {"pattern": "[wW]get"},
                {"pattern": "AdsBot-Google([^-]|$)"},
                {"pattern": "mail\\.ru"},
                {"pattern": "Current[\\s\\S]*RSS Reader"},
                {"pattern": "Feeder \\/"},
                {"pattern": "W3"}
            ]"#,
        )
        .unwrap();
        for (user_agent, pattern) in [
            (
                "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
                Some("Googlebot\\/"),
            ),
            ("facebookexternalhit/1.1", Some("facebookexternalhit")),
            ("curl/8.5.0", Some("^curl")),
            ("libcurl-agent/1.0", None),
            ("Wget/1.21", Some("[wW]get")),
            ("AdsBot-Google", Some("AdsBot-Google([^-]|$)")),
            ("AdsBot-Google-Mobile", None),
            ("Mozilla/5.0 (http://mail.ru/)", Some("mail\\.ru")),
            ("Mozilla/5.0 mailXru", None),
            ("Current 1.0 \u{e9} RSS Reader", Some("Current[\\s\\S]*RSS Reader")),
            ("W3", Some("W3")),
            ("googlebot/2.1", None),
            ("Goo", None),
            ("", None),
        ] {
            assert_eq!(list.matches(user_agent), pattern, "{user_agent}");
        }
    }

    #[test]
    fn a_pattern_that_is_no_expression_is_left_out() {
        let list =
            BotList::from_json(r#"[{"pattern": "(oops"}, {"pattern": ""}, {"pattern": "^ok"}]"#)
                .unwrap();
        assert_eq!(list.matches("(oops"), None);
        assert_eq!(list.matches("ok"), Some("^ok"));
    }

    #[test]
    fn a_list_without_patterns_is_an_error() {
        for json in ["[]", r#"[{"pattern": "("}]"#] {
            assert!(matches!(BotList::from_json(json), Err(BotListError::Empty)), "{json}");
        }
        for json in ["", "{}", r#"[{"name": "x"}]"#, "[1]"] {
            assert!(matches!(BotList::from_json(json), Err(BotListError::Malformed(_))), "{json}");
        }
        assert!(matches!(BotList::load("/nonexistent.json"), Err(BotListError::Unreadable(_))));
        assert_eq!(BotList::default().matches("Googlebot/2.1"), None);
    }

    #[test]
    fn the_list_of_a_file_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), r#"[{"pattern": "examplebot"}]"#).unwrap();
        assert_eq!(
            BotList::load(file.path()).unwrap().matches("an examplebot"),
            Some("examplebot")
        );
    }
}

//! The crawler list: patterns by which monitors, libraries and crawlers are known.
//!
//! The list is the `crawler-user-agents` JSON (<https://github.com/monperrus/crawler-user-agents>):
//! an array of objects whose `pattern` is a regular expression, case-sensitive, to be found
//! anywhere in a user agent. Nearly all of its 1,500 patterns are plain texts: only where a user
//! agent has three bytes that one of them begins with are they looked up, all in one automaton.
//! The rest are [`Expressions`]. So a user agent that was never seen costs about a microsecond,
//! and one of 1,024 bytes that is made of the beginnings of plain texts about twenty.

use std::path::Path;

use aho_corasick::{AhoCorasick, Anchored, Input, MatchKind, StartKind};
use serde::Deserialize;

use super::regex_patterns::{Expressions, compiled};

/// A plain pattern that is shorter is an expression: it says so little that all longer ones go
/// first.
const PLAIN_MIN: usize = 3;

/// How many words of bits say with what the plain texts begin: 8 KiB, which stay near the
/// processor.
const BEGINNINGS_LEN: usize = 1024;

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
    /// Its plain texts are too large together.
    #[error("the crawler list's texts can't be compiled: {0}")]
    TextsTooLarge(#[from] aho_corasick::BuildError),
}

#[derive(Deserialize)]
struct Entry {
    pattern: String,
}

/// With which bytes the plain texts begin. It may take others for a beginning too, one in
/// seventy by the list as it is: it has a bit for each value of a hash of them.
struct Beginnings(Box<[u64; BEGINNINGS_LEN]>);

impl Beginnings {
    fn of<'a>(texts: impl Iterator<Item = &'a [u8; PLAIN_MIN]>) -> Self {
        let mut words = Box::new([0; BEGINNINGS_LEN]);
        for begin in texts {
            let (word, bit) = Self::place(*begin);
            words[word] |= bit;
        }
        Self(words)
    }

    fn may_have(&self, begin: &[u8]) -> bool {
        let Some((word, bit)) = begin.first_chunk().copied().map(Self::place) else { return false };
        self.0[word] & bit != 0
    }

    /// A word and its bit, by a multiplicative hash of 16 bits.
    fn place([a, b, c]: [u8; PLAIN_MIN]) -> (usize, u64) {
        let hash = u32::from_le_bytes([a, b, c, 0]).wrapping_mul(0x9E37_79B1) >> 16;
        (hash as usize / 64 % BEGINNINGS_LEN, 1 << (hash % 64))
    }
}

/// The patterns that are plain texts.
struct Plain {
    patterns: Vec<Box<str>>,
    beginnings: Beginnings,
    /// Tells which texts stand at a place: of several the list's first.
    texts: AhoCorasick,
}

impl Plain {
    /// Of pairs of text and pattern.
    fn new(listed: Vec<(Vec<u8>, String)>) -> Result<Self, BotListError> {
        let beginnings = Beginnings::of(listed.iter().filter_map(|(text, _)| text.first_chunk()));
        let texts = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostFirst)
            .start_kind(StartKind::Anchored)
            .build(listed.iter().map(|(text, _)| text))?;
        let patterns = listed.into_iter().map(|(_, pattern)| pattern.into_boxed_str()).collect();
        Ok(Self { patterns, beginnings, texts })
    }

    /// The pattern whose text begins first.
    fn first_match(&self, text: &[u8]) -> Option<&str> {
        let at =
            |place: usize| self.texts.find(Input::new(text).range(place..).anchored(Anchored::Yes));
        let found = (0..)
            .zip(text.windows(PLAIN_MIN))
            .filter(|(_, begin)| self.beginnings.may_have(begin))
            .find_map(|(place, _)| at(place))?;
        self.patterns.get(found.pattern().as_usize()).map(|pattern| &**pattern)
    }
}

/// A compiled crawler list. The default one knows no crawler.
#[derive(Default)]
pub struct BotList {
    plain: Option<Plain>,
    expressions: Expressions,
}

impl BotList {
    /// Reads and compiles a list file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, BotListError> {
        Self::from_json(&std::fs::read_to_string(path)?)
    }

    /// Compiles a list. A pattern that is no regular expression is left out with a warning.
    pub fn from_json(json: &str) -> Result<Self, BotListError> {
        let entries: Vec<Entry> = serde_json::from_str(json)?;
        let (mut plain, mut expressions) = (Vec::new(), Vec::new());
        for Entry { pattern } in entries {
            if let Some(text) = plain_text(&pattern) {
                plain.push((text, pattern));
                continue;
            }
            match compiled(&pattern) {
                Ok(_) if pattern.is_empty() => {
                    tracing::warn!("an empty pattern of the crawler list is left out");
                }
                Ok(expression) => expressions.push(expression),
                Err(error) => {
                    tracing::warn!(pattern, %error, "a pattern of the crawler list is left out");
                }
            }
        }
        if plain.is_empty() && expressions.is_empty() {
            return Err(BotListError::Empty);
        }
        Ok(Self { plain: Some(Plain::new(plain)?), expressions: Expressions::new(expressions)? })
    }

    /// The pattern that a user agent is known by: of the plain ones that match the one whose text
    /// begins first, else the first other one of the list that matches.
    pub fn matches(&self, user_agent: &str) -> Option<&str> {
        let text = user_agent.as_bytes();
        let plain = self.plain.as_ref().and_then(|plain| plain.first_match(text));
        plain.or_else(|| self.expressions.first_match(text))
    }
}

/// The text that a pattern stands for, when it has no operators and isn't too short. An escaped sign (`\/`, `\.`) is itself; an escaped letter or digit is a class.
fn plain_text(pattern: &str) -> Option<Vec<u8>> {
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
    (text.len() >= PLAIN_MIN).then_some(text)
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
    fn of_several_patterns_that_match_one_is_reported() {
        let list = BotList::from_json(
            r#"[
                {"pattern": "W3"},
                {"pattern": "[wW]get"},
                {"pattern": "reader"},
                {"pattern": "feedreader"},
                {"pattern": "feedreader/2"},
                {"pattern": ".{7}$"},
                {"pattern": "(?i)FETCH"}
            ]"#,
        )
        .unwrap();
        for (user_agent, pattern) in [
            ("W3 feedreader", Some("feedreader")),
            ("feedreader/2", Some("feedreader")),
            ("a reader, a feedreader", Some("reader")),
            ("Wget W3", Some("W3")),
            ("fetch wget", Some("[wW]get")),
            ("a fEtCh", Some(".{7}$")),
            ("fEtCh", Some("(?i)FETCH")),
            ("fEtC", None),
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

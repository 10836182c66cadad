//! The crawler list: patterns that match the user agents of bots.
//!
//! The list is the `crawler-user-agents` JSON (<https://github.com/monperrus/crawler-user-agents>):
//! an array of objects whose `pattern` is a case-sensitive regular expression that matches anywhere
//! in a user agent. Nearly all of the 1,500 patterns are literals. They are matched by one
//! Aho-Corasick automaton, which runs only at positions where a literal can start by its first
//! three bytes; the others are [`RegexPatterns`]. So classifying a new user agent takes about a
//! microsecond, and one of 1,024 bytes made of prefixes of literals about twenty.

use std::path::Path;

use aho_corasick::{AhoCorasick, Anchored, Input, MatchKind, StartKind};
use serde::Deserialize;

use super::regex_patterns::{PatternsTooLarge, RegexPatterns, compiled};

/// Shorter literals are matched as regular expressions: they are the least specific, so all others
/// come first.
const LITERAL_LEN_MIN: usize = 3;

/// Size of the prefix filter in words: 8 KiB, which fit in the L1 cache.
const PREFIX_FILTER_WORDS: usize = 1024;

/// The patterns of the npm package `crawler-user-agents`, for use until the package is fetched. To
/// renew them: `npm pack crawler-user-agents`, and of its list only the fields `pattern`, one object
/// a line; its license is beside the file.
const BUNDLED: &str = include_str!("crawlers.json");

/// Why a crawler list cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum BotListError {
    /// The file is unreadable.
    #[error("cannot read the crawler list: {0}")]
    Unreadable(#[from] std::io::Error),
    /// The file is not an array of objects with a `pattern`.
    #[error("the crawler list is not of the form [{{\"pattern\": …}}, …]: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The list has no valid pattern.
    #[error("the crawler list has no valid pattern")]
    Empty,
    /// The compiled patterns are too large.
    #[error("cannot compile the crawler list: {0}")]
    TooLarge(#[from] PatternsTooLarge),
}

#[derive(Deserialize)]
struct Entry {
    pattern: String,
}

/// A filter for the first three bytes of the literals, with one bit per hash value. About one in
/// seventy other prefixes passes.
struct PrefixFilter(Box<[u64; PREFIX_FILTER_WORDS]>);

impl PrefixFilter {
    fn of<'a>(literals: impl Iterator<Item = &'a [u8; LITERAL_LEN_MIN]>) -> Self {
        let mut words = Box::new([0; PREFIX_FILTER_WORDS]);
        for prefix in literals {
            let (word, bit) = Self::position(*prefix);
            words[word] |= bit;
        }
        Self(words)
    }

    fn may_contain(&self, prefix: &[u8]) -> bool {
        let Some((word, bit)) = prefix.first_chunk().copied().map(Self::position) else {
            return false;
        };
        self.0[word] & bit != 0
    }

    /// The word and the bit of a prefix, by a 16-bit multiplicative hash.
    fn position([a, b, c]: [u8; LITERAL_LEN_MIN]) -> (usize, u64) {
        let hash = u32::from_le_bytes([a, b, c, 0]).wrapping_mul(0x9E37_79B1) >> 16;
        (hash as usize / 64 % PREFIX_FILTER_WORDS, 1 << (hash % 64))
    }
}

/// The literal patterns.
struct Literals {
    patterns: Vec<Box<str>>,
    prefixes: PrefixFilter,
    /// Matches at one position; of several literals the list's first wins.
    automaton: AhoCorasick,
}

impl Literals {
    /// Builds the automaton from pairs of literal and pattern.
    fn new(listed: Vec<(Vec<u8>, String)>) -> Result<Self, BotListError> {
        let prefixes = PrefixFilter::of(listed.iter().filter_map(|(text, _)| text.first_chunk()));
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostFirst)
            .start_kind(StartKind::Anchored)
            .build(listed.iter().map(|(text, _)| text))
            .map_err(PatternsTooLarge::from)?;
        let patterns = listed.into_iter().map(|(_, pattern)| pattern.into_boxed_str()).collect();
        Ok(Self { patterns, prefixes, automaton })
    }

    /// The pattern of the leftmost match.
    fn first_match(&self, text: &[u8]) -> Option<&str> {
        let at = |position: usize| {
            self.automaton.find(Input::new(text).range(position..).anchored(Anchored::Yes))
        };
        let found = (0..)
            .zip(text.windows(LITERAL_LEN_MIN))
            .filter(|(_, prefix)| self.prefixes.may_contain(prefix))
            .find_map(|(position, _)| at(position))?;
        self.patterns.get(found.pattern().as_usize()).map(|pattern| &**pattern)
    }
}

/// A compiled crawler list. The default one is empty.
#[derive(Default)]
pub struct BotList {
    literals: Option<Literals>,
    regexes: RegexPatterns,
}

impl BotList {
    /// Reads and compiles a list file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, BotListError> {
        Self::from_json(&std::fs::read_to_string(path)?)
    }

    /// Compiles the list that is part of the program.
    pub fn bundled() -> Result<Self, BotListError> {
        Self::from_json(BUNDLED)
    }

    /// Compiles a list. Skips invalid patterns with a warning.
    pub fn from_json(json: &str) -> Result<Self, BotListError> {
        let entries: Vec<Entry> = serde_json::from_str(json)?;
        let (mut literals, mut regexes) = (Vec::new(), Vec::new());
        for Entry { pattern } in entries {
            if let Some(text) = literal(&pattern) {
                literals.push((text, pattern));
                continue;
            }
            match compiled(&pattern) {
                Ok(_) if pattern.is_empty() => {
                    tracing::warn!("skipped an empty pattern of the crawler list");
                }
                Ok(expression) => regexes.push(expression),
                Err(error) => {
                    tracing::warn!(pattern, %error, "skipped an invalid pattern of the crawler list");
                }
            }
        }
        if literals.is_empty() && regexes.is_empty() {
            return Err(BotListError::Empty);
        }
        Ok(Self { literals: Some(Literals::new(literals)?), regexes: RegexPatterns::new(regexes)? })
    }

    /// The pattern that matches a user agent: the leftmost literal, else the first regular expression
    /// of the list.
    pub fn matches(&self, user_agent: &str) -> Option<&str> {
        let text = user_agent.as_bytes();
        let literals = self.literals.as_ref().and_then(|literals| literals.first_match(text));
        literals.or_else(|| self.regexes.first_match(text))
    }
}

/// The literal that a pattern matches, if it has no operators and is not too short. Escaped
/// punctuation (`\/`, `\.`) is literal; an escaped letter or digit is a class.
fn literal(pattern: &str) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(pattern.len());
    let mut bytes = pattern.bytes();
    while let Some(byte) = bytes.next() {
        text.push(match byte {
            b'\\' => bytes.next().filter(u8::is_ascii_punctuation)?,
            b'.' | b'^' | b'$' | b'*' | b'+' | b'?' | b'(' | b')' | b'[' | b']' | b'{' | b'}'
            | b'|' => {
                return None;
            }
            byte => byte,
        });
    }
    (text.len() >= LITERAL_LEN_MIN).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_regular_expressions_match_user_agents() {
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
    fn only_one_of_several_matching_patterns_is_reported() {
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
    fn the_bundled_list_knows_common_crawlers_and_no_browser() {
        let list = BotList::bundled().unwrap();
        assert_eq!(list.matches("Mozilla/5.0 (compatible; bingbot/2.0)"), Some("bingbot"));
        assert!(list.matches("Mozilla/5.0 (compatible; Googlebot/2.1)").is_some());
        assert!(list.matches("curl/8.5.0").is_some());
        let browser = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
        assert_eq!(list.matches(browser), None);
    }

    #[test]
    fn an_invalid_pattern_is_skipped() {
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
    fn a_list_is_loaded_from_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), r#"[{"pattern": "examplebot"}]"#).unwrap();
        assert_eq!(
            BotList::load(file.path()).unwrap().matches("an examplebot"),
            Some("examplebot")
        );
    }
}

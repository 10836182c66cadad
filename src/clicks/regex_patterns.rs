//! The crawler list's patterns that are not literals.
//!
//! For most of them, a set of literals can be extracted, one of which is in every match: `[wW]get`
//! has `wget` and `Wget`, `^curl` has `curl`. One pass over a user agent finds these literals, and
//! only their expressions are run. So a browser costs that pass alone, and a hostile user agent
//! with many of the literals runs each expression at most once. Expressions without literals are
//! always run, as a set.

use aho_corasick::AhoCorasick;
use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::literal::{ExtractKind, Extractor, Literal, Seq};

/// Size limit of a compiled expression and of the set, in bytes: far more than they need.
const COMPILED_BYTES_MAX: usize = 4 << 20;

/// Size limit of each thread's lazy DFA cache of the set, in bytes.
const SET_CACHE_BYTES: usize = 256 << 10;

/// Size limit of each thread's lazy DFA cache of one expression, in bytes.
const REGEX_CACHE_BYTES: usize = 32 << 10;

/// Compiles one pattern.
pub(super) fn compiled(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern)
        .unicode(false)
        .size_limit(COMPILED_BYTES_MAX)
        .dfa_size_limit(REGEX_CACHE_BYTES)
        .build()
}

/// Regular expressions in list order. The default matches nothing.
#[derive(Default)]
pub(super) struct RegexPatterns {
    all: Vec<Regex>,
    /// The extracted literals.
    literals: Option<AhoCorasick>,
    /// The index in `all` of each literal's expression.
    literal_index: Vec<usize>,
    /// The expressions without literals, and the index in `all` of each.
    literal_free: RegexSet,
    literal_free_index: Vec<usize>,
}

/// The compiled patterns are too large.
#[derive(Debug, thiserror::Error)]
pub enum PatternsTooLarge {
    /// The regular expressions.
    #[error(transparent)]
    Expressions(#[from] regex::Error),
    /// The literals.
    #[error(transparent)]
    Literals(#[from] aho_corasick::BuildError),
}

impl RegexPatterns {
    /// Builds the matcher from the results of [`compiled`].
    pub(super) fn new(all: Vec<Regex>) -> Result<Self, PatternsTooLarge> {
        let mut literals = Vec::new();
        let (mut literal_index, mut literal_free_index) = (Vec::new(), Vec::new());
        for (index, expression) in all.iter().enumerate() {
            match literals_of(expression.as_str()) {
                Some(found) => {
                    literal_index.resize(literal_index.len() + found.len(), index);
                    literals.extend(found);
                }
                None => literal_free_index.push(index),
            }
        }
        let literal_free =
            literal_free_index.iter().filter_map(|index| all.get(*index)).map(Regex::as_str);
        let literal_free = RegexSetBuilder::new(literal_free)
            .unicode(false)
            .size_limit(COMPILED_BYTES_MAX)
            .dfa_size_limit(SET_CACHE_BYTES)
            .build()?;
        let literals = if literals.is_empty() { None } else { Some(AhoCorasick::new(&literals)?) };
        Ok(Self { all, literals, literal_index, literal_free, literal_free_index })
    }

    /// The first matching pattern in list order.
    pub(super) fn first_match(&self, text: &[u8]) -> Option<&str> {
        let candidate = self.candidates(text).into_iter().find(|index| self.matches(*index, text));
        let index = match (candidate, self.literal_free_match(text)) {
            (Some(candidate), Some(literal_free)) => candidate.min(literal_free),
            (candidate, literal_free) => candidate.or(literal_free)?,
        };
        self.all.get(index).map(Regex::as_str)
    }

    /// The indexes of the expressions with a literal in the text.
    fn candidates(&self, text: &[u8]) -> Vec<usize> {
        let Some(literals) = &self.literals else { return Vec::new() };
        let mut indexes: Vec<usize> = literals
            .find_overlapping_iter(text)
            .filter_map(|found| self.literal_index.get(found.pattern().as_usize()).copied())
            .collect();
        indexes.sort_unstable();
        indexes.dedup();
        indexes
    }

    fn matches(&self, index: usize, text: &[u8]) -> bool {
        self.all.get(index).is_some_and(|expression| expression.is_match(text))
    }

    fn literal_free_match(&self, text: &[u8]) -> Option<usize> {
        // `is_match` is far cheaper than `matches`, and most user agents match none.
        if !self.literal_free.is_match(text) {
            return None;
        }
        let first = self.literal_free.matches(text).iter().next()?;
        self.literal_free_index.get(first).copied()
    }
}

/// Literals of which every match of a pattern contains at least one: its prefixes or its suffixes,
/// whichever are longer. `None` if a match can start and end with anything.
fn literals_of(pattern: &str) -> Option<Vec<Box<[u8]>>> {
    let parsed = ParserBuilder::new().unicode(false).utf8(false).build().parse(pattern).ok()?;
    let ends = |kind| Extractor::new().kind(kind).extract(&parsed);
    let literals = [ends(ExtractKind::Prefix), ends(ExtractKind::Suffix)]
        .into_iter()
        .max_by_key(Seq::min_literal_len)?;
    if literals.min_literal_len()? == 0 {
        return None;
    }
    Some(literals.literals()?.iter().map(Literal::as_bytes).map(Box::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_match_contains_one_of_the_literals() {
        for (pattern, literals) in [
            ("^curl", Some(vec!["curl"])),
            ("[wW]get", Some(vec!["Wget", "wget"])),
            ("(^| )sentry\\/", Some(vec![" sentry/", "sentry/"])),
            ("Netumo|netumo", Some(vec!["Netumo", "netumo"])),
            ("(?i)ab", Some(vec!["AB", "Ab", "aB", "ab"])),
            ("Bot([^-]|$)", Some(vec!["Bot"])),
            ("Spider[\\s\\S]*spider\\.com", Some(vec!["spider.com"])),
            (".*bot$", Some(vec!["bot"])),
            ("W3", Some(vec!["W3"])),
            ("(curl|)", None),
            ("[^a]", None),
            ("^$", None),
            (".*bot.*", None),
        ] {
            let mut found = literals_of(pattern);
            if let Some(found) = &mut found {
                found.sort();
            }
            let literals =
                literals.map(|literals| literals.into_iter().map(|text| text.as_bytes().into()));
            assert_eq!(found, literals.map(Iterator::collect), "{pattern}");
        }
    }
}

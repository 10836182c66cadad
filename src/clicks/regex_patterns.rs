//! The crawler list's patterns that are more than a plain text.
//!
//! From most of them texts can be taken of which one is in whatever the pattern matches:
//! `[wW]get` has `wget` and `Wget`, `^curl` has `curl`. One pass over a user agent says
//! which of these texts it has, and only their expressions are run. So a user agent that is no
//! crawler costs that pass alone, and a hostile one, which names many of the texts, no more than
//! each expression once. The set of the others is always run.

use aho_corasick::AhoCorasick;
use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::Hir;
use regex_syntax::hir::literal::{ExtractKind, Extractor, Literal, Seq};

use super::bot::BotListError;

/// What the expressions without texts, or any one of the others, may take when compiled, in
/// bytes: far more than they do.
const COMPILED_LIMIT: usize = 4 << 20;

/// What each thread that matches may remember of the automaton of the expressions without texts,
/// in bytes.
const REMEMBERED_LIMIT: usize = 256 << 10;

/// What each thread that matches may remember of any other expression's automaton, in bytes.
const REMEMBERED_LIMIT_EACH: usize = 32 << 10;

/// Compiles one pattern.
pub(super) fn compiled(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern)
        .unicode(false)
        .size_limit(COMPILED_LIMIT)
        .dfa_size_limit(REMEMBERED_LIMIT_EACH)
        .build()
}

/// Expressions in the order of the list. The default ones match nothing.
#[derive(Default)]
pub(super) struct Expressions {
    all: Vec<Regex>,
    /// The texts that the matches of expressions have.
    texts: Option<AhoCorasick>,
    /// The place in `all` of each text's expression.
    of_text: Vec<usize>,
    /// The expressions from which no texts can be taken, and the place in `all` of each.
    textless: RegexSet,
    of_textless: Vec<usize>,
}

impl Expressions {
    /// Prepares what [`compiled`] made.
    pub(super) fn new(all: Vec<Regex>) -> Result<Self, BotListError> {
        let mut texts = Vec::new();
        let (mut of_text, mut of_textless) = (Vec::new(), Vec::new());
        for (place, expression) in all.iter().enumerate() {
            match texts_of(expression.as_str()) {
                Some(found) => {
                    of_text.resize(of_text.len() + found.len(), place);
                    texts.extend(found);
                }
                None => of_textless.push(place),
            }
        }
        let textless = of_textless.iter().filter_map(|place| all.get(*place)).map(Regex::as_str);
        let textless = RegexSetBuilder::new(textless)
            .unicode(false)
            .size_limit(COMPILED_LIMIT)
            .dfa_size_limit(REMEMBERED_LIMIT)
            .build()?;
        let texts = if texts.is_empty() { None } else { Some(AhoCorasick::new(&texts)?) };
        Ok(Self { all, texts, of_text, textless, of_textless })
    }

    /// The first pattern, in the order of the list, that matches.
    pub(super) fn first_match(&self, text: &[u8]) -> Option<&str> {
        let named = self.named(text).into_iter().find(|place| self.matches(*place, text));
        let place = match (named, self.textless_match(text)) {
            (Some(named), Some(textless)) => named.min(textless),
            (named, textless) => named.or(textless)?,
        };
        self.all.get(place).map(Regex::as_str)
    }

    /// The places of the expressions of which the text has what their matches must have.
    fn named(&self, text: &[u8]) -> Vec<usize> {
        let Some(texts) = &self.texts else { return Vec::new() };
        let mut places: Vec<usize> = texts
            .find_overlapping_iter(text)
            .filter_map(|found| self.of_text.get(found.pattern().as_usize()).copied())
            .collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    fn matches(&self, place: usize, text: &[u8]) -> bool {
        self.all.get(place).is_some_and(|expression| expression.is_match(text))
    }

    fn textless_match(&self, text: &[u8]) -> Option<usize> {
        // Whether any matches is far cheaper to know than which: most match none.
        if !self.textless.is_match(text) {
            return None;
        }
        let first = self.textless.matches(text).iter().next()?;
        self.of_textless.get(first).copied()
    }
}

/// Texts of which each match of a pattern has at least one: those that it begins or ends with,
/// whichever say more. None if a match may begin and end with anything.
fn texts_of(pattern: &str) -> Option<Vec<Box<[u8]>>> {
    let parsed = ParserBuilder::new().unicode(false).utf8(false).build().parse(pattern).ok()?;
    let ends = |kind| extracted(&parsed, kind);
    let texts = [ends(ExtractKind::Prefix), ends(ExtractKind::Suffix)]
        .into_iter()
        .max_by_key(Seq::min_literal_len)?;
    if texts.min_literal_len()? == 0 {
        return None;
    }
    Some(texts.literals()?.iter().map(Literal::as_bytes).map(Box::from).collect())
}

fn extracted(parsed: &Hir, kind: ExtractKind) -> Seq {
    Extractor::new().kind(kind).extract(parsed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_match_has_one_of_the_texts() {
        for (pattern, texts) in [
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
            let mut found = texts_of(pattern);
            if let Some(found) = &mut found {
                found.sort();
            }
            let texts = texts.map(|texts| texts.into_iter().map(|text| text.as_bytes().into()));
            assert_eq!(found, texts.map(Iterator::collect), "{pattern}");
        }
    }
}
